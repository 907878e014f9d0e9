//! The memory in place of the API server: it stores what a plan asks for and deletes what it sweeps.

use super::{Rehearsal, Written};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use kube::core::{DynamicObject, ObjectMeta};
use kube::runtime::watcher::Event;
use maru_apply::{Fingerprint, Observed, Seen};
use maru_desire::{Applied, ObjectKey, ObjectKind, Outcome, Owner, Plan, WantedObject};
use serde_json::{Value, json};

impl Rehearsal {
    /// Carries a plan out in memory, in the plan's order.
    pub(super) fn carry_out(&mut self, plan: &Plan) -> Applied {
        let mut outcomes = Vec::with_capacity(plan.objects.len() + plan.sweep.len());
        for wanted in &plan.objects {
            outcomes.push((wanted.key.clone(), self.store(&plan.owner, wanted)));
        }
        for key in &plan.sweep {
            outcomes.push((key.clone(), self.sweep(key)));
        }
        Applied::new(plan, outcomes)
    }

    fn store(&mut self, owner: &Owner, wanted: &WantedObject) -> Outcome {
        let fingerprint = Fingerprint::of_wanted(&wanted.body);
        let seen = self.world.seen(&wanted.key);
        if let Some(seen) = &seen {
            if seen.is(fingerprint) {
                return Outcome::Unchanged;
            }
            if seen.terminating {
                return Outcome::refused("Terminating", "it is being deleted; waiting until it is gone");
            }
        }
        self.version += 1;
        let uid = seen.as_ref().map_or_else(
            || format!("rehearsed-{}", self.version).into_boxed_str(),
            |seen| seen.uid.clone(),
        );
        let object = stored(wanted, owner, &uid, self.version);
        let now = Seen {
            uid,
            resource_version: self.version,
            live: fingerprint,
            applied: Some((fingerprint, fingerprint)),
            terminating: false,
        };
        self.before.entry(wanted.key.clone()).or_insert(seen);
        self.world.wrote(&wanted.key, &object, now);
        let written = Written {
            owner: owner.clone(),
            wanted: wanted.clone(),
        };
        self.written.insert(wanted.key.clone(), written);
        Outcome::Written
    }

    fn sweep(&mut self, key: &ObjectKey) -> Outcome {
        let Some(seen) = self.world.seen(key) else {
            return Outcome::Unchanged;
        };
        self.before.entry(key.clone()).or_insert(Some(seen));
        if key.kind == ObjectKind::Namespace {
            self.empty(&key.name);
        }
        let event = Event::Delete(bare(key));
        let wake = if key.kind == ObjectKind::Namespace {
            self.world.on_namespace(event)
        } else {
            self.world.on_child(key.kind, &event)
        };
        self.wake(wake);
        Outcome::Deleted
    }

    /// What is in a namespace goes with it.
    fn empty(&mut self, namespace: &str) {
        for (key, seen) in self.world.objects_in(namespace) {
            self.before.entry(key.clone()).or_insert(Some(seen));
            let wake = self.world.on_child(key.kind, &Event::Delete(bare(&key)));
            self.wake(wake);
        }
        for key in self.world.systems_in(namespace) {
            let owner = crate::world::system_owner(&key);
            self.touched.insert(owner.clone());
            self.release(&owner);
        }
    }
}

/// An object as the API server would have it after its first write, as far as the world reads it.
fn stored(wanted: &WantedObject, owner: &Owner, uid: &str, version: u64) -> DynamicObject {
    let mut object = bare(&wanted.key);
    object.metadata.labels = serde_json::from_value(wanted.body["metadata"]["labels"].clone()).unwrap_or_default();
    object.metadata.uid = Some(uid.to_owned());
    object.metadata.resource_version = Some(version.to_string());
    let has_replicas = wanted.body.pointer("/spec/replicas").is_some();
    object.metadata.managed_fields = has_replicas.then(|| {
        vec![ManagedFieldsEntry {
            manager: Some(owner.field_manager().to_owned()),
            fields_v1: Some(FieldsV1(json!({"f:spec": {"f:replicas": {}}}))),
            ..ManagedFieldsEntry::default()
        }]
    });
    if let Value::Object(body) = &wanted.body {
        let data = body
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"));
        object.data = Value::Object(data.map(|(name, value)| (name.clone(), value.clone())).collect());
    }
    object
}

fn bare(key: &ObjectKey) -> DynamicObject {
    DynamicObject {
        types: None,
        metadata: ObjectMeta {
            name: Some(key.name.clone()),
            namespace: (!key.namespace.is_empty()).then(|| key.namespace.clone()),
            ..ObjectMeta::default()
        },
        data: Value::Object(serde_json::Map::new()),
    }
}
