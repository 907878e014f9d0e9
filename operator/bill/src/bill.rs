//! A bill: what an agency is told that it owes, from a ledger page.

use std::sync::Arc;

use jiff::Timestamp;
use maru_ledger::Page;
use maru_meter::{Completeness, Exact};
use maru_rate::charge::Allocation;
use maru_rate::{Charge, Correction, Line, Saving};
use serde::Serialize;

/// One agency's bill for one period. It is made from a ledger page only, so that what is shown is what was booked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bill {
    /// Whose.
    pub agency: String,
    /// Such as `2026-10`.
    pub period: String,
    /// An invoice or a credit note.
    pub kind: BillKind,
    /// ISO 4217 code.
    pub currency: String,
    /// None on a draft.
    pub number: Option<String>,
    /// Without tax.
    pub subtotal: Exact,
    /// The tax.
    pub tax: Exact,
    /// What is payable.
    pub total: Exact,
    /// What it is made of.
    pub lines: Vec<BillLine>,
    /// What the agency pays for each system that it shares beside what it would pay alone, where it says so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub savings: Vec<Saving>,
}

/// What kind of bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum BillKind {
    /// Something is owed.
    Invoice,
    /// Something is given back.
    CreditNote,
}

/// One figure of a bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BillLine {
    /// `namespace/name`, `unassigned`, or none where it is for all systems.
    pub system: Option<Arc<str>>,
    /// Why.
    pub charge: Charge,
    /// Which meter.
    pub meter: Option<Arc<str>>,
    /// Which cost item or percentage.
    pub item: Option<Arc<str>>,
    /// How much was used.
    pub quantity: Option<Exact>,
    /// In what unit.
    pub unit: Option<Arc<str>>,
    /// Where there is a single one.
    pub unit_price: Option<Exact>,
    /// What it costs.
    pub amount: Exact,
    /// Its part of the bill's tax.
    pub tax: Exact,
    /// From when.
    pub period_start: Timestamp,
    /// Until when, exclusive.
    pub period_end: Timestamp,
    /// How much of the use was seen.
    pub completeness: Completeness,
    /// The bill and line that it corrects.
    pub corrects: Option<String>,
    /// Which half of a correction it is. JSON says it by the sign, the time and `corrects`.
    #[serde(skip)]
    pub correction: Option<Correction>,
    /// Why the amount is what it is, where that needs words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which part of a shared cost it is, where it is one; exports say it.
    #[serde(skip)]
    pub allocation: Option<Box<Allocation>>,
}

impl Bill {
    /// The bill of a page.
    pub fn of(page: &Page) -> Self {
        let statement = page.statement();
        Self {
            agency: statement.agency.clone(),
            period: page.month().to_owned(),
            kind: if statement.total.is_negative() {
                BillKind::CreditNote
            } else {
                BillKind::Invoice
            },
            currency: page.currency().to_owned(),
            number: page.number().map(str::to_owned),
            subtotal: statement.subtotal.clone(),
            tax: statement.tax.clone(),
            total: statement.total.clone(),
            lines: statement.lines.iter().map(BillLine::of).collect(),
            savings: statement.savings.clone(),
        }
    }
}

impl BillLine {
    /// Whether it corrects what an earlier bill said, or left out.
    pub fn is_correction(&self) -> bool {
        self.corrects.is_some() || self.correction.is_some()
    }

    fn of(line: &Line) -> Self {
        Self {
            system: line.system.clone(),
            charge: line.charge,
            meter: line.meter.clone(),
            item: line.item.clone(),
            quantity: line.quantity.clone(),
            unit: line.unit.clone(),
            unit_price: line.unit_price.clone(),
            amount: line.amount.clone(),
            tax: line.tax.clone(),
            period_start: line.interval.start,
            period_end: line.interval.end,
            completeness: line.completeness,
            corrects: line.corrects.clone(),
            correction: line.correction,
            reason: line.reason.clone(),
            allocation: line.allocation.clone(),
        }
    }
}
