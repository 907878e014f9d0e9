//! An agency's plan and its status.

use crate::facts::{AgencyFacts, NamespaceFacts};
use crate::object::{ObjectKey, ObjectKind, WantedObject};
use crate::outcome::Applied;
use crate::plan::{Finalizer, Owner, Plan, Problem};
use crate::quota;
use crate::reason::Reason;
use crate::status::{condition, dated};
use crate::{AGENCY_LABEL, GRADE_LABEL, MANAGED_BY, MANAGED_BY_LABEL};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube_core::ResourceExt;
use maru_crds::{Agency, AgencyStatus, DeletionPolicy, NamespaceStatus};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What an agency wants of the cluster: its namespaces and in each of them a quota, and network policies that let nothing in
/// or out but DNS.
pub fn plan_agency(agency: &Agency, facts: &AgencyFacts<'_>) -> Plan {
    let name = agency.name_any();
    let owner = Owner::Agency { name: name.clone() };
    if agency.metadata.deletion_timestamp.is_some() {
        return leave(owner, agency, facts);
    }
    let mut plan = empty(owner);
    for namespace in agency.namespace_names() {
        match adopt(&name, &namespace, facts) {
            Ok(known) => {
                let key = ObjectKey::new(ObjectKind::Namespace, "", namespace.as_str());
                plan.uids.extend(known.map(|known| (key, known.uid.clone())));
                plan.objects.extend(namespace_objects(agency, &namespace));
            }
            Err(problem) => plan.problems.push(problem),
        }
    }
    plan.objects.sort_by(|one, other| one.key.kind.cmp(&other.key.kind));
    plan.sweep = facts
        .owned
        .iter()
        .filter(|key| !plan.objects.iter().any(|object| object.key == **key))
        .cloned()
        .collect();
    plan.sweep.retain(|key| !key.kind.holds_tenant_data());
    plan
}

/// Whether an agency may have a namespace, and which one it is where it exists.
fn adopt<'a>(agency: &str, namespace: &str, facts: &'a AgencyFacts<'_>) -> Result<Option<&'a NamespaceFacts>, Problem> {
    if facts.platform.protects(namespace) {
        let message = format!("namespace {namespace} is the platform's; choose another name in spec.namespaces");
        return Err(Problem::new(Reason::NamespaceProtected, message));
    }
    let Some(known) = facts.namespaces.get(namespace) else {
        return Ok(None);
    };
    if known.terminating.is_some() {
        let message = format!("namespace {namespace} is being deleted; it is made anew when it is gone");
        return Err(Problem::new(Reason::NamespaceTerminating, message));
    }
    match &known.agency {
        Some(holder) if holder == agency => Ok(Some(known)),
        Some(_) => {
            let message =
                format!("namespace {namespace} belongs to another agency; choose another name in spec.namespaces");
            Err(Problem::new(Reason::NamespaceTaken, message))
        }
        None => {
            let message = format!(
                "namespace {namespace} exists and is nobody's; hand it over with: kubectl label namespace {namespace} {AGENCY_LABEL}={agency}"
            );
            Err(Problem::new(Reason::NamespaceNotAdopted, message))
        }
    }
}

fn namespace_objects(agency: &Agency, namespace: &str) -> Vec<WantedObject> {
    let name = agency.name_any();
    let grade = format!("{:?}", agency.spec.security_grade);
    let mut labels = labels(&name);
    labels.insert(GRADE_LABEL.to_owned(), grade);
    for mode in ["enforce", "audit", "warn"] {
        labels.insert(format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned());
        labels.insert(
            format!("pod-security.kubernetes.io/{mode}-version"),
            "latest".to_owned(),
        );
    }
    let mut objects = vec![WantedObject {
        key: ObjectKey::new(ObjectKind::Namespace, "", namespace),
        body: json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}),
    }];
    let denied = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    objects.push(object(
        ObjectKind::NetworkPolicy,
        &name,
        namespace,
        "maru-default-deny",
        denied,
    ));
    let dns = json!({
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [{
            "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
            "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
        }],
    });
    objects.push(object(
        ObjectKind::NetworkPolicy,
        &name,
        namespace,
        "maru-allow-dns",
        dns,
    ));
    objects
}

