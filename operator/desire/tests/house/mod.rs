//! What the tests of this room share: examples, facts, and a memory that stands in for nothing but the cluster's own record of
//! objects: it takes a plan and gives the facts that an API server would give after it.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)] // each test takes what it needs; a failed helper is a failed test

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use maru_crds::{Agency, AgencySystem, AgencySystemStatus, Component};
use maru_desire::{
    AGENCY_LABEL, AgencyBinding, AgencyFacts, Applied, DeploymentFacts, GatewayRef, NamespaceFacts, ObjectKey,
    ObjectKind, Outcome, Plan, Platform, Reason, RouteApi, SystemDemand, SystemFacts, VolumeFacts, WantedObject,
    plan_system, report_system,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// All documents of the examples that are of a kind, by their names.
pub(crate) fn examples<K: DeserializeOwned>(kind: &str) -> Vec<K> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds/examples");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let documents = files
        .iter()
        .flat_map(|file| serde_saphyr::from_multiple::<Value>(&std::fs::read_to_string(file).unwrap()).unwrap());
    documents
        .filter(|document| document["kind"] == kind)
        .map(|document| serde_json::from_value(document).unwrap())
        .collect()
}

/// An installation whose Gateway ends TLS.
pub(crate) fn platform() -> Platform {
    Platform {
        route_api: RouteApi::HttpRoute,
        gateway: Some(GatewayRef {
            namespace: "gateway".to_owned(),
            name: "public".to_owned(),
            section: None,
            tls: true,
        }),
        edge_namespaces: BTreeSet::from(["gateway".to_owned()]),
        metering_finalizer: true,
        ..Platform::default()
    }
}

/// A system `docs` in namespace `mois` with this spec.
pub(crate) fn system(spec: &Value) -> AgencySystem {
    named("docs", spec)
}

/// A system in namespace `mois`.
pub(crate) fn named(name: &str, spec: &Value) -> AgencySystem {
    let metadata = json!({"name": name, "namespace": "mois", "generation": 1});
    serde_json::from_value(json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "AgencySystem", "metadata": metadata, "spec": spec,
    }))
    .unwrap()
}

/// A component `web` that listens on port 8080, with more fields.
pub(crate) fn web(more: &Value) -> Value {
    let mut component = json!({
        "name": "web", "image": "maru.dev/hello:1", "ports": [{"name": "http", "port": 8080}],
    });
    if let (Value::Object(component), Value::Object(more)) = (&mut component, more) {
        component.extend(more.clone());
    }
    component
}

/// Facts about a system in a namespace of agency `mois`, of which nothing is there yet.
pub(crate) fn facts(platform: &Platform) -> SystemFacts<'_> {
    SystemFacts {
        platform,
        crd_terminating: false,
        namespace_terminating: false,
        agency: AgencyBinding::Found {
            name: "mois".to_owned(),
            blocked: None,
        },
        owned: BTreeSet::new(),
        deployments: BTreeMap::new(),
        pods: BTreeMap::new(),
        volumes: BTreeMap::new(),
        routes: BTreeMap::new(),
        hosts_taken: BTreeMap::new(),
        callers: BTreeMap::new(),
        may_call: BTreeSet::new(),
    }
}

/// The plan's object of a kind and name.
pub(crate) fn object<'a>(plan: &'a Plan, kind: ObjectKind, name: &str) -> &'a Value {
    let found = plan
        .objects
        .iter()
        .find(|object| object.key.kind == kind && object.key.name == name);
    let names: Vec<String> = plan.objects.iter().map(|object| object.key.to_string()).collect();
    &found
        .unwrap_or_else(|| panic!("no {} {name} among {names:?}", kind.kind()))
        .body
}

/// The names of the plan's objects of a kind.
pub(crate) fn names(plan: &Plan, kind: ObjectKind) -> Vec<&str> {
    let objects = plan.objects.iter().filter(|object| object.key.kind == kind);
    objects.map(|object| object.key.name.as_str()).collect()
}

/// Writes a system's plan into its facts, as the API server would.
pub(crate) fn carry_out(plan: &Plan, facts: &mut SystemFacts<'_>) -> Applied {
    let mut outcomes = Vec::new();
    for WantedObject { key, body } in &plan.objects {
        facts.owned.insert(key.clone());
        match key.kind {
            ObjectKind::Deployment => write_deployment(body, facts),
            ObjectKind::PersistentVolumeClaim => write_claim(key, body, facts),
            _ => {}
        }
        outcomes.push((key.clone(), Outcome::Written));
    }
    for key in &plan.sweep {
        facts.owned.remove(key);
        facts.volumes.remove(&key.name);
        let is_written = |component: &String| {
            let mut written = plan
                .objects
                .iter()
                .filter(|object| object.key.kind == ObjectKind::Deployment);
            written.any(|object| component_of(&object.body) == Some(component.as_str()))
        };
        if key.kind == ObjectKind::Deployment {
            facts.deployments.retain(|component, _| is_written(component));
        }
        outcomes.push((key.clone(), Outcome::Deleted));
    }
    Applied::new(plan, outcomes)
}

fn component_of(body: &Value) -> Option<&str> {
    body["metadata"]["labels"][maru_desire::COMPONENT_LABEL].as_str()
}

