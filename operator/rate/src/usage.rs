//! Collecting usage for a period: by agency, system and meter, cut where prices change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU64;

use maru_meter::record::RecordError;
use maru_meter::{Exact, Interval, UsageRecord};

use crate::book::{Item, PriceBook};
use crate::period::Period;
use crate::timeline::Timeline;
use crate::total::Total;
use crate::world::World;

/// Why a usage record is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// It makes no sense by itself.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It is in another unit than the price book.
    #[error(
        "usage record `{id}`: unit `{unit}` of meter `{meter}` is not the price book's; allowed is `{allowed}`, or none"
    )]
    Unit {
        /// Which record.
        id: String,
        /// Its meter.
        meter: String,
        /// Its unit.
        unit: String,
        /// The price book's.
        allowed: String,
    },
}

/// The usage of a period, to which records are added in any order and which is then rated.
#[derive(Debug)]
pub struct Usage<'a> {
    pub(crate) book: &'a PriceBook,
    pub(crate) world: &'a World,
    pub(crate) period: Period,
    pub(crate) timeline: Timeline,
    names: Names,
    cells: HashMap<Key, Cell>,
}

/// Agency, system and meter, as numbers.
type Key = (u32, u32, u32);

/// The usage of one meter by one agency on one system.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    /// The sum in each slot that has any.
    pub(crate) slots: BTreeMap<usize, Total>,
    /// The unit that records name; the smallest in byte order where several do.
    pub(crate) unit: Option<String>,
}

/// All cells of one agency and meter, by system.
pub(crate) type BySystem = BTreeMap<String, Cell>;

impl<'a> Usage<'a> {
    /// No usage yet.
    pub fn new(book: &'a PriceBook, world: &'a World, period: Period) -> Self {
        let timeline = Timeline::new(book, period);
        Self {
            book,
            world,
            period,
            timeline,
            names: Names::default(),
            cells: HashMap::new(),
        }
    }

    /// The period that usage is collected for.
    pub fn period(&self) -> Period {
        self.period
    }

    /// Adds the part of a record that falls into the period; a record outside of it adds nothing. Each record is added once: who calls
    /// this leaves out what has the same id.
    pub fn add(&mut self, record: &UsageRecord) -> Result<(), UsageError> {
        record.check()?;
        let whole = Interval {
            start: record.start,
            end: record.end,
        };
        let Some(total) = u64::try_from(whole.length().as_nanos()).ok().and_then(NonZeroU64::new) else {
            if let Some(slot) = self.timeline.slot_at(record.start) {
                self.add_to_slot(record, slot, None)?;
            }
            return Ok(());
        };
        for slot in 0..self.timeline.len() {
            if let Some(part) = self.timeline.slot(slot).overlap(whole) {
                let part = u64::try_from(part.length().as_nanos()).unwrap_or(total.get());
                self.add_to_slot(record, slot, Some((part, total)))?;
            }
        }
        Ok(())
    }

    fn add_to_slot(
        &mut self,
        record: &UsageRecord,
        slot: usize,
        part: Option<(u64, NonZeroU64)>,
    ) -> Result<(), UsageError> {
        let item = self.item_at(slot, &record.meter);
        if let Some(item) = item.filter(|item| !record.unit.is_empty() && record.unit != item.unit) {
            let (id, meter, unit) = (record.id.clone(), record.meter.clone(), record.unit.clone());
            return Err(UsageError::Unit {
                id,
                meter,
                unit,
                allowed: item.unit.clone(),
            });
        }
        let quantity = rounded_up(&record.quantity, item.and_then(|item| item.increment.as_ref()));
        let key = self.key(record);
        let cell = self.cells.entry(key).or_default();
        if !record.unit.is_empty() && cell.unit.as_ref().is_none_or(|unit| *unit > record.unit) {
            cell.unit = Some(record.unit.clone());
        }
        let sum = cell.slots.entry(slot).or_default();
        match part {
            None => sum.add(&quantity, record.completeness),
            Some((part, total)) => sum.add_part(&quantity, part, total, record.completeness),
        }
        Ok(())
    }

    fn item_at(&self, slot: usize, meter: &str) -> Option<&'a Item> {
        let version = self.book.version_at(self.timeline.slot(slot).start)?;
        self.book.versions[version].items.get(meter)
    }

    fn key(&mut self, record: &UsageRecord) -> Key {
        let world = self.world;
        let agency = self.names.number(&record.agency);
        let system = self.names.system(agency, &record.system, || {
            world.full_name(&record.agency, &record.system)
        });
        (agency, system, self.names.number(&record.meter))
    }

    /// The agencies that used anything.
    pub(crate) fn agencies(&self) -> BTreeSet<String> {
        self.cells
            .keys()
            .map(|(agency, _, _)| self.names.text(*agency).to_owned())
            .collect()
    }

    /// Everything that was collected: agency, then meter, then system.
    pub(crate) fn into_cells(self) -> BTreeMap<String, BTreeMap<String, BySystem>> {
        let mut sorted: BTreeMap<String, BTreeMap<String, BySystem>> = BTreeMap::new();
        let names = &self.names;
        for ((agency, system, meter), cell) in self.cells {
            let meters = sorted.entry(names.text(agency).to_owned()).or_default();
            meters
                .entry(names.text(meter).to_owned())
                .or_default()
                .insert(names.text(system).to_owned(), cell);
        }
        sorted
    }
}

fn rounded_up(quantity: &Exact, increment: Option<&Exact>) -> Exact {
    let Some(increment) = increment else {
        return quantity.clone();
    };
    quantity
        .checked_div(increment)
        .map_or_else(|| quantity.clone(), |count| &Exact::from(count.ceil()) * increment)
}

/// Names as numbers, so that a million records do not hold a million copies of them.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
    systems: HashMap<(u32, u32), u32>,
}

impl Names {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }

    /// The number of a system's full name, which is worked out once for each agency that names it.
    fn system(&mut self, agency: u32, written: &str, full: impl FnOnce() -> String) -> u32 {
        let written = self.number(written);
        if let Some(number) = self.systems.get(&(agency, written)) {
            return *number;
        }
        let number = self.number(&full());
        self.systems.insert((agency, written), number);
        number
    }

    fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", String::as_str)
    }
}
