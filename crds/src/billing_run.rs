//! `BillingRun`: close a period.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;

/// Closes a period: works out every agency's bill, to look at or to issue.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "maru.dev",
    version = "v1alpha1",
    kind = "BillingRun",
    plural = "billingruns",
    shortname = "run",
    category = "maru",
    status = "BillingRunStatus",
    derive = "PartialEq",
    doc = "Closes a period: works out every agency's bill, to look at or to issue.",
    crates(kube_core = "::kube_core"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Period", type_ = "string", json_path = ".spec.period"),
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action"),
    printcolumn(name = "Bills", type_ = "integer", json_path = ".status.bills"),
    printcolumn(name = "Total", type_ = "string", json_path = ".status.total"),
    printcolumn(name = "Currency", type_ = "string", json_path = ".status.currency"),
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
    validation = Rule::new("self.period == oldSelf.period && self.rateCardRef == oldSelf.rateCardRef")
        .message("period and rateCardRef cannot be changed: make another billing run"),
    validation = Rule::new("oldSelf.action != 'Issue' || self.action == 'Issue'")
        .message("a run that issues cannot become a preview again: bills that were issued stay issued"),
)]
pub struct BillingRunSpec {
    /// The price book. Cannot be changed.
    pub rate_card_ref: RateCardRef,
    /// The month, such as `2026-10`, in the price book's time zone. Cannot be changed.
    #[schemars(schema_with = "bounds::period")]
    pub period: String,
    /// `Preview` (default) shows the bills as drafts; `Issue` gives them their numbers, once the period and the grace are
    /// over. A run may go from `Preview` to `Issue`, not back.
    #[serde(default)]
    pub action: RunAction,
    /// `true` refuses to issue while a meter has holes, and names them. Default `false`.
    #[serde(default)]
    pub require_complete: bool,
    /// How long after the end of the period late usage is waited for, in hours. Default `72h`.
    #[serde(default = "grace")]
    #[schemars(schema_with = "bounds::hours")]
    pub grace: String,
}

fn grace() -> String {
    "72h".to_owned()
}

/// A price book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct RateCardRef {
    /// The name of the `RateCard`.
    #[schemars(schema_with = "bounds::dns_name")]
    pub name: String,
}

/// What a run does with the bills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RunAction {
    /// Shows them.
    #[default]
    Preview,
    /// Issues them.
    Issue,
}

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct BillingRunStatus {
    /// The `metadata.generation` that this status was worked out for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// What holds; `Ready` sums it up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
    /// The version of the usage table that the bills were worked out from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub table_version: Option<i64>,
    /// How many bills there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub bills: Option<i32>,
    /// What they come to with tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::figure")]
    pub total: Option<String>,
    /// ISO 4217 code of `total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::currency")]
    pub currency: Option<String>,
    /// The first number that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::bill_number")]
    pub first_number: Option<String>,
    /// The last number that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::bill_number")]
    pub last_number: Option<String>,
    /// The first 100 meters with holes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub holes: Vec<MeterHole>,
    /// How many meters have holes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub hole_count: Option<i32>,
    /// Up to when each source is recorded: what lies behind is complete, estimated or a hole; what lies ahead is still to come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub sources: Vec<SourceProgress>,
    /// Hours of the period of which not all was seen, by meter; meters that saw all of every hour are not listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["meter".to_string()]))]
    pub doubtful_hours: Vec<DoubtfulHours>,
}

/// Up to when a source is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct SourceProgress {
    /// `pods`, `volumes` or `prometheus`.
    #[schemars(schema_with = "bounds::dns_label")]
    pub name: String,
    /// Everything before this moment is recorded.
    #[schemars(schema_with = "bounds::timestamp")]
    pub recorded_until: String,
}

/// Hours of which a meter did not see all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct DoubtfulHours {
    /// Which meter.
    #[schemars(schema_with = "bounds::meter")]
    pub meter: String,
    /// In how many hours some of the use is an estimate.
    #[schemars(range(min = 0))]
    pub estimated: i32,
    /// In how many hours some of the use was not seen at all.
    #[schemars(range(min = 0))]
    pub missing: i32,
    /// The first of them.
    #[schemars(schema_with = "bounds::timestamp")]
    pub first: String,
}

/// A meter that did not see all that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct MeterHole {
    /// Whose use.
    #[schemars(schema_with = "bounds::dns_label")]
    pub agency: String,
    /// Of which system: `namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::system_name")]
    pub system: Option<String>,
    /// Which meter.
    #[schemars(schema_with = "bounds::meter")]
    pub meter: String,
}
