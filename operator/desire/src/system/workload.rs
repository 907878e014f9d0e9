//! The objects that run a system's components.

use crate::facts::SystemFacts;
use crate::names;
use crate::object::{ObjectKey, ObjectKind, WantedObject};
use crate::quantity::{bytes, cpu};
use crate::{AGENCY_LABEL, COMPONENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL, METERING_FINALIZER, SYSTEM_LABEL};
use kube_core::ResourceExt;
use maru_crds::{AgencySystem, Component, EnvVariable, Scale};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// An account for the system, and a Deployment and a Service for each component.
pub(super) fn objects(system: &AgencySystem, agency: &str, facts: &SystemFacts<'_>) -> Vec<WantedObject> {
    let account = names::account_name(&system.name_any());
    let mut body = manifest(ObjectKind::ServiceAccount, system, agency, None, &account);
    body["automountServiceAccountToken"] = json!(false);
    let mut objects = vec![wanted(ObjectKind::ServiceAccount, system, account, body)];
    for component in &system.spec.components {
        let name = names::component_name(&system.name_any(), &component.name);
        let mut body = manifest(ObjectKind::NetworkPolicy, system, agency, Some(&component.name), &name);
        body["spec"] = json!({
            "podSelector": {"matchLabels": {SYSTEM_LABEL: system.name_any(), COMPONENT_LABEL: component.name}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {SYSTEM_LABEL: system.name_any()}}}]}],
        });
        objects.push(wanted(ObjectKind::NetworkPolicy, system, name.clone(), body));
        if let Some(spec) = service(system, component) {
            let mut body = manifest(ObjectKind::Service, system, agency, Some(&component.name), &name);
            body["spec"] = spec;
            objects.push(wanted(ObjectKind::Service, system, name.clone(), body));
        }
        let mut body = manifest(ObjectKind::Deployment, system, agency, Some(&component.name), &name);
        body["spec"] = deployment(system, agency, component, facts);
        objects.push(wanted(ObjectKind::Deployment, system, name, body));
    }
    objects.sort_by_key(|one| one.key.kind);
    objects
}

fn wanted(kind: ObjectKind, system: &AgencySystem, name: String, body: Value) -> WantedObject {
    WantedObject {
        key: ObjectKey::new(kind, system.namespace().unwrap_or_default(), name),
        body,
    }
}

fn manifest(kind: ObjectKind, system: &AgencySystem, agency: &str, component: Option<&str>, name: &str) -> Value {
    let labels = labels(system, agency, component);
    let metadata = json!({"name": name, "namespace": system.namespace(), "labels": labels});
    json!({"apiVersion": kind.api_version(), "kind": kind.kind(), "metadata": metadata})
}

fn labels(system: &AgencySystem, agency: &str, component: Option<&str>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        (AGENCY_LABEL.to_owned(), agency.to_owned()),
        (SYSTEM_LABEL.to_owned(), system.name_any()),
        (MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned()),
    ]);
    labels.extend(component.map(|component| (COMPONENT_LABEL.to_owned(), component.to_owned())));
    labels
}

fn service(system: &AgencySystem, component: &Component) -> Option<Value> {
    let ports: Vec<Value> = component
        .ports
        .iter()
        .filter(|port| port.expose)
        .map(|port| json!({"name": port.name, "port": port.port, "protocol": format!("{:?}", port.protocol).to_uppercase()}))
        .collect();
    let selector = json!({SYSTEM_LABEL: system.name_any(), COMPONENT_LABEL: component.name});
    (!ports.is_empty()).then(|| json!({"type": "ClusterIP", "selector": selector, "ports": ports}))
}

fn deployment(system: &AgencySystem, agency: &str, component: &Component, facts: &SystemFacts<'_>) -> Value {
    let mut metadata = json!({"labels": labels(system, agency, Some(&component.name))});
    if facts.platform.metering_finalizer {
        metadata["finalizers"] = json!([METERING_FINALIZER]);
    }
    let user = component.run_as_user.map(|user| json!({"runAsUser": user}));
    let mut security = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    if let (Some(Value::Object(user)), Value::Object(security)) = (user, &mut security) {
        security.extend(user);
    }
    let pod = json!({
        "serviceAccountName": names::account_name(&system.name_any()),
        "automountServiceAccountToken": component.service_account_token,
        "securityContext": security,
        "containers": [container(component)],
    });
    let mut spec = json!({
        "selector": {"matchLabels": {SYSTEM_LABEL: system.name_any(), COMPONENT_LABEL: component.name}},
        "template": {"metadata": metadata, "spec": pod},
    });
    match component.replicas.scale() {
        _ if system.spec.suspended => spec["replicas"] = json!(0),
        Scale::Fixed(replicas) => spec["replicas"] = json!(replicas),
        Scale::Auto { min, .. } => spec["replicas"] = json!(min),
    }
    spec
}

fn container(component: &Component) -> Value {
    let resources = &component.resources;
    let memory_limit = resources.memory_limit.as_ref().unwrap_or(&resources.memory);
    let mut limits = Map::new();
    limits.insert("memory".to_owned(), json!(bytes(memory_limit)));
    limits.extend(
        resources
            .cpu_limit
            .iter()
            .map(|limit| ("cpu".to_owned(), json!(cpu(limit)))),
    );
    let mut container = json!({
        "name": component.name,
        "image": component.image,
        "resources": {"requests": {"cpu": cpu(&resources.cpu), "memory": bytes(&resources.memory)}, "limits": limits},
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    let ports: Vec<Value> = component
        .ports
        .iter()
        .map(|port| json!({"name": port.name, "containerPort": port.port, "protocol": format!("{:?}", port.protocol).to_uppercase()}))
        .collect();
    let env: Vec<Value> = component.env.iter().map(variable).collect();
    for (field, values) in [("ports", ports), ("env", env)] {
        if !values.is_empty() {
            container[field] = Value::Array(values);
        }
    }
    for (field, words) in [("command", &component.command), ("args", &component.args)] {
        if !words.is_empty() {
            container[field] = json!(words);
        }
    }
    container
}

fn variable(variable: &EnvVariable) -> Value {
    let from = |source: &str, reference: &maru_crds::KeyRef| json!({"name": variable.name, "valueFrom": {source: {"name": reference.name, "key": reference.key}}});
    match (&variable.secret_ref, &variable.config_map_ref) {
        (Some(secret), _) => from("secretKeyRef", secret),
        (None, Some(map)) => from("configMapKeyRef", map),
        (None, None) => json!({"name": variable.name, "value": variable.value}),
    }
}
