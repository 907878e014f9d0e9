//! Appending records that come as columns: many at once, without a record of its own for each. What is new goes in as it is; what is known
//! already goes the way of single records.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use deltalake_core::kernel::{Action, Add};
use foldhash::{HashSet, HashSetExt};
use jiff::Timestamp;
use maru_meter::{Completeness, UsageRecord};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::append::{Pauses, Writer, writing};
use crate::columns::{self, Names};
use crate::datafile::{self, Encoded};
use crate::index::Fingerprints;
use crate::table::{Commit, Table};
use crate::{Appended, Lake, LakeError};

const DAY: i64 = 86_400_000_000;
/// Bits of a sort key for a name, for a meter and for a time within a day in microseconds.
const NAME_BITS: u32 = 24;
const METER_BITS: u32 = 16;
const TIME_BITS: u32 = 37;

impl Lake {
    /// The form in which [`Lake::append_columns`] takes records: names as dictionaries, quantities in units of the eighteenth place, moments in
    /// microseconds.
    pub fn columns() -> arrow_schema::SchemaRef {
        columns::SCHEMA.clone()
    }

    /// Stores records exactly once by id, as [`Lake::append`] does, from columns in the form of [`Lake::columns`]. Where a row is not right,
    /// nothing is written and the error names it.
    pub fn append_columns(&self, batch: &RecordBatch) -> Result<Appended, LakeError> {
        let unwritable = |reason: String| LakeError::Unwritable(reason);
        let rows = Rows::of(batch).map_err(unwritable)?;
        if rows.first_wrong().is_some() || !rows.fit_a_key() {
            return self.append(&columns::decode(batch).map_err(unwritable)?);
        }
        let appended = self.wait(self.writer().append_rows(&self.table, &rows))?;
        self.keep_refused(&appended.refused)?;
        Ok(appended)
    }

    /// The first row of a batch that [`Lake::append_columns`] would refuse, from 0.
    pub fn first_wrong(batch: &RecordBatch) -> Result<Option<usize>, LakeError> {
        Ok(Rows::of(batch).map_err(LakeError::Unwritable)?.first_wrong())
    }
}

