//! Appending exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deltalake_core::DeltaTable;
use deltalake_core::kernel::Action;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use jiff::{SignedDuration, Timestamp};
use maru_meter::{Merge, UsageRecord, hour_after, hour_of, merge};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::datafile::{self, DataFile};
use crate::index::Index;
use crate::table::{Commit, Table};
use crate::{LakeError, bulk, columns};

/// How often a commit is tried when others are first. Each time, somebody's records got in.
const ATTEMPTS: u32 = 200;
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long a version that was read is trusted to be followed by the next one in the log. [`Lake::trim_log`] leaves it there for longer.
const TRUSTED: SignedDuration = SignedDuration::from_hours(1);

/// What became of the records that were appended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// New ones.
    pub added: usize,
    /// Known ones that took the place of what was known: the same use, by somebody who knew of its end, or measured where there was an
    /// estimate.
    pub bettered: usize,
    /// Known ones, the same or not as well known as what is there: nothing was written.
    pub known: usize,
    /// Ids that are known with other content. They were refused; what was known still counts.
    pub conflicts: Vec<String>,
    /// What was refused.
    pub(crate) refused: Vec<UsageRecord>,
}

/// What this process knows of the table.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) table: Option<DeltaTable>,
    /// When the log was last looked at.
    pub(crate) looked: Option<Timestamp>,
    pub(crate) index: Index,
}

/// What lies between attempts that others came before.
#[derive(Debug)]
pub(crate) struct Pauses {
    made: u32,
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            made: 0,
            next: Duration::from_millis(2),
        }
    }
}

impl Pauses {
    /// Waits for a moment, longer each time, and gives up in the end.
    pub(crate) async fn pause(&mut self) -> Result<(), LakeError> {
        self.made += 1;
        if self.made >= ATTEMPTS {
            return Err(LakeError::Busy { attempts: ATTEMPTS });
        }
        tokio::time::sleep(self.next + spread(self.next)).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

/// What the table's log says of an append.
pub(crate) fn writing() -> DeltaOperation {
    DeltaOperation::Write {
        mode: SaveMode::Append,
        partition_by: Some(vec![columns::DAY.to_owned()]),
        predicate: None,
    }
}

/// By the fingerprint of an id, the file that holds it and its content's fingerprint.
pub(crate) type Found<'a> = HashMap<u128, (&'a str, u128)>;

/// What is known before a day's records are compared.
#[derive(Clone, Copy)]
struct DaysFiles<'a> {
    /// The files in which they may be.
    files: &'a [&'a DataFile],
    /// Those of their ids that only reading told.
    found: &'a Found<'a>,
    /// The fingerprints of ids that another day has.
    taken: &'a HashSet<u128>,
}

/// What a batch does to one day.
#[derive(Debug, Default)]
struct Change {
    /// New records by id, and those that take the place of others.
    records: BTreeMap<String, UsageRecord>,
    /// Files that hold records whose place is taken.
    rewritten: BTreeSet<String>,
}

impl Writer {
    pub(crate) async fn append(&mut self, table: &Table, records: &[UsageRecord]) -> Result<Appended, LakeError> {
        if records.is_empty() {
            return Ok(Appended::default());
        }
        let mut pauses = Pauses::default();
        loop {
            let mut current = self.current(table).await?;
            let files = table.files_of(&current)?;
            self.forget_unused(&files);
            let mut appended = Appended::default();
            let changes = self.compare(table, &files, records, &mut appended).await?;
            let done = changes.is_empty() || self.write(table, &mut current, &files, changes).await?;
            self.keep_table(current);
            if done {
                return Ok(appended);
            }
            pauses.pause().await?;
        }
    }

    /// Keeps the table for the next time.
    pub(crate) fn keep_table(&mut self, table: DeltaTable) {
        self.table = Some(table);
    }

    /// Forgets what is known of files that the table no longer has. Before anything is written: what is written next is not among them yet.
    pub(crate) fn forget_unused(&mut self, files: &[DataFile]) {
        let used: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let oldest_day = files.iter().map(|file| file.day.as_str()).min();
        self.index
            .shrink(oldest_day.unwrap_or_default(), |path| used.contains(path));
    }

