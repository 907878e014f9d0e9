//! The world as the operator knows it: filled by the watches and by its own writes, read by the reconcilers.
//!
//! No part of it names a client or a runtime. An event goes in, and out come the owners that must be looked at.

mod changes;
mod children;
mod doubt;
mod drift;
mod gather;
mod namespace;
mod orphans;
mod pods;
mod primaries;
mod read;

use children::Children;
pub(crate) use children::Urgency;
use doubt::Doubts;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::watcher::Event;
use maru_apply::{Observed, Seen};
use maru_crds::{Agency, AgencySystem};
use maru_desire::{ObjectKey, ObjectKind, Owner, Platform, SystemKey};
use namespace::NamespaceRecord;
use pods::Pods;
pub(crate) use pods::facts_of_selected;
use primaries::Primaries;
pub(crate) use primaries::key_of;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Who must be looked at, and how soon.
pub(crate) type Wake = Vec<(Owner, Urgency)>;

/// Everything that the operator knows.
#[derive(Debug)]
pub struct World {
    platform: Platform,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    primaries: Primaries,
    children: Children,
    pods: Pods,
    namespaces: HashMap<String, NamespaceRecord>,
    labelled: HashMap<String, BTreeSet<String>>,
    doubts: Doubts,
    listed_agencies: HashSet<String>,
    listed_systems: HashSet<SystemKey>,
    listed_namespaces: HashSet<String>,
}

impl World {
    /// An empty world with the installation's settings.
    pub fn new(platform: Platform) -> Self {
        Self {
            platform,
            state: RwLock::default(),
        }
    }

    /// The installation's settings.
    pub(crate) const fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The agency whose line in the queue an owner stands in: its own, or the one of its namespace; the namespace's
    /// own name where no agency has it.
    pub(crate) fn line_of(&self, owner: &Owner) -> String {
        match owner {
            Owner::Agency { name } => name.clone(),
            Owner::System { namespace, .. } => {
                let state = self.read();
                state
                    .namespaces
                    .get(namespace)
                    .and_then(|known| known.agency.clone())
                    .unwrap_or_else(|| namespace.clone())
            }
        }
    }

    /// Whether a namespace was heard of, whosever it is.
    pub(crate) fn has_seen_namespace(&self, namespace: &str) -> bool {
        self.read().namespaces.contains_key(namespace)
    }

    /// The agency that a namespace belongs to.
    pub(crate) fn agency_of(&self, namespace: &str) -> Option<String> {
        self.read().namespaces.get(namespace)?.agency.clone()
    }

    /// How many agencies, systems and written objects are known.
    pub(crate) fn counts(&self) -> [(&'static str, usize); 3] {
        let state = self.read();
        [
            ("Agency", state.primaries.agencies.len()),
            ("AgencySystem", state.primaries.systems.len()),
            ("Owned", state.children.len()),
        ]
    }

    /// Every owner, and every system that is not there and has left something: what a new leader looks at first.
    pub(crate) fn owners(&self) -> Vec<Owner> {
        let state = self.read();
        let agencies = state
            .primaries
            .agencies
            .keys()
            .map(|name| Owner::Agency { name: name.clone() });
        agencies
            .chain(state.primaries.systems.keys().map(system_owner))
            .chain(state.bereft())
            .collect()
    }

    /// The agency as it is known now.
    pub(crate) fn agency(&self, name: &str) -> Option<Arc<Agency>> {
        self.read().primaries.agencies.get(name).cloned()
    }

    /// The system as it is known now.
    pub(crate) fn system(&self, key: &SystemKey) -> Option<Arc<AgencySystem>> {
        self.read().primaries.systems.get(key).cloned()
    }

    /// The objects that Maru wrote in a namespace.
    pub(crate) fn objects_in(&self, namespace: &str) -> Vec<(ObjectKey, Seen)> {
        self.read().children.within(namespace)
    }

    /// The systems in a namespace.
    pub(crate) fn systems_in(&self, namespace: &str) -> Vec<SystemKey> {
        self.read()
            .primaries
            .systems_in(namespace)
            .map(|(key, _)| key)
            .collect()
    }

    /// Takes in what the watch of agencies says.
    pub(crate) fn on_agency(&self, event: Event<Agency>) -> Wake {
        let mut state = self.write();
        match event {
            Event::Init => state.listed_agencies.clear(),
            Event::InitApply(agency) => {
                state.listed_agencies.insert(agency.name_any());
                return state.put_agency(agency);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut state.listed_agencies);
                let gone: Vec<_> = state
                    .primaries
                    .agencies
                    .keys()
                    .filter(|name| !listed.contains(*name))
                    .cloned()
                    .collect();
                return gone.iter().flat_map(|name| state.remove_agency(name)).collect();
            }
            Event::Apply(agency) => return state.put_agency(agency),
            Event::Delete(agency) => return state.remove_agency(&agency.name_any()),
        }
        Vec::new()
    }

