//! `CostPool`: a platform cost to recover, and the meter that splits it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    bounds,
    cost::{Build, Operation},
    shared::SystemRef,
};

/// A cost of the platform itself that is recovered from the agencies: a data centre, staff, licences. It is split over all agencies by their use of a meter.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "maru.dev",
    version = "v1alpha1",
    kind = "CostPool",
    plural = "costpools",
    shortname = "pool",
    category = "maru",
    status = "CostPoolStatus",
    derive = "PartialEq",
    doc = "A cost of the platform itself that is recovered from the agencies: a data centre, staff, licences. It is split over all agencies by their use of a meter.",
    crates(kube_core = "::kube_core"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Driver", type_ = "string", json_path = ".spec.driver"),
    printcolumn(name = "Idle", type_ = "string", json_path = ".spec.idle"),
    printcolumn(name = "Currency", type_ = "string", json_path = ".spec.currency"),
    printcolumn(name = "Last period", type_ = "string", json_path = ".status.period"),
    printcolumn(name = "Amount", type_ = "string", json_path = ".status.amount"),
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
    validation = Rule::new("self.idle != 'Platform' || !has(self.capacity) || size(self.capacity) == 0 || has(self.platformAgencyRef)")
        .message("with idle Platform and a capacity, platformAgencyRef says which agency pays for what nobody used"),
    validation = Rule::new("!has(self.capacity) || self.capacity.all(n, c, n == 0 || self.capacity[n - 1].from < c.from)")
        .message("capacity stands in the order of its dates, the earliest first"),
)]
pub struct CostPoolSpec {
    /// ISO 4217 code of every amount here, such as `KRW`.
    #[schemars(schema_with = "bounds::currency")]
    pub currency: String,
    /// Capital: one entry for each tranche.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub builds: Vec<Build>,
    /// What it costs to run, a month.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub operations: Vec<Operation>,
    /// The meter whose use splits the cost, such as `cpu.reserved`.
    #[schemars(schema_with = "bounds::meter")]
    pub driver: String,
    /// Whose use counts. None given: everyone's, of every system, shared or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<PoolScope>,
    /// Who pays for capacity that nobody used: `Proportional` (default), all by their use, or `Platform`, the agency of
    /// `platformAgencyRef`.
    #[serde(default)]
    pub idle: IdlePolicy,
    /// What could be used, from when on, in the order of time. None given: there is no idle capacity, and the whole cost is split by use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 120))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["from".into()]))]
    pub capacity: Vec<Capacity>,
    /// The agency that runs the platform. It also pays a period in which nobody used the driver; without it that joins the next period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_agency_ref: Option<AgencyRef>,
}

/// An agency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct AgencyRef {
    /// The name of the `Agency`.
    #[schemars(schema_with = "bounds::dns_label")]
    pub name: String,
}

/// Whose use of the driver counts. Both lists given: what is in both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct PoolScope {
    /// Only these agencies. None given: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub agencies: Vec<AgencyRef>,
    /// Only these systems. None given: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into(), "name".into()]))]
    pub systems: Vec<SystemRef>,
}

/// Who pays for capacity that nobody used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IdlePolicy {
    /// All agencies, by their use.
    #[default]
    Proportional,
    /// The agency that runs the platform.
    Platform,
}

/// What can be used, from a day on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct Capacity {
    /// The first day, in the rate card's time zone.
    #[schemars(schema_with = "bounds::date")]
    pub from: String,
    /// Units of the driver that an hour offers: for `cpu.reserved`, the cores that there are.
    #[schemars(schema_with = "bounds::decimal")]
    pub per_hour: String,
}

/// What was seen of a cost pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct CostPoolStatus {
    /// The `metadata.generation` that this status was worked out for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// What holds; `Ready` sums it up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
    /// The last period that was worked out, such as `2026-10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::period")]
    pub period: Option<String>,
    /// What it cost in that period, in the rate card's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::figure")]
    pub amount: Option<String>,
}
