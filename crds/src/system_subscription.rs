//! `SystemSubscription`: an agency joins a shared system.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    bounds,
    cost::{Build, Operation},
    shared::SystemRef,
};

/// An agency joins a shared system. It is in a namespace of the agency that joins; the system's owner lists whom it accepts.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "maru.dev",
    version = "v1alpha1",
    kind = "SystemSubscription",
    plural = "systemsubscriptions",
    shortname = "sub",
    category = "maru",
    namespaced,
    status = "SystemSubscriptionStatus",
    derive = "PartialEq",
    doc = "An agency joins a shared system. It is in a namespace of the agency that joins; the system's owner lists whom it accepts.",
    crates(kube_core = "::kube_core"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Owner", type_ = "string", json_path = ".spec.systemRef.namespace"),
    printcolumn(name = "System", type_ = "string", json_path = ".spec.systemRef.name"),
    printcolumn(name = "Weight", type_ = "string", json_path = ".spec.weight"),
    printcolumn(name = "From", type_ = "string", json_path = ".spec.from"),
    printcolumn(name = "Until", type_ = "string", json_path = ".spec.until"),
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
    validation = Rule::new("self.systemRef == oldSelf.systemRef").message("systemRef cannot be changed: make another subscription"),
    validation = Rule::new("!has(self.until) || self.from < self.until").message("until must be after from"),
)]
pub struct SystemSubscriptionSpec {
    /// The shared system. Cannot be changed.
    pub system_ref: SystemRef,
    /// The agency's weight in the split: headcount, population, seats, whatever the parties agreed on. Default `"1"`.
    #[serde(default = "one")]
    #[schemars(schema_with = "bounds::decimal")]
    pub weight: String,
    /// The first day, in the rate card's time zone.
    #[schemars(schema_with = "bounds::date")]
    pub from: String,
    /// The day after the last one. None given: no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::date")]
    pub until: Option<String>,
    /// What the agency would pay alone, for the savings that its bill shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standalone: Option<Standalone>,
}

fn one() -> String {
    "1".to_owned()
}

/// What an agency would pay for a system of its own, in units of the rate card's currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct Standalone {
    /// Capital: one entry for the first build and one for each enhancement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub builds: Vec<Build>,
    /// What it would cost to run, a month.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub operations: Vec<Operation>,
}

/// What was seen of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct SystemSubscriptionStatus {
    /// The `metadata.generation` that this status was worked out for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// What holds; `Ready` sums it up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
}
