//! A system's status: what was read back of what its plan asked for.

use super::health::{is_up, of_components, of_selected};
use super::pod::{self, Part};
use super::route::{Routes, concerns_routes};
use super::site::Site;
use super::storage;
use crate::deletion::listed;
use crate::facts::{AgencyBinding, SystemFacts, SystemKey};
use crate::outcome::Applied;
use crate::plan::Problem;
use crate::quantity::{Amounts, Resource, pod_requests};
use crate::reason::Reason;
use crate::status::{Finding, Holds, merge_conditions, refusal, stored};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube_core::ResourceExt;
use maru_crds::{AgencySystem, AgencySystemStatus, ComponentStatus, RequestedResources, SystemKind};

/// The system's status after a plan was carried out, from facts gathered after it. `now` becomes the transition time of
/// conditions that flipped and is used for nothing else.
pub fn report_system(
    system: &AgencySystem,
    facts: &SystemFacts<'_>,
    applied: &Applied,
    now: &Time,
) -> AgencySystemStatus {
    let previous = system.status.clone().unwrap_or_default();
    let agency = match &facts.agency {
        AgencyBinding::Missing => None,
        AgencyBinding::NotReady { name, .. } | AgencyBinding::Found { name, .. } => Some(name),
    };
    let site = Site {
        system,
        key: SystemKey::new(system.namespace().unwrap_or_default(), system.name_any()),
        agency: agency.map_or("", String::as_str),
        facts,
    };
    let routes = Routes::of(&site, &site.parts());
    let findings = findings(&site, &routes, applied);
    let generation = system.metadata.generation;
    let components = components(&site);
    let pods = facts.pods.get("");
    let (replicas, ready_replicas) = match system.spec.kind() {
        SystemKind::Components => (
            Some(components.iter().map(|component| component.replicas).sum()),
            Some(components.iter().map(|component| component.ready_replicas).sum()),
        ),
        SystemKind::Selector => (
            Some(pods.map_or(0, |pods| pods.total)),
            Some(pods.map_or(0, |pods| pods.ready)),
        ),
        SystemKind::External => (None, None),
    };
    AgencySystemStatus {
        observed_generation: generation,
        conditions: merge_conditions(&previous.conditions, findings, generation, now),
        agency: agency.cloned(),
        ready: (!components.is_empty()).then(|| up(&site)),
        components,
        replicas,
        ready_replicas,
        urls: urls(&site, &routes),
        requested: requested(&site),
        deletion_policy: if system.metadata.deletion_timestamp.is_some() {
            previous.deletion_policy
        } else {
            Some(system.spec.deletion_policy)
        },
    }
}

fn findings(site: &Site<'_>, routes: &Routes<'_>, applied: &Applied) -> Vec<Finding> {
    let others = match site.spec().kind() {
        SystemKind::Components => vec![
            provisioned(site, applied),
            of_components(site),
            routes_accepted(site, routes, applied),
        ],
        SystemKind::Selector => vec![
            untouched(
                applied,
                "Maru meters the pods that spec.selector finds and writes nothing",
            ),
            of_selected(site.facts.pods.get("")),
        ],
        SystemKind::External => vec![
            untouched(applied, "it runs elsewhere: Maru shares its cost and writes nothing"),
            Finding::unknown(
                "Available",
                Reason::NotApplicable,
                "it runs elsewhere, where Maru does not see whether it is up",
            ),
        ],
    };
    let mut message = match site.spec().kind() {
        SystemKind::Components if site.spec().suspended => {
            "suspended: no pods run, everything else is there".to_owned()
        }
        SystemKind::Components => "everything asked for is there".to_owned(),
        SystemKind::Selector => "its pods are metered".to_owned(),
        SystemKind::External => "its cost is shared".to_owned(),
    };
    for open in others.iter().filter(|finding| finding.holds == Holds::Unknown) {
        message = message + "; " + &open.message;
    }
    let reason = if site.spec().suspended {
        Reason::Suspended
    } else {
        Reason::Ready
    };
    let mut findings = vec![Finding::ready(&others, reason, message)];
    findings.extend(others);
    findings
}

/// Whether every object of the plan is stored.
fn provisioned(site: &Site<'_>, applied: &Applied) -> Finding {
    const KIND: &str = "Provisioned";
    if let Some(problem) = first(applied, |reason| !concerns_routes(reason)).or_else(|| refusal(applied)) {
        return Finding::of(KIND, &problem);
    }
    let mut message = format!("{} objects are stored", stored(applied));
    let left = storage::left(site);
    if !left.is_empty() {
        let names = listed(left.iter().map(String::as_str));
        message = message + "; volume claims that the spec no longer names are kept: " + &names;
    }
    let absent: Vec<String> = site
        .spec()
        .callers
        .iter()
        .map(|caller| SystemKey::new(caller.namespace.as_str(), caller.name.as_str()))
        .filter(|caller| !site.facts.callers.contains_key(caller))
        .map(|caller| caller.to_string())
        .collect();
    if !absent.is_empty() {
        let names = listed(absent.iter().map(String::as_str));
        message = message + "; callers that do not exist yet, and are let in when they do: " + &names;
    }
    Finding::yes(KIND, Reason::Provisioned, message)
}

