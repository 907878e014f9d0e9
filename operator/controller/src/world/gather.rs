//! Gathering the facts for one plan or one status out of what is known.

use super::children::Facts;
use super::{NamespaceRecord, State, World, system_owner};
use maru_crds::{Agency, AgencySystem, DeletionPolicy};
use maru_desire::{
    AgencyBinding, AgencyFacts, HostHolder, NamespaceFacts, ObjectKey, ObjectKind, Owner, PodsOfSystem, SystemFacts,
    SystemKey, blocks_new, demand,
};
use std::collections::{BTreeMap, BTreeSet};

/// The name of the quota that Maru puts in each namespace.
const QUOTA: &str = "maru";

impl World {
    /// The facts about an agency. `crd_terminating` must be read freshly where the agency is being deleted.
    pub(crate) fn agency_facts(&self, agency: &Agency, crd_terminating: bool) -> AgencyFacts<'_> {
        let state = self.read();
        let name = agency.metadata.name.clone().unwrap_or_default();
        let recorded = agency
            .status
            .iter()
            .flat_map(|status| &status.namespaces)
            .map(|namespace| namespace.name.clone());
        let labelled = state.labelled.get(&name).into_iter().flatten().cloned();
        let names: BTreeSet<String> = agency
            .namespace_names()
            .into_iter()
            .chain(recorded)
            .chain(labelled)
            .collect();
        let deleting = agency.metadata.deletion_timestamp.is_some();
        let namespaces = names
            .iter()
            .filter_map(|name| {
                Some((
                    name.clone(),
                    state.namespace_facts(name, state.namespaces.get(name)?, deleting),
                ))
            })
            .collect();
        let owned = state
            .children
            .of(&Owner::Agency { name: name.clone() })
            .map(|(key, _)| key.clone())
            .filter(|key| key.kind != ObjectKind::Namespace)
            .collect();
        let systems = names
            .iter()
            .filter(|namespace| {
                state
                    .namespaces
                    .get(*namespace)
                    .is_some_and(|known| known.agency.as_ref() == Some(&name))
            })
            .flat_map(|namespace| state.primaries.systems_in(namespace))
            .map(|(_, system)| demand(system))
            .collect();
        AgencyFacts {
            platform: &self.platform,
            crd_terminating,
            namespaces,
            owned,
            systems,
        }
    }

    /// The facts about a system. `crd_terminating` must be read freshly where the system is being deleted.
    pub(crate) fn system_facts(
        &self,
        system: &AgencySystem,
        key: &SystemKey,
        crd_terminating: bool,
    ) -> SystemFacts<'_> {
        let state = self.read();
        let namespace = state.namespaces.get(&key.namespace);
        let mut facts = SystemFacts {
            platform: &self.platform,
            crd_terminating,
            namespace_terminating: namespace.is_some_and(|known| known.terminating.is_some()),
            agency: state.binding(&key.namespace, namespace),
            owned: BTreeSet::new(),
            deployments: BTreeMap::new(),
            pods: state.pods.of(key),
            volumes: BTreeMap::new(),
            routes: BTreeMap::new(),
            hosts_taken: BTreeMap::new(),
            callers: BTreeMap::new(),
            may_call: state.primaries.callees(key),
        };
        for (object, child) in state.children.of(&system_owner(key)) {
            facts.owned.insert(object.clone());
            match child.facts.as_deref().unwrap_or(&Facts::None) {
                Facts::Deployment(component, deployment) => {
                    facts.deployments.insert(component.clone(), deployment.clone());
                }
                Facts::Volume(volume) => {
                    facts.volumes.insert(object.name.clone(), volume.clone());
                }
                Facts::Route(route) => {
                    facts.routes.insert(object.name.clone(), route.clone());
                }
                Facts::None | Facts::Quota { .. } => {}
            }
        }
        for host in &system.spec.hosts {
            if let Some(holder) = state.primaries.holder(&host.host).filter(|holder| *holder != key) {
                facts.hosts_taken.insert(host.host.clone(), state.host_holder(holder));
            }
        }
        let named = system
            .spec
            .callers
            .iter()
            .map(|caller| SystemKey::new(caller.namespace.clone(), caller.name.clone()));
        facts.callers = named
            .filter_map(|caller| {
                let pods = PodsOfSystem::from(state.primaries.systems.get(&caller)?.as_ref());
                Some((caller, pods))
            })
            .collect();
        facts
    }
}

impl State {
    fn namespace_facts(&self, name: &str, known: &NamespaceRecord, deleting: bool) -> NamespaceFacts {
        let quota = self
            .children
            .get(&ObjectKey::new(ObjectKind::ResourceQuota, name, QUOTA));
        let (hard, used) = match quota.and_then(|quota| quota.facts.as_deref()) {
            Some(Facts::Quota { hard, used }) => (hard.clone(), used.clone()),
            _ => (BTreeMap::new(), BTreeMap::new()),
        };
        NamespaceFacts {
            uid: known.uid.clone(),
            agency: known.agency.clone(),
            terminating: known.terminating.clone(),
            hard,
            used,
            retained: if deleting {
                self.retained_in(name)
            } else {
                BTreeSet::new()
            },
        }
    }

    /// The systems in a namespace that outlive their agency.
    fn retained_in(&self, namespace: &str) -> BTreeSet<String> {
        let kept = self.primaries.systems_in(namespace).filter(|(_, system)| {
            let recorded = system.status.as_ref().and_then(|status| status.deletion_policy);
            system.spec.deletion_policy != DeletionPolicy::Delete || recorded != Some(DeletionPolicy::Delete)
        });
        kept.map(|(key, _)| format!("AgencySystem {key}")).collect()
    }

    fn binding(&self, name: &str, namespace: Option<&NamespaceRecord>) -> AgencyBinding {
        let Some(agency) = namespace.and_then(|known| known.agency.as_ref()) else {
            return AgencyBinding::Missing;
        };
        let Some(found) = self.primaries.agencies.get(agency) else {
            return AgencyBinding::Missing;
        };
        if found.metadata.deletion_timestamp.is_some() {
            return AgencyBinding::NotReady {
                name: agency.clone(),
                why: format!("agency {agency} is being deleted"),
            };
        }
        let mut bound = found.status.iter().flat_map(|status| &status.namespaces);
        let uid = namespace.map(|known| known.uid.as_str());
        if bound.any(|bound| bound.name == name && Some(bound.uid.as_str()) == uid) {
            AgencyBinding::Found {
                name: agency.clone(),
                blocked: blocks_new(found),
            }
        } else {
            AgencyBinding::NotReady {
                name: agency.clone(),
                why: format!("namespace {name} is not set up yet for agency {agency}"),
            }
        }
    }

    fn host_holder(&self, holder: &SystemKey) -> HostHolder {
        let agency = self
            .namespaces
            .get(&holder.namespace)
            .and_then(|known| known.agency.clone());
        HostHolder {
            system: holder.clone(),
            agency,
        }
    }
}
