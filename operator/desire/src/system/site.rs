//! The system that is planned, and what each of its objects needs to know of it.

use super::pod::Part;
use crate::facts::{AgencyBinding, SystemFacts, SystemKey};
use crate::manifest::{labels, metadata, pod_labels, selector};
use crate::{COMPONENT_LABEL, METERING_FINALIZER, SYSTEM_LABEL};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use maru_crds::{AgencySystem, AgencySystemSpec, SystemKind};
use std::collections::BTreeSet;

/// The system that is planned.
pub(super) struct Site<'a> {
    pub(super) system: &'a AgencySystem,
    pub(super) key: SystemKey,
    /// The agency whose namespace it is in.
    pub(super) agency: &'a str,
    pub(super) facts: &'a SystemFacts<'a>,
}

/// A system's components and jobs.
pub(super) struct Parts<'a> {
    /// Those that run or are to begin.
    pub(super) running: Vec<Part<'a>>,
    /// Those that do not run yet and may not begin.
    pub(super) withheld: Vec<&'a str>,
    /// The names that are given twice.
    pub(super) doubled: Vec<&'a str>,
}

impl<'a> Site<'a> {
    pub(super) const fn spec(&self) -> &'a AgencySystemSpec {
        &self.system.spec
    }

    /// The metadata of one of the system's objects, or of a component's or job's.
    pub(super) fn metadata(&self, name: String, part: Option<&str>) -> ObjectMeta {
        let labels = labels(self.agency, Some(&self.key.name), part);
        metadata(name, &self.key.namespace, labels)
    }

    /// The metadata of a pod that a ReplicaSet or a Job makes: no name of such a pod is used again, so it can wait until its last
    /// usage is recorded.
    pub(super) fn pod_metadata(&self, part: &str) -> ObjectMeta {
        ObjectMeta {
            labels: Some(pod_labels(self.agency, Some(&self.key.name), Some(part))),
            finalizers: self
                .facts
                .platform
                .metering_finalizer
                .then(|| vec![METERING_FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        }
    }

    /// The pods of a component or a job.
    pub(super) fn selector(&self, part: &str) -> LabelSelector {
        selector([(SYSTEM_LABEL, self.key.name.as_str()), (COMPONENT_LABEL, part)])
    }

    /// The components and jobs, sorted by whether they may run.
    pub(super) fn parts(&self) -> Parts<'a> {
        let mut parts = Parts {
            running: Vec::new(),
            withheld: Vec::new(),
            doubled: Vec::new(),
        };
        if self.spec().kind() != SystemKind::Components {
            return parts;
        }
        let may_begin = matches!(&self.facts.agency, AgencyBinding::Found { blocked: None, .. });
        let components = self.spec().components.iter().map(Part::from);
        let mut names = BTreeSet::new();
        for part in components.chain(self.spec().jobs.iter().map(Part::from)) {
            if !names.insert(part.name) {
                parts.doubled.push(part.name);
            } else if may_begin || part.has_begun(self) {
                parts.running.push(part);
            } else {
                parts.withheld.push(part.name);
            }
        }
        parts
    }
}
