//! What changes when an agency, a system, a namespace or an object of theirs does, and who must be looked at for it.

use super::namespace::namespace_record;
use super::primaries::{Change, key_of};
use super::{State, Urgency, Wake, agency_owner, read, system_owner};
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::watcher::Event;
use maru_apply::resource_version;
use maru_crds::{Agency, AgencySystem};
use maru_desire::{ObjectKind, Owner, SystemKey, blocks_new};
use std::collections::BTreeSet;
use std::sync::Arc;

impl State {
    pub(super) fn put_agency(&mut self, mut agency: Agency) -> Wake {
        let name = agency.name_any();
        let version = resource_version(agency.metadata.resource_version.as_deref());
        let known = self.primaries.agencies.get(&name);
        if known.is_some_and(|known| resource_version(known.metadata.resource_version.as_deref()) >= version) {
            return Vec::new();
        }
        if known.is_none() {
            self.doubts.begin(agency_owner(&name));
        }
        agency.metadata.managed_fields = None;
        let blocked_before = known.and_then(|known| blocks_new(known));
        let bound_before = known.map(|known| bound_namespaces(known));
        let agency = Arc::new(agency);
        let bound_now = bound_namespaces(&agency);
        let change = self.primaries.put_agency(&agency);
        let mut wake = Vec::new();
        if change != Change::None {
            wake.push((Owner::Agency { name: name.clone() }, Urgency::Now));
        }
        // Systems wait for their namespace to be set up, and what an agency says of quota and budget may concern them all.
        let blocked = blocks_new(&agency) != blocked_before;
        if change == Change::Intent || blocked || bound_before.as_ref() != Some(&bound_now) {
            let names: BTreeSet<String> = bound_before
                .into_iter()
                .flatten()
                .chain(bound_now)
                .chain(agency.namespace_names())
                .collect();
            wake.extend(names.iter().flat_map(|namespace| self.wake_systems(namespace)));
        }
        wake
    }

    pub(super) fn remove_agency(&mut self, name: &str) -> Wake {
        self.doubts.end(&agency_owner(name));
        let Some(agency) = self.primaries.remove_agency(name) else {
            return Vec::new();
        };
        agency
            .namespace_names()
            .iter()
            .flat_map(|namespace| self.wake_around(namespace))
            .collect()
    }

    pub(super) fn put_system(&mut self, mut system: AgencySystem) -> Wake {
        let key = key_of(&system);
        let version = resource_version(system.metadata.resource_version.as_deref());
        let known = self.primaries.systems.get(&key);
        if known.is_some_and(|known| resource_version(known.metadata.resource_version.as_deref()) >= version) {
            return Vec::new();
        }
        if known.is_none() {
            self.doubts.begin(system_owner(&key));
        }
        system.metadata.managed_fields = None;
        let (change, touched) = self.primaries.put_system(&Arc::new(system));
        let mut wake: Wake = touched
            .iter()
            .map(|other| (system_owner(other), Urgency::Now))
            .collect();
        if change != Change::None {
            wake.push((system_owner(&key), Urgency::Now));
        }
        if change == Change::Intent {
            wake.extend(self.wake_agency_of(&key.namespace, Urgency::Later));
        }
        wake
    }

    pub(super) fn remove_system(&mut self, key: &SystemKey) -> Wake {
        self.doubts.end(&system_owner(key));
        let touched = self.primaries.remove_system(key);
        let mut wake: Wake = touched
            .iter()
            .map(|other| (system_owner(other), Urgency::Now))
            .collect();
        wake.extend(self.wake_agency_of(&key.namespace, Urgency::Now));
        if self.orphans_of(&system_owner(key)).next().is_some() {
            wake.push((system_owner(key), Urgency::Now));
        }
        wake
    }

    pub(super) fn put_namespace(&mut self, object: &DynamicObject) -> Wake {
        let name = object.name_any();
        let record = namespace_record(object);
        if self.namespaces.get(&name) == Some(&record) {
            return Vec::new();
        }
        let mut wake = self.wake_around(&name);
        if let Some(agency) = &record.agency {
            self.labelled.entry(agency.clone()).or_default().insert(name.clone());
        }
        let before = self.namespaces.insert(name.clone(), record.clone());
        if let Some(agency) = before
            .and_then(|before| before.agency)
            .filter(|agency| Some(agency) != record.agency.as_ref())
        {
            self.unlabel(&agency, &name);
        }
        wake.extend(self.wake_around(&name));
        wake
    }

    pub(super) fn remove_namespace(&mut self, name: &str) -> Wake {
        let wake = self.wake_around(name);
        if let Some(agency) = self.namespaces.remove(name).and_then(|record| record.agency) {
            self.unlabel(&agency, name);
        }
        wake
    }

    fn unlabel(&mut self, agency: &str, namespace: &str) {
        if let Some(names) = self.labelled.get_mut(agency) {
            names.remove(namespace);
            if names.is_empty() {
                self.labelled.remove(agency);
            }
        }
    }

    pub(super) fn on_child(&mut self, kind: ObjectKind, event: &Event<DynamicObject>) -> Wake {
        match event {
            Event::Init => {
                self.children.begin_list(kind);
                Vec::new()
            }
            Event::InitApply(object) => self.children.list(kind, object),
            Event::Apply(object) => self.children.observe(kind, object),
            Event::Delete(object) => self.children.forget(&read::key(kind, object)),
            Event::InitDone => self.children.end_list(kind),
        }
    }

    /// The agency of a namespace, those that list it, and its systems.
    pub(super) fn wake_around(&self, namespace: &str) -> Wake {
        let mut wake = self.wake_agency_of(namespace, Urgency::Now);
        wake.extend(
            self.primaries
                .agencies_listing(namespace)
                .map(|name| (Owner::Agency { name: name.clone() }, Urgency::Now)),
        );
        wake.extend(self.wake_systems(namespace));
        wake
    }

    fn wake_agency_of(&self, namespace: &str, urgency: Urgency) -> Wake {
        let agency = self.namespaces.get(namespace).and_then(|known| known.agency.clone());
        agency
            .map(|name| (Owner::Agency { name }, urgency))
            .into_iter()
            .collect()
    }

    fn wake_systems(&self, namespace: &str) -> Wake {
        self.primaries
            .systems_in(namespace)
            .map(|(key, _)| (system_owner(&key), Urgency::Now))
            .collect()
    }
}

/// The namespaces that an agency's status says are set up, with their UIDs.
fn bound_namespaces(agency: &Agency) -> BTreeSet<String> {
    let status = agency.status.as_ref();
    status
        .into_iter()
        .flat_map(|status| &status.namespaces)
        .map(|namespace| namespace.name.clone())
        .collect()
}
