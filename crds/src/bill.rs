//! `Bill`: what one agency owes for one period.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;

/// One agency's bill for one period, or a credit note. Once it has its number nobody can change it.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "maru.dev",
    version = "v1alpha1",
    kind = "Bill",
    plural = "bills",
    shortname = "bill",
    category = "maru",
    namespaced,
    status = "BillStatus",
    derive = "PartialEq",
    doc = "One agency's bill for one period, or a credit note. Once it has its number nobody can change it.",
    crates(kube_core = "::kube_core"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Number", type_ = "string", json_path = ".spec.number"),
    printcolumn(name = "Agency", type_ = "string", json_path = ".spec.agency"),
    printcolumn(name = "Period", type_ = "string", json_path = ".spec.period"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.kind"),
    printcolumn(name = "Total", type_ = "string", json_path = ".spec.total"),
    printcolumn(name = "Currency", type_ = "string", json_path = ".spec.currency"),
    printcolumn(name = "Issued", type_ = "string", json_path = ".spec.issuedAt", priority = "1"),
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
    validation = Rule::new("!has(oldSelf.number) || self == oldSelf")
        .message("an issued bill cannot be changed: what was wrong is corrected on the next bill or by a credit note"),
    validation = Rule::new("self.agency == oldSelf.agency && self.period == oldSelf.period && self.kind == oldSelf.kind && self.currency == oldSelf.currency")
        .message("agency, period, kind and currency cannot be changed: they say which bill this is"),
    validation = Rule::new("has(self.number) == has(self.issuedAt) && has(self.number) == has(self.digest)")
        .message("number, issuedAt and digest are given together, when the bill is issued; a draft has none of them"),
    validation = Rule::new("(self.kind == 'CreditNote') == has(self.creditFor)")
        .message("creditFor is the number of the bill that a CreditNote gives back from; an Invoice has none"),
)]
pub struct BillSpec {
    /// Whose. Cannot be changed.
    #[schemars(schema_with = "bounds::dns_label")]
    pub agency: String,
    /// The month, such as `2026-10`. Cannot be changed.
    #[schemars(schema_with = "bounds::period")]
    pub period: String,
    /// `Invoice` (default), or `CreditNote`, which gives back from an issued bill. Cannot be changed.
    #[serde(default)]
    pub kind: BillKind,
    /// ISO 4217 code of every amount. Cannot be changed.
    #[schemars(schema_with = "bounds::currency")]
    pub currency: String,
    /// Gap-free within an issuer's fiscal year, such as `2026-000123`. None on a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::bill_number")]
    pub number: Option<String>,
    /// When it was issued. None on a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::timestamp")]
    pub issued_at: Option<String>,
    /// SHA-256 of the page that was booked, such as `sha256:…`. None on a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::digest")]
    pub digest: Option<String>,
    /// A signature of the digest, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::signature")]
    pub signature: Option<String>,
    /// What it can be worked out from again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<BillInputs>,
    /// The number of the bill that a credit note gives back from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::bill_number")]
    pub credit_for: Option<String>,
    /// What is owed without tax.
    #[schemars(schema_with = "bounds::figure")]
    pub subtotal: String,
    /// The tax.
    #[schemars(schema_with = "bounds::figure")]
    pub tax: String,
    /// What is payable: `subtotal` and `tax`. Below zero it is paid back.
    #[schemars(schema_with = "bounds::figure")]
    pub total: String,
    /// Each tax and rate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub taxes: Vec<BillTax>,
    /// What it is made of, in the order of the bill; of more than 2000 lines the first 2000. The ledger has them all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2000))]
    pub lines: Vec<BillLine>,
    /// How many lines the bill has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub line_count: Option<i32>,
    /// What the agency saves by sharing, one entry for each system that it shares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["system".into()]))]
    pub savings: Vec<BillSaving>,
}

/// Whether something is owed or given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BillKind {
    /// Something is owed.
    #[default]
    Invoice,
    /// Something is given back.
    CreditNote,
}

/// What a bill can be worked out from again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct BillInputs {
    /// The name of the `RateCard`.
    #[schemars(schema_with = "bounds::dns_name")]
    pub rate_card: String,
    /// SHA-256 of the price book, the systems, the subscriptions and the cost pools as they were.
    #[schemars(schema_with = "bounds::digest")]
    pub digest: String,
    /// The version of the usage table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub table_version: Option<i64>,
}

/// A tax on a part of a bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct BillTax {
    /// Which tax, such as `VAT`.
    #[schemars(schema_with = "bounds::tax_label")]
    pub tax: String,
    /// The part of the base, such as `0.1`.
    #[schemars(schema_with = "bounds::figure")]
    pub rate: String,
    /// What it is taken of.
    #[schemars(schema_with = "bounds::figure")]
    pub base: String,
    /// What it comes to.
    #[schemars(schema_with = "bounds::figure")]
    pub amount: String,
}

