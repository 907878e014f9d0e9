//! What a system cost to build and costs to run, and how that is shared (`docs`: how money is worked out, §4).

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;

/// What a system cost to build and costs to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct Cost {
    /// ISO 4217 code of every amount here, such as `KRW`.
    #[schemars(schema_with = "bounds::currency")]
    pub currency: String,
    /// Capital: one entry for the first build and one for each enhancement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub builds: Vec<Build>,
    /// What it costs to run, a month.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub operations: Vec<Operation>,
}

/// One tranche of capital and how it is written off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("self.method != 'Annuity' || has(self.annualRate)")
        .message("the method Annuity needs annualRate, such as 0.045 in quotes for 4.5 %"),
    validation = Rule::new("!isQuantity(self.amount) || !isQuantity(self.residual) || !quantity(self.residual).isGreaterThan(quantity(self.amount))")
        .message("residual must not be more than amount"),
)]
pub struct Build {
    /// A name for the tranche, such as `first-build`.
    #[schemars(schema_with = "bounds::dns_label")]
    pub name: String,
    /// What was paid, in units of the cost's currency.
    #[schemars(schema_with = "bounds::decimal")]
    pub amount: String,
    /// What it will be worth at the end, at most `amount`. Default `"0"`.
    #[serde(default = "zero")]
    #[schemars(schema_with = "bounds::decimal")]
    pub residual: String,
    /// The day from which it is used. Its first month is the first period that begins on this day or later.
    #[schemars(schema_with = "bounds::date")]
    pub in_service_date: String,
    /// Over how many months it is written off, 1 to 600.
    #[schemars(range(min = 1, max = 600))]
    pub months: i32,
    /// `StraightLine` (default): the same part each month. `Annuity`: the same payment each month, with interest.
    #[serde(default)]
    pub method: DepreciationMethod,
    /// The interest of a year, such as `"0.045"` for 4.5 %. Needed for `Annuity`; with `StraightLine` a capital charge
    /// on what is not yet written off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::share")]
    pub annual_rate: Option<String>,
}

fn zero() -> String {
    "0".to_owned()
}

/// How capital is written off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DepreciationMethod {
    /// The same part each month.
    #[default]
    StraightLine,
    /// The same payment each month, with interest.
    Annuity,
}

/// A cost of running, a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("!has(self.to) || self.from < self.to")
        .message("to is the first day that is not charged any more and must be later than from"),
)]
pub struct Operation {
    /// A name for the cost, such as `maintenance`.
    #[schemars(schema_with = "bounds::dns_label")]
    pub name: String,
    /// The amount for each period, in units of the cost's currency.
    #[schemars(schema_with = "bounds::decimal")]
    pub monthly: String,
    /// It is due for each period that begins on this day or later.
    #[schemars(schema_with = "bounds::date")]
    pub from: String,
    /// And before this day. None given: no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::date")]
    pub to: Option<String>,
}

/// How a system's cost is split among the agencies that use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("self.mode != 'StandardRate' || (has(self.standardRate) && has(self.driver))")
        .message("the mode StandardRate needs standardRate and a driver, the meter whose units the price is for"),
)]
pub struct Sharing {
    /// The agencies whose subscriptions are accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["agency".into()]))]
    pub accepts: Vec<AcceptedAgency>,
    /// Accept every agency's subscription. Default `false`.
    #[serde(default)]
    pub accepts_all: bool,
    /// The part that is split by weight, `"0"` to `"1"`; the rest is split by the driver. Default `"0"` with a driver;
    /// without one everything is split by weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::share")]
    pub fixed_share: Option<String>,
    /// The meter whose use splits the rest, such as `requests.count`. None given: everything is split by weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::meter")]
    pub driver: Option<String>,
    /// Who pays the driver's part in a period without use: `ByWeight` (default), `Owner`, or `CarryForward` (it joins
    /// the next period).
    #[serde(default)]
    pub on_no_usage: OnNoUsage,
    /// `Actual` (default) recovers what the period cost; `StandardRate` charges a price that is fixed for the year.
    #[serde(default)]
    pub mode: SharingMode,
    /// The price for `StandardRate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_rate: Option<StandardRate>,
    /// The owner's weight in the split. Default `"1"`.
    #[serde(default = "one")]
    #[schemars(schema_with = "bounds::decimal")]
    pub owner_weight: String,
}

fn one() -> String {
    "1".to_owned()
}

/// An agency whose subscription is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct AcceptedAgency {
    /// The name of the `Agency`.
    #[schemars(schema_with = "bounds::dns_label")]
    pub agency: String,
}

/// Who pays the driver's part in a period without use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnNoUsage {
    /// It is split by weight too.
    #[default]
    ByWeight,
    /// The owner pays it.
    Owner,
    /// It joins the next period's cost.
    CarryForward,
}

/// What is recovered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SharingMode {
    /// What the period cost.
    #[default]
    Actual,
    /// A price that is fixed for the year.
    StandardRate,
}

/// A price that is fixed for a fiscal year.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct StandardRate {
    /// The fiscal year, 2000 to 2999.
    #[schemars(range(min = 2000, max = 2999))]
    pub fiscal_year: i32,
    /// The price of one unit of the driver, in units of the cost's currency.
    #[schemars(schema_with = "bounds::decimal")]
    pub unit_price: String,
    /// How much over- or under-recovery may be carried into the next year before an alert says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::decimal")]
    pub carry_forward_limit: Option<String>,
}

/// A system's end, with what is not yet written off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct Retirement {
    /// The day: what is left is charged in the period that holds it, and nothing after.
    #[schemars(schema_with = "bounds::date")]
    pub date: String,
    /// Who pays what is left: `Owner` or `Subscribers` (all participants).
    pub policy: RetirementPolicy,
}

/// Who pays the book value that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RetirementPolicy {
    /// The owner.
    Owner,
    /// All participants, by the period's split.
    Subscribers,
}
