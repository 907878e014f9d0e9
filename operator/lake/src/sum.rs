//! Summing a period for rating, straight from the files: each file by one thread, a batch at a time, in whole numbers of the
//! quantity's last place. What is held grows with agencies, systems and meters, never with records: what is given as it is goes straight to who
//! asked.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type};
use arrow_array::{Array, RecordBatch, StringArray};
use foldhash::HashMap;
use jiff::Timestamp;
use maru_meter::{Exact, Interval, UsageRecord};

use crate::datafile::{self, DataFile};
use crate::{Lake, LakeError, columns};

/// What is summed.
#[derive(Clone, Debug)]
pub struct Summing {
    /// The time of it.
    pub period: Interval,
    /// Moments inside the period where prices, rates or participants change: nothing is summed across them.
    pub cuts: Vec<Timestamp>,
    /// Meters whose records count one by one, such as those with a price increment.
    pub alone: Vec<String>,
    /// Ends of billing periods in the order of time, each with the moment at which it was issued: what became known later counts one by
    /// one, for it is a correction.
    pub issued: Vec<(Timestamp, Timestamp)>,
    /// The table's version; none: as it is now.
    pub version: Option<u64>,
    /// How many files are read at a time.
    pub threads: NonZeroUsize,
}

const RECORDED_AT: &str = "recorded_at";

/// Columns that are summed by, and their order in a [`Key`].
const NAMES: [&str; 5] = ["agency", "system", "meter", "unit", "completeness"];

/// A number for each of [`NAMES`], and the slot of time.
type Key = ([u32; 5], u32);

/// Records that are given as they are and may wait to be taken, in parts of this many.
const WAITING: usize = 4;
const PART: usize = 4096;

impl Lake {
    /// Gives what a period used: one record for each agency, system, meter, unit, completeness and slot between cuts, with the exact sum and
    /// the slot's time; and, as they are, records that cross a cut or whose meter counts one by one. Adding these up gives the
    /// same as adding up every record.
    pub fn sum<E: From<LakeError>>(
        &self,
        summing: &Summing,
        mut take: impl FnMut(&UsageRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let files = self.wait(self.table.files(summing.version))?;
        let files = crate::of_period(files, summing.period);
        let slots = slots(summing);
        let next = AtomicUsize::new(0);
        let threads = summing.threads.get().min(files.len().max(1));
        let (sender, alone) = sync_channel::<Vec<UsageRecord>>(WAITING);
        let (taken, sums) = std::thread::scope(|scope| {
            let work = |sender: SyncSender<Vec<UsageRecord>>| {
                let mut sums = Sums::new(&slots, summing, sender);
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    sums.add_file(self, file)?;
                }
                // Its sender goes with the rest: whoever takes what is given by itself waits for the last one.
                Ok(sums.done)
            };
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    let sender = sender.clone();
                    scope.spawn(move || work(sender))
                })
                .collect();
            drop(sender);
            let taken = alone.iter().flatten().try_for_each(|record| take(&record));
            // After a refusal nobody listens, and the workers end at their next part.
            drop(alone);
            let sums: Vec<Result<Done, LakeError>> = workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect();
            (taken, sums)
        });
        taken?;
        let mut total: BTreeMap<([String; 5], u32), Exact> = BTreeMap::new();
        for sums in sums {
            sums?.into_total(&mut total);
        }
        for (number, ((names, slot), quantity)) in total.into_iter().enumerate() {
            take(&as_record(number, names, slots[slot as usize], quantity)?)?;
        }
        Ok(())
    }
}

fn as_record(number: usize, names: [String; 5], slot: Interval, quantity: Exact) -> Result<UsageRecord, LakeError> {
    let [agency, system, meter, unit, completeness] = names;
    let completeness = columns::completeness_of(&completeness).map_err(LakeError::Unwritable)?;
    Ok(UsageRecord {
        id: format!("sum/{number}"),
        agency,
        system,
        resource: String::new(),
        meter,
        quantity,
        unit,
        start: slot.start,
        end: slot.end,
        source: String::new(),
        completeness,
        recorded_at: None,
    })
}

/// The period, cut.
fn slots(summing: &Summing) -> Vec<Interval> {
    let Interval { start, end } = summing.period;
    let mut borders: Vec<Timestamp> = summing
        .cuts
        .iter()
        .copied()
        .filter(|cut| start < *cut && *cut < end)
        .collect();
    borders.extend([start, end]);
    borders.sort();
    borders.dedup();
    borders
        .windows(2)
        .map(|pair| Interval {
            start: pair[0],
            end: pair[1],
        })
        .collect()
}