    /// The table as it is now. It is given away, so that after an error nothing half-known is kept.
    pub(crate) async fn current(&mut self, table: &Table) -> Result<DeltaTable, LakeError> {
        let now = Timestamp::now();
        let known = match self.table.take() {
            Some(mut known) => {
                if !self.trusts(now) || table.has_more(&known).await? {
                    table.refresh(&mut known).await?;
                }
                known
            }
            None => table.load_or_create().await?,
        };
        self.looked = Some(now);
        Ok(known)
    }

    /// Whether the log was looked at so lately that the version after the one that was found is refused if there is one.
    fn trusts(&self, now: Timestamp) -> bool {
        self.looked
            .is_some_and(|looked| now.duration_since(looked).abs() < TRUSTED)
    }

    /// Commits on top of the version that was found. Not where that is long ago: the version after it may be gone from the log by now, and with it what
    /// would refuse this one.
    pub(crate) async fn commit(
        &self,
        table: &Table,
        current: &mut DeltaTable,
        actions: Vec<Action>,
        operation: DeltaOperation,
    ) -> Result<Commit, LakeError> {
        if !self.trusts(Timestamp::now()) {
            return Ok(Commit::Late);
        }
        table.commit(current, actions, operation).await
    }

    /// What the batch changes, by day.
    async fn compare(
        &mut self,
        table: &Table,
        files: &[DataFile],
        records: &[UsageRecord],
        appended: &mut Appended,
    ) -> Result<BTreeMap<String, Change>, LakeError> {
        let mut days: BTreeMap<String, Vec<&UsageRecord>> = BTreeMap::new();
        for record in records {
            days.entry(columns::day_of(record.start)).or_default().push(record);
        }
        let mut changes = BTreeMap::new();
        let mut taken = HashSet::new();
        for (day, records) in days {
            let relevant = relevant(files, &day, &records);
            let ids: Vec<u128> = records
                .iter()
                .map(|record| self.index.fingerprints.of(&record.id.as_str()))
                .collect();
            let found = self.look_into(table, &relevant, &ids).await?;
            let events: Vec<u128> = (records.iter().zip(&ids))
                .filter(|(record, _)| datafile::is_event(&record.id))
                .map(|(_, id)| *id)
                .collect();
            if !events.is_empty() {
                let paths = || relevant.iter().map(|file| file.path.as_str());
                let mut new = events.clone();
                new.retain(|id| !found.contains_key(id) && !self.index.holds(*id, paths()));
                self.learn_events(table, files).await?;
                taken.extend(self.elsewhere(table, files, &day, &new).await?);
            }
            let days_files = DaysFiles {
                files: &relevant,
                found: &found,
                taken: &taken,
            };
            let change = self.compare_day(table, days_files, &records, appended).await?;
            taken.extend(events);
            if !change.records.is_empty() {
                changes.insert(day, change);
            }
        }
        Ok(changes)
    }

