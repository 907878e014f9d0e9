//! A system's plan: what it wants of its namespace.

mod health;
mod job;
mod pod;
mod report;
mod route;
mod scaling;
mod service;
mod site;
mod storage;

pub use report::report_system;

use crate::deletion::{lets_data_go, listed, objects_go, sweep};
use crate::facts::{AgencyBinding, SystemDemand, SystemFacts, SystemKey};
use crate::names;
use crate::object::{ObjectKey, ObjectKind, WantedObject};
use crate::plan::{Finalizer, Owner, Plan, Problem};
use crate::quantity::{Amounts, Resource, pod_requests};
use crate::reason::Reason;
use kube_core::ResourceExt;
use maru_crds::{AgencySystem, Scale, SystemKind};
use pod::Part;
use route::Routes;
use site::{Parts, Site};
use std::collections::BTreeSet;

/// What a system asks for at most, as a quota counts it: the pods of every component at its largest scale and one run of every
/// job, its Services, its volume claims and the storage in them. A suspended system runs no pods. What a `selector` finds is not
/// Maru's to foresee, and an external system is not here.
pub fn demand(system: &AgencySystem) -> SystemDemand {
    let mut amounts = standing(system);
    if system.spec.kind() == SystemKind::Components {
        let name = system.name_any();
        for job in &system.spec.jobs {
            amounts.add_times(
                &part_demand(&name, &Part::from(job), i32::from(!system.spec.suspended)),
                1,
            );
        }
    }
    SystemDemand {
        system: SystemKey::new(system.namespace().unwrap_or_default(), system.name_any()),
        amounts,
    }
}

/// What of it stands all the time: every component with as many pods as it may have, and no job.
pub fn standing(system: &AgencySystem) -> Amounts {
    let mut amounts = Amounts::default();
    if system.spec.kind() == SystemKind::Components {
        let name = system.name_any();
        for component in &system.spec.components {
            let most = match component.replicas.scale() {
                Scale::Fixed(replicas) => replicas,
                Scale::Auto { max, .. } => max,
            };
            let most = if system.spec.suspended { 0 } else { most };
            amounts.add_times(&part_demand(&name, &Part::from(component), most), 1);
        }
    }
    amounts
}

fn part_demand(system: &str, part: &Part<'_>, pods: i32) -> Amounts {
    let mut amounts = Amounts::default();
    amounts.add_times(&pod_requests(&pod::spec(system, part)), i64::from(pods.max(0)));
    amounts.add(&Resource::Services, i64::from(!part.ports.is_empty()));
    for (_, volume) in storage::persistent(part) {
        amounts.add(&Resource::Claims, 1);
        amounts.add(
            &Resource::Storage,
            Resource::Storage.read(&volume.size).unwrap_or_default(),
        );
    }
    amounts
}

/// What a system wants of its namespace.
///
/// While its agency is not set up, or has spent a budget that says `onExceeded: BlockNew`, the components and jobs that run already
/// go on and are kept healed, and those that do not are left out.
pub fn plan_system(system: &AgencySystem, facts: &SystemFacts<'_>) -> Plan {
    let key = SystemKey::new(system.namespace().unwrap_or_default(), system.name_any());
    let mut plan = Plan::empty(Owner::System {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    });
    if system.metadata.deletion_timestamp.is_some() {
        leave(&mut plan, system, facts);
        return plan;
    }
    if facts.namespace_terminating {
        let message = format!(
            "namespace {} is being deleted: nothing can be created in it",
            key.namespace
        );
        plan.problems.push(Problem::new(Reason::NamespaceTerminating, message));
        return plan;
    }
    let agency = match &facts.agency {
        AgencyBinding::Missing => {
            let message = format!(
                "namespace {} belongs to no agency: create the system in one of an agency's namespaces, or list this one in an \
                 Agency's spec.namespaces",
                key.namespace
            );
            plan.problems.push(Problem::new(Reason::AgencyMissing, message));
            return plan;
        }
        AgencyBinding::NotReady { name, why } => {
            let message = format!("{why}; what runs goes on, and nothing new begins until it is");
            plan.problems.push(Problem::new(Reason::AgencyNotReady, message));
            name
        }
        AgencyBinding::Found { name, .. } => name,
    };
    let site = Site {
        system,
        key,
        agency,
        facts,
    };
    fill(&mut plan, &site);
    plan
}