/// What one thread has summed.
struct Sums<'a> {
    slots: &'a [Interval],
    /// The slots in microseconds.
    borders: Vec<(i64, i64)>,
    /// When the period of each slot was issued, in microseconds.
    issued: Vec<i64>,
    apart: &'a [String],
    done: Done,
    /// Takes what is given as it is.
    alone: SyncSender<Vec<UsageRecord>>,
}

/// The sums.
#[derive(Default)]
struct Done {
    names: Interned,
    cells: HashMap<Key, Cell>,
}

/// A sum in units of the last place; what no longer fits into the number is kept beside it.
#[derive(Default)]
struct Cell {
    units: i128,
    more: Exact,
}

impl Cell {
    fn add(&mut self, units: i128) {
        if let Some(sum) = self.units.checked_add(units) {
            self.units = sum;
        } else {
            self.more += &Exact::scaled(self.units, columns::PLACES);
            self.units = units;
        }
    }

    fn into_exact(self) -> Exact {
        self.more + Exact::scaled(self.units, columns::PLACES)
    }
}

/// Names as numbers.
#[derive(Default)]
struct Interned {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Interned {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }
}

/// A dictionary's texts as numbers, kept for as long as the batches share the dictionary.
#[derive(Default)]
struct Dictionary {
    texts: Option<StringArray>,
    numbers: Vec<u32>,
}

impl Dictionary {
    fn renew(&mut self, texts: &StringArray, names: &mut Interned) {
        let same = |known: &StringArray| {
            known.len() == texts.len()
                && known.values().ptr_eq(texts.values())
                && known.offsets().ptr_eq(texts.offsets())
        };
        if !self.texts.as_ref().is_some_and(same) {
            self.numbers = (0..texts.len()).map(|place| names.number(texts.value(place))).collect();
            self.texts = Some(texts.clone());
        }
    }
}

impl<'a> Sums<'a> {
    fn new(slots: &'a [Interval], summing: &'a Summing, alone: SyncSender<Vec<UsageRecord>>) -> Self {
        let micros = |slot: &Interval| (slot.start.as_microsecond(), slot.end.as_microsecond());
        let issued = |slot: &Interval| {
            let period = summing.issued.iter().find(|(end, _)| slot.end <= *end);
            period.map_or(i64::MAX, |(_, issued)| issued.as_microsecond())
        };
        Self {
            borders: slots.iter().map(micros).collect(),
            issued: slots.iter().map(issued).collect(),
            slots,
            apart: &summing.alone,
            done: Done::default(),
            alone,
        }
    }