/// A batch, taken apart.
struct Rows<'a> {
    batch: &'a RecordBatch,
    ids: &'a StringArray,
    /// Agency, system, resource, meter, unit, source.
    names: [Names<'a>; 6],
    completeness: Names<'a>,
    quantities: &'a [i128],
    starts: &'a [i64],
    ends: &'a [i64],
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, String> {
        if batch.schema_ref().fields() != columns::SCHEMA.fields() {
            return Err(format!("allowed are the columns {:?}", columns::SCHEMA.fields()));
        }
        let name = |name| Names::of(batch, name);
        let ids = columns::column(batch, "id")?
            .as_string_opt::<i32>()
            .ok_or("id is no text")?;
        let quantities = columns::column(batch, "quantity")?
            .as_primitive_opt::<Decimal128Type>()
            .ok_or("quantity is no decimal")?;
        Ok(Self {
            batch,
            ids,
            names: [
                name("agency")?,
                name("system")?,
                name("resource")?,
                name("meter")?,
                name("unit")?,
                name("source")?,
            ],
            completeness: name("completeness")?,
            quantities: quantities.values(),
            starts: columns::moments(batch, "start")?.values(),
            ends: columns::moments(batch, "end")?.values(),
        })
    }

    fn len(&self) -> usize {
        self.ids.len()
    }

    /// The first row that is no right record.
    fn first_wrong(&self) -> Option<usize> {
        let longest = crate::LONGEST.as_secs() * 1_000_000;
        let most = 10i128.pow(columns::DIGITS_BEFORE + columns::PLACES);
        let [agency, system, _, meter, ..] = &self.names;
        let named = [agency, system, meter].map(|names| {
            let right = |text: Option<&str>| text.is_some_and(|text| !text.is_empty() && text.len() <= 253);
            names.texts.iter().map(right).collect::<Vec<bool>>()
        });
        let known = self.completeness.texts.iter();
        let known: Vec<bool> = known
            .map(|text| text.is_some_and(|text| text.parse::<Completeness>().is_ok()))
            .collect();
        let holds = |list: &[bool], numbers: &[i32], row: usize| {
            usize::try_from(numbers[row]).is_ok_and(|place| list.get(place) == Some(&true))
        };
        (0..self.len()).find(|&row| {
            let id = self.ids.value_length(row);
            let length = self.ends[row].saturating_sub(self.starts[row]);
            let right = (1..=512).contains(&id)
                && holds(&named[0], agency.numbers, row)
                && holds(&named[1], system.numbers, row)
                && holds(&named[2], meter.numbers, row)
                && holds(&known, self.completeness.numbers, row)
                && (0..most).contains(&self.quantities[row])
                && (0..=longest).contains(&length);
            !right
        })
    }

    fn fit_a_key(&self) -> bool {
        let [agency, system, resource, meter, ..] = &self.names;
        let name = |names: &Names| names.texts.len() < 1 << NAME_BITS;
        [agency, system, resource].into_iter().all(name) && meter.texts.len() < 1 << METER_BITS
    }

    /// The rows of each day.
    fn days(&self) -> BTreeMap<i64, Vec<u32>> {
        let mut days: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        let mut last: Option<(i64, Vec<u32>)> = None;
        for (row, start) in (0u32..).zip(self.starts) {
            let day = start.div_euclid(DAY);
            match &mut last {
                Some((known, rows)) if *known == day => rows.push(row),
                _ => {
                    if let Some((day, rows)) = last.take() {
                        days.insert(day, rows);
                    }
                    let mut rows = days.remove(&day).unwrap_or_default();
                    rows.push(row);
                    last = Some((day, rows));
                }
            }
        }
        days.extend(last);
        days
    }

    /// Rows in the order of a data file.
    fn sorted(&self, mut rows: Vec<u32>) -> Vec<u32> {
        let [agency, system, resource, meter, ..] = &self.names;
        let ranked = [agency, system, meter, resource].map(ranks);
        let key = |row: u32| {
            let row = row as usize;
            let rank = |place: usize, names: &Names| {
                let number = usize::try_from(names.numbers[row]).unwrap_or(0);
                u128::from(ranked[place][number])
            };
            let time = u128::from(self.starts[row].rem_euclid(DAY).unsigned_abs());
            let whose = (rank(0, agency) << NAME_BITS) | rank(1, system);
            let what = (((whose << METER_BITS) | rank(2, meter)) << NAME_BITS) | rank(3, resource);
            (what << TIME_BITS) | time
        };
        let mut keyed: Vec<(u128, u32)> = rows.iter().map(|row| (key(*row), *row)).collect();
        keyed.sort_unstable_by(|one, other| {
            let ids = || self.ids.value(one.1 as usize).cmp(self.ids.value(other.1 as usize));
            one.0.cmp(&other.0).then_with(ids)
        });
        rows.clear();
        rows.extend(keyed.into_iter().map(|(_, row)| row));
        rows
    }

    /// A data file of some rows.
    fn encode(&self, rows: Vec<u32>) -> Result<Encoded, LakeError> {
        let rows = UInt32Array::from(self.sorted(rows));
        let unwritable = |error: ArrowError| LakeError::Unwritable(error.to_string());
        datafile::encode(&take_record_batch(self.batch, &rows).map_err(unwritable)?)
    }

    /// The fingerprint of each row's id and of its content.
    fn fingerprints(&self, of: &Fingerprints) -> Vec<(u128, u128)> {
        let words = self.names.each_ref().map(|names| {
            let texts = names.texts.iter();
            texts
                .map(|text| of.word(text.unwrap_or_default()))
                .collect::<Vec<u64>>()
        });
        let completeness: Vec<u64> = self
            .completeness
            .texts
            .iter()
            .map(|text| of.word(text.unwrap_or_default()))
            .collect();
        let word = |words: &[u64], numbers: &[i32], row: usize| {
            usize::try_from(numbers[row])
                .ok()
                .and_then(|place| words.get(place).copied())
                .unwrap_or(0)
        };
        let one = |row: usize| {
            let texts = std::array::from_fn(|place| word(&words[place], self.names[place].numbers, row));
            let known = word(&completeness, self.completeness.numbers, row);
            let content = of.content(texts, self.quantities[row], self.starts[row], self.ends[row], known);
            (of.of(&self.ids.value(row)), content)
        };
        (0..self.len()).map(one).collect()
    }

    /// Some rows as records.
    fn records(&self, rows: Vec<u32>) -> Result<Vec<UsageRecord>, LakeError> {
        let batch = take_record_batch(self.batch, &UInt32Array::from(rows));
        let batch = batch.map_err(|error| LakeError::Unwritable(error.to_string()))?;
        columns::decode(&batch).map_err(LakeError::Unwritable)
    }
}

/// The place of each text among all in their order; the same text has the same.
fn ranks(names: &Names<'_>) -> Vec<u32> {
    let text = |place: u32| names.texts.value(place as usize);
    let mut order: Vec<u32> = (0u32..).take(names.texts.len()).collect();
    order.sort_unstable_by(|one, other| text(*one).cmp(text(*other)));
    let mut ranks = vec![0; order.len()];
    let mut rank = 0;
    for (number, place) in order.iter().enumerate() {
        if number > 0 && text(order[number - 1]) != text(*place) {
            rank += 1;
        }
        ranks[*place as usize] = rank;
    }
    ranks
}

/// What of a batch is to be done with.
#[derive(Default)]
struct Sorted {
    /// New rows, by day.
    new: BTreeMap<i64, Vec<u32>>,
    /// Rows with an id that is known with other content, or that is twice in the batch.
    odd: Vec<u32>,
    /// Rows that are known as they are.
    known: usize,
}

