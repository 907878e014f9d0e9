//! Summing a period for rating, straight from the files: each file by one thread, a batch at a time, in whole numbers of the
//! quantity's last place. What is held grows with agencies, systems and meters, never with records: what is given as it is goes straight to who
//! asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type};
use arrow_array::{Array, RecordBatch, StringArray};
use foldhash::HashMap;
use jiff::Timestamp;
use maru_meter::{Exact, Interval, UnknownCompleteness, UsageRecord};

use crate::datafile::{self, DataFile, GroupReach, Reader};
use crate::{Lake, LakeError, Summing, columns};

const RECORDED_AT: &str = "recorded_at";

/// Columns that are summed by, and their order in a [`Key`].
const NAMES: [&str; 5] = ["agency", "system", "meter", "unit", "completeness"];

/// A number for each of [`NAMES`], and the slot of time.
type Key = ([u32; 5], u32);

/// The slot of a row that is in none.
const NO_SLOT: u32 = u32::MAX;

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
        let slots = summing.slots();
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
        let mut total = Done::default();
        for sums in sums {
            total.take_in(sums?);
        }
        for (number, (names, slot, quantity)) in total.in_order().enumerate() {
            take(&as_record(number, names, slots[slot as usize], quantity)?)?;
        }
        Ok(())
    }
}

