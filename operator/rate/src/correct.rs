//! What became known after a period was billed: each item that it changes is taken back and stated anew on a later bill.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use maru_meter::{Exact, Interval};

use crate::charge::{Allocation, Basis, Charge, Correction, Line, Pricing, Statement};
use crate::period::Month;
use crate::recover::LinesByAgency;

/// What stands on bills for a period, as it was last stated, by agency.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing(BTreeMap<String, Vec<Entered>>);

/// A line as it was last billed.
#[derive(Clone, Debug)]
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
                self.0.entry(statement.agency.clone()).or_default().push(Entered {
                    line: bare(line),
                    at: format!("{month}/{number}"),
                });
            }
        }
    }

    /// Takes in what an issued bill says of a period that lasted for `interval`: what it states stands, and what it takes back no longer does.
    pub(crate) fn enter_issued(&mut self, statement: &Statement, number: &str, interval: Interval) {
        let standing = self.0.entry(statement.agency.clone()).or_default();
        for (line, place) in statement.lines.iter().zip(1..) {
            if line.correction == Some(Correction::Reversal) {
                let taken = line.corrects.as_ref();
                if let Some(taken) = standing.iter().position(|entered| Some(&entered.at) == taken) {
                    standing.remove(taken);
                }
            } else if interval.start <= line.interval.start && line.interval.end <= interval.end {
                standing.push(Entered {
                    line: bare(line),
                    at: format!("{number}/{place}"),
                });
            }
        }
    }

    /// The lines that take back and state anew what is another one in `now` than in `before`; nothing else is touched, also where
    /// it stands otherwise.
    pub(crate) fn correct_changed(&mut self, before: LinesByAgency, now: LinesByAgency) -> LinesByAgency {
        let mut before = items_of(before);
        let mut found = LinesByAgency::new();
        for (agency, now) in items_of(now) {
            let mut before = before.remove(&agency).unwrap_or_default();
            let mut standing = by_item(self.0.remove(&agency).unwrap_or_default(), |entered| {
                item(&entered.line)
            });
            let mut corrections = Vec::new();
            let mut correct = |item: Item, before: &[Line], now: Vec<Line>| {
                if !same(before.iter().collect(), now.iter().collect()) {
                    let standing = standing.remove(&item).unwrap_or_default();
                    if !stands(&standing, &now) {
                        anew(&standing, now, &mut corrections);
                    }
                }
            };
            for (item, now) in now {
                let before = before.remove(&item).unwrap_or_default();
                correct(item, &before, now);
            }
            for (item, before) in before {
                correct(item, &before, Vec::new());
            }
            if !corrections.is_empty() {
                found.insert(agency, corrections);
            }
        }
        found
    }

    /// The lines that take back and state anew what differs from `now`. What they take back stands no longer; what they state stands once it
    /// is entered.
    pub(crate) fn correct(&mut self, now: LinesByAgency) -> LinesByAgency {
        let mut now = items_of(now);
        let agencies: BTreeSet<String> = self.0.keys().chain(now.keys()).cloned().collect();
        let mut found = LinesByAgency::new();
        for agency in agencies {
            let before = self.0.remove(&agency).unwrap_or_default();
            let mut now = now.remove(&agency).unwrap_or_default();
            let mut corrections = Vec::new();
            let mut standing = Vec::new();
            for (item, before) in by_item(before, |entered| item(&entered.line)) {
                let now = now.remove(&item).unwrap_or_default();
                if stands(&before, &now) {
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

fn items_of(lines: LinesByAgency) -> BTreeMap<String, BTreeMap<Item, Vec<Line>>> {
    let agencies = lines.into_iter();
    agencies.map(|(agency, lines)| (agency, by_item(lines, item))).collect()
}

/// A line without what the bill that it stands on gave it.
fn bare(line: &Line) -> Line {
    Line {
        tax: Exact::ZERO,
        corrects: None,
        correction: None,
        ..line.clone()
    }
}

/// Whether an item stands as it should, as far as figures are written down: fractions that have no end are rounded in the books.
fn stands(before: &[Entered], now: &[Line]) -> bool {
    let before: Vec<Line> = before.iter().map(|entered| written(&entered.line)).collect();
    let now: Vec<Line> = now.iter().map(written).collect();
    same(before.iter().collect(), now.iter().collect())
}

/// Whether lines say the same. A bill's lines are in the order of a bill; those of a system, each by its time.
fn same(mut before: Vec<&Line>, mut now: Vec<&Line>) -> bool {
    before.sort_by(|one, other| one.order(other));
    now.sort_by(|one, other| one.order(other));
    before == now
}

/// A line with its figures as they are written down.
fn written(line: &Line) -> Line {
    let figure = |figure: &Exact| figure.to_string().parse().unwrap_or_else(|_| figure.clone());
    let pricing = line.pricing.as_deref().map(|pricing| Pricing {
        exchange_rate: figure(&pricing.exchange_rate),
        list_price: pricing.list_price.as_ref().map(figure),
        package_size: pricing.package_size.as_ref().map(figure),
        ..pricing.clone()
    });
    let allocation = line.allocation.as_deref().map(|allocation| Allocation {
        ratio: figure(&allocation.ratio),
        total: figure(&allocation.total),
        basis: allocation.basis.as_deref().map(|basis| {
            Box::new(Basis {
                fixed: figure(&basis.fixed),
                weight: figure(&basis.weight),
                weights: figure(&basis.weights),
                used: figure(&basis.used),
                all_used: figure(&basis.all_used),
            })
        }),
        ..allocation.clone()
    });
    Line {
        quantity: line.quantity.as_ref().map(figure),
        unit_price: line.unit_price.as_ref().map(figure),
        amount: figure(&line.amount),
        pricing: pricing.map(Arc::new),
        allocation: allocation.map(Box::new),
        ..line.clone()
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charge::{AllocationMethod, Charge};

    fn third() -> Exact {
        Exact::ONE.over(std::num::NonZeroU64::new(3).unwrap())
    }

    /// A line each of whose figures has no end.
    fn endless() -> Line {
        let interval = maru_meter::Interval {
            start: "2026-10-01T00:00:00Z".parse().unwrap(),
            end: "2026-11-01T00:00:00Z".parse().unwrap(),
        };
        let basis = Basis {
            fixed: third(),
            weight: third(),
            weights: third(),
            used: third(),
            all_used: third(),
        };
        Line {
            system: None,
            charge: Charge::Usage,
            meter: None,
            item: None,
            quantity: Some(third()),
            unit: None,
            unit_price: Some(third()),
            amount: third(),
            tax: Exact::ZERO,
            interval,
            taxed_at: interval.start,
            completeness: maru_meter::Completeness::Complete,
            corrects: None,
            correction: None,
            reason: None,
            pricing: Some(Arc::new(Pricing {
                version_from: interval.start,
                currency: "KRW".into(),
                exchange_rate: third(),
                list_price: Some(third()),
                package_size: Some(third()),
            })),
            allocation: Some(Box::new(Allocation {
                method: AllocationMethod::WeightAndUse,
                ratio: third(),
                total: third(),
                basis: Some(Box::new(basis)),
            })),
        }
    }

    #[test]
    fn what_the_books_give_back_stands_though_they_round_fractions_that_have_no_end() {
        let text = serde_json::to_string(&endless()).unwrap();
        let kept: Line = serde_json::from_str(&text).unwrap();
        assert_ne!(kept, endless(), "the books round");
        let entered = Entered {
            line: kept,
            at: "2026-000001/1".to_owned(),
        };
        assert!(stands(std::slice::from_ref(&entered), &[endless()]));

        let mut dearer = endless();
        dearer.amount = Exact::ONE;
        assert!(!stands(&[entered], &[dearer]), "and another figure does not stand");
    }
}