/// The same for a system that Maru writes nothing for.
fn untouched(applied: &Applied, message: &str) -> Finding {
    const KIND: &str = "Provisioned";
    let problem = first(applied, |_| true).or_else(|| refusal(applied));
    problem.map_or_else(
        || Finding::yes(KIND, Reason::NotApplicable, message),
        |problem| Finding::of(KIND, &problem),
    )
}

/// Whether every host is routed, as the routes' controllers say.
fn routes_accepted(site: &Site<'_>, routes: &Routes<'_>, applied: &Applied) -> Finding {
    const KIND: &str = "RoutesAccepted";
    if let Some(problem) = first(applied, concerns_routes) {
        return Finding::of(KIND, &problem);
    }
    if site.spec().hosts.is_empty() {
        return Finding::yes(KIND, Reason::NotApplicable, "the system has no hosts");
    }
    let hosts = routes.routed(site);
    let said = |name: &String| site.facts.routes.get(name);
    let refused = hosts.iter().find_map(|(host, name)| {
        let route = said(name).filter(|route| route.accepted == Some(false))?;
        Some(format!("host {host} is refused by the Gateway: {}", route.message))
    });
    if let Some(message) = refused {
        return Finding::no(KIND, Reason::RouteRefused, message);
    }
    let accepted = |name: &String| said(name).is_some_and(|route| route.accepted == Some(true));
    let pending: Vec<&str> = hosts
        .iter()
        .filter(|(_, name)| !accepted(name))
        .map(|(host, _)| *host)
        .collect();
    if hosts.is_empty() {
        return Finding::unknown(
            KIND,
            Reason::RoutePending,
            "no host is routed before its component runs",
        );
    }
    if !pending.is_empty() {
        let message = format!(
            "nothing was heard yet of the routes of {}",
            listed(pending.iter().copied())
        );
        return Finding::unknown(KIND, Reason::RoutePending, message);
    }
    let notices = applied
        .problems()
        .iter()
        .filter(|problem| problem.reason == Reason::TlsOfGateway)
        .fold(String::new(), |notices, problem| notices + "; " + &problem.message);
    let names = listed(hosts.iter().map(|(host, _)| *host));
    Finding::yes(KIND, Reason::RoutesAccepted, format!("routed: {names}{notices}"))
}

/// The first problem of these reasons that keeps the system from being ready, and how many more there are.
fn first(applied: &Applied, of: impl Fn(Reason) -> bool) -> Option<Problem> {
    let mut amiss = applied
        .problems()
        .iter()
        .filter(|problem| !problem.reason.is_notice() && of(problem.reason));
    let Problem { reason, message } = amiss.next()?.clone();
    Some(match amiss.count() {
        0 => Problem { reason, message },
        more => Problem::new(reason, format!("{message} (and {more} more)")),
    })
}

fn components(site: &Site<'_>) -> Vec<ComponentStatus> {
    let components = site.spec().components.iter().map(|component| {
        let there = site.facts.deployments.get(&component.name);
        ComponentStatus {
            name: component.name.clone(),
            image: Some(component.image.clone()),
            replicas: there.map_or(0, |there| there.desired),
            ready_replicas: there.map_or(0, |there| there.ready),
        }
    });
    components.collect()
}

fn up(site: &Site<'_>) -> String {
    let components = &site.spec().components;
    let deployments = &site.facts.deployments;
    let is_up = |name: &str| {
        let mut named = components.iter().filter(|component| component.name == name);
        named.any(|component| deployments.get(name).is_some_and(|there| is_up(component, there)))
    };
    let up = components.iter().filter(|component| is_up(&component.name)).count();
    format!("{up}/{}", components.len())
}

fn urls(site: &Site<'_>, routes: &Routes<'_>) -> Vec<String> {
    if let Some(external) = &site.spec().external {
        return external.url.iter().cloned().collect();
    }
    if site.agency.is_empty() {
        return Vec::new();
    }
    routes.urls()
}

/// What the pods that are wanted now and the volumes that are there request.
fn requested(site: &Site<'_>) -> Option<RequestedResources> {
    let mut amounts = Amounts::default();
    match site.spec().kind() {
        SystemKind::External => return None,
        SystemKind::Selector => amounts.add_times(&site.facts.pods.get("")?.requested, 1),
        SystemKind::Components => {
            for component in &site.spec().components {
                let pods = site
                    .facts
                    .deployments
                    .get(&component.name)
                    .map_or(0, |there| there.desired);
                let one = pod_requests(&pod::spec(&site.key.name, &Part::from(component)));
                amounts.add_times(&one, i64::from(pods));
            }
        }
    }
    for volume in site.facts.volumes.values() {
        amounts.add(
            &Resource::Storage,
            Resource::Storage.read(&volume.requested).unwrap_or(0),
        );
    }
    let text = |resource: Resource| Some(resource.write(amounts.get(&resource)));
    let has = |amount: i64| (amount > 0).then_some(amount);
    Some(RequestedResources {
        cpu: text(Resource::Cpu),
        memory: text(Resource::Memory),
        storage: has(amounts.get(&Resource::Storage)).and_then(|_| text(Resource::Storage)),
        accelerators: has(amounts.devices()).map(|devices| i32::try_from(devices).unwrap_or(i32::MAX)),
    })
}
