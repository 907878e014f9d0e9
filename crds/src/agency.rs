//! `Agency`: a tenant of the cloud.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_core::ResourceExt;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    bounds, budget_bounds,
    shared::{Accelerator, DeletionPolicy, DisplayName, is_default},
};

/// A ministry, a local government or a public body: a tenant of the cloud.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "maru.dev",
    version = "v1alpha1",
    kind = "Agency",
    plural = "agencies",
    shortname = "ag",
    category = "maru",
    status = "AgencyStatus",
    derive = "PartialEq",
    doc = "A ministry, a local government or a public body: a tenant of the cloud.",
    crates(kube_core = "::kube_core", kube = "::kube_derive"),
    attr = "x_kube(crates(kube_core = \"::kube_core\"))",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 40")
        .message("an agency's name has at most 40 lower case letters, digits and '-', begins with a letter and ends with a letter or a digit; names for people go into displayNames"),
    validation = Rule::new("self.metadata.name != 'default' && !self.metadata.name.startsWith('kube-') && self.metadata.name != 'maru-system'")
        .message("an agency's name is its first namespace's name, and default, maru-system and names that begin with 'kube-' are the cluster's own namespaces"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Tier", type_ = "string", json_path = ".spec.tier"),
    printcolumn(name = "Grade", type_ = "string", json_path = ".spec.securityGrade"),
    printcolumn(name = "Namespaces", type_ = "integer", json_path = ".status.namespaceCount"),
    printcolumn(name = "Systems", type_ = "integer", json_path = ".status.systems"),
    printcolumn(name = "CPU", type_ = "string", json_path = ".status.requested.cpu"),
    printcolumn(name = "Memory", type_ = "string", json_path = ".status.requested.memory"),
    printcolumn(name = "Spent", type_ = "string", json_path = ".status.budget.spent"),
    printcolumn(
        name = "Within budget",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"WithinBudget\")].status",
        priority = "1"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct AgencySpec {
    /// The agency's name in each language, for people to read. The object's own name stays the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["language".into()]))]
    pub display_names: Vec<DisplayName>,
    /// Which part of government it is: `Central`, `Local` or `Public` (a public body).
    pub tier: Tier,
    /// The agency's namespaces. None given: one, named after the agency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub namespaces: Vec<AgencyNamespace>,
    /// Who may describe systems in the agency's namespaces. They never get more rights than that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub administrators: Vec<Subject>,
    /// Who may read the agency's bills and usage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub bill_readers: Vec<Subject>,
    /// What the agency may use at most, over all its namespaces. A missing figure is no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub quota: AgencyQuota,
    /// Which node pools its pods may use: `High`, `Moderate` or `Low` (the security grade of its systems).
    pub security_grade: SecurityGrade,
    /// What it plans to spend in a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// What its pods may reach beside DNS and the systems that let them in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network: AgencyNetwork,
    /// `Retain` (default): deleting the agency leaves its namespaces and everything in them. `Delete`: they go with it.
    /// It must say `Delete` before the agency is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

impl Agency {
    /// The names of the agency's namespaces, in the order given; one named after the agency where none is given.
    pub fn namespace_names(&self) -> Vec<String> {
        self.namespaces().into_iter().map(|namespace| namespace.name).collect()
    }

    /// The agency's namespaces with their weights, the default one included.
    pub fn namespaces(&self) -> Vec<AgencyNamespace> {
        if self.spec.namespaces.is_empty() {
            return vec![AgencyNamespace {
                name: self.name_any(),
                quota_weight: 1,
            }];
        }
        self.spec.namespaces.clone()
    }
}

/// Which part of government an agency is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Tier {
    /// A ministry or an office of the central government.
    Central,
    /// A province, a city, a county or a district.
    Local,
    /// A public body or a public corporation.
    Public,
}

/// The grade of the information that an agency's systems hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SecurityGrade {
    /// Nodes of the highest grade only.
    High,
    /// Nodes of the middle grade.
    Moderate,
    /// Nodes for public information.
    Low,
}

/// One namespace of an agency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct AgencyNamespace {
    /// The namespace's name.
    #[schemars(schema_with = "bounds::namespace")]
    pub name: String,
    /// Its part of the agency's quota in proportion to the others' weights, 1 to 1000.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub quota_weight: i32,
}

fn one() -> i32 {
    1
}

/// Someone the API server knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("(self.kind == 'ServiceAccount') == has(self.__namespace__)")
        .message("a ServiceAccount needs its namespace; a User or a Group has none"),
    validation = Rule::new("!self.name.startsWith('system:')")
        .message("names that begin with 'system:' are the cluster's own users and groups; name a person, a group of people, or a ServiceAccount by its own name"),
)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: SubjectKind,
    /// The name, as the API server's authentication gives it.
    #[schemars(schema_with = "bounds::subject_name")]
    pub name: String,
    /// The namespace of a `ServiceAccount`; not for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::dns_label")]
    pub namespace: Option<String>,
}

/// What a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SubjectKind {
    /// A person.
    User,
    /// A group of people.
    Group,
    /// A service account of the cluster.
    ServiceAccount,
}