/// The objects of a system that lives, and what is to go of those it has.
fn fill(plan: &mut Plan, site: &Site<'_>) {
    let parts = site.parts();
    let routes = Routes::of(site, &parts);
    for part in &parts.running {
        plan.objects.extend(part_objects(site, part, &routes));
        plan.problems.extend(storage::problems(site, part));
    }
    if !parts.running.is_empty() {
        plan.objects.push(service::account(site));
    }
    plan.objects.extend(routes.objects(site));
    // Stable, so that within a kind the order of the spec stays.
    plan.objects.sort_by_key(|object| object.key.kind);
    plan.problems.extend(doubled(&parts));
    plan.problems.extend(keep_the_first(&mut plan.objects));
    plan.problems.extend(withheld(site, &parts));
    plan.problems.extend(routes.problems.iter().cloned());
    let goes: Vec<ObjectKey> = site
        .facts
        .owned
        .iter()
        .filter(|key| !key.kind.holds_tenant_data() && !routes.keeps(site, key))
        .filter(|key| !plan.objects.iter().any(|object| object.key == **key))
        .cloned()
        .collect();
    sweep(plan, goes, &site.facts.volumes);
}

fn part_objects(site: &Site<'_>, part: &Part<'_>, routes: &Routes<'_>) -> Vec<WantedObject> {
    let mut objects = vec![service::policy(site, part, routes)];
    objects.extend(storage::claims(site, part));
    match (part.component, part.job) {
        (Some(component), _) => {
            objects.extend(service::service(site, component));
            objects.push(scaling::deployment(site, component));
            objects.extend(scaling::autoscaler(site, component));
            objects.extend(scaling::disruption_budget(site, component));
        }
        (None, Some(scheduled)) => objects.push(job::cron_job(site, scheduled)),
        (None, None) => {}
    }
    objects
}

/// Admission refuses a job of a component's name; a file that was never admitted may have one all the same.
fn doubled(parts: &Parts<'_>) -> Option<Problem> {
    let message = format!(
        "more than one component or job is called {}: only the first is run; give each a name of its own",
        listed(parts.doubled.iter().copied())
    );
    (!parts.doubled.is_empty()).then(|| Problem::new(Reason::Duplicate, message))
}

/// The same of volumes of one name, and of whatever else comes to the same object.
fn keep_the_first(objects: &mut Vec<WantedObject>) -> Option<Problem> {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    objects.retain(|object| {
        let is_first = seen.insert(object.key.clone());
        if !is_first {
            twice.insert(object.key.to_string());
        }
        is_first
    });
    let message = format!(
        "the spec asks more than once for {}: only the first is written; give each a name of its own",
        listed(twice.iter().map(String::as_str))
    );
    (!twice.is_empty()).then(|| Problem::new(Reason::Duplicate, message))
}

fn withheld(site: &Site<'_>, parts: &Parts<'_>) -> Option<Problem> {
    let AgencyBinding::Found {
        name,
        blocked: Some(figures),
    } = &site.facts.agency
    else {
        return None;
    };
    let message = format!(
        "not started: {}. The budget of agency {name} is spent ({figures}) and it says onExceeded: BlockNew: what runs goes on, \
         and nothing new begins until the next month, or until spec.budget of the agency is raised",
        listed(parts.withheld.iter().copied())
    );
    (!parts.withheld.is_empty()).then(|| Problem::new(Reason::BudgetExceeded, message))
}

/// The plan of a system that is being deleted: what runs goes, its volumes go only where `deletionPolicy: Delete` was set before.
/// With a namespace or a definition that is going nothing is deleted here: the one takes everything along, the other is a mistake.
fn leave(plan: &mut Plan, system: &AgencySystem, facts: &SystemFacts<'_>) {
    plan.finalizer = Finalizer::Release;
    if facts.crd_terminating || facts.namespace_terminating {
        return;
    }
    let recorded = system.status.as_ref().and_then(|status| status.deletion_policy);
    let data_goes = lets_data_go(system.spec.deletion_policy, recorded);
    objects_go(plan, &facts.owned, &facts.volumes, data_goes);
    if plan.finalizer == Finalizer::Wait {
        let names: Vec<String> = plan.sweep.iter().map(ToString::to_string).collect();
        let message = format!("being deleted: {}", listed(names.iter().map(String::as_str)));
        plan.problems.push(Problem::new(Reason::Deleting, message));
    }
}

/// The kinds of objects that a component or a job that runs has under its own name.
const KINDS_OF_PARTS: [ObjectKind; 6] = [
    ObjectKind::NetworkPolicy,
    ObjectKind::Service,
    ObjectKind::Deployment,
    ObjectKind::CronJob,
    ObjectKind::HorizontalPodAutoscaler,
    ObjectKind::PodDisruptionBudget,
];

impl Part<'_> {
    /// The name of the part's objects.
    fn object_name(&self, system: &str) -> String {
        if self.job.is_some() {
            names::job_name(system, self.name)
        } else {
            names::component_name(system, self.name)
        }
    }

    /// Whether any object of it is there. A claim is not enough: it may be left from a system that was deleted.
    fn has_begun(&self, site: &Site<'_>) -> bool {
        let name = self.object_name(&site.key.name);
        KINDS_OF_PARTS.iter().any(|kind| {
            let key = ObjectKey::new(*kind, site.key.namespace.as_str(), name.as_str());
            site.facts.owned.contains(&key)
        })
    }
}
