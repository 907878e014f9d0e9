//! The objects that Maru wrote, as far as they are remembered: under a kilobyte each, whatever they say.

use super::drift::Drift;
use super::read;
use kube::core::DynamicObject;
use maru_apply::Seen;
use maru_desire::{DeploymentFacts, ObjectKey, ObjectKind, Owner, RouteFacts, VolumeFacts};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What a status or a plan needs to know of an object beside that it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Facts {
    /// Nothing more.
    None,
    /// A Deployment: its component and how far it is.
    Deployment(String, DeploymentFacts),
    /// A volume claim.
    Volume(VolumeFacts),
    /// An `HTTPRoute` or an Ingress.
    Route(RouteFacts),
    /// A `ResourceQuota`.
    Quota {
        /// `spec.hard`
        hard: BTreeMap<String, String>,
        /// `status.used`
        used: BTreeMap<String, String>,
    },
}

/// A remembered object.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) owner: Arc<Owner>,
    pub(crate) seen: Seen,
    pub(crate) facts: Option<Box<Facts>>,
}

/// Why an owner is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Figures of use moved; a few seconds later is soon enough, and many such changes are then one.
    Later,
    /// Something changed that a plan or a condition depends on.
    Now,
}

/// All remembered objects, by key and by owner.
#[derive(Debug, Default)]
pub(crate) struct Children {
    by_key: HashMap<Arc<ObjectKey>, Child>,
    by_owner: HashMap<Arc<Owner>, Vec<Arc<ObjectKey>>>,
    listed: HashMap<ObjectKind, HashSet<Arc<ObjectKey>>>,
    pub(crate) drift: Drift,
}

impl Children {
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<&Child> {
        self.by_key.get(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The objects of an owner.
    pub(crate) fn of<'a>(&'a self, owner: &Owner) -> impl Iterator<Item = (&'a ObjectKey, &'a Child)> {
        let keys = self.by_owner.get(owner).map(Vec::as_slice).unwrap_or_default();
        keys.iter()
            .filter_map(|key| Some((key.as_ref(), self.by_key.get(key)?)))
    }

    /// Everybody who has objects.
    pub(crate) fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.by_owner.keys().map(AsRef::as_ref)
    }

    /// The objects in a namespace.
    pub(crate) fn within(&self, namespace: &str) -> Vec<(ObjectKey, Seen)> {
        let within = self.by_key.iter().filter(|(key, _)| key.namespace == namespace);
        within
            .map(|(key, child)| (key.as_ref().clone(), child.seen.clone()))
            .collect()
    }

    /// A watch tells of an object as it is. Says who must look at it, and why.
    pub(crate) fn observe(&mut self, kind: ObjectKind, object: &DynamicObject) -> Vec<(Owner, Urgency)> {
        let key = read::key(kind, object);
        let known = self.by_key.get(&key);
        let version = maru_apply::resource_version(object.metadata.resource_version.as_deref());
        if known.is_some_and(|known| known.seen.resource_version >= version) {
            return Vec::new();
        }
        let Some(owner) = read::owner(object) else {
            return self.forget(&key);
        };
        let mut seen = Seen::of(object, owner.field_manager());
        let facts = read::facts(kind, object);
        let mut wake = Vec::new();
        if let Some(known) = known {
            seen.applied = known.seen.applied;
            if known.seen.live != seen.live {
                self.drift.note(&known.owner, &key, known.seen.live);
            }
            if let Some(urgency) = compare(known, &seen, &facts) {
                wake.push((known.owner.as_ref().clone(), urgency));
            }
            if *known.owner != owner {
                wake.push((known.owner.as_ref().clone(), Urgency::Now));
                wake.push((owner.clone(), Urgency::Now));
            }
        } else {
            wake.push((owner.clone(), Urgency::Now));
        }
        self.put(key, &owner, seen, facts);
        wake
    }

