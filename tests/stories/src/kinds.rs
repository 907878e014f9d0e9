//! Installing Maru's kinds, and taking them away.

use crate::eventually;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::{conditions::is_crd_established, wait::await_condition};
use kube::{Client, ResourceExt};
use maru_crds::manifests;
use serde_json::json;

/// Applies the definitions of all kinds and waits until the API server serves them.
pub async fn install_kinds(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions() {
        let name = definition.name_any();
        api.patch(&name, &PatchParams::apply("platform"), &Patch::Apply(&definition))
            .await
            .unwrap();
        await_condition(api.clone(), &name, is_crd_established()).await.unwrap();
    }
}

/// Deletes the definitions, and with them every object of the kinds.
pub async fn delete_kinds(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions() {
        api.delete(&definition.name_any(), &DeleteParams::default())
            .await
            .unwrap();
    }
    for definition in definitions() {
        let name = definition.name_any();
        eventually(&format!("{name} to be gone"), 30, async || {
            match api.get_opt(&name).await.unwrap() {
                None => Ok(()),
                Some(left) => {
                    look_again(&api, &left).await;
                    Err(format!("{:?}", left.status))
                }
            }
        })
        .await;
    }
}

/// Where the API server could not list the objects of a kind that goes, it waits longer each time until it tries again, up to a quarter of an hour; a
/// change of the definition makes it try at once.
async fn look_again(api: &Api<CustomResourceDefinition>, left: &CustomResourceDefinition) {
    let conditions = left.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut failed = conditions.filter(|one| one.reason.as_deref() == Some("InstanceDeletionFailed"));
    if failed.next().is_some() {
        let version = left.resource_version().unwrap_or_default();
        let patch = json!({"metadata": {"annotations": {"maru.dev/look-again": version}}});
        let patched = api
            .patch(&left.name_any(), &PatchParams::default(), &Patch::Merge(patch))
            .await;
        // It may be gone by now.
        drop(patched);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

fn definitions() -> Vec<CustomResourceDefinition> {
    let manifests = manifests().unwrap().into_iter();
    manifests
        .map(|manifest| {
            let mut definition = manifest.definition;
            definition["apiVersion"] = "apiextensions.k8s.io/v1".into();
            definition["kind"] = "CustomResourceDefinition".into();
            serde_json::from_value(definition).unwrap()
        })
        .collect()
}
