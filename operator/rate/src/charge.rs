//! What a rating gives: lines, and a statement of them for each agency.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::Timestamp;
use maru_meter::{Completeness, Exact, Interval};
use serde::{Deserialize, Serialize};

use crate::book::Rounded;
use crate::carry::{Carry, Recovery};
use crate::currency::Currency;
use crate::period::Month;

/// Why a line is charged, in the order in which lines stand on a bill. `Tax` is spread over the lines; no line of its own has it.
pub use maru_crds::{AllocationMethod, ChargeKind as Charge};

/// One figure of a bill and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// `namespace/name`, `unassigned`, or none where it is for all of an agency's systems.
    pub system: Option<Arc<str>>,
    /// Why.
    pub charge: Charge,
    /// The meter, where it is for use.
    pub meter: Option<Arc<str>>,
    /// The cost item or the percentage, where it is for one.
    pub item: Option<Arc<str>>,
    /// How much was used, where something was.
    pub quantity: Option<Exact>,
    /// In what unit.
    pub unit: Option<Arc<str>>,
    /// The price of a unit in the item's currency, where there is a single one.
    pub unit_price: Option<Exact>,
    /// What it costs, in the bill's currency and the line's precision.
    pub amount: Exact,
    /// Its part of the bill's tax.
    pub tax: Exact,
    /// The time that it is for.
    pub interval: Interval,
    /// From when on taxes are looked up: its own start, or the period's last moment for what is charged by the period.
    pub taxed_at: Timestamp,
    /// How much of the use was seen.
    pub completeness: Completeness,
    /// The bill and line that it corrects, such as `2026-000123/4`. Before bills have numbers the period stands for the agency's bill of it:
    /// `2026-10/4`.
    pub corrects: Option<String>,
    /// On a line of an earlier period's item that is billed anew: which half of that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<Correction>,
    /// Why the amount is what it is, where that needs words.
    pub reason: Option<String>,
    /// What the price book says of it, where it prices it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing: Option<Arc<Pricing>>,
    /// Which part of a shared cost it is, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<Box<Allocation>>,
}

impl Line {
    /// Whether it belongs to an earlier period than the bill that it stands on: it takes back, or states anew, what was billed there.
    pub fn is_correction(&self, billed: Interval) -> bool {
        self.interval.end <= billed.start
    }

    /// The order of lines on a bill: by system, what is for all systems last; then why, what for, and when.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        fn name(line: &Line) -> Option<&str> {
            line.meter.as_deref().or(line.item.as_deref())
        }
        let systems = (self.system.is_none(), &self.system).cmp(&(other.system.is_none(), &other.system));
        systems
            .then_with(|| self.charge.cmp(&other.charge))
            .then_with(|| name(self).cmp(&name(other)))
            .then_with(|| self.interval.start.cmp(&other.interval.start))
            .then_with(|| self.correction.cmp(&other.correction))
    }
}

/// The halves of a correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Correction {
    /// Takes back what was billed.
    Reversal,
    /// States it as it should have been.
    Reentry,
}

/// The price that a line was worked out with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pricing {
    /// When the price version began.
    pub version_from: Timestamp,
    /// ISO 4217 code of what the item's prices are in.
    pub currency: Arc<str>,
    /// What one unit of that currency is worth in the bill's; 1 where they are the same.
    pub exchange_rate: Exact,
    /// In that currency, the price of one unit, or of one package; none where there are several, as with tiers.
    pub list_price: Option<Exact>,
    /// Units in a package, where packages are priced.
    pub package_size: Option<Exact>,
}

/// The part of a shared cost that an agency pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    /// By what the cost was split.
    pub method: AllocationMethod,
    /// The agency's part of the whole; the ratios of all who pay a kind of a pool sum to 1.
    pub ratio: Exact,
    /// The whole, in the bill's currency.
    pub total: Exact,
    /// What the ratio comes from, where it comes from figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Box<Basis>>,
}

/// What a ratio comes from: `fixed × weight / weights + (1 − fixed) × used / all_used`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Basis {
    /// The part that is split by weight; the rest is split by use.
    pub fixed: Exact,
    /// The agency's weight, for the part of the period in which it took part.
    pub weight: Exact,
    /// The weights of all who take part.
    pub weights: Exact,
    /// What the agency used of the driver.
    pub used: Exact,
    /// What all who take part used of it.
    pub all_used: Exact,
}

/// A tax on a part of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaxPart {
    /// Such as `VAT`.
    pub name: String,
    /// Such as 0.1.
    pub rate: Exact,
    /// What it is taken of.
    pub base: Exact,
    /// What it comes to.
    pub amount: Exact,
}

/// What an agency owes for a period. `subtotal + tax = total`, always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Whose.
    pub agency: String,
    /// In the order of a bill.
    pub lines: Vec<Line>,
    /// Each tax that was taken.
    pub taxes: Vec<TaxPart>,
    /// Without tax.
    pub subtotal: Exact,
    /// The tax.
    pub tax: Exact,
    /// What is payable.
    pub total: Exact,
    /// What the agency pays for each system that it shares beside what it would pay alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub savings: Vec<Saving>,
}

/// A period, rated. Only [`crate::usage::Usage::rate`] makes one, so that whatever is booked went through all the rules.
#[derive(Clone, Debug)]
pub struct Rated {
    /// The period.
    pub(crate) month: Month,
    pub(crate) interval: Interval,
    pub(crate) currency: Currency,
    pub(crate) rounded: Rounded,
    pub(crate) statements: Vec<Statement>,
    pub(crate) warnings: Vec<String>,
    pub(crate) carry: Carry,
    pub(crate) recoveries: Vec<Recovery>,
    pub(crate) savings: Vec<Saving>,
}

/// What an agency pays for a system that it shares, beside what it would pay alone, in the card's currency and without tax.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saving {
    /// Who.
    pub agency: String,
    /// `namespace/name` of the shared system.
    pub system: String,
    /// What it pays for sharing it.
    pub fee: Exact,
    /// What it would pay alone.
    pub standalone: Exact,
    /// The difference; below zero sharing costs more.
    pub saving: Exact,
}

impl Rated {
    /// The month.
    pub fn month(&self) -> Month {
        self.month
    }

    /// Its time.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// What amounts are in.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// Which figure was rounded.
    pub fn rounded(&self) -> Rounded {
        self.rounded
    }

    /// One for each agency that owes or used anything, by name.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// What the next period's pools start with.
    pub fn carry(&self) -> &Carry {
        &self.carry
    }

    /// Over- and under-recovery of systems with a standard rate.
    pub fn recoveries(&self) -> &[Recovery] {
        &self.recoveries
    }

    /// What subscribers save, by system and agency, where their subscriptions say what they would pay alone.
    pub fn savings(&self) -> &[Saving] {
        &self.savings
    }

    /// What a person should look at.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
