//! The pods of systems, as far as a status tells of them.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use maru_desire::{COMPONENT_LABEL, PodFacts, SYSTEM_LABEL, SystemKey, Trouble};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What is remembered of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PodRecord {
    component: Box<str>,
    ready: bool,
    restarts: i32,
    waiting: Option<Box<Trouble>>,
}

/// The pods that have not ended, by system.
#[derive(Debug, Default)]
pub(crate) struct Pods {
    by_system: HashMap<SystemKey, BTreeMap<Box<str>, PodRecord>>,
    listed: Option<HashSet<(SystemKey, Box<str>)>>,
}

impl Pods {
    /// A watch tells of a pod. Says whose status must be looked at.
    pub(crate) fn observe(&mut self, pod: &Pod) -> Option<SystemKey> {
        let (system, name) = whose(pod)?;
        if let Some(listed) = &mut self.listed {
            listed.insert((system.clone(), name.clone()));
        }
        let Some(record) = record(pod) else {
            return self.remove(&system, &name);
        };
        let pods = self.by_system.entry(system.clone()).or_default();
        if pods.get(&name) == Some(&record) {
            return None;
        }
        pods.insert(name, record);
        Some(system)
    }

    /// A watch tells that a pod is gone.
    pub(crate) fn forget(&mut self, pod: &Pod) -> Option<SystemKey> {
        let (system, name) = whose(pod)?;
        self.remove(&system, &name)
    }

    /// The watch begins its list anew.
    pub(crate) fn begin_list(&mut self) {
        self.listed = Some(HashSet::new());
    }

    /// The list is complete: pods that it did not name are gone.
    pub(crate) fn end_list(&mut self) -> Vec<SystemKey> {
        let Some(listed) = self.listed.take() else {
            return Vec::new();
        };
        let mut wake = Vec::new();
        self.by_system.retain(|system, pods| {
            let before = pods.len();
            pods.retain(|name, _| listed.contains(&(system.clone(), name.clone())));
            if pods.len() != before {
                wake.push(system.clone());
            }
            !pods.is_empty()
        });
        wake
    }

    /// What the pods of a system say, by component.
    pub(crate) fn of(&self, system: &SystemKey) -> BTreeMap<String, PodFacts> {
        let mut facts: BTreeMap<String, PodFacts> = BTreeMap::new();
        for pod in self.by_system.get(system).into_iter().flat_map(BTreeMap::values) {
            let component = facts.entry(pod.component.to_string()).or_default();
            component.total += 1;
            component.ready += i32::from(pod.ready);
            component.restarts += pod.restarts;
            if let Some(trouble) = &pod.waiting
                && component.waiting.as_ref().is_none_or(|worst| **trouble < *worst)
            {
                component.waiting = Some(trouble.as_ref().clone());
            }
        }
        facts
    }

    fn remove(&mut self, system: &SystemKey, name: &str) -> Option<SystemKey> {
        let pods = self.by_system.get_mut(system)?;
        pods.remove(name)?;
        if pods.is_empty() {
            self.by_system.remove(system);
        }
        Some(system.clone())
    }
}

fn whose(pod: &Pod) -> Option<(SystemKey, Box<str>)> {
    let system = pod.metadata.labels.as_ref()?.get(SYSTEM_LABEL)?;
    let namespace = pod.metadata.namespace.as_ref()?;
    Some((
        SystemKey::new(namespace.clone(), system.clone()),
        pod.metadata.name.clone()?.into_boxed_str(),
    ))
}

/// What is remembered of a pod; nothing once it has ended or is being deleted.
fn record(pod: &Pod) -> Option<PodRecord> {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    if matches!(phase, "Succeeded" | "Failed") || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let labels = pod.metadata.labels.as_ref();
    Some(PodRecord {
        component: labels
            .and_then(|labels| labels.get(COMPONENT_LABEL))
            .cloned()
            .unwrap_or_default()
            .into_boxed_str(),
        ready: is_ready(pod),
        restarts: containers(pod).map(|container| container.restart_count).sum(),
        waiting: trouble(pod).map(Box::new),
    })
}

/// The facts of a list of pods that a `selector` found.
pub(crate) fn facts_of_selected(pods: &[Pod]) -> PodFacts {
    let mut facts = PodFacts::default();
    for pod in pods.iter().filter_map(record) {
        facts.total += 1;
        facts.ready += i32::from(pod.ready);
        facts.restarts += pod.restarts;
        facts.waiting = match (facts.waiting, pod.waiting) {
            (Some(worst), Some(trouble)) => Some(worst.min(*trouble)),
            (worst, trouble) => worst.or(trouble.map(|trouble| *trouble)),
        };
    }
    facts
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| {
        status
            .init_container_statuses
            .iter()
            .flatten()
            .chain(status.container_statuses.iter().flatten())
    })
}

/// What keeps a pod from running, where the API server says so.
fn trouble(pod: &Pod) -> Option<Trouble> {
    let waiting = containers(pod).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().filter(|reason| !is_on_the_way(reason))?;
        Some(Trouble {
            reason: reason.to_owned(),
            message: waiting.message.clone().unwrap_or_default(),
        })
    });
    waiting.or_else(|| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let unscheduled = conditions.into_iter().find(|condition| {
            condition.type_ == "PodScheduled"
                && condition.status == "False"
                && condition.reason.as_deref() == Some("Unschedulable")
        })?;
        Some(Trouble {
            reason: "Unschedulable".to_owned(),
            message: unscheduled.message.clone().unwrap_or_default(),
        })
    })
}

/// Reasons to wait that pass by themselves.
fn is_on_the_way(reason: &str) -> bool {
    matches!(reason, "ContainerCreating" | "PodInitializing")
}
