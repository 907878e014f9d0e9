//! Reading off a live object what the operator remembers of it.

use super::children::Facts;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt;
use kube::core::DynamicObject;
use maru_desire::{AGENCY_LABEL, COMPONENT_LABEL, SYSTEM_LABEL};
use maru_desire::{DeploymentFacts, ObjectKey, ObjectKind, Owner, RouteFacts, Trouble, VolumeFacts};
use serde_json::Value;
use std::collections::BTreeMap;

/// The object's key.
pub(super) fn key(kind: ObjectKind, object: &DynamicObject) -> ObjectKey {
    let metadata = &object.metadata;
    ObjectKey::new(
        kind,
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

/// Whose object it is, by its labels.
pub(super) fn owner(object: &DynamicObject) -> Option<Owner> {
    let labels = object.metadata.labels.as_ref()?;
    match (labels.get(SYSTEM_LABEL), &object.metadata.namespace) {
        (Some(name), Some(namespace)) => Some(Owner::System {
            namespace: namespace.clone(),
            name: name.clone(),
        }),
        _ => Some(Owner::Agency {
            name: labels.get(AGENCY_LABEL)?.clone(),
        }),
    }
}

/// What plans and statuses need of it.
pub(super) fn facts(kind: ObjectKind, object: &DynamicObject) -> Facts {
    match kind {
        ObjectKind::Deployment => {
            let component = object
                .metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get(COMPONENT_LABEL));
            Facts::Deployment(component.cloned().unwrap_or_default(), deployment(object))
        }
        ObjectKind::PersistentVolumeClaim => Facts::Volume(volume(object)),
        ObjectKind::HttpRoute => Facts::Route(http_route(&object.data)),
        ObjectKind::Ingress => Facts::Route(ingress(&object.data)),
        ObjectKind::ResourceQuota => Facts::Quota {
            hard: texts(&object.data, "/spec/hard"),
            used: texts(&object.data, "/status/used"),
        },
        _ => Facts::None,
    }
}

fn deployment(object: &DynamicObject) -> DeploymentFacts {
    let data = &object.data;
    DeploymentFacts {
        desired: number(data, "/spec/replicas"),
        updated: number(data, "/status/updatedReplicas"),
        available: number(data, "/status/availableReplicas"),
        ready: number(data, "/status/readyReplicas"),
        total: number(data, "/status/replicas"),
        replicas_ours: object.managed_fields().iter().any(owns_replicas),
        observed_generation_current: data.pointer("/status/observedGeneration").and_then(Value::as_i64)
            == object.metadata.generation,
        failure: conditions(data).find_map(|condition| {
            let failed = match text(condition, "/type") {
                "ReplicaFailure" => text(condition, "/status") == "True",
                "Progressing" => text(condition, "/reason") == "ProgressDeadlineExceeded",
                _ => false,
            };
            failed.then(|| Trouble {
                reason: text(condition, "/reason").to_owned(),
                message: text(condition, "/message").to_owned(),
            })
        }),
    }
}

/// Whether this entry says that the systems' field manager set `spec.replicas`.
fn owns_replicas(entry: &ManagedFieldsEntry) -> bool {
    let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
    entry.manager.as_deref() == Some(Owner::SYSTEM_FIELD_MANAGER)
        && fields.is_some_and(|fields| fields.pointer("/f:spec/f:replicas").is_some())
}

fn volume(object: &DynamicObject) -> VolumeFacts {
    VolumeFacts {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        requested: text(&object.data, "/spec/resources/requests/storage").to_owned(),
        bound: text(&object.data, "/status/phase") == "Bound",
        terminating: object.metadata.deletion_timestamp.is_some(),
    }
}

fn http_route(data: &Value) -> RouteFacts {
    let parents = data
        .pointer("/status/parents")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut facts = RouteFacts::default();
    let accepted = parents.iter().flat_map(|parent| {
        let conditions = parent
            .get("conditions")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        conditions
            .iter()
            .filter(|condition| text(condition, "/type") == "Accepted")
    });
    for condition in accepted {
        let yes = text(condition, "/status") == "True";
        facts.accepted = Some(facts.accepted.unwrap_or(true) && yes);
        if !yes {
            text(condition, "/message").clone_into(&mut facts.message);
        }
    }
    facts
}

fn ingress(data: &Value) -> RouteFacts {
    let addresses = data.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    RouteFacts {
        accepted: addresses.filter(|list| !list.is_empty()).map(|_| true),
        message: String::new(),
    }
}

fn conditions(data: &Value) -> impl Iterator<Item = &Value> {
    data.pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn number(data: &Value, pointer: &str) -> i32 {
    data.pointer(pointer)
        .and_then(Value::as_i64)
        .and_then(|number| i32::try_from(number).ok())
        .unwrap_or_default()
}

fn text<'a>(data: &'a Value, pointer: &str) -> &'a str {
    data.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn texts(data: &Value, pointer: &str) -> BTreeMap<String, String> {
    let map = data.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    map.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}