/// One figure of a bill and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct BillLine {
    /// `namespace/name` of the system, `unassigned`, or none where the line is for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::system_name")]
    pub system: Option<String>,
    /// Why it is charged.
    pub charge: ChargeKind,
    /// The meter, where it is for use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::line_name")]
    pub meter: Option<String>,
    /// The cost item or the percentage, where it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::line_name")]
    pub item: Option<String>,
    /// How much was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::figure")]
    pub quantity: Option<String>,
    /// In what unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::line_name")]
    pub unit: Option<String>,
    /// What a unit costs, where there is one price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::figure")]
    pub unit_price: Option<String>,
    /// What it costs.
    #[schemars(schema_with = "bounds::figure")]
    pub amount: String,
    /// Its part of the bill's tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::figure")]
    pub tax: Option<String>,
    /// From when.
    #[schemars(schema_with = "bounds::timestamp")]
    pub period_start: String,
    /// Until when, exclusive.
    #[schemars(schema_with = "bounds::timestamp")]
    pub period_end: String,
    /// How much of the use was seen: `Complete` (default), `Estimated` or `Missing`.
    #[serde(default)]
    pub completeness: LineCompleteness,
    /// The bill and the line that it corrects, such as `2026-000123/4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::reference")]
    pub corrects: Option<String>,
    /// Why the amount is what it is, where that needs words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::remark")]
    pub reason: Option<String>,
    /// Which part of a shared cost it is, where it is one: enough to work the amount out again with a pocket calculator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<BillAllocation>,
}

/// The part of a shared cost that a line is: `total` × `ratio`, rounded so that the parts of all sum to the total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct BillAllocation {
    /// By what the cost is split.
    pub method: AllocationMethod,
    /// The whole cost, in the bill's currency.
    #[schemars(schema_with = "bounds::figure")]
    pub total: String,
    /// The agency's part of it, to 28 decimals.
    #[schemars(schema_with = "bounds::figure")]
    pub ratio: String,
    /// What the ratio comes from, where it comes from figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<BillBasis>,
}

/// What a ratio comes from: `fixed` × `weight` / `weights` + (1 − `fixed`) × `used` / `allUsed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct BillBasis {
    /// The part that is split by weight; the rest is split by use.
    #[schemars(schema_with = "bounds::figure")]
    pub fixed: String,
    /// The agency's weight, for the part of the month in which it took part.
    #[schemars(schema_with = "bounds::figure")]
    pub weight: String,
    /// The weights of all who take part.
    #[schemars(schema_with = "bounds::figure")]
    pub weights: String,
    /// What the agency used of the driver.
    #[schemars(schema_with = "bounds::figure")]
    pub used: String,
    /// What all who take part used of it.
    #[schemars(schema_with = "bounds::figure")]
    pub all_used: String,
}

/// By what a shared cost is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AllocationMethod {
    /// The weights that the parties agreed on.
    Weight,
    /// A fixed part by weight, the rest by the use of the driver.
    WeightAndUse,
    /// The use of the driver.
    Use,
    /// One agency pays all of it.
    Whole,
}

impl AllocationMethod {
    /// Its name, as bills have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weight => "Weight",
            Self::WeightAndUse => "WeightAndUse",
            Self::Use => "Use",
            Self::Whole => "Whole",
        }
    }
}

/// Why a line is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ChargeKind {
    /// Use of a meter.
    Usage,
    /// A part of other lines' amounts.
    Percentage,
    /// What is missing to the minimum charge.
    Minimum,
    /// Capital that is written off.
    Amortisation,
    /// Interest on capital.
    Interest,
    /// A charge on the opening book value.
    CapitalCharge,
    /// Running a system.
    Operations,
    /// The shared system's own use of the platform.
    Platform,
    /// The driver at the year's standard rate.
    StandardRate,
    /// Book value that a retired system leaves.
    Retirement,
    /// Capacity that was provided and not used.
    Idle,
    /// What an earlier period could not split.
    CarryForward,
    /// A correction by hand.
    Adjustment,
    /// A credit.
    Credit,
    /// A tax.
    Tax,
}

impl ChargeKind {
    /// Its name, as bills have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usage => "Usage",
            Self::Percentage => "Percentage",
            Self::Minimum => "Minimum",
            Self::Amortisation => "Amortisation",
            Self::Interest => "Interest",
            Self::CapitalCharge => "CapitalCharge",
            Self::Operations => "Operations",
            Self::Platform => "Platform",
            Self::StandardRate => "StandardRate",
            Self::Retirement => "Retirement",
            Self::Idle => "Idle",
            Self::CarryForward => "CarryForward",
            Self::Adjustment => "Adjustment",
            Self::Credit => "Credit",
            Self::Tax => "Tax",
        }
    }
}

/// How much of the use was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LineCompleteness {
    /// All of it.
    #[default]
    Complete,
    /// It was bounded by what is known.
    Estimated,
    /// Nothing was seen.
    Missing,
}

/// What an agency saves by sharing a system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct BillSaving {
    /// `namespace/name` of the system.
    #[schemars(schema_with = "bounds::system_name")]
    pub system: String,
    /// What it pays for it in the period, without tax.
    #[schemars(schema_with = "bounds::figure")]
    pub fee: String,
    /// What it would pay alone.
    #[schemars(schema_with = "bounds::figure")]
    pub standalone: String,
    /// The difference.
    #[schemars(schema_with = "bounds::figure")]
    pub saving: String,
}

/// What was seen of a bill.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct BillStatus {
    /// The `metadata.generation` that this status was worked out for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// What holds; `Ready` sums it up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
}
