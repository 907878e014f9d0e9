//! What became known after a period was billed: each item that it changes is taken back and stated anew on a later bill.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use maru_meter::{Exact, Interval};

use crate::charge::{Charge, Correction, Line, Statement};
use crate::period::Month;
use crate::recover::LinesByAgency;

/// What stands on bills for a period, as it was last stated, by agency.
#[derive(Debug, Default)]
pub(crate) struct Standing(BTreeMap<String, Vec<Entered>>);

/// A line as it was last billed.
#[derive(Debug)]
struct Entered {
    line: Line,
    /// Bill and line.
    at: String,
}

/// What is taken back and stated anew as a whole: the use of a meter over all of an agency's systems, since tiers and included units count
/// over all of them; a kind of a system's cost; a cost pool.
type Item = (Charge, Option<Arc<str>>, Option<Arc<str>>);

fn item(line: &Line) -> Item {
    let name = line.meter.clone().or_else(|| line.item.clone());
    let system = match line.charge {
        Charge::Usage | Charge::Percentage | Charge::Minimum => None,
        _ => line.system.clone(),
    };
    (line.charge, name, system)
}

impl Standing {
    /// Takes in what a bill of `month` says of a period that lasted for `interval`.
    pub(crate) fn enter(&mut self, statement: &Statement, month: Month, interval: Interval) {
        for (line, number) in statement.lines.iter().zip(1..) {
            let inside = interval.start <= line.interval.start && line.interval.end <= interval.end;
            if inside && line.correction != Some(Correction::Reversal) {
                let stated = Line {
                    tax: Exact::ZERO,
                    corrects: None,
                    correction: None,
                    ..line.clone()
                };
                self.0.entry(statement.agency.clone()).or_default().push(Entered {
                    line: stated,
                    at: format!("{month}/{number}"),
                });
            }
        }
    }

    /// The lines that take back and state anew what differs from `now`. What they take back stands no longer; what they state stands once it
    /// is entered.
    pub(crate) fn correct(&mut self, now: LinesByAgency) -> LinesByAgency {
        let mut now: BTreeMap<String, BTreeMap<Item, Vec<Line>>> = now
            .into_iter()
            .map(|(agency, lines)| (agency, by_item(lines, item)))
            .collect();
        let agencies: BTreeSet<String> = self.0.keys().chain(now.keys()).cloned().collect();
        let mut found = LinesByAgency::new();
        for agency in agencies {
            let before = self.0.remove(&agency).unwrap_or_default();
            let mut now = now.remove(&agency).unwrap_or_default();
            let mut corrections = Vec::new();
            let mut standing = Vec::new();
            for (item, before) in by_item(before, |entered| item(&entered.line)) {
                let now = now.remove(&item).unwrap_or_default();
                if same(&before, &now) {
                    standing.extend(before);
                } else {
                    anew(&before, now, &mut corrections);
                }
            }
            for lines in now.into_values() {
                anew(&[], lines, &mut corrections);
            }
            if !standing.is_empty() {
                self.0.insert(agency.clone(), standing);
            }
            if !corrections.is_empty() {
                found.insert(agency, corrections);
            }
        }
        found
    }
}

fn by_item<T>(all: Vec<T>, item: impl Fn(&T) -> Item) -> BTreeMap<Item, Vec<T>> {
    let mut items: BTreeMap<Item, Vec<T>> = BTreeMap::new();
    for one in all {
        items.entry(item(&one)).or_default().push(one);
    }
    items
}

/// Whether an item stands as it should. A bill's lines are in the order of a bill; those of a system, each by its time.
fn same(before: &[Entered], now: &[Line]) -> bool {
    let mut now: Vec<&Line> = now.iter().collect();
    now.sort_by(|one, other| one.order(other));
    let mut before: Vec<&Line> = before.iter().map(|entered| &entered.line).collect();
    before.sort_by(|one, other| one.order(other));
    before == now
}

fn anew(before: &[Entered], now: Vec<Line>, corrections: &mut Vec<Line>) {
    corrections.extend(before.iter().map(|Entered { line, at }| Line {
        quantity: line.quantity.as_ref().map(|quantity| -quantity),
        amount: -&line.amount,
        corrects: Some(at.clone()),
        correction: Some(Correction::Reversal),
        ..line.clone()
    }));
    corrections.extend(now.into_iter().map(|line| {
        let place = |entered: &&Entered| {
            (&entered.line.system, entered.line.interval.start) == (&line.system, line.interval.start)
        };
        // A line that is new belongs to an item that was billed, if any was.
        let corrected = before.iter().find(place).or(before.first());
        Line {
            corrects: corrected.map(|entered| entered.at.clone()),
            correction: Some(Correction::Reentry),
            ..line
        }
    }));
}
