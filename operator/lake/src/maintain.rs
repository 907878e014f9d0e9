//! Keeping the table small: compaction, retention, vacuum. None of them changes what a bill was worked out from.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use deltalake_core::kernel::{Action, Add};
use deltalake_core::protocol::DeltaOperation;
use jiff::{SignedDuration, Timestamp};
use maru_meter::UsageRecord;

use crate::datafile::{self, DataFile};
use crate::table::Commit;
use crate::{Lake, LakeError, columns};

/// What compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files that are no longer part of the table's newest version.
    pub before: usize,
    /// Files in their place.
    pub after: usize,
}

/// What vacuum did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Files that are gone.
    pub deleted: Vec<String>,
}

impl Lake {
    /// Makes one file of the files of each day that ended before a moment, and one of those with events. The records stay what they are, and
    /// writers go on meanwhile.
    pub fn compact(&self, before: Timestamp) -> Result<Compacted, LakeError> {
        let today = columns::day_of(before);
        let mut days: BTreeMap<(String, bool), Vec<DataFile>> = BTreeMap::new();
        for file in self.wait(self.table.files(None))? {
            if file.day < today {
                let kind = (file.day.clone(), file.may_hold_events());
                days.entry(kind).or_default().push(file);
            }
        }
        days.retain(|_, files| files.len() > 1);
        self.join_each(days.into_iter().map(|((day, _), files)| (day, files)))
    }

    /// The files of a day as one, a batch of each in memory at a time.
    pub(crate) fn merge_files(&self, day: &str, files: &[DataFile]) -> Result<Add, LakeError> {
        let mut sources = Vec::new();
        for file in files {
            let bytes = self.wait(datafile::fetch(&*self.table.store(), file))?;
            sources.push(Source::of(file.path.clone(), bytes)?);
        }
        let mut writer = datafile::Writer::new()?;
        let mut heap = BinaryHeap::new();
        for (number, source) in sources.iter_mut().enumerate() {
            heap.extend(source.next()?.map(|record| Head { record, number }));
        }
        while let Some(Head { record, number }) = heap.pop() {
            writer.push(record)?;
            heap.extend(sources[number].next()?.map(|record| Head { record, number }));
        }
        self.wait(writer.finish(&*self.table.store(), day, false))
    }

    /// Takes the records of the days that ended before a moment out of the newest version: their time to be kept is over. Says
    /// how many records that are. Versions that bills name still hold them until vacuum is no longer told to keep those.
    pub fn retire(&self, before: Timestamp) -> Result<u64, LakeError> {
        let Some(mut table) = self.wait(self.table.load(None))? else {
            return Ok(0);
        };
        let first_kept = columns::day_of(before);
        let mut files = self.table.files_of(&table)?;
        files.retain(|file| file.day < first_kept);
        if files.is_empty() {
            return Ok(0);
        }
        let actions = files.iter().map(|file| Action::Remove(file.remove(true))).collect();
        let operation = DeltaOperation::Delete {
            predicate: Some(format!("{} < '{first_kept}'", columns::DAY)),
        };
        match self.wait(self.table.commit(&mut table, actions, operation))? {
            Commit::Done => Ok(files.iter().map(|file| file.rows).sum()),
            Commit::Late => Err(LakeError::Busy { attempts: 1 }),
        }
    }

    /// Deletes files that the newest version and the versions in `keep` do not need, that were written longer ago than `older_than` and have not left the table
    /// just now, as well as those that never became part of it. Give the versions that bills name, and more time than any reading or writing takes.
    pub fn vacuum(&self, keep: &[u64], older_than: SignedDuration) -> Result<Vacuumed, LakeError> {
        let Some(table) = self.wait(self.table.load(None))? else {
            return Ok(Vacuumed::default());
        };
        let retention = chrono::Duration::milliseconds(i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX));
        let vacuum = table
            .vacuum()
            .with_retention_period(retention)
            .with_enforce_retention_duration(false)
            .with_keep_versions(keep)
            .with_mode(deltalake_core::operations::vacuum::VacuumMode::Full);
        let (_, metrics) = self.wait(async { vacuum.await.map_err(|error| self.table.refused(error)) })?;
        Ok(Vacuumed {
            deleted: metrics.files_deleted,
        })
    }
}

/// The records of a file, in its order.
struct Source {
    file: String,
    batches: Box<dyn Iterator<Item = Result<arrow_array::RecordBatch, LakeError>>>,
    records: std::vec::IntoIter<UsageRecord>,
}

impl Source {
    fn of(file: String, bytes: bytes::Bytes) -> Result<Self, LakeError> {
        Ok(Self {
            batches: Box::new(datafile::batches(&file, bytes)?),
            records: Vec::new().into_iter(),
            file,
        })
    }

    fn next(&mut self) -> Result<Option<UsageRecord>, LakeError> {
        loop {
            if let Some(record) = self.records.next() {
                return Ok(Some(record));
            }
            let Some(batch) = self.batches.next() else {
                return Ok(None);
            };
            let records = columns::decode(&batch?).map_err(|reason| LakeError::Damaged {
                file: self.file.clone(),
                reason,
            })?;
            self.records = records.into_iter();
        }
    }
}

/// The next record of a source. The greatest in a heap is the one that comes first in a file.
struct Head {
    record: UsageRecord,
    number: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        datafile::key(&other.record)
            .cmp(&datafile::key(&self.record))
            .then(other.number.cmp(&self.number))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}
