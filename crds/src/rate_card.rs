//! `RateCard`: the price book.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{bounds, shared::is_default};

/// The price book: what a unit of each meter costs, from when on, with exchange rates, taxes and rounding.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "maru.dev",
    version = "v1alpha1",
    kind = "RateCard",
    plural = "ratecards",
    shortname = "rates",
    category = "maru",
    status = "RateCardStatus",
    derive = "PartialEq",
    doc = "The price book: what a unit of each meter costs, from when on, with exchange rates, taxes and rounding.",
    crates(kube_core = "::kube_core"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Currency", type_ = "string", json_path = ".spec.currency"),
    printcolumn(name = "Zone", type_ = "string", json_path = ".spec.timeZone"),
    printcolumn(name = "In force since", type_ = "string", json_path = ".status.inForceSince"),
    printcolumn(name = "Items", type_ = "integer", json_path = ".status.items"),
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
    validation = Rule::new("self.versions.all(n, v, n == 0 || self.versions[n - 1].from < v.from)")
        .message("versions stand in the order of their dates, the earliest first"),
)]
pub struct RateCardSpec {
    /// ISO 4217 code of the currency that bills are in, such as `KRW`. Cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("the currency of a price book cannot be changed: make another price book"))]
    #[schemars(schema_with = "bounds::currency")]
    pub currency: String,
    /// The IANA time zone of the billing periods, such as `Asia/Seoul`: a period is a calendar month there. Cannot be
    /// changed.
    #[schemars(schema_with = "bounds::time_zone")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the time zone of a price book cannot be changed, because it cuts the billing periods: make another price book"))]
    pub time_zone: String,
    /// Where and how amounts become whole minor units of the currency.
    #[serde(default)]
    pub rounding: Rounding,
    /// The prices. Each version holds from its date until the next one's; a change inside a month is two lines.
    #[schemars(length(min = 1, max = 60))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["from".into()]))]
    pub versions: Vec<PriceVersion>,
    /// What one unit of another currency is worth in the card's currency, from when on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["from".into(), "currency".into()]))]
    pub exchange_rates: Vec<ExchangeRate>,
    /// The taxes on a bill's subtotal, from when on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["from".into(), "name".into()]))]
    pub taxes: Vec<Tax>,
}

/// Where and how amounts become whole minor units of the currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct Rounding {
    /// `Line` (default): each line. `Bill`: lines keep six decimals and the total is rounded.
    #[serde(default)]
    pub at: RoundingAt,
    /// `HalfUp` (default), `HalfEven`, `Down` or `Up`.
    #[serde(default)]
    pub mode: RoundingMode,
}

/// Which figure is rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RoundingAt {
    /// Each line.
    #[default]
    Line,
    /// The total.
    Bill,
}

/// Which way a figure between two is rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RoundingMode {
    /// To the nearer; a half away from zero.
    #[default]
    HalfUp,
    /// To the nearer; a half to the even one.
    HalfEven,
    /// Toward zero.
    Down,
    /// Away from zero.
    Up,
}

/// The prices from a date on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("!has(self.items) || self.items.filter(i, has(i.meter)).map(i, i.meter).distinct().size() == self.items.filter(i, has(i.meter)).size()")
        .message("a version prices each meter once"),
    validation = Rule::new("!has(self.items) || self.items.filter(i, has(i.name)).map(i, i.name).distinct().size() == self.items.filter(i, has(i.name)).size()")
        .message("two items of a version cannot have the same name"),
)]
pub struct PriceVersion {
    /// From when on they hold, RFC 3339 with an offset, such as `2026-01-01T00:00:00+09:00`.
    #[schemars(schema_with = "bounds::timestamp")]
    pub from: String,
    /// One item for each meter, and the percentages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub items: Vec<PriceItem>,
    /// What an agency pays at least in a period for its `Usage` and `Percentage` lines together. Default `"0"`.
    #[serde(default = "zero", skip_serializing_if = "is_zero")]
    #[schemars(schema_with = "bounds::decimal")]
    pub minimum_charge: String,
}

fn zero() -> String {
    "0".to_owned()
}

fn is_zero(amount: &str) -> bool {
    amount == "0"
}

