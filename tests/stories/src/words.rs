//! What people say to the cluster, and what it answers.

use crate::eventually;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, Resource};
use maru_crds::{Agency, AgencySystem};
use maru_test_cluster::HELLO_IMAGE;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;

/// The image that answers with a greeting on port 8080.
pub const HELLO: &str = HELLO_IMAGE;

/// An agency with one namespace of its own name.
pub fn agency(name: &str) -> Value {
    json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "Agency", "metadata": {"name": name},
        "spec": {
            "displayNames": [{"language": "en", "name": name}],
            "tier": "Central", "securityGrade": "Moderate",
            "quota": {"cpu": "8", "memory": "16Gi", "storage": "64Gi", "pods": 50},
        },
    })
}

/// A system of one component `web` with one pod, that answers on port 8080.
pub fn system(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "AgencySystem", "metadata": {"name": name, "namespace": namespace},
        "spec": {"components": [{
            "name": "web", "image": HELLO, "runAsUser": 10001, "replicas": {"fixed": 1},
            "ports": [{"name": "http", "port": 8080}],
            "resources": {"cpu": "20m", "memory": "16Mi"},
        }]},
    })
}

/// `kubectl apply --server-side` of an agency or a system; its namespace is waited for.
pub async fn apply(client: &Client, object: &Value) {
    let name = object["metadata"]["name"].as_str().unwrap();
    let params = PatchParams::apply("people").force();
    match object["kind"].as_str().unwrap() {
        "Agency" => {
            let api = Api::<Agency>::all(client.clone());
            api.patch(name, &params, &Patch::Apply(object)).await.unwrap();
        }
        "AgencySystem" => {
            let api = systems(client, object["metadata"]["namespace"].as_str().unwrap());
            eventually(&format!("{name} to be taken"), 20, async || {
                match api.patch(name, &params, &Patch::Apply(object)).await {
                    Ok(_) => Ok(()),
                    Err(kube::Error::Api(status)) if status.code == 404 => Err(status.message),
                    Err(error) => panic!("{error}"),
                }
            })
            .await;
        }
        kind => panic!("{kind} is no kind of these stories"),
    }
}

/// `kubectl delete --wait=false`
pub async fn delete<K>(api: &Api<K>, name: &str)
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    api.delete(name, &DeleteParams::default()).await.unwrap();
}

/// `kubectl wait --for=delete`
pub async fn is_gone<K>(api: &Api<K>, name: &str, seconds: u64)
where
    K: Resource + Clone + DeserializeOwned + Debug + Serialize,
{
    eventually(&format!("{name} to be gone"), seconds, async || {
        match api.get_opt(name).await.unwrap() {
            None => Ok(()),
            Some(left) => Err(serde_json::to_string(&left).unwrap()),
        }
    })
    .await;
}

/// `kubectl wait --for=condition=Ready` of an agency.
pub async fn agency_ready(client: &Client, name: &str, seconds: u64) -> Agency {
    let api = Api::<Agency>::all(client.clone());
    eventually(&format!("agency {name} to be ready"), seconds, async || {
        let Some(agency) = api.get_opt(name).await.unwrap() else {
            return Err("it is not there".to_owned());
        };
        let conditions = agency.status.as_ref().map(|status| status.conditions.as_slice());
        said_ready(conditions.unwrap_or_default(), agency.metadata.generation)?;
        Ok(agency)
    })
    .await
}

/// `kubectl wait --for=condition=Ready` of a system.
pub async fn system_ready(client: &Client, namespace: &str, name: &str, seconds: u64) -> AgencySystem {
    let api = systems(client, namespace);
    eventually(&format!("system {namespace}/{name} to be ready"), seconds, async || {
        let Some(system) = api.get_opt(name).await.unwrap() else {
            return Err("it is not there".to_owned());
        };
        let conditions = system.status.as_ref().map(|status| status.conditions.as_slice());
        said_ready(conditions.unwrap_or_default(), system.metadata.generation)?;
        Ok(system)
    })
    .await
}

/// The reason of a system's condition `Ready`; empty before it has one.
pub async fn ready_reason(client: &Client, namespace: &str, name: &str) -> String {
    let system = systems(client, namespace).get(name).await.unwrap();
    let conditions = system.status.map(|status| status.conditions).unwrap_or_default();
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    ready.map(|ready| ready.reason).unwrap_or_default()
}

fn said_ready(
    conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
    generation: Option<i64>,
) -> Result<(), String> {
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    match ready {
        Some(ready) if ready.status == "True" && ready.observed_generation == generation => Ok(()),
        _ => Err(serde_json::to_string(conditions).unwrap()),
    }
}

fn systems(client: &Client, namespace: &str) -> Api<AgencySystem> {
    Api::namespaced(client.clone(), namespace)
}

/// The events of the objects with this name, as `kubectl describe` shows them.
pub async fn told(client: &Client, name: &str) -> Vec<Event> {
    let events: Api<Event> = Api::all(client.clone());
    let mut found = events.list(&ListParams::default()).await.unwrap().items;
    found.retain(|event| event.regarding.as_ref().and_then(|of| of.name.as_deref()) == Some(name));
    found
}
