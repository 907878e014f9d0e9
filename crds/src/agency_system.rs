//! `AgencySystem`: an information system of an agency.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    agency::RequestedResources,
    bounds,
    cost::{Cost, Retirement, Sharing},
    shared::{DeletionPolicy, DisplayName, GrantRef, SystemRef},
    workload::{Component, ScheduledJob},
};

/// An information system: run by Maru (`components`, `jobs`), already running and only metered (`selector`), or
/// elsewhere (`external`).
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "maru.dev",
    version = "v1alpha1",
    kind = "AgencySystem",
    plural = "agencysystems",
    shortname = "sys",
    category = "maru",
    namespaced,
    status = "AgencySystemStatus",
    derive = "PartialEq",
    doc = "An information system of an agency: run by Maru, already running and only metered, or elsewhere.",
    crates(kube_core = "::kube_core", kube = "::kube_derive"),
    attr = "x_kube(crates(kube_core = \"::kube_core\"))",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 40")
        .message("a system's name has at most 40 lower case letters, digits and '-', begins with a letter and ends with a letter or a digit; names for people go into displayNames"),
    validation = Rule::new("self.metadata.name != 'unassigned'")
        .message("unassigned is what bills call the use that belongs to no system; choose another name"),
    validation = Rule::new("!has(self.spec.jobs) || self.spec.jobs.all(j, size(self.metadata.name) + size(j.name) <= 51)")
        .message("the names of the system and of a job together have at most 51 characters, because they name a CronJob"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Components", type_ = "string", json_path = ".status.ready"),
    printcolumn(name = "Pods", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "CPU", type_ = "string", json_path = ".status.requested.cpu"),
    printcolumn(name = "Memory", type_ = "string", json_path = ".status.requested.memory"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.urls[0]"),
    printcolumn(name = "Agency", type_ = "string", json_path = ".status.agency", priority = "1"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("(has(self.components) && size(self.components) > 0 ? 1 : 0) + (has(self.selector) ? 1 : 0) + (has(self.external) ? 1 : 0) == 1")
        .message("exactly one of components (Maru runs the system), selector (it runs already and is only metered) and external (it runs elsewhere) must be given"),
    validation = Rule::new("!has(self.jobs) || has(self.components)")
        .message("jobs go together with components; a selector or an external system has none"),
    validation = Rule::new("!has(self.hosts) || has(self.components)")
        .message("hosts go together with components; Maru does not route to a selector or an external system"),
    validation = Rule::new("!has(self.callers) || has(self.components)")
        .message("callers go together with components; Maru does not touch the network of a selector or an external system"),
    validation = Rule::new("!self.suspended || has(self.components)")
        .message("only a system with components can be suspended; Maru does not start or stop a selector or an external system"),
    validation = Rule::new("!has(self.jobs) || !has(self.components) || self.jobs.all(j, !self.components.exists(c, c.name == j.name))")
        .message("a job and a component of one system cannot have the same name"),
    validation = Rule::new("!has(self.hosts) || !has(self.components) || self.hosts.all(h, self.components.exists(c, c.name == h.component))")
        .message("component in hosts must be the name of one of the components"),
    validation = Rule::new("!has(self.hosts) || !has(self.components) || self.hosts.all(h, self.components.all(c, c.name != h.component || (has(c.ports) && c.ports.exists(p, p.protocol == 'TCP' && p.expose && (!has(h.port) || p.port == h.port)))))")
        .message("a host needs a TCP port of its component that is exposed: one of the component's ports, by number, or none for the first of them"),
)]
pub struct AgencySystemSpec {
    /// The system's name in each language, for people to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["language".into()]))]
    pub display_names: Vec<DisplayName>,
    /// The parts that run all the time. Not together with `selector` or `external`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub components: Vec<Component>,
    /// The parts that run at set times. Only together with `components`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub jobs: Vec<ScheduledJob>,
    /// Pods of this namespace that run already: Maru meters and bills them and does not touch them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<SystemSelector>,
    /// A system elsewhere, whose cost and reported usage are shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// Host names under which it is reached from outside the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["host".into(), "path".into()]))]
    pub hosts: Vec<HostRoute>,
    /// Other systems, of any agency, that may call this one. None given: only its own components.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into(), "name".into()]))]
    pub callers: Vec<SystemRef>,
    /// Grants of other agencies that this system's side has agreed to. Data can be read from when a grant is listed here, and
    /// no longer when it is taken off the list.
    // A list of consents and not of uses: what is agreed to is the grant as its owner wrote it, purpose and legal basis
    // included, and taking the consent back must be one line less.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into(), "name".into()]))]
    pub accepted_grants: Vec<GrantRef>,
    /// What it cost to build and costs to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// How its cost is split among the agencies that use it. None given: the owner pays it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
    /// Its end, and who pays what is not yet written off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retirement: Option<Retirement>,
    /// `Retain` (default): deleting the system leaves its persistent volumes. `Delete`: they go with it. It must say
    /// `Delete` before the system is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// `true` runs no pods and no jobs and keeps everything else. Default `false`.
    #[serde(default)]
    pub suspended: bool,
}

/// Where a system runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemKind {
    /// Maru runs it.
    Components,
    /// It runs already; Maru meters it.
    Selector,
    /// It is elsewhere.
    External,
}