fn as_record(number: usize, names: [&str; 5], slot: Interval, quantity: Exact) -> Result<UsageRecord, LakeError> {
    let [agency, system, meter, unit, completeness] = names;
    let completeness = completeness
        .parse()
        .map_err(|error: UnknownCompleteness| LakeError::Unwritable(error.to_string()))?;
    Ok(UsageRecord {
        id: format!("sum/{number}"),
        agency: agency.to_owned(),
        system: system.to_owned(),
        resource: String::new(),
        meter: meter.to_owned(),
        quantity,
        unit: unit.to_owned(),
        start: slot.start,
        end: slot.end,
        source: String::new(),
        completeness,
        recorded_at: None,
    })
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

/// The sums. The files of a month name the same things in the same order, day after day: each sum remembers which one came after it the last time,
/// so that mostly nothing is looked up.
#[derive(Default)]
struct Done {
    names: Interned,
    places: HashMap<Key, u32>,
    cells: Vec<Cell>,
    /// The one that was added to last.
    last: u32,
}

/// A sum in units of the last place; what no longer fits into the number is kept beside it.
struct Cell {
    key: Key,
    next: u32,
    units: i128,
    more: Option<Box<Exact>>,
}

impl Cell {
    fn add(&mut self, units: i128) {
        if let Some(sum) = self.units.checked_add(units) {
            self.units = sum;
        } else {
            self.add_exact(&Exact::scaled(units, columns::PLACES));
        }
    }

    fn add_exact(&mut self, quantity: &Exact) {
        **self.more.get_or_insert_default() += quantity;
    }

    fn exact(&self) -> Exact {
        let units = Exact::scaled(self.units, columns::PLACES);
        self.more.as_deref().map_or_else(|| units.clone(), |more| more + &units)
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
        let issued = |slot: &Interval| summing.issued_of(*slot).map_or(i64::MAX, Timestamp::as_microsecond);
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
        let reader = Reader::open(&file.path, bytes.clone())?;
        let mut by_slot: BTreeMap<Option<u32>, Vec<usize>> = BTreeMap::new();
        for (group, reach) in reader.reaches().into_iter().enumerate() {
            by_slot.entry(self.whole(reach)).or_default().push(group);
        }
        let mut some_alone = false;
        for (slot, groups) in by_slot {
            let mut wanted = NAMES.to_vec();
            wanted.push("quantity");
            if slot.is_none() {
                wanted.extend(["start", "end"]);
                if self.issued.iter().any(|issued| *issued != i64::MAX) {
                    wanted.push(RECORDED_AT);
                }
            }
            let mut dictionaries: [Dictionary; 5] = Default::default();
            for batch in reader.batches(&wanted, Some(groups))? {
                some_alone |= self.add_batch(&batch?, slot, &mut dictionaries).map_err(damaged)?;
            }
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

    /// The slot that all records of a row group lie in, where its footer says so: then no time of theirs is read.
    fn whole(&self, reach: Option<GroupReach>) -> Option<u32> {
        let GroupReach { first, last, end } = reach?;
        match (self.slot(first, first), self.slot(last, end)) {
            (Place::Slot(slot), Place::Slot(other)) if slot == other => {
                let never_late = self.issued.get(slot as usize).is_some_and(|issued| *issued == i64::MAX);
                never_late.then_some(slot)
            }
            _ => None,
        }
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

    /// Adds a batch up, all of it in a slot where one is given. True where it holds records that must be given as they are.
    fn add_batch(
        &mut self,
        batch: &RecordBatch,
        slot: Option<u32>,
        dictionaries: &mut [Dictionary; 5],
    ) -> Result<bool, String> {
        let mut numbers: [&[i32]; 5] = [&[]; 5];
        for ((name, dictionary), numbers) in NAMES.iter().zip(dictionaries.iter_mut()).zip(&mut numbers) {
            let column = columns::column(batch, name)?.as_dictionary_opt::<Int32Type>();
            let column = column.ok_or_else(|| format!("{name} is no column of names"))?;
            let texts = column
                .values()
                .as_string_opt::<i32>()
                .ok_or_else(|| format!("{name} is no text"))?;
            dictionary.renew(texts, &mut self.done.names);
            *numbers = column.keys().values();
        }
        let quantities = columns::column(batch, "quantity")?
            .as_primitive_opt::<Decimal128Type>()
            .ok_or("quantity is no decimal")?
            .values();
        let rows = batch.num_rows();
        let (slots, mut some_alone) = match slot {
            Some(slot) => (vec![slot; rows], false),
            None => self.slots_of(batch)?,
        };
        let apart: Vec<u32> = self.apart.iter().map(|meter| self.done.names.number(meter)).collect();
        let begins = begins(&numbers, &slots);
        let mut from = 0;
        while from < rows {
            let more = begins[from + 1..].iter().position(|begins| *begins);
            let until = more.map_or(rows, |more| from + 1 + more);
            if slots[from] != NO_SLOT {
                let places = numbers.map(|numbers| numbers[from]);
                some_alone |= !self.put(places, slots[from], &quantities[from..until], dictionaries, &apart);
            }
            from = until;
        }
        Ok(some_alone)
    }

    /// The slot of each row, and whether some rows are in none but must be given as they are.
    fn slots_of(&self, batch: &RecordBatch) -> Result<(Vec<u32>, bool), String> {
        let starts = columns::moments(batch, "start")?.values();
        let ends = columns::moments(batch, "end")?.values();
        // All of them are in time where nothing was issued, and then the column is not read.
        let known = match batch.column_by_name(RECORDED_AT) {
            Some(_) => Some(columns::moments(batch, RECORDED_AT)?),
            None => None,
        };
        let mut some_alone = false;
        let mut slots = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let known = known.filter(|known| known.is_valid(row)).map(|known| known.value(row));
            slots.push(match self.slot(starts[row], ends[row]) {
                Place::Slot(slot) if !self.came_late(slot, known) => slot,
                Place::Outside => NO_SLOT,
                Place::Slot(_) | Place::Crosses => {
                    some_alone = true;
                    NO_SLOT
                }
            });
        }
        Ok((slots, some_alone))
    }

    /// Puts rows that follow each other and have one key into its sum; false where they are to be given as they are.
    fn put(
        &mut self,
        places: [i32; 5],
        slot: u32,
        quantities: &[i128],
        dictionaries: &[Dictionary; 5],
        apart: &[u32],
    ) -> bool {
        let mut numbers = [0; 5];
        for ((number, place), dictionary) in numbers.iter_mut().zip(places).zip(dictionaries) {
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            *number = dictionary.numbers.get(place).copied().unwrap_or(u32::MAX);
        }
        if apart.contains(&numbers[2]) {
            return false;
        }
        let cell = self.done.cell((numbers, slot));
        for units in quantities {
            cell.add(*units);
        }
        true
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

/// Whether a row has another key than the one before it. Column by column, which the compiler makes wide.
fn begins(numbers: &[&[i32]; 5], slots: &[u32]) -> Vec<bool> {
    let mut begins: Vec<bool> = vec![true; slots.len()];
    for (begins, pair) in begins.iter_mut().skip(1).zip(slots.windows(2)) {
        *begins = pair[0] != pair[1];
    }
    for numbers in numbers {
        let after = numbers.get(1..).unwrap_or_default();
        for ((begins, before), after) in begins.iter_mut().skip(1).zip(*numbers).zip(after) {
            *begins |= before != after;
        }
    }
    begins
}

impl Done {
    /// The sum of a key.
    fn cell(&mut self, key: Key) -> &mut Cell {
        let guess = self.cells.get(self.last as usize).map_or(0, |last| last.next);
        let place = match self.cells.get(guess as usize) {
            Some(cell) if cell.key == key => guess,
            _ => self.look_up(key),
        };
        self.last = place;
        &mut self.cells[place as usize]
    }

    fn look_up(&mut self, key: Key) -> u32 {
        let count = u32::try_from(self.cells.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry(key).or_insert(count);
        if place == count {
            self.cells.push(Cell {
                key,
                next: 0,
                units: 0,
                more: None,
            });
        }
        if let Some(last) = self.cells.get_mut(self.last as usize) {
            last.next = place;
        }
        place
    }

    /// Adds what another thread summed.
    fn take_in(&mut self, other: Self) {
        if self.cells.is_empty() {
            *self = other;
            return;
        }
        let numbers: Vec<u32> = other.names.texts.iter().map(|text| self.names.number(text)).collect();
        let number = |number: u32| numbers.get(number as usize).copied().unwrap_or(u32::MAX);
        for cell in other.cells {
            let (names, slot) = cell.key;
            let sum = self.cell((names.map(number), slot));
            sum.add(cell.units);
            if let Some(more) = cell.more {
                sum.add_exact(&more);
            }
        }
    }

    /// The sums in the order of their names and of time.
    fn in_order(&self) -> impl Iterator<Item = ([&str; 5], u32, Exact)> {
        let texts = &self.names.texts;
        let mut sorted: Vec<usize> = (0..texts.len()).collect();
        sorted.sort_unstable_by_key(|number| &texts[*number]);
        // Names are compared once, not with each sum.
        let mut ranks = vec![u32::MAX; texts.len()];
        for (rank, number) in sorted.into_iter().enumerate() {
            ranks[number] = u32::try_from(rank).unwrap_or(u32::MAX);
        }
        let rank = move |number: u32| ranks.get(number as usize).copied().unwrap_or(u32::MAX);
        let mut cells: Vec<&Cell> = self.cells.iter().collect();
        cells.sort_by_cached_key(|cell| (cell.key.0.map(&rank), cell.key.1));
        let text = |number: u32| self.names.texts.get(number as usize).map_or("", String::as_str);
        cells
            .into_iter()
            .map(move |cell| (cell.key.0.map(text), cell.key.1, cell.exact()))
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
