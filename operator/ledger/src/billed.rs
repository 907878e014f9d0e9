//! What was metered, held against what was billed: every quantity stands on one bill, once.
//!
//! It knows no prices and shares nothing with rating but the bills: it adds the lake up by agency, system and meter, and the bills' lines, and compares.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use maru_meter::{Exact, Interval, Rounding, UsageRecord};
use maru_rate::{Charge, World};

use crate::page::{Page, PageKind};

/// Places to which quantities are compared: parts of records that reach over a border may have no end.
const PLACES: u32 = 9;

/// Agency, system and meter.
type Key = (String, String, String);

/// What was metered in a period, by agency, system and meter.
#[derive(Debug)]
pub struct Metered {
    period: Interval,
    quantities: BTreeMap<Key, Exact>,
}

/// A quantity that does not stand on a bill as it was metered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unbilled {
    /// Whose use.
    pub agency: String,
    /// Of what: `namespace/name`, or `unassigned`.
    pub system: String,
    /// Which meter.
    pub meter: String,
    /// What the lake holds.
    pub metered: Exact,
    /// What stands on the bills.
    pub billed: Exact,
}

impl fmt::Display for Unbilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} by {}: {} metered, {} billed",
            self.meter, self.system, self.agency, self.metered, self.billed
        )
    }
}

impl Metered {
    /// Nothing yet, of a billing period.
    pub fn new(period: Interval) -> Self {
        Self {
            period,
            quantities: BTreeMap::new(),
        }
    }

    /// Adds a record, or a sum of some: the part of it that falls into the period.
    pub fn add(&mut self, record: &UsageRecord, world: &World) {
        let whole = Interval {
            start: record.start,
            end: record.end,
        };
        let quantity = if record.start == record.end {
            let inside = self.period.start <= record.start && record.start < self.period.end;
            inside.then(|| record.quantity.clone())
        } else {
            whole.overlap(self.period).and_then(|part| {
                let share = Exact::ratio(part.length().as_nanos(), whole.length().as_nanos())?;
                Some(&record.quantity * &share)
            })
        };
        let Some(quantity) = quantity.filter(|quantity| !quantity.is_zero()) else {
            return;
        };
        let system = world.full_name(&record.agency, &record.system);
        let key = (record.agency.clone(), system, record.meter.clone());
        *self.quantities.entry(key).or_default() += &quantity;
    }

    /// What does not stand on the bills of the period as it was metered. Use of a system whose cost is shared stands on no line of its own: it
    /// is part of what the shares come to, and a share of it on any bill answers for it.
    pub fn unbilled(self, pages: &[Page]) -> Vec<Unbilled> {
        let mut billed: BTreeMap<Key, Exact> = BTreeMap::new();
        let mut shared = BTreeSet::new();
        for page in pages.iter().filter(|page| page.kind() == PageKind::Invoice) {
            let statement = page.statement();
            for line in statement
                .lines
                .iter()
                .filter(|line| !line.is_correction(page.interval()))
            {
                let Some(system) = line.system.as_deref() else { continue };
                match (line.charge, &line.meter, &line.quantity) {
                    (Charge::Usage, Some(meter), Some(quantity)) => {
                        let key = (statement.agency.clone(), system.to_owned(), meter.to_string());
                        *billed.entry(key).or_default() += quantity;
                    }
                    (Charge::Usage, ..) => {}
                    _ => drop(shared.insert(system.to_owned())),
                }
            }
        }
        let mut found = Vec::new();
        let keys: BTreeSet<Key> = self.quantities.keys().chain(billed.keys()).cloned().collect();
        for key in keys {
            let figure = |of: &BTreeMap<Key, Exact>| {
                let quantity = of.get(&key).cloned().unwrap_or_default();
                quantity.round(PLACES, Rounding::HalfEven)
            };
            let (metered, billed) = (figure(&self.quantities), figure(&billed));
            let answered = billed.is_zero() && shared.contains(&key.1);
            if metered != billed && !answered {
                let (agency, system, meter) = key;
                found.push(Unbilled {
                    agency,
                    system,
                    meter,
                    metered,
                    billed,
                });
            }
        }
        found
    }
}
