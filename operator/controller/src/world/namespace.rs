//! What is remembered of a namespace.

use k8s_openapi::api::core::v1::Namespace;
use kube::core::DynamicObject;
use maru_desire::AGENCY_LABEL;

/// What is remembered of a namespace, whoever's it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamespaceRecord {
    pub(super) uid: String,
    pub(super) agency: Option<String>,
    /// What the API server says still blocks its deletion, while it is being deleted.
    pub(super) terminating: Option<String>,
}

/// Reads off a namespace what is remembered of it.
pub(super) fn namespace_record(object: &DynamicObject) -> NamespaceRecord {
    let namespace: Option<Namespace> = object.clone().try_parse().ok();
    let blocked = namespace
        .and_then(|namespace| namespace.status)
        .and_then(|status| status.conditions)
        .unwrap_or_default();
    let messages: Vec<String> = blocked
        .into_iter()
        .filter(|condition| condition.status == "True")
        .filter_map(|condition| condition.message)
        .collect();
    NamespaceRecord {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        agency: object
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(AGENCY_LABEL))
            .cloned(),
        terminating: object
            .metadata
            .deletion_timestamp
            .is_some()
            .then(|| messages.join("; ")),
    }
}
