//! Who bears which part of a cost that several agencies share.

use std::collections::BTreeMap;

use jiff::Timestamp;
use maru_meter::Exact;
use maru_rate::Charge;
use maru_rate::split::largest_remainder;

use super::row::Row;
use crate::bill::{Bill, BillLine};

/// Places of a ratio; the last one evens out that all of them sum to one.
const PLACES: u32 = 12;

/// A part of a cost, between 0 and 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share(Exact);

impl Share {
    /// As the specification has it: a JSON object.
    pub(super) fn details(&self) -> String {
        format!("{{\"Elements\":[{{\"AllocatedRatio\":{}}}]}}", self.0)
    }
}

/// The shares of all bills, by bill and line.
#[derive(Debug)]
pub(super) struct Shares(BTreeMap<(usize, usize), Share>);

/// What lines must have in common to be parts of one cost: the period, what costs, why, and for when. A cost that is
/// taken back is another one than the one that takes its place.
type Cost<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Charge, Timestamp, bool, bool);

impl Shares {
    /// A cost is shared where lines of more than one agency are for it. A ratio is the line's part of the cost that was split, as it was billed.
    pub(super) fn of(bills: &[Bill]) -> Self {
        let mut costs: BTreeMap<Cost<'_>, Vec<(usize, usize)>> = BTreeMap::new();
        for (place, bill) in bills.iter().enumerate() {
            for (number, line) in bill.lines.iter().enumerate().filter(|(_, line)| is_shared(line.charge)) {
                costs.entry(cost(bill, line)).or_default().push((place, number));
            }
        }
        let mut shares = BTreeMap::new();
        for places in costs.into_values() {
            let alone = places
                .iter()
                .all(|(place, _)| bills[*place].agency == bills[places[0].0].agency);
            if alone {
                continue;
            }
            let amount = |(place, number): &(usize, usize)| {
                let amount = &bills[*place].lines[*number].amount;
                if amount.is_negative() { -amount } else { amount.clone() }
            };
            let amounts: Vec<Exact> = places.iter().map(amount).collect();
            let ratios = largest_remainder(&Exact::ONE, PLACES, &amounts);
            shares.extend(places.into_iter().zip(ratios.into_iter().map(Share)));
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
