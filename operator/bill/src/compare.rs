//! Two sets of bills side by side: what other prices would change.

use std::collections::BTreeMap;
use std::fmt::Write;

use maru_meter::Exact;
use serde::Serialize;

use crate::bill::Bill;
use crate::table::amount;

/// The difference between two bills of one agency and period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Whose.
    pub agency: String,
    /// Which month.
    pub period: String,
    /// What the amounts are in; bills in another currency have a row of their own.
    pub currency: String,
    /// What is payable by the first; zero where there is no bill.
    pub total: Exact,
    /// What is payable by the other.
    pub other: Exact,
    /// The other less the first.
    pub difference: Exact,
}

/// One difference for each agency, period and currency, in this order.
pub fn differences(bills: &[Bill], others: &[Bill]) -> Vec<Difference> {
    let mut totals: BTreeMap<(&str, &str, &str), [Exact; 2]> = BTreeMap::new();
    for (side, bills) in [bills, others].into_iter().enumerate() {
        for bill in bills {
            let key = (bill.agency.as_str(), bill.period.as_str(), bill.currency.as_str());
            totals.entry(key).or_default()[side] += &bill.total;
        }
    }
    let difference = |((agency, period, currency), [total, other]): (_, [Exact; 2])| {
        let (agency, period, currency): (&str, &str, &str) = (agency, period, currency);
        Difference {
            agency: agency.to_owned(),
            period: period.to_owned(),
            currency: currency.to_owned(),
            difference: &other - &total,
            total,
            other,
        }
    };
    totals.into_iter().map(difference).collect()
}

/// The differences for people, one a line.
pub fn difference_table(differences: &[Difference]) -> String {
    let mut text = String::from("Difference, other prices less these\n");
    for one in differences {
        let _ = writeln!(
            text,
            "{} · {} · {}: {} → {}, difference {}",
            one.agency,
            one.period,
            one.currency,
            amount(&one.total),
            amount(&one.other),
            amount(&one.difference)
        );
    }
    text
}
