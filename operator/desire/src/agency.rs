//! What an agency wants of the cluster: its namespaces and in each of them quota, limits, rights and network policies.

use crate::budget::blocks_new;
use crate::deletion::{lets_data_go, namespaces_go};
use crate::facts::{AgencyFacts, NamespaceFacts};
use crate::manifest::{labels, metadata, some, wanted};
use crate::network::agency_policies;
use crate::object::{ObjectKey, ObjectKind, WantedObject};
use crate::plan::{Finalizer, Owner, Plan, Problem};
use crate::quota::{Share, Sharer, shares, shortages};
use crate::reason::Reason;
use crate::{AGENCY_LABEL, BLOCK_NEW_ANNOTATION, GRADE_LABEL};
use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec,
};
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject as RbacSubject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::ResourceExt;
use maru_crds::{Agency, NamespaceStatus, SecurityGrade, Subject, SubjectKind};
use std::collections::{BTreeMap, BTreeSet};

/// The ClusterRole of those who describe systems in an agency's namespaces.
const ADMIN_ROLE: &str = "maru-agency-admin";
/// The ClusterRole of those who read an agency's bills and usage.
const BILL_READER_ROLE: &str = "maru-bill-reader";
/// The API group of RBAC.
const RBAC: &str = "rbac.authorization.k8s.io";
/// What a container requests that says nothing, so that every pod can be counted and billed.
const DEFAULT_REQUEST: [(&str, &str); 2] = [("cpu", "100m"), ("memory", "128Mi")];

/// What an agency wants of the cluster: its namespaces and in each of them quota, limits, rights and network policies.
///
/// A namespace that the spec no longer lists and that still carries the agency's label keeps its policies and a quota of what its
/// systems ask for: taking them away would open it. It is a notice, and ceases when the label or the namespace goes.
pub fn plan_agency(agency: &Agency, facts: &AgencyFacts<'_>) -> Plan {
    let name = agency.name_any();
    let mut plan = Plan::empty(Owner::Agency { name: name.clone() });
    if agency.metadata.deletion_timestamp.is_some() {
        leave(agency, facts, &mut plan);
        return plan;
    }
    let plots = plots(agency, facts);
    let sharers: Vec<Sharer<'_>> = plots.iter().map(Plot::sharer).collect();
    let quotas = shares(&agency.spec.quota, &sharers, &facts.systems);
    plan.problems
        .extend(plots.iter().filter_map(|plot| plot.standing.problem(plot, &name)));
    plan.problems.extend(shortage(agency, facts));
    for plot in plots.iter().filter(|plot| plot.is_written()) {
        if let Some(there) = plot.there {
            plan.uids.insert(
                ObjectKey::new(ObjectKind::Namespace, "", plot.name.as_str()),
                there.uid.clone(),
            );
        }
        plan.objects.extend(namespace_objects(&name, agency, &plot.name, facts));
    }
    plan.objects
        .extend(quotas.into_iter().map(|share| resource_quota(&name, share)));
    // Stable: quotas keep the order in which they may be written.
    plan.objects.sort_by_key(|object| object.key.kind);
    if !facts.crd_terminating {
        plan.sweep = unwanted(&plan, &plots, facts);
    }
    plan
}

/// The agency is being deleted. Its namespaces stay with all that is in them, unless it lets its data go.
fn leave(agency: &Agency, facts: &AgencyFacts<'_>, plan: &mut Plan) {
    plan.finalizer = Finalizer::Release;
    let Some(status) = &agency.status else { return };
    if !facts.crd_terminating && lets_data_go(agency.spec.deletion_policy, status.deletion_policy) {
        namespaces_go(plan, &agency.name_any(), &status.namespaces, &facts.namespaces);
    }
}

/// A namespace that is the agency's, or is meant to be.
pub(crate) struct Plot<'a> {
    pub(crate) name: String,
    pub(crate) weight: i32,
    pub(crate) there: Option<&'a NamespaceFacts>,
    pub(crate) standing: Standing,
}

/// How a namespace and an agency stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is not there and is to be made.
    Absent,
    /// It is the agency's: labelled so, or recorded by UID and its label taken away.
    Ours,
    /// It is the agency's and the spec does not list it.
    NotListed,
    /// It is the agency's and is being deleted.
    Terminating,
    /// It is there and nobody has handed it over.
    NotAdopted,
    /// It is another agency's.
    Taken,
    /// No agency may have it.
    Protected,
}

