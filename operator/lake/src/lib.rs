//! Usage records at rest: append exactly once, read by period.
//!
//! A directory with one file of JSON lines for each UTC month of the records' starts (`2026-11.jsonl`). A line is never
//! changed. Appending holds a lock on the file, writes whole lines and syncs them to the disk before it returns.

mod error;
mod month;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use maru_meter::{Interval, UsageRecord};

pub use error::LakeError;
use month::Month;

/// The longest a stored record may last: reading a period looks this far back for records that reach into it.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);

/// A place where usage records are kept.
#[derive(Debug)]
pub struct Lake {
    directory: PathBuf,
}

/// What became of the records that were appended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// New ones.
    pub added: usize,
    /// Known ones that now reach further: same id and start, later end. The longer one counts from now on.
    pub grown: usize,
    /// Known ones, the same or covered by a longer one: nothing was written.
    pub known: usize,
    /// Ids that are known with other content. They were refused; what was known still counts.
    pub conflicts: Vec<String>,
}

impl Lake {
    /// Opens the lake in a directory, which is made when it is not there.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, LakeError> {
        let directory = directory.into();
        fs::create_dir_all(&directory).map_err(|error| LakeError::io(&directory, error))?;
        Ok(Self { directory })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stores records exactly once by id, durable when this returns. Appending the same ones again, from
    /// another process or after a crash in the middle, changes nothing. A record that does not pass
    /// [`UsageRecord::check`] refuses the whole batch before anything is written.
    pub fn append(&self, records: &[UsageRecord]) -> Result<Appended, LakeError> {
        let mut by_month: BTreeMap<String, Vec<&UsageRecord>> = BTreeMap::new();
        for record in records {
            record.check()?;
            if record.end.duration_since(record.start) > LONGEST {
                return Err(LakeError::TooLong { id: record.id.clone() });
            }
            by_month.entry(month::name(record.start)).or_default().push(record);
        }
        let mut appended = Appended::default();
        for (name, records) in by_month {
            Month::lock(&self.directory, &name)?.append(&records, &mut appended)?;
        }
        Ok(appended)
    }

    /// Every record that has a part in the period or is an instant in it, once, ordered by start and id.
    pub fn read(&self, period: Interval) -> Result<Vec<UsageRecord>, LakeError> {
        let first = month::name(period.start - LONGEST);
        let last = month::name(period.end);
        let mut records = Vec::new();
        for name in self.months()? {
            if first <= name && name <= last {
                records.extend(Month::read(&self.directory, &name)?.into_values());
            }
        }
        records.retain(|record| touches(record, period));
        records.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
        Ok(records)
    }

    fn months(&self) -> Result<Vec<String>, LakeError> {
        let failed = |error| LakeError::io(&self.directory, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(month) = name.to_str().and_then(|name| name.strip_suffix(month::SUFFIX)) {
                names.push(month.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

fn touches(record: &UsageRecord, period: Interval) -> bool {
    let starts_inside = period.start <= record.start && record.start < period.end;
    starts_inside || (record.start < period.start && record.end > period.start)
}