    fn add_file(&mut self, lake: &Lake, file: &DataFile) -> Result<(), LakeError> {
        let bytes = lake.wait(datafile::fetch(&*lake.table.store(), file))?;
        let damaged = |reason: String| LakeError::Damaged {
            file: file.path.clone(),
            reason,
        };
        let mut wanted = NAMES.to_vec();
        wanted.extend(["quantity", "start", "end"]);
        if self.issued.iter().any(|issued| *issued != i64::MAX) {
            wanted.push(RECORDED_AT);
        }
        let mut dictionaries: [Dictionary; 5] = Default::default();
        let mut some_alone = false;
        for batch in datafile::batches_of(&file.path, bytes.clone(), &wanted)? {
            some_alone |= self.add_batch(&batch?, &mut dictionaries).map_err(damaged)?;
        }
        if some_alone {
            for batch in datafile::batches(&file.path, bytes)? {
                let mut records = columns::decode(&batch?).map_err(damaged)?;
                records.retain(|record| self.is_alone(record));
                for part in records.chunks(PART) {
                    if self.alone.send(part.to_vec()).is_err() {
                        // Somebody else's record was refused, which ends the sum.
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn is_alone(&self, record: &UsageRecord) -> bool {
        let known = record.recorded_at.map(Timestamp::as_microsecond);
        match self.slot(record.start.as_microsecond(), record.end.as_microsecond()) {
            Place::Slot(slot) => self.apart.contains(&record.meter) || self.came_late(slot, known),
            Place::Crosses => true,
            Place::Outside => false,
        }
    }

    fn came_late(&self, slot: u32, known: Option<i64>) -> bool {
        let issued = self.issued.get(slot as usize).copied().unwrap_or(i64::MAX);
        known.is_some_and(|known| known > issued)
    }

    /// Adds a batch up. True where it holds records that must be given as they are.
    fn add_batch(&mut self, batch: &RecordBatch, dictionaries: &mut [Dictionary; 5]) -> Result<bool, String> {
        let mut numbers: Vec<&[i32]> = Vec::with_capacity(NAMES.len());
        for (name, dictionary) in NAMES.iter().zip(dictionaries.iter_mut()) {
            let column = columns::column(batch, name)?.as_dictionary_opt::<Int32Type>();
            let column = column.ok_or_else(|| format!("{name} is no column of names"))?;
            let texts = column
                .values()
                .as_string_opt::<i32>()
                .ok_or_else(|| format!("{name} is no text"))?;
            dictionary.renew(texts, &mut self.done.names);
            numbers.push(column.keys().values());
        }
        let quantities = columns::column(batch, "quantity")?
            .as_primitive_opt::<Decimal128Type>()
            .ok_or("quantity is no decimal")?
            .values();
        let starts = columns::moments(batch, "start")?.values();
        let ends = columns::moments(batch, "end")?.values();
        // All of them are in time where nothing was issued, and then the column is not read.
        let known = match batch.column_by_name(RECORDED_AT) {
            Some(_) => Some(columns::moments(batch, RECORDED_AT)?),
            None => None,
        };
        let apart: Vec<u32> = self.apart.iter().map(|meter| self.done.names.number(meter)).collect();

        let mut some_alone = false;
        let mut last: Option<([i32; 5], u32)> = None;
        let mut sum = Cell::default();
        for row in 0..batch.num_rows() {
            let known = known.filter(|known| known.is_valid(row)).map(|known| known.value(row));
            let slot = match self.slot(starts[row], ends[row]) {
                Place::Slot(slot) if self.came_late(slot, known) => {
                    some_alone = true;
                    continue;
                }
                Place::Slot(slot) => slot,
                Place::Crosses => {
                    some_alone = true;
                    continue;
                }
                Place::Outside => continue,
            };
            let key = (
                [
                    numbers[0][row],
                    numbers[1][row],
                    numbers[2][row],
                    numbers[3][row],
                    numbers[4][row],
                ],
                slot,
            );
            if last != Some(key) {
                self.put(last, &std::mem::take(&mut sum), dictionaries, &apart, &mut some_alone);
                last = Some(key);
            }
            sum.add(quantities[row]);
        }
        self.put(last, &sum, dictionaries, &apart, &mut some_alone);
        Ok(some_alone)
    }

    /// Puts the sum of rows that follow each other into its cell.
    fn put(
        &mut self,
        key: Option<([i32; 5], u32)>,
        sum: &Cell,
        dictionaries: &[Dictionary; 5],
        apart: &[u32],
        some_alone: &mut bool,
    ) {
        let Some((places, slot)) = key else { return };
        let mut numbers = [0; 5];
        for ((number, place), dictionary) in numbers.iter_mut().zip(places).zip(dictionaries) {
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            *number = dictionary.numbers.get(place).copied().unwrap_or(u32::MAX);
        }
        if apart.contains(&numbers[2]) {
            *some_alone = true;
            return;
        }
        let cell = self.done.cells.entry((numbers, slot)).or_default();
        cell.add(sum.units);
        if !sum.more.is_zero() {
            cell.more += &sum.more;
        }
    }

    fn slot(&self, start: i64, end: i64) -> Place {
        let after = self.borders.partition_point(|(from, _)| *from <= start);
        let slot = after.checked_sub(1).filter(|slot| start < self.borders[*slot].1);
        match slot {
            Some(slot) if end <= self.borders[slot].1 => Place::Slot(u32::try_from(slot).unwrap_or(u32::MAX)),
            Some(_) => Place::Crosses,
            None if self.slots.first().is_some_and(|first| {
                let first = first.start.as_microsecond();
                start < first && end > first
            }) =>
            {
                Place::Crosses
            }
            None => Place::Outside,
        }
    }
}

impl Done {
    fn into_total(self, total: &mut BTreeMap<([String; 5], u32), Exact>) {
        let names = self.names;
        let text = |number: u32| names.texts.get(number as usize).cloned().unwrap_or_default();
        for ((numbers, slot), cell) in self.cells {
            *total.entry((numbers.map(text), slot)).or_default() += &cell.into_exact();
        }
    }
}

/// Where in the period a record lies.
enum Place {
    /// In one slot.
    Slot(u32),
    /// In several, or partly outside.
    Crosses,
    /// In none.
    Outside,
}