/// The agency's namespaces, listed and left, in the order of their names, and how each stands.
pub(crate) fn plots<'a>(agency: &Agency, facts: &'a AgencyFacts<'_>) -> Vec<Plot<'a>> {
    let name = agency.name_any();
    let recorded: &[NamespaceStatus] = agency.status.as_ref().map_or(&[], |status| &status.namespaces);
    let mut weights: BTreeMap<String, i32> = agency
        .namespaces()
        .into_iter()
        .map(|listed| (listed.name, listed.quota_weight))
        .collect();
    let left = facts
        .namespaces
        .iter()
        .filter(|(_, there)| there.agency.as_deref() == Some(&name));
    let not_listed: BTreeSet<String> = left
        .map(|(left, _)| left.clone())
        .filter(|left| !weights.contains_key(left))
        .collect();
    weights.extend(not_listed.iter().map(|left| (left.clone(), 0)));
    weights
        .into_iter()
        .map(|(namespace, weight)| {
            let there = facts.namespaces.get(&namespace);
            let standing = match (
                standing(&name, &namespace, there, recorded),
                not_listed.contains(&namespace),
            ) {
                _ if facts.platform.protects(&namespace) => Standing::Protected,
                (Standing::Ours, true) => Standing::NotListed,
                (standing, _) => standing,
            };
            Plot {
                name: namespace,
                weight,
                there,
                standing,
            }
        })
        .collect()
}

fn standing(agency: &str, namespace: &str, there: Option<&NamespaceFacts>, recorded: &[NamespaceStatus]) -> Standing {
    let Some(there) = there else { return Standing::Absent };
    let is_recorded = || {
        recorded
            .iter()
            .any(|known| known.name == namespace && known.uid == there.uid)
    };
    match &there.agency {
        Some(label) if label != agency => Standing::Taken,
        None if !is_recorded() => Standing::NotAdopted,
        _ if there.terminating.is_some() => Standing::Terminating,
        _ => Standing::Ours,
    }
}

impl Plot<'_> {
    /// Whether objects are written in it.
    pub(crate) const fn is_written(&self) -> bool {
        matches!(self.standing, Standing::Absent | Standing::Ours | Standing::NotListed)
    }

    /// Whether it is the agency's.
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(
            self.standing,
            Standing::Ours | Standing::NotListed | Standing::Terminating
        )
    }

    fn sharer(&self) -> Sharer<'_> {
        Sharer {
            namespace: &self.name,
            weight: i64::from(self.weight),
            present: self.there.filter(|_| self.is_ours()).map(|there| &there.hard),
            writable: self.is_written(),
        }
    }
}

impl Standing {
    fn problem(self, plot: &Plot<'_>, agency: &str) -> Option<Problem> {
        let namespace = &plot.name;
        let (reason, message) = match self {
            Self::Absent | Self::Ours => return None,
            Self::NotListed => (
                Reason::NamespaceNotListed,
                format!(
                    "namespace {namespace} is this agency's and spec.namespaces does not list it: it keeps its policies and a \
                     quota of what its systems ask for; list it again, or delete it when nothing in it is needed"
                ),
            ),
            Self::Terminating => {
                let blocked = plot
                    .there
                    .and_then(|there| there.terminating.as_deref())
                    .unwrap_or_default();
                let why = if blocked.is_empty() {
                    String::new()
                } else {
                    format!(" ({blocked})")
                };
                let message = format!("namespace {namespace} is being deleted{why}; it is made anew when it is gone");
                (Reason::NamespaceTerminating, message)
            }
            Self::NotAdopted => (
                Reason::NamespaceNotAdopted,
                format!(
                    "namespace {namespace} exists and nobody handed it to this agency; choose another name, or hand it over \
                     with: kubectl label namespace {namespace} {AGENCY_LABEL}={agency}"
                ),
            ),
            Self::Taken => (
                Reason::NamespaceTaken,
                format!("namespace {namespace} belongs to another agency; choose another name in spec.namespaces"),
            ),
            Self::Protected => (
                Reason::NamespaceProtected,
                format!("namespace {namespace} belongs to the platform; choose another name in spec.namespaces"),
            ),
        };
        Some(Problem::new(reason, message))
    }
}

/// The notice that the systems ask for more than the quota allows.
pub(crate) fn shortage(agency: &Agency, facts: &AgencyFacts<'_>) -> Option<Problem> {
    let shortages = shortages(&agency.spec.quota, &facts.systems);
    let message = format!(
        "the systems ask for more than the quota allows, so the last pods to start are refused: {}; raise spec.quota or \
         lower what the systems ask for",
        shortages.join(", ")
    );
    (!shortages.is_empty()).then(|| Problem::new(Reason::QuotaExceeded, message))
}

