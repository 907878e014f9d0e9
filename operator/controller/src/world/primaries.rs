//! The agencies and systems as people wrote them, and what refers to what among them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use maru_crds::{Agency, AgencySystem};
use maru_desire::SystemKey;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What changed about a primary object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing that anyone acts on.
    None,
    /// Its status only, and not by this process.
    Status,
    /// What it asks for, or whether it is to go.
    Intent,
}

/// All agencies and systems.
#[derive(Debug, Default)]
pub(crate) struct Primaries {
    pub(crate) agencies: HashMap<String, Arc<Agency>>,
    pub(crate) systems: HashMap<SystemKey, Arc<AgencySystem>>,
    /// The systems of each namespace.
    by_namespace: HashMap<String, BTreeSet<String>>,
    /// Which agencies list a namespace in their spec.
    listed_by: HashMap<String, BTreeSet<String>>,
    /// Who claims a host.
    by_host: HashMap<String, BTreeSet<SystemKey>>,
    /// Which systems name this one among their callers.
    callees: HashMap<SystemKey, BTreeSet<SystemKey>>,
}

impl Primaries {
    /// The systems in a namespace.
    pub(crate) fn systems_in<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = (SystemKey, &'a Arc<AgencySystem>)> {
        self.by_namespace
            .get(namespace)
            .into_iter()
            .flatten()
            .filter_map(move |name| {
                let key = SystemKey::new(namespace, name.as_str());
                let system = self.systems.get(&key)?;
                Some((key, system))
            })
    }

    /// The agencies that list a namespace in their spec.
    pub(crate) fn agencies_listing(&self, namespace: &str) -> impl Iterator<Item = &String> {
        self.listed_by.get(namespace).into_iter().flatten()
    }

    /// The systems that let this one call them.
    pub(crate) fn callees(&self, system: &SystemKey) -> BTreeSet<SystemKey> {
        self.callees.get(system).cloned().unwrap_or_default()
    }

    /// Who holds a host: the oldest claim, then the smaller namespace and name.
    pub(crate) fn holder(&self, host: &str) -> Option<&SystemKey> {
        let claims = self.by_host.get(host)?.iter();
        claims.min_by_key(|key| {
            (
                self.systems
                    .get(*key)
                    .and_then(|system| system.creation_timestamp())
                    .map(|Time(at)| at),
                *key,
            )
        })
    }

    pub(crate) fn put_agency(&mut self, agency: &Arc<Agency>) -> Change {
        let name = agency.name_any();
        let before = self.agencies.insert(name.clone(), Arc::clone(agency));
        for namespace in before.iter().flat_map(|before| before.namespace_names()) {
            remove_from(&mut self.listed_by, &namespace, &name);
        }
        for namespace in agency.namespace_names() {
            self.listed_by.entry(namespace).or_default().insert(name.clone());
        }
        let Some(before) = before else { return Change::Intent };
        if before.spec != agency.spec || !same_life(&before.metadata, &agency.metadata) {
            Change::Intent
        } else if before.status == agency.status {
            Change::None
        } else {
            Change::Status
        }
    }

    pub(crate) fn remove_agency(&mut self, name: &str) -> Option<Arc<Agency>> {
        let agency = self.agencies.remove(name)?;
        for namespace in agency.namespace_names() {
            remove_from(&mut self.listed_by, &namespace, &name.to_owned());
        }
        Some(agency)
    }

    /// Remembers a system. Gives back what changed and the systems whose own plan depends on the change.
    pub(crate) fn put_system(&mut self, system: &Arc<AgencySystem>) -> (Change, BTreeSet<SystemKey>) {
        let key = key_of(system);
        let before = self.systems.insert(key.clone(), Arc::clone(system));
        let intent = before
            .as_ref()
            .is_none_or(|before| before.spec != system.spec || !same_life(&before.metadata, &system.metadata));
        if !intent {
            let same = before.is_some_and(|before| before.status == system.status);
            return (if same { Change::None } else { Change::Status }, BTreeSet::new());
        }
        let mut touched = before.map(|before| self.unlink(&key, &before)).unwrap_or_default();
        self.by_namespace
            .entry(key.namespace.clone())
            .or_default()
            .insert(key.name.clone());
        for host in &system.spec.hosts {
            self.by_host.entry(host.host.clone()).or_default().insert(key.clone());
        }
        for caller in &system.spec.callers {
            let caller = SystemKey::new(caller.namespace.clone(), caller.name.clone());
            self.callees.entry(caller).or_default().insert(key.clone());
        }
        touched.extend(self.touched_by(&key, system));
        touched.remove(&key);
        (Change::Intent, touched)
    }

    pub(crate) fn remove_system(&mut self, key: &SystemKey) -> BTreeSet<SystemKey> {
        let Some(system) = self.systems.remove(key) else {
            return BTreeSet::new();
        };
        remove_from(&mut self.by_namespace, &key.namespace, &key.name);
        let mut touched = self.unlink(key, &system);
        touched.remove(key);
        touched
    }

    fn unlink(&mut self, key: &SystemKey, system: &AgencySystem) -> BTreeSet<SystemKey> {
        let touched = self.touched_by(key, system);
        for host in &system.spec.hosts {
            remove_from(&mut self.by_host, &host.host, key);
        }
        for caller in &system.spec.callers {
            remove_from(
                &mut self.callees,
                &SystemKey::new(caller.namespace.clone(), caller.name.clone()),
                key,
            );
        }
        touched
    }

    /// The systems whose plan depends on this one: its callers, its callees, and those that claim the same hosts.
    fn touched_by(&self, key: &SystemKey, system: &AgencySystem) -> BTreeSet<SystemKey> {
        let callers = system
            .spec
            .callers
            .iter()
            .map(|caller| SystemKey::new(caller.namespace.clone(), caller.name.clone()));
        let rivals = system
            .spec
            .hosts
            .iter()
            .filter_map(|host| self.by_host.get(&host.host))
            .flatten()
            .cloned();
        callers.chain(rivals).chain(self.callees(key)).collect()
    }
}

/// The key of a system.
pub(crate) fn key_of(system: &AgencySystem) -> SystemKey {
    SystemKey::new(system.namespace().unwrap_or_default(), system.name_any())
}

/// Whether two states of an object are the same object with the same end and the same finalizers.
fn same_life(before: &kube::core::ObjectMeta, now: &kube::core::ObjectMeta) -> bool {
    before.uid == now.uid && before.deletion_timestamp == now.deletion_timestamp && before.finalizers == now.finalizers
}

fn remove_from<K: std::hash::Hash + Eq, V: Ord>(index: &mut HashMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}
