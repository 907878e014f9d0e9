//! An agency's status: what was read back of what its plan asked for.

use crate::agency::{Plot, plots, shortage};
use crate::budget::{passed_threshold, within_budget};
use crate::facts::{AgencyFacts, NamespaceFacts};
use crate::outcome::Applied;
use crate::plan::Problem;
use crate::quantity::{Amounts, Resource};
use crate::reason::Reason;
use crate::status::{Finding, Holds, merge_conditions, refusal};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use maru_crds::{Accelerator, Agency, AgencyQuota, AgencyStatus, NamespaceStatus, RequestedResources};

/// The agency's status after a plan was carried out, from facts gathered after it. `now` becomes the transition time of
/// conditions that flipped and is used for nothing else.
pub fn report_agency(agency: &Agency, facts: &AgencyFacts<'_>, applied: &Applied, now: &Time) -> AgencyStatus {
    let previous = agency.status.clone().unwrap_or_default();
    let deleting = agency.metadata.deletion_timestamp.is_some();
    let plots = plots(agency, facts);
    // The record is what may be deleted later: while the agency is being deleted nothing is added to it.
    let namespaces = if deleting {
        previous.namespaces
    } else {
        recorded(&plots)
    };
    let findings = findings(agency, facts, applied, &plots);
    AgencyStatus {
        observed_generation: agency.metadata.generation,
        conditions: merge_conditions(&previous.conditions, findings, agency.metadata.generation, now),
        namespace_count: i32::try_from(namespaces.len()).ok(),
        namespaces,
        systems: i32::try_from(facts.systems.len()).ok(),
        requested: requested(&plots),
        alert_threshold: passed_threshold(agency),
        budget: previous.budget,
        deletion_policy: if deleting {
            previous.deletion_policy
        } else {
            Some(agency.spec.deletion_policy)
        },
    }
}

fn findings(agency: &Agency, facts: &AgencyFacts<'_>, applied: &Applied, plots: &[Plot<'_>]) -> Vec<Finding> {
    let namespaces = namespaces_ready(agency, applied, plots);
    let fits = shortage(agency, facts).map_or_else(
        || {
            Finding::yes(
                "QuotaFits",
                Reason::QuotaFits,
                "the quota has room for what the systems ask for",
            )
        },
        |problem| Finding::of("QuotaFits", &problem),
    );
    let ready = match namespaces.reason {
        // What was not read back yet is not ready.
        reason if namespaces.holds == Holds::Unknown => Finding::unknown("Ready", reason, namespaces.message.clone()),
        // A quota that is too small is its own condition: the agency is set up all the same.
        _ if agency.metadata.deletion_timestamp.is_none() => Finding::ready(
            std::slice::from_ref(&namespaces),
            Reason::Ready,
            namespaces.message.clone(),
        ),
        reason => Finding::no("Ready", reason, namespaces.message.clone()),
    };
    vec![ready, namespaces, fits, within_budget(agency)]
}

fn namespaces_ready(agency: &Agency, applied: &Applied, plots: &[Plot<'_>]) -> Finding {
    const KIND: &str = "NamespacesReady";
    let amiss = applied.problems().iter().find(|problem| !problem.reason.is_notice());
    if agency.metadata.deletion_timestamp.is_some() {
        let going = || Problem::new(Reason::Deleting, "the agency's namespaces are being deleted");
        return Finding::of(KIND, &amiss.cloned().unwrap_or_else(going));
    }
    if let Some(problem) = amiss.cloned().or_else(|| refusal(applied)) {
        return Finding::of(KIND, &problem);
    }
    let missing: Vec<&str> = plots
        .iter()
        .filter(|plot| !plot.is_ours())
        .map(|plot| plot.name.as_str())
        .collect();
    if !missing.is_empty() {
        let message = format!("not seen yet: {}", missing.join(", "));
        return Finding::unknown(KIND, Reason::Provisioned, message);
    }
    let notices = applied
        .problems()
        .iter()
        .filter(|problem| problem.reason == Reason::NamespaceNotListed)
        .fold(String::new(), |notices, problem| notices + "; " + &problem.message);
    let names: Vec<&str> = plots.iter().map(|plot| plot.name.as_str()).collect();
    let message = format!(
        "set up with quota, limits, rights and network policies: {}{notices}",
        names.join(", ")
    );
    Finding::yes(KIND, Reason::Provisioned, message)
}

fn recorded(plots: &[Plot<'_>]) -> Vec<NamespaceStatus> {
    let ours = plots.iter().filter(|plot| plot.is_ours());
    ours.filter_map(|plot| {
        let there = plot.there?;
        Some(NamespaceStatus {
            name: plot.name.clone(),
            uid: there.uid.clone(),
            quota: quota(there),
        })
    })
    .collect()
}

/// A namespace's part of the quota as the API server has it.
fn quota(there: &NamespaceFacts) -> AgencyQuota {
    let hard = |resource: Resource| there.hard.get(&resource.quota_key()).cloned();
    let count = |resource: Resource| {
        let amount = resource.read(&hard(resource.clone())?).ok()?;
        Some(i32::try_from(amount).unwrap_or(i32::MAX))
    };
    AgencyQuota {
        cpu: hard(Resource::Cpu),
        memory: hard(Resource::Memory),
        storage: hard(Resource::Storage),
        ephemeral_storage: hard(Resource::EphemeralStorage),
        accelerators: devices(there.hard.iter()),
        pods: count(Resource::Pods),
        services: count(Resource::Services),
        persistent_volume_claims: count(Resource::Claims),
    }
}

fn devices<'a>(quantities: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<Accelerator> {
    quantities
        .filter_map(|(key, quantity)| {
            let device = Resource::Device(
                key.strip_prefix("requests.")
                    .filter(|name| name.contains('/'))?
                    .to_owned(),
            );
            let count = i32::try_from(device.read(quantity).ok()?).unwrap_or(i32::MAX);
            Some(Accelerator {
                resource: device.title().to_owned(),
                count,
            })
        })
        .collect()
}

/// What all pods request, as the quotas count it. A resource without a limit is not counted and stays out.
fn requested(plots: &[Plot<'_>]) -> Option<RequestedResources> {
    let mut amounts = Amounts::default();
    let mut seen = std::collections::BTreeSet::new();
    for there in plots.iter().filter(|plot| plot.is_ours()).filter_map(|plot| plot.there) {
        for (key, quantity) in &there.used {
            let Some(name) = key.strip_prefix("requests.") else {
                continue;
            };
            amounts.add_request(name, quantity);
            seen.insert(name);
        }
    }
    let text = |name: &str, resource: Resource| seen.contains(name).then(|| resource.write(amounts.get(&resource)));
    let has_devices = seen.iter().any(|name| name.contains('/'));
    (!seen.is_empty()).then(|| RequestedResources {
        cpu: text("cpu", Resource::Cpu),
        memory: text("memory", Resource::Memory),
        storage: text("storage", Resource::Storage),
        accelerators: has_devices.then(|| i32::try_from(amounts.devices()).unwrap_or(i32::MAX)),
    })
}
