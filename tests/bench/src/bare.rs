//! A bare client: objects and statuses that are written as they stand, by nobody who thinks about them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, TypeMeta};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

/// One write of the bare loop.
pub(crate) enum Write {
    Apply(ApiResource, DynamicObject),
    Status(ApiResource, DynamicObject, Value),
}

pub(crate) fn is_ready(conditions: Option<&[Condition]>) -> bool {
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

impl Write {
    pub(crate) async fn send(self, client: Client) -> Result<(), kube::Error> {
        match self {
            Self::Apply(resource, object) => {
                let params = PatchParams::apply("bare-loop").force();
                let api = api(client, &resource, &object);
                api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await?;
            }
            Self::Status(resource, object, status) => {
                let patch = Patch::Merge(json!({ "status": status }));
                let api = api(client, &resource, &object);
                api.patch_status(&object.name_any(), &PatchParams::default(), &patch)
                    .await?;
            }
        }
        Ok(())
    }
}

fn api(client: Client, resource: &ApiResource, object: &DynamicObject) -> Api<DynamicObject> {
    match object.namespace() {
        Some(namespace) => Api::namespaced_with(client, &namespace, resource),
        None => Api::all_with(client, resource),
    }
}

pub(crate) fn primary(resource: &ApiResource, object: DynamicObject) -> (Write, Option<Write>) {
    let status = object.data.get("status").cloned();
    let object = bare(object, resource);
    let status = status.map(|status| Write::Status(resource.clone(), object.clone(), status));
    (Write::Apply(resource.clone(), object), status)
}

/// What a writer gives of an object: not what the API server fills in.
pub(crate) fn bare(mut object: DynamicObject, resource: &ApiResource) -> DynamicObject {
    object.types = Some(TypeMeta {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
    });
    let metadata = std::mem::take(&mut object.metadata);
    object.metadata.name = metadata.name;
    object.metadata.namespace = metadata.namespace;
    object.metadata.labels = metadata.labels;
    object.metadata.finalizers = metadata.finalizers;
    if let Value::Object(data) = &mut object.data {
        data.remove("status");
        if let Some(Value::Object(spec)) = data.get_mut("spec") {
            spec.retain(|name, _| !matches!(name.as_str(), "clusterIP" | "clusterIPs"));
        }
    }
    object
}

pub(crate) fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}
