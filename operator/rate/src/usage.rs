//! Collecting usage for a period: by agency, system and meter, cut where prices change.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use maru_meter::record::RecordError;
use maru_meter::{Exact, Interval, UsageRecord};

use crate::book::{Item, PriceBook};
use crate::cost_pool::PoolUse;
use crate::period::Period;
use crate::pool::{Participant, participants};
use crate::timeline::{Piece, Timeline};
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
#[derive(Clone, Debug)]
pub struct Usage<'a> {
    pub(crate) book: &'a PriceBook,
    pub(crate) world: &'a World,
    pub(crate) period: Period,
    pub(crate) timeline: Timeline,
    /// Who takes part in each shared system.
    pub(crate) shared: BTreeMap<String, Vec<Participant>>,
    names: Names,
    cells: HashMap<Key, Cell>,
    /// System and meter of each driver.
    drivers: HashSet<(u32, u32)>,
    driver_use: HashMap<Key, DriverUse>,
    /// Where records of a meter are cut before each part is rounded up.
    increments: HashMap<u32, Vec<Piece>>,
    pool_use: PoolUse,
}

/// What is known when all usage is there.
#[derive(Debug)]
pub(crate) struct Collected {
    /// By agency, in the order of the meters' names.
    pub(crate) cells: BTreeMap<String, Vec<MeterUse>>,
    /// System, then agency.
    pub(crate) driver_use: BTreeMap<String, BTreeMap<String, DriverUse>>,
    /// What splits the cost pools.
    pub(crate) pool_use: PoolUse,
}

/// What an agency used of the driver of a shared system. It weighs the split and is not priced.
#[derive(Clone, Debug, Default)]
pub(crate) struct DriverUse {
    /// When the agency took part.
    windows: Vec<Interval>,
    /// While it took part.
    pub(crate) inside: Total,
    /// While it did not.
    pub(crate) outside: Total,
}

/// Agency, system and meter, as numbers.
type Key = (u32, u32, u32);

/// The usage of one meter by one agency on one system.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    /// The sum in each slot that has any. Mostly there is one.
    pub(crate) slots: Vec<(usize, Total)>,
    /// The unit that records name; the smallest in byte order where several do.
    pub(crate) unit: Option<Arc<str>>,
}

impl Cell {
    fn slot(&mut self, slot: usize) -> &mut Total {
        let known = self.slots.iter().position(|(known, _)| *known == slot);
        let place = known.unwrap_or_else(|| {
            self.slots.push((slot, Total::default()));
            self.slots.len() - 1
        });
        &mut self.slots[place].1
    }
}

/// The use of a meter by an agency, by system in the order of their names.
#[derive(Debug)]
pub(crate) struct MeterUse {
    pub(crate) meter: Arc<str>,
    pub(crate) systems: Vec<(Arc<str>, Cell)>,
}

impl<'a> Usage<'a> {
    /// No usage yet.
    pub fn new(book: &'a PriceBook, world: &'a World, period: Period) -> Self {
        let timeline = Timeline::new(book, period);
        let (mut names, mut drivers, mut shared) = (Names::default(), HashSet::new(), BTreeMap::new());
        for (name, system) in &world.systems {
            let Some(sharing) = &system.sharing else { continue };
            if system.pool(period.month).is_some() {
                shared.insert(name.clone(), participants(world, &book.zone, period, name, sharing));
            }
            if let Some(driver) = &sharing.driver {
                drivers.insert((names.number(name), names.number(driver)));
            }
        }
        let (cells, driver_use) = (HashMap::new(), HashMap::new());
        let meters = book.metered_in_increments().into_iter();
        let increments = meters.map(|meter| (names.number(meter), timeline.pieces(book, meter)));
        let increments = increments.collect();
        Self {
            book,
            world,
            period,
            timeline,
            shared,
            names,
            cells,
            drivers,
            driver_use,
            increments,
            pool_use: PoolUse::new(),
        }
    }

    /// The period that usage is collected for.
    pub fn period(&self) -> Period {
        self.period
    }

