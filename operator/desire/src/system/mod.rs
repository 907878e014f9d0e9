//! A system's plan and its status.

mod workload;

use crate::facts::{AgencyBinding, DeploymentFacts, SystemDemand, SystemFacts, SystemKey};
use crate::object::ObjectKind;
use crate::outcome::Applied;
use crate::plan::{Finalizer, Owner, Plan, Problem};
use crate::quantity::{Amounts, Resource};
use crate::reason::Reason;
use crate::status::{Finding, merge_conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube_core::ResourceExt;
use maru_crds::{
    AgencySystem, AgencySystemStatus, ComponentStatus, DeletionPolicy, RequestedResources, Scale, SystemKind,
};
use std::collections::BTreeMap;

/// What a system asks for at most: every component at its largest scale.
pub fn demand(system: &AgencySystem) -> SystemDemand {
    let mut amounts = Amounts::default();
    for component in &system.spec.components {
        let replicas = match component.replicas.scale() {
            Scale::Fixed(replicas) => replicas,
            Scale::Auto { max, .. } => max,
        };
        let mut one = Amounts::default();
        one.add(
            &Resource::Cpu,
            Resource::Cpu.read(&component.resources.cpu).unwrap_or_default(),
        );
        one.add(
            &Resource::Memory,
            Resource::Memory.read(&component.resources.memory).unwrap_or_default(),
        );
        one.add(&Resource::Pods, 1);
        amounts.add_times(&one, i64::from(replicas));
    }
    SystemDemand {
        system: SystemKey::new(system.namespace().unwrap_or_default(), system.name_any()),
        amounts,
    }
}

/// What a system wants of its namespace.
pub fn plan_system(system: &AgencySystem, facts: &SystemFacts<'_>) -> Plan {
    let mut plan = Plan {
        owner: Owner::System {
            namespace: system.namespace().unwrap_or_default(),
            name: system.name_any(),
        },
        objects: Vec::new(),
        sweep: Vec::new(),
        uids: BTreeMap::new(),
        finalizer: Finalizer::Hold,
        problems: Vec::new(),
    };
    if system.metadata.deletion_timestamp.is_some() {
        return leave(plan, system, facts);
    }
    let agency = match &facts.agency {
        AgencyBinding::Missing => {
            let message =
                "the namespace belongs to no agency; label it maru.dev/agency=NAME or use an agency's namespace";
            plan.problems.push(Problem::new(Reason::AgencyMissing, message));
            return plan;
        }
        AgencyBinding::NotReady { why, .. } => {
            plan.problems.push(Problem::new(Reason::AgencyNotReady, why.clone()));
            return plan;
        }
        AgencyBinding::Found { name, .. } => name,
    };
    if system.spec.kind() == SystemKind::Components && !facts.namespace_terminating {
        plan.objects = workload::objects(system, agency, facts);
    }
    plan.sweep = facts
        .owned
        .iter()
        .filter(|key| !plan.objects.iter().any(|object| object.key == **key))
        .cloned()
        .collect();
    plan.sweep.retain(|key| !key.kind.holds_tenant_data());
    plan.sweep.sort_by_key(|key| std::cmp::Reverse(key.kind));
    plan
}

/// The plan of a system that is being deleted: what runs goes, its volumes go only where `deletionPolicy: Delete` was set before.
fn leave(mut plan: Plan, system: &AgencySystem, facts: &SystemFacts<'_>) -> Plan {
    let recorded = system.status.as_ref().and_then(|status| status.deletion_policy);
    let deletes = system.spec.deletion_policy == DeletionPolicy::Delete && recorded == Some(DeletionPolicy::Delete);
    if !facts.crd_terminating && !facts.namespace_terminating {
        plan.sweep = facts
            .owned
            .iter()
            .filter(|key| deletes || !key.kind.holds_tenant_data())
            .cloned()
            .collect();
        plan.sweep.sort_by_key(|key| std::cmp::Reverse(key.kind));
        for key in plan
            .sweep
            .iter()
            .filter(|key| key.kind == ObjectKind::PersistentVolumeClaim)
        {
            plan.uids.extend(
                facts
                    .volumes
                    .get(&key.name)
                    .map(|volume| (key.clone(), volume.uid.clone())),
            );
        }
    }
    plan.finalizer = if plan.sweep.is_empty() {
        Finalizer::Release
    } else {
        Finalizer::Wait
    };
    plan
}

/// The system's status after a plan was carried out, from facts gathered after it. `now` becomes the transition time of
/// conditions that flipped and is used for nothing else.
pub fn report_system(
    system: &AgencySystem,
    facts: &SystemFacts<'_>,
    applied: &Applied,
    now: &Time,
) -> AgencySystemStatus {
    let previous = system.status.clone().unwrap_or_default();
    let generation = system.metadata.generation;
    let (ready, reason, message) = readiness(system, facts, applied);
    let finding = if ready {
        Finding::yes("Ready", reason, message)
    } else {
        Finding::no("Ready", reason, message)
    };
    let conditions = merge_conditions(&previous.conditions, vec![finding], generation, now);
    let components: Vec<ComponentStatus> = system
        .spec
        .components
        .iter()
        .map(|component| {
            let deployment = facts.deployments.get(&component.name);
            ComponentStatus {
                name: component.name.clone(),
                image: Some(component.image.clone()),
                replicas: deployment.map_or(0, |deployment| deployment.desired),
                ready_replicas: deployment.map_or(0, |deployment| deployment.available),
            }
        })
        .collect();
    let up = facts
        .deployments
        .values()
        .filter(|deployment| is_up(deployment))
        .count();
    let deleting = system.metadata.deletion_timestamp.is_some();
    let amounts = demand(system).amounts;
    AgencySystemStatus {
        observed_generation: generation,
        conditions,
        agency: match &facts.agency {
            AgencyBinding::Missing => None,
            AgencyBinding::NotReady { name, .. } | AgencyBinding::Found { name, .. } => Some(name.clone()),
        },
        ready: (!components.is_empty()).then(|| format!("{up}/{}", components.len())),
        replicas: Some(components.iter().map(|component| component.replicas).sum()),
        ready_replicas: Some(components.iter().map(|component| component.ready_replicas).sum()),
        components,
        requested: (!system.spec.components.is_empty()).then(|| RequestedResources {
            cpu: Some(Resource::Cpu.write(amounts.get(&Resource::Cpu))),
            memory: Some(Resource::Memory.write(amounts.get(&Resource::Memory))),
            ..RequestedResources::default()
        }),
        deletion_policy: if deleting {
            previous.deletion_policy
        } else {
            Some(system.spec.deletion_policy)
        },
        ..previous
    }
}

fn readiness(system: &AgencySystem, facts: &SystemFacts<'_>, applied: &Applied) -> (bool, Reason, String) {
    if let Some(problem) = applied.problems().first() {
        return (false, problem.reason, problem.message.clone());
    }
    if let Some((key, _, message)) = applied.refused().next() {
        return (false, Reason::Refused, format!("{key}: {message}"));
    }
    if system.spec.suspended {
        return (
            true,
            Reason::Suspended,
            "spec.suspended is true: no pods and no jobs run".to_owned(),
        );
    }
    for component in &system.spec.components {
        let name = &component.name;
        let Some(deployment) = facts.deployments.get(name) else {
            return (
                false,
                Reason::RollingOut,
                format!("component {name} has no Deployment yet"),
            );
        };
        if let Some(failure) = &deployment.failure {
            return (
                false,
                Reason::PodsRefused,
                format!("component {name}: {}: {}", failure.reason, failure.message),
            );
        }
        if !is_up(deployment) {
            let waiting = facts.pods.get(name).and_then(|pods| pods.waiting.as_ref());
            let why = waiting
                .map(|waiting| format!(": {}: {}", waiting.reason, waiting.message))
                .unwrap_or_default();
            let counts = format!("{} of {} pods are available", deployment.available, deployment.desired);
            return (false, Reason::RollingOut, format!("component {name}: {counts}{why}"));
        }
    }
    (true, Reason::Ready, "everything asked for is there".to_owned())
}

const fn is_up(deployment: &DeploymentFacts) -> bool {
    deployment.observed_generation_current
        && deployment.updated >= deployment.desired
        && deployment.available >= deployment.desired
}