impl Writer {
    async fn append_rows(&mut self, table: &Table, rows: &Rows<'_>) -> Result<Appended, LakeError> {
        let days = rows.days();
        // Mostly all of it is new: then the files are made while it is found out.
        let fingerprints = &self.index.fingerprints;
        let (known, encoded) = std::thread::scope(|scope| {
            let encoding = scope.spawn(|| {
                let all = days
                    .iter()
                    .map(|(day, rows_of)| Ok((*day, rows.encode(rows_of.clone())?)));
                all.collect::<Result<BTreeMap<i64, Encoded>, LakeError>>()
            });
            let known = rows.fingerprints(fingerprints);
            let encoded = encoding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (known, encoded)
        });
        let mut encoded = Some(encoded?);
        let mut pauses = Pauses::default();
        loop {
            let mut current = self.current(table).await?;
            let files = table.files_of(&current)?;
            self.forget_unused(&files);
            let sorted = self.sort(table, &files, &days, &known, rows.ids).await?;
            let added: usize = sorted.new.values().map(Vec::len).sum();
            let done = if added == 0 {
                true
            } else {
                let files = if let Some(encoded) = encoded.take().filter(|_| added == rows.len()) {
                    encoded
                } else {
                    let new = sorted.new.iter();
                    let new = new.map(|(day, rows_of)| Ok((*day, rows.encode(rows_of.clone())?)));
                    new.collect::<Result<_, LakeError>>()?
                };
                let mut adds = Vec::new();
                for (day, file) in files {
                    adds.push(file.put(&*table.store(), &day_name(day)).await?);
                }
                self.commit_rows(table, &mut current, adds, &sorted, &known).await?
            };
            self.keep_table(current);
            if done {
                let odd = rows.records(sorted.odd)?;
                let mut appended = self.append(table, &odd).await?;
                appended.added += added;
                appended.known += sorted.known;
                return Ok(appended);
            }
            pauses.pause().await?;
        }
    }

    /// Finds out what of a batch is new.
    async fn sort(
        &mut self,
        table: &Table,
        files: &[datafile::DataFile],
        days: &BTreeMap<i64, Vec<u32>>,
        known: &[(u128, u128)],
        texts: &StringArray,
    ) -> Result<Sorted, LakeError> {
        let mut sorted = Sorted::default();
        for (day, rows) in days {
            let name = day_name(*day);
            let of_day: Vec<_> = files.iter().filter(|file| file.day == name).collect();
            let ids: Vec<u128> = rows.iter().map(|row| known[*row as usize].0).collect();
            let read = self.look_into(table, &of_day, &ids).await?;
            let mut seen = HashSet::with_capacity(rows.len());
            let mut new = Vec::with_capacity(rows.len());
            for row in rows {
                let (id, content) = known[*row as usize];
                let found = self.index.find(id, of_day.iter().map(|file| file.path.as_str()));
                match found.or_else(|| read.get(&id).copied()) {
                    Some((_, same)) if same == content => sorted.known += 1,
                    // An event is looked for in other days too, which is not done here.
                    None if !datafile::is_event(texts.value(*row as usize)) && seen.insert(id) => new.push(*row),
                    _ => sorted.odd.push(*row),
                }
            }
            if !new.is_empty() {
                sorted.new.insert(*day, new);
            }
        }
        Ok(sorted)
    }

    /// Commits new files. False where another writer came first.
    async fn commit_rows(
        &mut self,
        table: &Table,
        current: &mut deltalake_core::DeltaTable,
        adds: Vec<Add>,
        sorted: &Sorted,
        known: &[(u128, u128)],
    ) -> Result<bool, LakeError> {
        let paths: Vec<String> = adds.iter().map(|add| add.path.clone()).collect();
        let actions = adds.into_iter().map(Action::Add).collect();
        match self.commit(table, current, actions, writing()).await? {
            Commit::Done => {
                for (path, rows) in paths.iter().zip(sorted.new.values()) {
                    self.index.remember(path, rows.iter().map(|row| known[*row as usize]));
                }
                Ok(true)
            }
            Commit::Late => {
                for path in paths {
                    // No version names it; where it cannot be removed now, vacuum does it.
                    table.store().delete(&Path::from(path.as_str())).await.ok();
                }
                Ok(false)
            }
        }
    }
}

/// The fingerprints of the ids of a file's records and of their contents, a batch at a time.
pub(crate) fn prints(
    of: &Fingerprints,
    file: &str,
    bytes: Bytes,
) -> Result<impl Iterator<Item = Result<Vec<(u128, u128)>, LakeError>>, LakeError> {
    Ok(datafile::batches(file, bytes)?.map(move |batch| {
        let batch = batch?;
        let rows = Rows::of(&batch).map_err(|reason| LakeError::Damaged {
            file: file.to_owned(),
            reason,
        })?;
        Ok(rows.fingerprints(of))
    }))
}

fn day_name(day: i64) -> String {
    columns::day_of(Timestamp::from_microsecond(day.saturating_mul(DAY)).unwrap_or(Timestamp::MIN))
}
