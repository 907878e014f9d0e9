//! An agency's plan and its status.

use crate::facts::AgencyFacts;
use crate::outcome::Applied;
use crate::plan::{Finalizer, Owner, Plan};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube_core::ResourceExt;
use maru_crds::{Agency, AgencyStatus};
use std::collections::BTreeMap;

/// What an agency wants of the cluster: its namespaces and in each of them quota, limits, rights and network policies.
pub fn plan_agency(agency: &Agency, _facts: &AgencyFacts<'_>) -> Plan {
    Plan {
        owner: Owner::Agency { name: agency.name_any() },
        objects: Vec::new(),
        sweep: Vec::new(),
        uids: BTreeMap::new(),
        finalizer: Finalizer::Hold,
        problems: Vec::new(),
    }
}

/// The agency's status after a plan was carried out, from facts gathered after it. `now` becomes the transition time of
/// conditions that flipped and is used for nothing else.
pub fn report_agency(agency: &Agency, _facts: &AgencyFacts<'_>, _applied: &Applied, _now: &Time) -> AgencyStatus {
    agency.status.clone().unwrap_or_default()
}