fn namespace_objects(agency: &str, of: &Agency, name: &str, facts: &AgencyFacts<'_>) -> Vec<WantedObject> {
    let spec = &of.spec;
    let mut objects = vec![namespace(agency, name, of), limit_range(agency, name)];
    objects.extend(role_binding(
        agency,
        name,
        "maru-administrators",
        ADMIN_ROLE,
        &spec.administrators,
    ));
    objects.extend(role_binding(
        agency,
        name,
        "maru-bill-readers",
        BILL_READER_ROLE,
        &spec.bill_readers,
    ));
    objects.extend(agency_policies(agency, name, facts.platform, &spec.network));
    objects
}

fn namespace(agency: &str, name: &str, of: &Agency) -> WantedObject {
    let mut labels = labels(agency, None, None);
    let grade = match of.spec.security_grade {
        SecurityGrade::High => "High",
        SecurityGrade::Moderate => "Moderate",
        SecurityGrade::Low => "Low",
    };
    labels.insert(GRADE_LABEL.to_owned(), grade.to_owned());
    for mode in ["audit", "enforce", "warn"] {
        labels.insert(format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned());
        labels.insert(
            format!("pod-security.kubernetes.io/{mode}-version"),
            "latest".to_owned(),
        );
    }
    // Always there, and empty where nothing is blocked: what a create wrote a later apply cannot take away.
    let why = blocks_new(of).map_or_else(String::new, |figures| {
        format!(
            "the budget of agency {agency} is spent ({figures}) and it says onExceeded: BlockNew until the next month, or \
             until the platform raises spec.budget.monthlyAmount"
        )
    });
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels),
        annotations: Some(BTreeMap::from([(BLOCK_NEW_ANNOTATION.to_owned(), why)])),
        ..ObjectMeta::default()
    };
    wanted(
        ObjectKind::Namespace,
        &Namespace {
            metadata,
            ..Namespace::default()
        },
    )
}

/// Only default requests: a default limit would refuse every container that requests more and says no limit.
fn limit_range(agency: &str, namespace: &str) -> WantedObject {
    let requests = DEFAULT_REQUEST.map(|(name, quantity)| (name.to_owned(), Quantity(quantity.to_owned())));
    let item = LimitRangeItem {
        type_: "Container".to_owned(),
        default_request: Some(BTreeMap::from(requests)),
        ..LimitRangeItem::default()
    };
    let range = LimitRange {
        metadata: metadata("maru".to_owned(), namespace, labels(agency, None, None)),
        spec: Some(LimitRangeSpec { limits: vec![item] }),
    };
    wanted(ObjectKind::LimitRange, &range)
}

fn resource_quota(agency: &str, share: Share) -> WantedObject {
    let Share { namespace, hard } = share;
    let hard = hard
        .into_iter()
        .map(|(key, quantity)| (key, Quantity(quantity)))
        .collect();
    let quota = ResourceQuota {
        metadata: metadata("maru".to_owned(), &namespace, labels(agency, None, None)),
        spec: Some(ResourceQuotaSpec {
            hard: Some(hard),
            ..ResourceQuotaSpec::default()
        }),
        status: None,
    };
    wanted(ObjectKind::ResourceQuota, &quota)
}

fn role_binding(agency: &str, namespace: &str, name: &str, role: &str, subjects: &[Subject]) -> Option<WantedObject> {
    let subjects = some(subjects.iter().map(rbac_subject).collect())?;
    let binding = RoleBinding {
        metadata: metadata(name.to_owned(), namespace, labels(agency, None, None)),
        role_ref: RoleRef {
            api_group: Some(RBAC.to_owned()),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(subjects),
    };
    Some(wanted(ObjectKind::RoleBinding, &binding))
}

fn rbac_subject(subject: &Subject) -> RbacSubject {
    let Subject { kind, name, namespace } = subject;
    let (kind, group) = match kind {
        SubjectKind::User => ("User", Some(RBAC)),
        SubjectKind::Group => ("Group", Some(RBAC)),
        SubjectKind::ServiceAccount => ("ServiceAccount", None),
    };
    RbacSubject {
        kind: kind.to_owned(),
        api_group: group.map(str::to_owned),
        name: name.clone(),
        namespace: namespace.clone(),
    }
}

/// The agency's own objects that it no longer wants, in namespaces that are written. Those in a namespace that is another's by now
/// are that one's to judge, and those in one that is going go with it.
fn unwanted(plan: &Plan, plots: &[Plot<'_>], facts: &AgencyFacts<'_>) -> Vec<ObjectKey> {
    let kept: BTreeSet<&ObjectKey> = plan.objects.iter().map(|object| &object.key).collect();
    let written: BTreeSet<&str> = plots
        .iter()
        .filter(|plot| plot.is_written())
        .map(|plot| plot.name.as_str())
        .collect();
    let unwanted =
        facts.owned.iter().rev().filter(|key| {
            !kept.contains(key) && !key.kind.holds_tenant_data() && written.contains(key.namespace.as_str())
        });
    unwanted.cloned().collect()
}