impl AgencySystemSpec {
    /// Where the system runs. Admission lets exactly one of the three through.
    pub fn kind(&self) -> SystemKind {
        match (&self.selector, &self.external) {
            (Some(_), _) => SystemKind::Selector,
            (None, Some(_)) => SystemKind::External,
            (None, None) => SystemKind::Components,
        }
    }
}

/// Which pods of the namespace belong to a system: those that have every label and fulfil every expression.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)")
        .message("an empty selector would take every pod of the namespace: give matchLabels or matchExpressions"),
    validation = Rule::new("!has(self.matchLabels) || self.matchLabels.all(k, !k.startsWith('maru.dev/'))")
        .message("labels that begin with maru.dev/ mark what Maru runs, which belongs to its system already: select by another label"),
)]
pub struct SystemSelector {
    /// Labels that a pod has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Expressions that a pod's labels fulfil.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<LabelExpression>,
}

/// A statement about one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0")
        .message("In and NotIn need at least one value; Exists and DoesNotExist have none"),
    validation = Rule::new("!self.key.startsWith('maru.dev/')")
        .message("labels that begin with maru.dev/ mark what Maru runs, which belongs to its system already: select by another label"),
)]
pub struct LabelExpression {
    /// The label's key.
    #[schemars(schema_with = "bounds::label_key")]
    pub key: String,
    /// `In` or `NotIn` the values, or `Exists` or `DoesNotExist`.
    pub operator: LabelOperator,
    /// The values for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::label_values")]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// It has one of the values.
    In,
    /// It has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

/// A system elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct External {
    /// Where it runs, for people to read, such as `Data centre Daejeon, zone B`.
    #[schemars(schema_with = "bounds::text")]
    pub location: String,
    /// Where it is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::url")]
    pub url: Option<String>,
}

/// A host name and the component that answers there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct HostRoute {
    /// The host name, such as `docs.mois.example`. One agency's only.
    #[schemars(schema_with = "bounds::host")]
    pub host: String,
    /// The component that answers.
    #[schemars(schema_with = "bounds::part_name")]
    pub component: String,
    /// Its port, one of the component's exposed TCP ports. None given: the component's first exposed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The beginning of the paths that go there. Default `/`.
    #[serde(default = "root")]
    #[schemars(schema_with = "bounds::url_path")]
    pub path: String,
    /// The Secret of this namespace with the host's TLS certificate (`kubernetes.io/tls`). None given: plain HTTP, or
    /// what the gateway has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret_ref: Option<crate::LocalRef>,
}

fn root() -> String {
    "/".to_owned()
}

/// What was seen of a system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct AgencySystemStatus {
    /// The `metadata.generation` that this status was worked out for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// What holds; `Ready` sums it up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
    /// The agency whose namespace it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::dns_label")]
    pub agency: Option<String>,
    /// Components that are ready, of all, such as `2/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::text")]
    pub ready: Option<String>,
    /// Each component.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub components: Vec<ComponentStatus>,
    /// Pods that are wanted, over all components.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub replicas: Option<i32>,
    /// Pods that are ready, over all components.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ready_replicas: Option<i32>,
    /// Where it is reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::urls")]
    pub urls: Vec<String>,
    /// What its pods and volumes request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<RequestedResources>,
    /// The `deletionPolicy` that was last seen while the object was not being deleted. Only what stood here before the delete
    /// lets data go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// What was seen of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct ComponentStatus {
    /// The component's name.
    #[schemars(schema_with = "bounds::part_name")]
    pub name: String,
    /// The image its pods run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::image")]
    pub image: Option<String>,
    /// Pods that are wanted.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// Pods that are ready.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready_replicas: i32,
}
