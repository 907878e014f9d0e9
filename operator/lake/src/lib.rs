//! Usage records at rest: append exactly once, read by period, compact, travel in time.
//!
//! A [Delta Lake](https://delta.io) table in a directory or an object store, in a partition for each UTC day of the records' starts, so that a
//! month's rating reads a month. Spark, Trino, `DuckDB` and Polars read the same table.
//!
//! Each append reads what the table holds of the days it touches, writes what is new, and commits on top of
//! exactly the version that it read. Where another writer came first, the commit is refused by the store and
//! everything is looked at again. So a record is there once, whoever sends it how often, and whatever ends in the middle.
//! See `docs/decisions/2026-11-24-lake.md`.

mod append;
mod bulk;
mod columns;
mod commits;
mod datafile;
mod directory;
mod doubt;
mod elsewhere;
mod error;
mod index;
mod join;
mod kept;
mod log;
mod maintain;
mod news;
mod place;
mod refused;
mod sum;
mod summing;
mod table;

use std::future::Future;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use maru_meter::{Interval, UsageRecord};
use tokio::runtime::Runtime;

pub use append::Appended;
pub use columns::TEXT_COLUMNS;
pub use doubt::Doubts;
pub use error::LakeError;
pub use maintain::{Compacted, Vacuumed};
pub use refused::Refused;
pub use summing::Summing;

use datafile::DataFile;
use table::Table;

/// The longest a stored record may last: reading a period looks this far back for records that reach into it.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);

/// A place where usage records are kept. Its calls wait for disks and networks: in asynchronous code, call them
/// where blocking is allowed.
#[derive(Debug)]
pub struct Lake {
    location: String,
    runtime: Option<Runtime>,
    writer: Mutex<append::Writer>,
    table: Table,
}

impl Lake {
    /// Opens the lake in a directory, which is made when it is not there, or at a URL such as `s3://bucket/path`. The table is
    /// made by the first append.
    pub fn open(location: impl AsRef<Path>) -> Result<Self, LakeError> {
        let location = location.as_ref().to_string_lossy().into_owned();
        let table = Table::at(&location)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("lake")
            .enable_all()
            .build()
            .map_err(LakeError::Threads)?;
        Ok(Self {
            location,
            runtime: Some(runtime),
            writer: Mutex::default(),
            table,
        })
    }

    /// Where it is.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Whether a lake takes a record: it is right, and can be held exactly.
    pub fn check(record: &UsageRecord) -> Result<(), LakeError> {
        record.check()?;
        if record.end.duration_since(record.start) > LONGEST {
            return Err(LakeError::TooLong { id: record.id.clone() });
        }
        columns::check(record)
    }

    /// Stores records exactly once by id, durable when this returns. Appending the same ones again, from
    /// another process or after a crash in the middle, changes nothing. A record that does not pass
    /// [`Lake::check`] refuses the whole batch before anything is written. One that contradicts what is known is kept for [`Lake::refused`].
    pub fn append(&self, records: &[UsageRecord]) -> Result<Appended, LakeError> {
        records.iter().try_for_each(Self::check)?;
        let appended = self.wait(self.writer().append(&self.table, records))?;
        self.keep_refused(&appended.refused)?;
        Ok(appended)
    }

    /// Every record that has a part in the period or is an instant in it, once, ordered by start and id.
    pub fn read(&self, period: Interval) -> Result<Vec<UsageRecord>, LakeError> {
        self.read_files(period, self.wait(self.table.files(None))?)
    }

    /// The same, as the table was at a version: what a bill that names it was worked out from.
    pub fn read_at(&self, version: u64, period: Interval) -> Result<Vec<UsageRecord>, LakeError> {
        self.read_files(period, self.wait(self.table.files(Some(version)))?)
    }

    /// Gives each record of a period, as the table was at a version, once: day by day in UTC by their start, and in no order inside of a
    /// day. A file's bytes and some thousand records are held at a time.
    pub fn each_at<E: From<LakeError>>(
        &self,
        version: u64,
        period: Interval,
        mut take: impl FnMut(&UsageRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let files = self.wait(self.table.files(Some(version)))?;
        for file in of_period(files, period) {
            let bytes = self.wait(datafile::fetch(&*self.table.store(), &file))?;
            for batch in datafile::batches(&file.path, bytes)? {
                let inside = datafile::decoded(&file.path, &batch?)?;
                inside
                    .iter()
                    .filter(|record| touches(record, period))
                    .try_for_each(&mut take)?;
            }
        }
        Ok(())
    }

    /// The files that may hold something of a period, as the table was at a version or is now, as URLs that other engines read.
    pub fn files(&self, version: Option<u64>, period: Interval) -> Result<Vec<String>, LakeError> {
        let files = of_period(self.wait(self.table.files(version))?, period);
        Ok(files.iter().map(|file| self.table.url_of(&file.path)).collect())
    }

    /// The version that reading sees now; nothing while there is no table.
    pub fn version(&self) -> Result<Option<u64>, LakeError> {
        let table = self.wait(self.table.load(None))?;
        Ok(table.and_then(|table| table.version()))
    }

    fn read_files(&self, period: Interval, files: Vec<DataFile>) -> Result<Vec<UsageRecord>, LakeError> {
        let mut records = Vec::new();
        for file in of_period(files, period) {
            let bytes = self.wait(datafile::fetch(&*self.table.store(), &file))?;
            let inside = datafile::records(&file.path, bytes)?;
            records.extend(inside.into_iter().filter(|record| touches(record, period)));
        }
        records.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
        Ok(records)
    }

    fn writer(&self) -> MutexGuard<'_, append::Writer> {
        // A writer that panicked left fingerprints of whole files or none, so what it knew stays true.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, LakeError>>) -> Result<T, LakeError> {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => Err(LakeError::Threads(std::io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Drop for Lake {
    /// Asynchronous code may drop a lake too, and there a runtime must not be waited for.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The files that may hold something of a period.
fn of_period(files: Vec<DataFile>, period: Interval) -> Vec<DataFile> {
    let first = columns::day_of(period.start.checked_sub(LONGEST).unwrap_or(Timestamp::MIN));
    let last = columns::day_of(period.end);
    let wanted = |file: &DataFile| first <= file.day && file.day <= last && file.may_touch(period.start, period.end);
    let mut files: Vec<DataFile> = files.into_iter().filter(wanted).collect();
    files.sort_by(|a, b| (&a.day, &a.path).cmp(&(&b.day, &b.path)));
    files
}

fn touches(record: &UsageRecord, period: Interval) -> bool {
    let starts_inside = period.start <= record.start && record.start < period.end;
    starts_inside || (record.start < period.start && record.end > period.start)
}