/// What a meter's units cost, or a percentage on top.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("self.model == 'Percentage' ? has(self.name) && !has(self.meter) && !has(self.unit) : has(self.meter) && has(self.unit)")
        .message("an item needs meter and unit; with model Percentage it needs name in their place"),
    validation = Rule::new("has(self.unitPrice) == (self.model == 'PerUnit')")
        .message("unitPrice goes with model PerUnit, and only with it"),
    validation = Rule::new("(has(self.tiers) && size(self.tiers) > 0) == (self.model in ['Graduated', 'Volume'])")
        .message("tiers go with the models Graduated and Volume, and only with them"),
    validation = Rule::new("(has(self.packageSize) && has(self.packagePrice)) == (self.model == 'Package') && has(self.packageSize) == has(self.packagePrice)")
        .message("packageSize and packagePrice go with model Package, and only with it"),
    validation = Rule::new("(has(self.of) && size(self.of) > 0 && has(self.rate)) == (self.model == 'Percentage') && has(self.of) == has(self.rate)")
        .message("of and rate go with model Percentage, and only with it"),
    validation = Rule::new("!has(self.included) || self.model in ['PerUnit', 'Package']")
        .message("included goes with the models PerUnit and Package; with tiers, make the first tier free"),
    validation = Rule::new("!has(self.increment) || self.model != 'Percentage'")
        .message("a Percentage has no increment"),
    validation = Rule::new("!has(self.tiers) || size(self.tiers) == 0 || (self.tiers.filter(t, !has(t.upTo)).size() == 1 && !has(self.tiers[size(self.tiers) - 1].upTo))")
        .message("every tier but the last has upTo, and the last has none"),
    validation = Rule::new("!has(self.tiers) || self.tiers.all(n, t, n == 0 || !has(t.upTo) || !has(self.tiers[n - 1].upTo) || !isQuantity(t.upTo) || !isQuantity(self.tiers[n - 1].upTo) || quantity(self.tiers[n - 1].upTo).isLessThan(quantity(t.upTo)))")
        .message("tiers stand in the order of upTo, the smallest first, each more than the one before"),
)]
pub struct PriceItem {
    /// The meter that is priced, such as `cpu.reserved`. Not with `Percentage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::meter")]
    pub meter: Option<String>,
    /// The item's name on the bill. Needed with `Percentage`; otherwise the meter is the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::dns_label")]
    pub name: Option<String>,
    /// The unit that prices are for, such as `core-hour`. Not with `Percentage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::unit")]
    pub unit: Option<String>,
    /// How quantities become amounts: `PerUnit`, `Graduated` (each unit at its tier's price), `Volume` (all units at
    /// the price of the tier that holds the total), `Package` (whole packages) or `Percentage` (of other items).
    pub model: PricingModel,
    /// The price of one unit, for `PerUnit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::decimal")]
    pub unit_price: Option<String>,
    /// Units of an agency's period that are free, for `PerUnit` and `Package`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::decimal")]
    pub included: Option<String>,
    /// The tiers of `Graduated` and `Volume`, the smallest bound first, the last one without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tiers: Vec<PriceTier>,
    /// Units in a package, for `Package`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::positive")]
    pub package_size: Option<String>,
    /// The price of a package, for `Package`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::decimal")]
    pub package_price: Option<String>,
    /// The meters whose amounts a `Percentage` is taken of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::meters")]
    pub of: Vec<String>,
    /// The part of them, such as `"0.07"` for 7 %, for `Percentage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::decimal")]
    pub rate: Option<String>,
    /// ISO 4217 code, where prices are in another currency than the card's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::currency")]
    pub currency: Option<String>,
    /// The quantity of each usage record is rounded up to a multiple of this, in the item's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::positive")]
    pub increment: Option<String>,
}

impl PriceItem {
    /// What the item is called on a bill: its name, or its meter. Admission lets no item through that has neither.
    pub fn key(&self) -> Option<&str> {
        self.name.as_deref().or(self.meter.as_deref())
    }
}

/// How quantities become amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PricingModel {
    /// Quantity times price.
    PerUnit,
    /// Each unit at the price of the tier it falls in.
    Graduated,
    /// All units at the price of the tier that holds the total.
    Volume,
    /// Whole packages.
    Package,
    /// A part of other items' amounts.
    Percentage,
}

/// A range of quantities and its price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct PriceTier {
    /// The last quantity of the tier, itself included. None given, on the last tier only: no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::price")]
    pub up_to: Option<String>,
    /// The price of one unit.
    #[schemars(schema_with = "bounds::price")]
    pub unit_price: String,
    /// An amount that is added when the quantity enters the tier. Default `"0"`.
    #[serde(default = "zero", skip_serializing_if = "is_zero")]
    #[schemars(schema_with = "bounds::price")]
    pub flat_fee: String,
}

/// What one unit of a currency is worth in the card's currency, from a date on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct ExchangeRate {
    /// From when on it holds, RFC 3339 with an offset.
    #[schemars(schema_with = "bounds::timestamp")]
    pub from: String,
    /// ISO 4217 code of the other currency, such as `USD`.
    #[schemars(schema_with = "bounds::currency")]
    pub currency: String,
    /// One unit of it in the card's currency, more than 0, such as `"1350.20"`.
    #[schemars(schema_with = "bounds::positive")]
    pub rate: String,
}

/// A tax on a bill's subtotal, from a date on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct Tax {
    /// From when on it holds, RFC 3339 with an offset.
    #[schemars(schema_with = "bounds::timestamp")]
    pub from: String,
    /// The tax's name on the bill, such as `VAT`.
    #[schemars(schema_with = "bounds::tax_name")]
    pub name: String,
    /// The part of the subtotal, such as `"0.10"` for 10 %. `"0"` ends the tax.
    #[schemars(schema_with = "bounds::share")]
    pub rate: String,
}

/// What was seen of a price book.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct RateCardStatus {
    /// The `metadata.generation` that this status was worked out for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// What holds; `Ready` sums it up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
    /// The `from` of the version that is in force.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(schema_with = "bounds::timestamp")]
    pub in_force_since: Option<String>,
    /// How many items it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub items: Option<i32>,
}