    /// Looks into each file once, and gives those of these ids that are in one of which no more than an outline, or nothing, could be kept.
    pub(crate) async fn look_into<'a>(
        &mut self,
        table: &Table,
        files: &[&'a DataFile],
        ids: &[u128],
    ) -> Result<Found<'a>, LakeError> {
        for file in files {
            if !self.index.knows(&file.path) {
                self.learn(table, file).await?;
                self.index.tighten();
            }
        }
        self.resolve(table, files, ids).await
    }

    /// Reads those of the files that may hold one of these ids as far as is known.
    async fn resolve<'a>(&self, table: &Table, files: &[&'a DataFile], ids: &[u128]) -> Result<Found<'a>, LakeError> {
        let mut found = Found::new();
        for file in files {
            let in_doubt: HashSet<u128> = self.index.in_doubt(&file.path, ids).into_iter().collect();
            if in_doubt.is_empty() {
                continue;
            }
            let bytes = datafile::fetch(&*table.store(), file).await?;
            for prints in bulk::prints(&self.index.fingerprints, &file.path, bytes)? {
                let here = prints?.into_iter().filter(|(id, _)| in_doubt.contains(id));
                found.extend(here.map(|(id, content)| (id, (file.path.as_str(), content))));
            }
        }
        Ok(found)
    }

    async fn learn(&mut self, table: &Table, file: &DataFile) -> Result<(), LakeError> {
        let bytes = datafile::fetch(&*table.store(), file).await?;
        let batches = bulk::prints(&self.index.fingerprints, &file.path, bytes)?;
        if self.index.is_large(file.rows) {
            let mut ids = Vec::new();
            for prints in batches {
                ids.extend(prints?.into_iter().map(|(id, _)| id));
            }
            self.index.learn_outline(&file.path, ids.into_iter());
        } else {
            let prints = batches.collect::<Result<Vec<_>, _>>()?.concat();
            self.index.remember(&file.path, prints.into_iter());
        }
        Ok(())
    }

    async fn compare_day(
        &self,
        table: &Table,
        DaysFiles { files, found, taken }: DaysFiles<'_>,
        records: &[&UsageRecord],
        appended: &mut Appended,
    ) -> Result<Change, LakeError> {
        let mut change = Change::default();
        let mut looked_into: HashMap<&str, HashMap<String, UsageRecord>> = HashMap::new();
        for record in records {
            let fingerprints = &self.index.fingerprints;
            let merged = if let Some(pending) = change.records.get(&record.id) {
                merge(pending, record)
            } else {
                let id = fingerprints.of(&record.id.as_str());
                let paths = files.iter().map(|file| file.path.as_str());
                match self.index.find(id, paths).or_else(|| found.get(&id).copied()) {
                    None if taken.contains(&id) => Merge::Conflict,
                    None => {
                        appended.added += 1;
                        change.records.insert(record.id.clone(), (*record).clone());
                        continue;
                    }
                    Some((_, content)) if content == fingerprints.of_content(record) => Merge::Covered,
                    Some((path, _)) => {
                        if !looked_into.contains_key(path) {
                            looked_into.insert(path, read(table, files, path, records).await?);
                        }
                        let old = looked_into.get(path).and_then(|records| records.get(&record.id));
                        let merged = old.map_or(Merge::Conflict, |old| merge(old, record));
                        if merged == Merge::Replaces {
                            change.rewritten.insert(path.to_owned());
                        }
                        merged
                    }
                }
            };
            match merged {
                Merge::Replaces => {
                    appended.bettered += 1;
                    change.records.insert(record.id.clone(), (*record).clone());
                }
                Merge::Covered => appended.known += 1,
                Merge::Conflict => {
                    appended.conflicts.push(record.id.clone());
                    appended.refused.push((*record).clone());
                }
            }
        }
        Ok(change)
    }

    /// Writes the changes and commits them. False where another writer came first.
    async fn write(
        &mut self,
        table: &Table,
        current: &mut DeltaTable,
        files: &[DataFile],
        changes: BTreeMap<String, Change>,
    ) -> Result<bool, LakeError> {
        let mut actions = Vec::new();
        let mut written: Vec<(String, String, Vec<UsageRecord>)> = Vec::new();
        for (day, change) in changes {
            let mut records = change.records;
            for file in files.iter().filter(|file| change.rewritten.contains(&file.path)) {
                let bytes = datafile::fetch(&*table.store(), file).await?;
                for record in datafile::records(&file.path, bytes)? {
                    records.entry(record.id.clone()).or_insert(record);
                }
                actions.push(Action::Remove(file.remove(true)));
            }
            let mut records: Vec<UsageRecord> = records.into_values().collect();
            let add = datafile::write(&*table.store(), &day, &mut records, true).await?;
            written.push((day, add.path.clone(), records));
            actions.push(Action::Add(add));
        }
        match self.commit(table, current, actions, writing()).await? {
            Commit::Done => {
                for (day, path, records) in &written {
                    self.index.learn(path, day, records);
                }
                Ok(true)
            }
            Commit::Late => {
                for (_, path, _) in &written {
                    // No version names it; where it cannot be removed now, vacuum does it.
                    if let Err(error) = table.store().delete(&Path::from(path.as_str())).await {
                        tracing::debug!(path, %error, "a file that was not committed stays for vacuum");
                    }
                }
                Ok(false)
            }
        }
    }
}

/// The files of a day in which these ids may be. An id that ends in the hour of its record is nowhere but with that hour.
fn relevant<'a>(files: &'a [DataFile], day: &str, records: &[&UsageRecord]) -> Vec<&'a DataFile> {
    let of_day = files.iter().filter(|file| file.day == day);
    let tied = records.iter().all(|record| datafile::is_tied(record));
    let starts = || records.iter().map(|record| record.start);
    match (tied, starts().min(), starts().max()) {
        (true, Some(first), Some(last)) => of_day
            .filter(|file| file.may_start_within(hour_of(first), hour_after(last)))
            .collect(),
        _ => of_day.collect(),
    }
}