fn write_deployment(body: &Value, facts: &mut SystemFacts<'_>) {
    let component = component_of(body).unwrap();
    let there = facts.deployments.entry(component.to_owned()).or_default();
    match body["spec"]["replicas"].as_i64() {
        Some(replicas) => {
            there.desired = i32::try_from(replicas).unwrap();
            there.replicas_ours = true;
        }
        // The API server's default, where its only owner let go of the field.
        None if there.replicas_ours => {
            there.desired = 1;
            there.replicas_ours = false;
        }
        None => {}
    }
}

fn write_claim(key: &ObjectKey, body: &Value, facts: &mut SystemFacts<'_>) {
    let volume = facts.volumes.entry(key.name.clone()).or_insert_with(|| VolumeFacts {
        uid: format!("uid-of-{}", key.name),
        ..VolumeFacts::default()
    });
    body["spec"]["resources"]["requests"]["storage"]
        .as_str()
        .unwrap()
        .clone_into(&mut volume.requested);
}

/// All pods of all Deployments are there and available.
pub(crate) fn settle(facts: &mut SystemFacts<'_>) {
    for there in facts.deployments.values_mut() {
        *there = DeploymentFacts {
            updated: there.desired,
            available: there.desired,
            ready: there.desired,
            total: there.desired,
            observed_generation_current: true,
            failure: None,
            ..there.clone()
        };
    }
}

/// Plans, carries the plan out and reports.
pub(crate) fn turn(system: &AgencySystem, facts: &mut SystemFacts<'_>) -> (Plan, AgencySystemStatus) {
    let plan = plan_system(system, facts);
    let applied = carry_out(&plan, facts);
    let status = report_system(system, facts, &applied, &noon());
    (plan, status)
}

/// A condition of a status as `status reason: message`.
pub(crate) fn condition(status: &AgencySystemStatus, kind: &str) -> String {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind);
    let found = found.unwrap_or_else(|| panic!("no condition {kind} in {:?}", status.conditions));
    format!("{} {}: {}", found.status, found.reason, found.message)
}

/// Some moment.
pub(crate) fn noon() -> Time {
    serde_json::from_value(json!("2026-07-01T12:00:00Z")).unwrap()
}

/// Facts about an agency of which nothing is there yet.
pub(crate) fn agency_facts(platform: &Platform) -> AgencyFacts<'_> {
    AgencyFacts {
        platform,
        crd_terminating: false,
        namespaces: BTreeMap::new(),
        owned: BTreeSet::new(),
        systems: Vec::<SystemDemand>::new(),
    }
}

/// Writes an agency's plan into its facts, object by object; `after` sees the facts after each.
pub(crate) fn carry_out_agency(
    plan: &Plan,
    facts: &mut AgencyFacts<'_>,
    mut after: impl FnMut(&AgencyFacts<'_>),
) -> Applied {
    let mut outcomes = Vec::new();
    for WantedObject { key, body } in &plan.objects {
        match key.kind {
            ObjectKind::Namespace => {
                let there = facts
                    .namespaces
                    .entry(key.name.clone())
                    .or_insert_with(|| NamespaceFacts {
                        uid: format!("uid-of-{}", key.name),
                        ..NamespaceFacts::default()
                    });
                there.agency = body["metadata"]["labels"][AGENCY_LABEL].as_str().map(str::to_owned);
            }
            ObjectKind::ResourceQuota => {
                let hard = serde_json::from_value(body["spec"]["hard"].clone()).unwrap();
                facts.namespaces.entry(key.namespace.clone()).or_default().hard = hard;
            }
            _ => {}
        }
        if key.kind != ObjectKind::Namespace {
            facts.owned.insert(key.clone());
        }
        outcomes.push((key.clone(), Outcome::Written));
        after(facts);
    }
    for key in &plan.sweep {
        facts.owned.remove(key);
        if key.kind == ObjectKind::Namespace {
            facts.namespaces.remove(&key.name);
        }
        outcomes.push((key.clone(), Outcome::Deleted));
        after(facts);
    }
    Applied::new(plan, outcomes)
}

/// The components of a system by name.
pub(crate) fn component<'a>(system: &'a AgencySystem, name: &str) -> &'a Component {
    let mut components = system.spec.components.iter();
    components.find(|component| component.name == name).unwrap()
}

/// An agency with this spec.
pub(crate) fn agency(name: &str, spec: &Value) -> Agency {
    serde_json::from_value(json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "Agency", "metadata": {"name": name, "generation": 1}, "spec": spec,
    }))
    .unwrap()
}

/// A component `store` with a volume `data` of this size.
pub(crate) fn store(size: &str) -> Value {
    json!({
        "name": "store", "image": "maru.dev/hello:1",
        "volumes": [{"name": "data", "mountPath": "/data", "persistent": {"size": size}}],
    })
}

/// The reasons of what stands in the way of a system.
pub(crate) fn reasons(system: &AgencySystem, facts: &SystemFacts<'_>) -> Vec<Reason> {
    plan_system(system, facts)
        .problems
        .iter()
        .map(|problem| problem.reason)
        .collect()
}
