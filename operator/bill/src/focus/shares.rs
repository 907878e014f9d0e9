//! Who bears which part of a cost that several agencies share.

use std::collections::BTreeMap;

use jiff::Timestamp;
use maru_meter::{Exact, Rounding};
use maru_rate::Charge;
use maru_rate::charge::{Allocation, AllocationMethod};
use maru_rate::split::largest_remainder;

use super::row::Row;
use crate::bill::{Bill, BillLine};

/// Places of a ratio; the last one evens out that all of them sum to one.
const PLACES: u32 = 18;

/// A part of a cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) method: AllocationMethod,
    /// Between 0 and 1.
    ratio: Exact,
}

impl Share {
    /// As the specification has it: a JSON object.
    pub(super) fn details(&self) -> String {
        format!("{{\"Elements\":[{{\"AllocatedRatio\":{}}}]}}", self.ratio)
    }
}

/// The shares of all bills, by bill and line.
#[derive(Debug)]
pub(super) struct Shares(BTreeMap<(usize, usize), Share>);

/// What lines must have in common to be parts of one cost: the period, what costs, why, and for when. A cost that is
/// taken back is another one than the one that takes its place.
type Cost<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Charge, Timestamp, bool, bool);

/// A line's place, and what the engine says of it.
type Part<'a> = ((usize, usize), &'a Allocation);

impl Shares {
    /// The ratios that the engine split by. Most have no end; those of a cost are cut together, so that they still sum to what they summed to.
    pub(super) fn of(bills: &[Bill]) -> Self {
        let mut costs: BTreeMap<Cost<'_>, Vec<Part<'_>>> = BTreeMap::new();
        for (place, bill) in bills.iter().enumerate() {
            for (number, line) in bill.lines.iter().enumerate() {
                if let Some(allocation) = &line.allocation {
                    costs
                        .entry(cost(bill, line))
                        .or_default()
                        .push(((place, number), allocation));
                }
            }
        }
        let mut shares = BTreeMap::new();
        for parts in costs.into_values() {
            let ratios: Vec<Exact> = parts.iter().map(|(_, allocation)| allocation.ratio.clone()).collect();
            let whole = ratios.iter().sum::<Exact>().round(PLACES, Rounding::HalfUp);
            for ((place, allocation), ratio) in parts.into_iter().zip(largest_remainder(&whole, PLACES, &ratios)) {
                let method = allocation.method;
                shares.insert(place, Share { method, ratio });
            }
        }
        Self(shares)
    }

    /// The share of a row of the bill at a place; its tax has none.
    pub(super) fn of_row(&self, place: usize, row: &Row<'_>) -> Option<Share> {
        let number = row.number()?.checked_sub(1)?;
        self.0.get(&(place, number)).cloned()
    }
}

/// Whether a charge is for a cost, and not for what an agency itself used or is given.
pub(super) fn is_shared(charge: Charge) -> bool {
    matches!(
        charge,
        Charge::Amortisation
            | Charge::Interest
            | Charge::CapitalCharge
            | Charge::Operations
            | Charge::Platform
            | Charge::Retirement
            | Charge::Idle
            | Charge::CarryForward
    )
}

fn cost<'a>(bill: &'a Bill, line: &'a BillLine) -> Cost<'a> {
    (
        &bill.period,
        line.system.as_deref(),
        line.item.as_deref(),
        line.charge,
        line.period_start,
        line.is_correction(),
        line.amount.is_negative(),
    )
}
