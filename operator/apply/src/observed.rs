//! What is remembered of an object that was seen: enough to say whether it must be written, and no more.

use crate::fingerprint::{Fingerprint, ManagedFields};
use kube::core::DynamicObject;
use maru_desire::ObjectKey;

/// A live object, as far as Maru remembers it. Tens of bytes, for there are a hundred thousand of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The object's UID, the precondition of deleting it.
    pub uid: Box<str>,
    /// The object's resource version; Kubernetes 1.35 and later guarantee that these can be compared as integers.
    pub resource_version: u64,
    /// The fields that Maru owns, as they are.
    pub live: Fingerprint,
    /// What was wanted when this process last applied it, and what the API server made of it. They differ where the API
    /// server writes a value in another form than it was given.
    pub applied: Option<(Fingerprint, Fingerprint)>,
    /// Whether the object is being deleted.
    pub terminating: bool,
}

impl Seen {
    /// Reads off a live object what is remembered of it. `manager` is the field manager of its owner's controller.
    pub fn of(object: &DynamicObject, manager: &str) -> Self {
        let metadata = &object.metadata;
        let fields: Vec<ManagedFields<'_>> = metadata
            .managed_fields
            .iter()
            .flatten()
            .filter_map(|entry| {
                Some(ManagedFields {
                    manager: entry.manager.as_deref()?,
                    subresource: entry.subresource.is_some(),
                    fields: &entry.fields_v1.as_ref()?.0,
                })
            })
            .collect();
        let owned = serde_json::json!({
            "labels": metadata.labels, "annotations": metadata.annotations, "finalizers": metadata.finalizers,
        });
        Self {
            uid: metadata.uid.clone().unwrap_or_default().into_boxed_str(),
            resource_version: resource_version(metadata.resource_version.as_deref()),
            live: Fingerprint::of_live(&owned, &object.data, &fields, manager),
            applied: None,
            terminating: metadata.deletion_timestamp.is_some(),
        }
    }

    /// Whether the live object already is what `wanted` asks for.
    pub fn is(&self, wanted: Fingerprint) -> bool {
        !self.terminating && (self.live == wanted || self.applied == Some((wanted, self.live)))
    }
}

/// A resource version as a number; 0 where it is missing or not one.
pub fn resource_version(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The memory of live objects that a plan is compared with. The watches fill it, and so does every write.
pub trait Observed: Send + Sync {
    /// What was last seen of an object; nothing if it is not there, or not Maru's.
    fn seen(&self, key: &ObjectKey) -> Option<Seen>;
    /// Remembers what a write returned. An older resource version than the remembered one is ignored.
    fn wrote(&self, key: &ObjectKey, object: &DynamicObject, seen: Seen);
    /// Remembers that an object is gone, or no longer Maru's.
    fn gone(&self, key: &ObjectKey);
}