    /// Takes in what the watch of systems says.
    pub(crate) fn on_system(&self, event: Event<AgencySystem>) -> Wake {
        let mut state = self.write();
        match event {
            Event::Init => state.listed_systems.clear(),
            Event::InitApply(system) => {
                state.listed_systems.insert(key_of(&system));
                return state.put_system(system);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut state.listed_systems);
                let gone: Vec<_> = state
                    .primaries
                    .systems
                    .keys()
                    .filter(|key| !listed.contains(*key))
                    .cloned()
                    .collect();
                return gone.iter().flat_map(|key| state.remove_system(key)).collect();
            }
            Event::Apply(system) => return state.put_system(system),
            Event::Delete(system) => return state.remove_system(&key_of(&system)),
        }
        Vec::new()
    }

    /// Takes in what the watch of all namespaces says.
    pub(crate) fn on_namespace(&self, event: Event<DynamicObject>) -> Wake {
        let mut state = self.write();
        let mut wake = state.on_child(ObjectKind::Namespace, &event);
        wake.extend(match event {
            Event::Init => {
                state.listed_namespaces.clear();
                Vec::new()
            }
            Event::InitApply(namespace) => {
                state.listed_namespaces.insert(namespace.name_any());
                state.put_namespace(&namespace)
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut state.listed_namespaces);
                let gone: Vec<_> = state
                    .namespaces
                    .keys()
                    .filter(|name| !listed.contains(*name))
                    .cloned()
                    .collect();
                gone.iter().flat_map(|name| state.remove_namespace(name)).collect()
            }
            Event::Apply(namespace) => state.put_namespace(&namespace),
            Event::Delete(namespace) => state.remove_namespace(&namespace.name_any()),
        });
        wake
    }

    /// Takes in what a watch of objects that Maru wrote says.
    pub(crate) fn on_child(&self, kind: ObjectKind, event: &Event<DynamicObject>) -> Wake {
        self.write().on_child(kind, event)
    }

    /// Takes in what the watch of the systems' pods says.
    pub(crate) fn on_pod(&self, event: &Event<Pod>) -> Wake {
        let mut state = self.write();
        let touched = match event {
            Event::Init => {
                state.pods.begin_list();
                Vec::new()
            }
            Event::InitApply(pod) | Event::Apply(pod) => state.pods.observe(pod).into_iter().collect(),
            Event::Delete(pod) => state.pods.forget(pod).into_iter().collect(),
            Event::InitDone => state.pods.end_list(),
        };
        touched.iter().map(|key| (system_owner(key), Urgency::Now)).collect()
    }

    /// Remembers an agency as a write returned it.
    pub(crate) fn wrote_agency(&self, agency: Agency) -> Wake {
        let mut state = self.write();
        let owner = agency_owner(&agency.name_any());
        let wake = state.put_agency(agency);
        state.doubts.end(&owner);
        wake
    }

    /// Remembers a system as a write returned it.
    pub(crate) fn wrote_system(&self, system: AgencySystem) -> Wake {
        let mut state = self.write();
        let owner = system_owner(&key_of(&system));
        let wake = state.put_system(system);
        state.doubts.end(&owner);
        wake
    }

    /// Forgets an owner with this UID that is gone for good. One of the same name that was made since stays: the watch may have told of it
    /// before the answer came.
    pub(crate) fn released(&self, owner: &Owner, uid: Option<&str>) -> Wake {
        let mut state = self.write();
        match owner {
            Owner::Agency { name } => {
                let known = state.primaries.agencies.get(name);
                if known.is_some_and(|known| known.metadata.uid.as_deref() != uid) {
                    return Vec::new();
                }
                state.remove_agency(name)
            }
            Owner::System { namespace, name } => {
                let key = SystemKey::new(namespace.as_str(), name.as_str());
                let known = state.primaries.systems.get(&key);
                if known.is_some_and(|known| known.metadata.uid.as_deref() != uid) {
                    return Vec::new();
                }
                state.remove_system(&key)
            }
        }
    }

    /// How many changes by others were noted so far: asked at the beginning of a turn.
    pub(crate) fn drift_noted(&self) -> u64 {
        self.read().children.drift.ticks()
    }

    /// The kinds of the objects of an owner that were put right by a turn that has ended well.
    pub(crate) fn healed(&self, owner: &Owner, noted: u64) -> Vec<ObjectKind> {
        self.write().children.drift.settle(owner, noted)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observed for World {
    fn seen(&self, key: &ObjectKey) -> Option<Seen> {
        self.read().children.get(key).map(|child| child.seen.clone())
    }

    fn wrote(&self, key: &ObjectKey, object: &DynamicObject, seen: Seen) {
        let mut state = self.write();
        if key.kind == ObjectKind::Namespace {
            state.put_namespace(object);
        }
        state.children.wrote(key, object, seen);
    }

    fn gone(&self, key: &ObjectKey) {
        self.write().children.remove(key);
    }
}

/// The owner of an agency's objects.
fn agency_owner(name: &str) -> Owner {
    Owner::Agency { name: name.to_owned() }
}

/// The owner of a system's objects.
pub(crate) fn system_owner(key: &SystemKey) -> Owner {
    Owner::System {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn agency(uid: &str, version: &str) -> Agency {
        let metadata = json!({"name": "nts", "uid": uid, "resourceVersion": version});
        serde_json::from_value(json!({
            "apiVersion": "maru.dev/v1alpha1", "kind": "Agency", "metadata": metadata,
            "spec": {"displayName": {"en": "Tax"}, "tier": "Central", "securityGrade": "Moderate"},
        }))
        .unwrap()
    }

    fn system(uid: &str, version: &str) -> AgencySystem {
        let metadata = json!({"name": "tax", "namespace": "nts", "uid": uid, "resourceVersion": version});
        serde_json::from_value(json!({
            "apiVersion": "maru.dev/v1alpha1", "kind": "AgencySystem", "metadata": metadata,
            "spec": {"displayName": {"en": "Tax"}, "external": {"location": "elsewhere"}},
        }))
        .unwrap()
    }

    #[test]
    fn a_namespace_that_is_heard_of_after_its_system_wakes_it() {
        let world = World::new(Platform::default());
        world.on_agency(Event::Apply(agency("one", "1")));
        world.on_system(Event::Apply(system("two", "2")));
        assert!(!world.has_seen_namespace("nts"));
        let namespace: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "nts", "uid": "three", "resourceVersion": "3", "labels": {"maru.dev/agency": "nts"}},
        }))
        .unwrap();
        let wake = world.on_namespace(Event::Apply(namespace));
        assert!(world.has_seen_namespace("nts"));
        let tax = system_owner(&SystemKey::new("nts", "tax"));
        assert!(wake.iter().any(|(owner, _)| *owner == tax), "{wake:?}");
    }

    #[test]
    fn an_answer_that_says_that_one_is_gone_takes_none_away_that_was_made_since() {
        let world = World::new(Platform::default());
        let (nts, tax) = (agency_owner("nts"), system_owner(&SystemKey::new("nts", "tax")));
        world.on_agency(Event::Apply(agency("old", "1")));
        world.on_system(Event::Apply(system("old", "2")));
        // The watch is faster than the answer to the write that let the old ones go.
        world.on_agency(Event::Delete(agency("old", "3")));
        world.on_agency(Event::Apply(agency("new", "5")));
        world.on_system(Event::Delete(system("old", "4")));
        world.on_system(Event::Apply(system("new", "6")));
        assert!(world.released(&nts, Some("old")).is_empty());
        assert!(world.released(&tax, Some("old")).is_empty());
        assert!(world.agency("nts").is_some() && world.system(&SystemKey::new("nts", "tax")).is_some());
        world.released(&nts, Some("new"));
        world.released(&tax, Some("new"));
        assert!(world.agency("nts").is_none() && world.system(&SystemKey::new("nts", "tax")).is_none());
    }
}