/// What one of the files has under the ids of these records.
async fn read(
    table: &Table,
    files: &[&DataFile],
    path: &str,
    records: &[&UsageRecord],
) -> Result<HashMap<String, UsageRecord>, LakeError> {
    let wanted: HashSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    let mut by_id = HashMap::new();
    if let Some(file) = files.iter().find(|file| file.path == path) {
        for batch in datafile::batches(path, datafile::fetch(&*table.store(), file).await?)? {
            let known = datafile::decoded(path, &batch?)?.into_iter();
            let known = known.filter(|record| wanted.contains(record.id.as_str()));
            by_id.extend(known.map(|record| (record.id.clone(), record)));
        }
    }
    Ok(by_id)
}

/// A part of a pause that differs between writers, so that they do not meet again.
fn spread(pause: Duration) -> Duration {
    let part = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    pause * part / 256
}

#[cfg(test)]
mod tests {
    use crate::Lake;
    use maru_meter::UsageRecord;

    #[test]
    fn what_was_just_written_is_not_read_again_to_know_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path()).unwrap();
        let record = |minute: u32| -> UsageRecord {
            serde_json::from_value(serde_json::json!({
                "id": format!("r{minute}"), "agency": "nts", "system": "nts/docs", "meter": "m", "quantity": "1",
                "start": format!("2026-11-03T04:{minute:02}:00Z"), "end": format!("2026-11-03T04:{minute:02}:30Z"),
            }))
            .unwrap()
        };
        let columns = crate::columns::encode(&[record(3), record(4)]).unwrap();
        lake.append(&[record(1), record(2)]).unwrap();
        lake.append_columns(&columns).unwrap();
        lake.append(&[record(5)]).unwrap();
        let files = lake.wait(lake.table.files(None)).unwrap();
        let known = files.iter().filter(|file| lake.writer().index.knows(&file.path));
        assert_eq!((files.len(), known.count()), (3, 3));
    }

    #[test]
    fn an_id_is_known_in_a_day_that_has_more_of_them_than_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path()).unwrap();
        lake.writer().index.most = 200;
        let record = |day: u32, number: u32, quantity: u32| -> UsageRecord {
            let minute = number % 60;
            serde_json::from_value(serde_json::json!({
                "id": format!("events/r{number}"), "agency": "nts", "system": "nts/docs", "meter": "m",
                "quantity": quantity.to_string(),
                "start": format!("2026-11-{day:02}T04:{minute:02}:00Z"), "end": format!("2026-11-{day:02}T04:{minute:02}:30Z"),
            }))
            .unwrap()
        };
        let batch = |numbers: std::ops::Range<u32>| numbers.map(|number| record(3, number, 1)).collect::<Vec<_>>();
        // Of the first of these files nothing is kept, of the next an outline, of the last ones all.
        lake.writer().index.most_outlined = 100;
        for first in [0, 90, 180, 270] {
            lake.append(&batch(first..first + 90)).unwrap();
        }
        let again = |lake: &Lake| {
            let appended = lake.append(&batch(60..400)).unwrap();
            assert_eq!((appended.added, appended.known), (40, 300));
            let columns = crate::columns::encode(&batch(0..400)).unwrap();
            assert_eq!(lake.append_columns(&columns).unwrap().known, 400);
            let other = lake
                .append(&[record(3, 5, 2), record(5, 6, 1), record(3, 400, 1)])
                .unwrap();
            assert_eq!(
                (other.conflicts, other.added),
                (vec!["events/r5".to_owned(), "events/r6".to_owned()], 1)
            );
        };
        again(&lake);

        // The same where it is a process of its own that finds one large file.
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path()).unwrap();
        lake.append(&batch(0..360)).unwrap();
        let lake = Lake::open(folder.path()).unwrap();
        lake.writer().index.most = 200;
        again(&lake);
        let file = lake
            .wait(lake.table.files(None))
            .unwrap()
            .into_iter()
            .max_by_key(|file| file.rows)
            .unwrap();
        let writer = lake.writer();
        let id = writer.index.fingerprints.of(&"events/r1");
        assert!(writer.index.find(id, [file.path.as_str()].into_iter()).is_none());
    }
}