/// What an agency may use at most, over all its namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct AgencyQuota {
    /// CPU requested by all pods, in cores (`"40"`) or millicores (`"500m"`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::cpu")]
    pub cpu: Option<String>,
    /// Memory requested by all pods, in bytes, such as `"160Gi"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::bytes")]
    pub memory: Option<String>,
    /// Storage requested by all persistent volume claims, in bytes, such as `"2Ti"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::bytes")]
    pub storage: Option<String>,
    /// Ephemeral storage requested by all pods, in bytes, such as `"100Gi"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::bytes")]
    pub ephemeral_storage: Option<String>,
    /// Devices requested by all pods, by resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["resource".into()]))]
    pub accelerators: Vec<Accelerator>,
    /// Pods that have not ended, 0 to 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub pods: Option<i32>,
    /// Services, 0 to 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub services: Option<i32>,
    /// Persistent volume claims, 0 to 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub persistent_volume_claims: Option<i32>,
}

/// What an agency plans to spend in a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct Budget {
    /// ISO 4217 code, such as `KRW`.
    #[schemars(schema_with = "bounds::currency")]
    pub currency: String,
    /// The amount for a month, a decimal of 0 or more in units of the currency.
    #[schemars(schema_with = "bounds::decimal")]
    pub monthly_amount: String,
    /// At which parts of the amount to warn, such as `"0.8"` for 80 %.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "budget_bounds::thresholds")]
    pub alert_thresholds: Vec<String>,
    /// What happens past the amount: `Warn` (default), or `BlockNew`: no new system,
    /// component or job begins; those that run go on.
    #[serde(default)]
    pub on_exceeded: OnExceeded,
}

/// What happens when a budget is exceeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnExceeded {
    /// A condition and an event say so.
    #[default]
    Warn,
    /// Nothing new begins either.
    BlockNew,
}

/// What an agency's pods may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct AgencyNetwork {
    /// Addresses outside the cluster. None: nothing outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub egress: Vec<EgressRule>,
}

/// Addresses outside the cluster that pods may reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct EgressRule {
    /// A name for the rule.
    #[schemars(schema_with = "bounds::dns_label")]
    pub name: String,
    /// An address range in CIDR notation, such as `203.0.113.0/24`.
    #[schemars(schema_with = "bounds::cidr")]
    pub cidr: String,
    /// The ports there. None: every port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["port".into(), "protocol".into()]))]
    pub ports: Vec<EgressPort>,
}

/// A port outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct EgressPort {
    /// The port, 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// `TCP` (default) or `UDP`.
    #[serde(default)]
    pub protocol: crate::Protocol,
}

/// What was seen of an agency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct AgencyStatus {
    /// The `metadata.generation` that this status was worked out for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// What holds; `Ready` sums it up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
    /// The agency's namespaces as the API server has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub namespaces: Vec<NamespaceStatus>,
    /// How many namespaces there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub namespace_count: Option<i32>,
    /// How many systems are in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub systems: Option<i32>,
    /// What all its pods request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<RequestedResources>,
    /// What the agency has spent of its budget. Billing alone writes it, with each draft of the month's bill, as a patch of this field;
    /// everything else of the status is the agency's reconciler's, which hands this on unchanged and judges it
    /// in the condition `WithinBudget`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetUse>,
    /// The highest of `spec.budget.alertThresholds` that the month's spending has passed, such as `0.8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "budget_bounds::threshold")]
    pub alert_threshold: Option<String>,
    /// The `deletionPolicy` that was last seen while the object was not being deleted. Only what stood here before the delete
    /// lets data go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// What an agency has spent in a month, by the latest draft of its bill. A new month begins with `spent: "0"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct BudgetUse {
    /// The month, such as `2026-11`.
    #[schemars(schema_with = "bounds::period")]
    pub period: String,
    /// The currency of the bill, as an ISO 4217 code.
    #[schemars(schema_with = "bounds::currency")]
    pub currency: String,
    /// The bill's total so far, taxes included; less than 0 where credits are more than charges.
    #[schemars(schema_with = "budget_bounds::signed_decimal")]
    pub spent: String,
    /// What the month comes to at its end if use goes on as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "budget_bounds::signed_decimal")]
    pub forecast: Option<String>,
}

/// One namespace of an agency, as the API server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct NamespaceStatus {
    /// The namespace's name.
    #[schemars(schema_with = "bounds::dns_label")]
    pub name: String,
    /// Its UID: a namespace of the same name with another UID is not this agency's.
    #[schemars(schema_with = "bounds::text")]
    pub uid: String,
    /// Its part of the agency's quota.
    #[serde(default, skip_serializing_if = "is_default")]
    pub quota: AgencyQuota,
}

/// What pods request together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct RequestedResources {
    /// CPU, such as `1500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::quantity")]
    pub cpu: Option<String>,
    /// Memory in bytes, such as `2Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::quantity")]
    pub memory: Option<String>,
    /// Storage of persistent volume claims in bytes, such as `20Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::quantity")]
    pub storage: Option<String>,
    /// Devices of all resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub accelerators: Option<i32>,
}
