//! The beginning that every manifest has, and how one becomes an object of a plan.

use crate::object::{ObjectKey, ObjectKind, WantedObject};
use crate::{AGENCY_LABEL, COMPONENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL, SYSTEM_LABEL};
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Serialize;
use std::collections::BTreeMap;

/// The labels of an object that Maru writes.
pub(crate) fn labels(agency: &str, system: Option<&str>, part: Option<&str>) -> BTreeMap<String, String> {
    let mut labels = pod_labels(agency, system, part);
    labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned());
    labels
}

/// The labels of a pod, which Maru does not write itself.
pub(crate) fn pod_labels(agency: &str, system: Option<&str>, part: Option<&str>) -> BTreeMap<String, String> {
    [
        (AGENCY_LABEL, Some(agency)),
        (SYSTEM_LABEL, system),
        (COMPONENT_LABEL, part),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
    .collect()
}

/// Name, namespace and labels.
pub(crate) fn metadata(name: String, namespace: &str, labels: BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels),
        ..ObjectMeta::default()
    }
}

/// A selector by labels; without any it selects everything.
pub(crate) fn selector<const N: usize>(labels: [(&str, &str); N]) -> LabelSelector {
    let labels: BTreeMap<String, String> = labels
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    LabelSelector {
        match_labels: (!labels.is_empty()).then_some(labels),
        match_expressions: None,
    }
}

/// A list, or nothing where it is empty: the API server drops empty lists.
pub(crate) fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// A manifest as an object of a plan.
pub(crate) fn wanted<K: Metadata<Ty = ObjectMeta> + Serialize>(kind: ObjectKind, manifest: &K) -> WantedObject {
    let metadata = manifest.metadata();
    let name = metadata.name.clone().unwrap_or_default();
    let namespace = metadata.namespace.clone().unwrap_or_default();
    // Kubernetes' own types are plain maps, lists and texts: nothing in them can fail to become JSON.
    let body = serde_json::to_value(manifest).unwrap_or_default();
    WantedObject {
        key: ObjectKey::new(kind, namespace, name),
        body,
    }
}