fn object(kind: ObjectKind, agency: &str, namespace: &str, name: &str, spec: Value) -> WantedObject {
    let metadata = json!({"name": name, "namespace": namespace, "labels": labels(agency)});
    let body = json!({"apiVersion": kind.api_version(), "kind": kind.kind(), "metadata": metadata, "spec": spec});
    WantedObject {
        key: ObjectKey::new(kind, namespace, name),
        body,
    }
}

fn labels(agency: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (AGENCY_LABEL.to_owned(), agency.to_owned()),
        (MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned()),
    ])
}

fn empty(owner: Owner) -> Plan {
    Plan {
        owner,
        objects: Vec::new(),
        sweep: Vec::new(),
        uids: BTreeMap::new(),
        finalizer: Finalizer::Hold,
        problems: Vec::new(),
    }
}

/// The plan of an agency that is being deleted. Its namespaces stay with all that is in them, unless `deletionPolicy: Delete` was
/// set before and nothing in them must outlive it.
fn leave(owner: Owner, agency: &Agency, facts: &AgencyFacts<'_>) -> Plan {
    let mut plan = empty(owner);
    plan.finalizer = Finalizer::Release;
    let recorded = agency.status.as_ref().and_then(|status| status.deletion_policy);
    let deletes = agency.spec.deletion_policy == DeletionPolicy::Delete && recorded == Some(DeletionPolicy::Delete);
    if facts.crd_terminating || !deletes {
        return plan;
    }
    for bound in agency.status.iter().flat_map(|status| &status.namespaces) {
        let Some(known) = facts.namespaces.get(&bound.name).filter(|known| known.uid == bound.uid) else {
            continue;
        };
        plan.finalizer = Finalizer::Wait;
        if !known.retained.is_empty() {
            let kept: Vec<&str> = known.retained.iter().map(String::as_str).collect();
            let message = format!("namespace {} holds what must be kept: {}", bound.name, kept.join(", "));
            plan.problems.push(Problem::new(Reason::DeletionBlocked, message));
        } else if known.terminating.is_none() {
            let key = ObjectKey::new(ObjectKind::Namespace, "", bound.name.as_str());
            plan.uids.insert(key.clone(), known.uid.clone());
            plan.sweep.push(key);
        }
    }
    plan
}

/// The agency's status after a plan was carried out, from facts gathered after it. `now` becomes the transition time of
/// conditions that flipped and is used for nothing else.
pub fn report_agency(agency: &Agency, facts: &AgencyFacts<'_>, applied: &Applied, now: &Time) -> AgencyStatus {
    let previous = agency.status.clone().unwrap_or_default();
    let name = agency.name_any();
    let refused_in = |namespace: &str| {
        applied
            .refused()
            .any(|(key, ..)| key.namespace == namespace || key.kind == ObjectKind::Namespace && key.name == namespace)
    };
    let namespaces: Vec<NamespaceStatus> = agency
        .namespace_names()
        .into_iter()
        .filter_map(|namespace| {
            let known = facts
                .namespaces
                .get(&namespace)
                .filter(|known| known.agency.as_ref() == Some(&name))?;
            (!refused_in(&namespace)).then(|| NamespaceStatus {
                name: namespace,
                uid: known.uid.clone(),
                ..NamespaceStatus::default()
            })
        })
        .collect();
    let shortages = quota::shortages(&agency.spec.quota, &facts.systems);
    let generation = agency.metadata.generation;
    let (ready, reason, message) = if let Some(problem) = applied.problems().first() {
        (false, problem.reason, problem.message.clone())
    } else if let Some((key, _, message)) = applied.refused().next() {
        (false, Reason::Refused, format!("{key}: {message}"))
    } else if let Some(shortage) = shortages.first() {
        (false, Reason::QuotaExceeded, shortage.clone())
    } else {
        (
            true,
            Reason::Ready,
            format!(
                "{} of {} namespaces are set up",
                namespaces.len(),
                agency.namespace_names().len()
            ),
        )
    };
    let conditions = dated(
        &previous.conditions,
        vec![condition("Ready", ready, reason, message, generation)],
        now,
    );
    let deleting = agency.metadata.deletion_timestamp.is_some();
    AgencyStatus {
        observed_generation: generation,
        conditions,
        namespace_count: i32::try_from(namespaces.len()).ok(),
        namespaces: if deleting {
            previous.namespaces.clone()
        } else {
            namespaces
        },
        systems: i32::try_from(facts.systems.len()).ok(),
        deletion_policy: if deleting {
            previous.deletion_policy
        } else {
            Some(agency.spec.deletion_policy)
        },
        ..previous
    }
}