    /// A write returned the object; nobody needs to look at it.
    pub(crate) fn wrote(&mut self, key: &ObjectKey, object: &DynamicObject, seen: Seen) {
        let Some(owner) = read::owner(object) else { return };
        // First of all: a watch may have told already what others did after this write.
        self.drift.wrote(&owner, key, seen.live);
        let known = self.by_key.get(key);
        if known.is_some_and(|known| known.seen.resource_version > seen.resource_version) {
            return;
        }
        let facts = read::facts(key.kind, object);
        self.put(key.clone(), &owner, seen, facts);
    }

    /// A watch tells that an object is gone.
    pub(crate) fn forget(&mut self, key: &ObjectKey) -> Vec<(Owner, Urgency)> {
        let Some(child) = self.remove(key) else {
            return Vec::new();
        };
        self.drift.note(&child.owner, key, child.seen.live);
        vec![(child.owner.as_ref().clone(), Urgency::Now)]
    }

    /// A write found that an object is gone, or it has another owner now.
    pub(crate) fn remove(&mut self, key: &ObjectKey) -> Option<Child> {
        let (key, child) = self.by_key.remove_entry(key)?;
        self.unlink(&key, &child.owner);
        Some(child)
    }

    /// A watch begins its list anew.
    pub(crate) fn begin_list(&mut self, kind: ObjectKind) {
        self.listed.insert(kind, HashSet::new());
    }

    /// The list names this object.
    pub(crate) fn list(&mut self, kind: ObjectKind, object: &DynamicObject) -> Vec<(Owner, Urgency)> {
        let wake = self.observe(kind, object);
        if let Some((key, _)) = self.by_key.get_key_value(&read::key(kind, object)) {
            let key = Arc::clone(key);
            self.listed.entry(kind).or_default().insert(key);
        }
        wake
    }

    /// The list is complete: what it did not name is gone.
    pub(crate) fn end_list(&mut self, kind: ObjectKind) -> Vec<(Owner, Urgency)> {
        let Some(listed) = self.listed.remove(&kind) else {
            return Vec::new();
        };
        let gone: Vec<_> = self
            .by_key
            .keys()
            .filter(|key| key.kind == kind && !listed.contains(*key))
            .map(Arc::clone)
            .collect();
        gone.iter().flat_map(|key| self.forget(key)).collect()
    }

    fn put(&mut self, key: ObjectKey, owner: &Owner, seen: Seen, facts: Facts) {
        let facts = (facts != Facts::None).then(|| Box::new(facts));
        if let Some(child) = self.by_key.get_mut(&key)
            && *child.owner == *owner
        {
            child.seen = seen;
            child.facts = facts;
            return;
        }
        self.remove(&key);
        let key = Arc::new(key);
        let owner = self
            .by_owner
            .get_key_value(owner)
            .map_or_else(|| Arc::new(owner.clone()), |(owner, _)| Arc::clone(owner));
        self.by_owner
            .entry(Arc::clone(&owner))
            .or_default()
            .push(Arc::clone(&key));
        self.by_key.insert(key, Child { owner, seen, facts });
    }

    fn unlink(&mut self, key: &Arc<ObjectKey>, owner: &Arc<Owner>) {
        if let Some(keys) = self.by_owner.get_mut(owner) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.by_owner.remove(owner);
            }
        }
    }
}

/// Whether an owner must look at the change from what is known to what was seen.
fn compare(known: &Child, seen: &Seen, facts: &Facts) -> Option<Urgency> {
    if known.seen.live != seen.live || known.seen.terminating != seen.terminating || known.seen.uid != seen.uid {
        return Some(Urgency::Now);
    }
    match (known.facts.as_deref().unwrap_or(&Facts::None), facts) {
        (before, now) if before == now => None,
        (Facts::Quota { hard: before, .. }, Facts::Quota { hard: now, .. }) if before == now => Some(Urgency::Later),
        _ => Some(Urgency::Now),
    }
}
