//! A system's plan and its status.

use crate::facts::{SystemDemand, SystemFacts, SystemKey};
use crate::outcome::Applied;
use crate::plan::{Finalizer, Owner, Plan};
use crate::quantity::Amounts;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube_core::ResourceExt;
use maru_crds::{AgencySystem, AgencySystemStatus};
use std::collections::BTreeMap;

/// What a system asks for at most: every component at its largest scale and in the middle of a rollout, every job once.
pub fn demand(system: &AgencySystem) -> SystemDemand {
    SystemDemand {
        system: SystemKey::new(system.namespace().unwrap_or_default(), system.name_any()),
        amounts: Amounts::default(),
    }
}

/// What a system wants of its namespace.
pub fn plan_system(system: &AgencySystem, _facts: &SystemFacts<'_>) -> Plan {
    Plan {
        owner: Owner::System { namespace: system.namespace().unwrap_or_default(), name: system.name_any() },
        objects: Vec::new(),
        sweep: Vec::new(),
        uids: BTreeMap::new(),
        finalizer: Finalizer::Hold,
        problems: Vec::new(),
    }
}

/// The system's status after a plan was carried out, from facts gathered after it. `now` becomes the transition time of
/// conditions that flipped and is used for nothing else.
pub fn report_system(
    system: &AgencySystem,
    _facts: &SystemFacts<'_>,
    _applied: &Applied,
    _now: &Time,
) -> AgencySystemStatus {
    system.status.clone().unwrap_or_default()
}