    /// Moments inside the period across which use must not be summed before it is added: prices, rates or taxes change there, or
    /// somebody joins or leaves a shared system.
    pub fn cuts(&self) -> Vec<jiff::Timestamp> {
        let slots = (1..self.timeline.len()).map(|slot| self.timeline.slot(slot).start);
        let windows = self
            .shared
            .values()
            .flatten()
            .flat_map(|participant| &participant.windows);
        let joining = windows.flat_map(|window| [window.start, window.end]);
        let Interval { start, end } = self.period.interval;
        let mut cuts: Vec<_> = slots.chain(joining).filter(|cut| start < *cut && *cut < end).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// Meters whose records must be added one by one, as each is rounded up by itself.
    pub fn one_by_one(&self) -> Vec<String> {
        let items = self.book.versions.iter().flat_map(|version| &version.items);
        let mut meters: Vec<String> = items
            .filter(|(_, item)| item.increment.is_some())
            .map(|(meter, _)| meter.clone())
            .collect();
        meters.sort_unstable();
        meters.dedup();
        meters
    }

    /// Adds the part of a record that falls into the period; a record outside of it adds nothing. Each record is added once: who calls
    /// this leaves out what has the same id.
    pub fn add(&mut self, record: &UsageRecord) -> Result<(), UsageError> {
        record.check()?;
        let whole = Interval {
            start: record.start,
            end: record.end,
        };
        let key = self.key(record);
        if !self.world.cost_pools.is_empty() {
            self.add_to_pools(record, key, whole);
        }
        if self.drivers.contains(&(key.1, key.2)) {
            self.add_driver(record, key, whole);
            return Ok(());
        }
        if self.increments.contains_key(&key.2) {
            return self.add_in_increments(record, key, whole);
        }
        let Some(total) = u64::try_from(whole.length().as_nanos()).ok().and_then(NonZeroU64::new) else {
            if let Some(slot) = self.timeline.slot_at(record.start) {
                self.add_to_slot(record, key, slot, None)?;
            }
            return Ok(());
        };
        for slot in 0..self.timeline.len() {
            if let Some(part) = self.timeline.slot(slot).overlap(whole) {
                let part = u64::try_from(part.length().as_nanos()).unwrap_or(total.get());
                self.add_to_slot(record, key, slot, Some((part, total)))?;
            }
        }
        Ok(())
    }

    /// Cuts a record where its item's line is cut, and rounds each part up to the increment there.
    fn add_in_increments(&mut self, record: &UsageRecord, key: Key, whole: Interval) -> Result<(), UsageError> {
        let pieces = self.increments.get(&key.2).cloned().unwrap_or_default();
        for piece in pieces {
            let Some(inside) = whole_or_instant(whole, piece.interval) else {
                continue;
            };
            self.check_unit(record, piece.slot)?;
            let mut part = Total::default();
            match NonZeroU64::new(nanos(whole)) {
                None => part.add(&record.quantity, record.completeness),
                Some(total) => part.add_part(&record.quantity, nanos(inside), total, record.completeness),
            }
            let quantity = rounded_up(&part.value(), piece.increment.as_ref());
            let cell = self.cell(record, key);
            cell.slot(piece.slot).add(&quantity, record.completeness);
        }
        Ok(())
    }

    /// Whether a record can be added; some of it must be in the period to matter.
    pub(crate) fn admits(&self, record: &UsageRecord) -> Result<bool, UsageError> {
        record.check()?;
        let whole = Interval {
            start: record.start,
            end: record.end,
        };
        if whole_or_instant(whole, self.period.interval).is_none() {
            return Ok(false);
        }
        for slot in 0..self.timeline.len() {
            if whole_or_instant(whole, self.timeline.slot(slot)).is_some() {
                self.check_unit(record, slot)?;
            }
        }
        Ok(true)
    }

    fn check_unit(&self, record: &UsageRecord, slot: usize) -> Result<(), UsageError> {
        let Some(item) = self.item_at(slot, &record.meter) else {
            return Ok(());
        };
        if record.unit.is_empty() || *record.unit == *item.unit {
            return Ok(());
        }
        Err(UsageError::Unit {
            id: record.id.clone(),
            meter: record.meter.clone(),
            unit: record.unit.clone(),
            allowed: item.unit.to_string(),
        })
    }

    fn cell(&mut self, record: &UsageRecord, key: Key) -> &mut Cell {
        let cell = self.cells.entry(key).or_default();
        if !record.unit.is_empty() && cell.unit.as_ref().is_none_or(|unit| **unit > *record.unit) {
            cell.unit = Some(record.unit.as_str().into());
        }
        cell
    }

    fn add_to_slot(
        &mut self,
        record: &UsageRecord,
        key: Key,
        slot: usize,
        part: Option<(u64, NonZeroU64)>,
    ) -> Result<(), UsageError> {
        self.check_unit(record, slot)?;
        let sum = self.cell(record, key).slot(slot);
        match part {
            None => sum.add(&record.quantity, record.completeness),
            Some((part, total)) => sum.add_part(&record.quantity, part, total, record.completeness),
        }
        Ok(())
    }

    /// What splits a cost pool is the use itself, of every system, shared or not, and not what is billed of it.
    fn add_to_pools(&mut self, record: &UsageRecord, key: Key, whole: Interval) {
        let Some(inside) = whole_or_instant(whole, self.period.interval) else {
            return;
        };
        let system = self.names.text(key.1);
        let pools = self.world.cost_pools.iter();
        for (name, _) in pools.filter(|(_, pool)| pool.driver == record.meter && pool.counts(&record.agency, system)) {
            let agencies = self.pool_use.entry(name.clone()).or_default();
            let sum = agencies.entry(record.agency.clone()).or_default();
            match NonZeroU64::new(nanos(whole)) {
                None => sum.add(&record.quantity, record.completeness),
                Some(total) => sum.add_part(&record.quantity, nanos(inside), total, record.completeness),
            }
        }
    }

    /// Use of a driver counts while its agency takes part; the rest is kept apart for a warning.
    fn add_driver(&mut self, record: &UsageRecord, key: Key, whole: Interval) {
        let Some(inside) = whole_or_instant(whole, self.period.interval) else {
            return;
        };
        let (names, shared) = (&self.names, &self.shared);
        let entry = self.driver_use.entry(key).or_insert_with(|| {
            let participants = shared.get(names.text(key.1)).into_iter().flatten();
            let own = participants.filter(|participant| participant.agency == names.text(key.0));
            DriverUse {
                windows: own.flat_map(|participant| participant.windows.clone()).collect(),
                ..DriverUse::default()
            }
        });
        entry.add(record, whole, inside);
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

    /// Everything that was collected, sorted by name.
    pub(crate) fn into_collected(self) -> Collected {
        let mut collected = Collected {
            cells: BTreeMap::new(),
            driver_use: BTreeMap::new(),
            pool_use: self.pool_use,
        };
        let names = self.names;
        let ranks = names.ranks();
        let rank = |number: u32| ranks.get(number as usize).copied().unwrap_or_default();
        let mut cells: Vec<(Key, Cell)> = self.cells.into_iter().collect();
        cells.sort_unstable_by_key(|((agency, system, meter), _)| (rank(*agency), rank(*meter), rank(*system)));
        let mut last = None;
        for ((agency, system, meter), cell) in cells {
            if last != Some((agency, meter)) {
                let meters = collected.cells.entry(names.text(agency).to_owned()).or_default();
                meters.push(MeterUse {
                    meter: names.shared(meter),
                    systems: Vec::new(),
                });
                last = Some((agency, meter));
            }
            let meters = collected.cells.get_mut(names.text(agency));
            if let Some(used) = meters.and_then(|meters| meters.last_mut()) {
                used.systems.push((names.shared(system), cell));
            }
        }
        for ((agency, system, _), used) in self.driver_use {
            let agencies = collected.driver_use.entry(names.text(system).to_owned()).or_default();
            agencies.insert(names.text(agency).to_owned(), used);
        }
        collected
    }
}

impl DriverUse {
    /// Adds the part of a record that falls into the period: `inside` of the record's `whole` time.
    fn add(&mut self, record: &UsageRecord, whole: Interval, inside: Interval) {
        let Some(total) = NonZeroU64::new(nanos(whole)) else {
            let takes_part = self
                .windows
                .iter()
                .any(|window| window.start <= whole.start && whole.start < window.end);
            let sum = if takes_part {
                &mut self.inside
            } else {
                &mut self.outside
            };
            return sum.add(&record.quantity, record.completeness);
        };
        let parts = self.windows.iter().filter_map(|window| window.overlap(inside));
        let counted: u64 = parts.map(nanos).sum();
        if counted > 0 {
            self.inside
                .add_part(&record.quantity, counted, total, record.completeness);
        }
        if nanos(inside) > counted {
            self.outside
                .add_part(&record.quantity, nanos(inside) - counted, total, record.completeness);
        }
    }
}

fn nanos(interval: Interval) -> u64 {
    u64::try_from(interval.length().as_nanos()).unwrap_or(u64::MAX)
}

/// The part of a record's time that is in the period; an instant is all of itself.
fn whole_or_instant(record: Interval, period: Interval) -> Option<Interval> {
    if record.start == record.end {
        return (period.start <= record.start && record.start < period.end).then_some(record);
    }
    record.overlap(period)
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
#[derive(Clone, Debug, Default)]
struct Names {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    systems: HashMap<(u32, u32), u32>,
}

impl Names {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = text.into();
        self.numbers.insert(text.clone(), number);
        self.texts.push(text);
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

    /// The place of each name in byte order, by its number.
    fn ranks(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..).take(self.texts.len()).collect();
        order.sort_unstable_by_key(|number| &self.texts[*number as usize]);
        let mut ranks = vec![0; order.len()];
        for (rank, number) in (0..).zip(order) {
            ranks[number as usize] = rank;
        }
        ranks
    }

    fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", |text| text)
    }

    fn shared(&self, number: u32) -> Arc<str> {
        self.texts.get(number as usize).cloned().unwrap_or_default()
    }
}
