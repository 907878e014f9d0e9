//! Usage files: JSON lines, CSV or Parquet, by the suffix of their name.

mod cell;
mod columns_file;
mod csv_file;
pub mod import;
pub(crate) mod mapping;
mod parquet_file;
mod plan;

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use jiff::Timestamp;
use maru_lake::Lake;
use maru_meter::{Interval, UsageRecord};
use maru_rate::Period;

use self::mapping::Mapping;
use crate::problem::Problem;

/// Longest line that is read: a record is a few hundred bytes.
pub(crate) const MOST_BYTES: u64 = 1024 * 1024;

/// Reads the usage files of a command, each record once.
#[derive(Debug)]
pub(crate) struct UsageFiles {
    /// The time that is rated.
    wanted: Interval,
    /// A fingerprint of each id with one of its content.
    seen: HashMap<u128, u128>,
    keys: [RandomState; 2],
    /// How rows of CSV and Parquet files become records; none: they are records.
    mapping: Option<Mapping>,
}

/// Up to when usage was known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// By its `recordedAt`; none: never, unless it has none.
    pub(crate) time: Option<Timestamp>,
    /// By the version of the usage table, in a lake.
    pub(crate) version: Option<u64>,
}

impl Moment {
    fn knew(&self, record: &UsageRecord) -> bool {
        record
            .recorded_at
            .is_none_or(|known| self.time.is_some_and(|time| known <= time))
    }
}

impl UsageFiles {
    /// Nothing read yet; `periods` are those that are rated.
    pub(crate) fn new(periods: &[Period]) -> Self {
        let start = periods
            .iter()
            .map(|period| period.interval.start)
            .min()
            .unwrap_or_default();
        let end = periods
            .iter()
            .map(|period| period.interval.end)
            .max()
            .unwrap_or_default();
        Self {
            wanted: Interval { start, end },
            seen: HashMap::new(),
            keys: Default::default(),
            mapping: None,
        }
    }

    /// The same with a mapping for CSV and Parquet files.
    pub(crate) fn with_mapping(self, mapping: Option<Mapping>) -> Self {
        Self { mapping, ..self }
    }

    /// Gives each record of a file or a lake that was not read before to `take`. The same id with other content is refused.
    pub(crate) fn read(
        &mut self,
        file: &Path,
        mut take: impl FnMut(&UsageRecord) -> Result<(), String>,
    ) -> Result<(), Problem> {
        if is_lake(file) {
            return self.read_lake(file, take);
        }
        let mapping = self.mapping.take();
        let read = each(file, mapping.as_ref(), |_, record| {
            if self.is_new(&record)? { take(&record) } else { Ok(()) }
        });
        self.mapping = mapping;
        read
    }

    fn read_lake(
        &mut self,
        directory: &Path,
        mut take: impl FnMut(&UsageRecord) -> Result<(), String>,
    ) -> Result<(), Problem> {
        let lake = Lake::open(directory).map_err(Problem::new)?;
        for record in lake.read(self.wanted).map_err(Problem::new)? {
            if self
                .is_new(&record)
                .map_err(|message| Problem::of(directory, message))?
            {
                take(&record).map_err(|message| Problem::of(directory, message))?;
            }
        }
        Ok(())
    }

    /// The same for what was known at a moment, with whether it was known at an earlier one. A lake knows by the versions of its table; where
    /// the moments name none, and in files, records say it themselves.
    pub(crate) fn read_known(
        &mut self,
        file: &Path,
        then: &Moment,
        at: &Moment,
        mut take: impl FnMut(&UsageRecord, bool) -> Result<(), String>,
    ) -> Result<(), Problem> {
        let Some(version) = at.version.filter(|_| file.is_dir()) else {
            return self.read(file, |record| {
                if at.knew(record) {
                    take(record, then.knew(record))?;
                }
                Ok(())
            });
        };
        let lake = Lake::open(file).map_err(Problem::new)?;
        let old = match then.version {
            Some(old) => lake.read_at(old, self.wanted).map_err(Problem::new)?,
            None => Vec::new(),
        };
        let old: HashSet<u128> = old.iter().map(|record| self.fingerprint(&record.id)).collect();
        for record in lake.read_at(version, self.wanted).map_err(Problem::new)? {
            let known = old.contains(&self.fingerprint(&record.id));
            if self.is_new(&record).map_err(|message| Problem::of(file, message))? {
                take(&record, known).map_err(|message| Problem::of(file, message))?;
            }
        }
        Ok(())
    }

    fn is_new(&mut self, record: &UsageRecord) -> Result<bool, String> {
        let content = serde_json::to_string(record).map_err(|error| error.to_string())?;
        let (id, content) = (self.fingerprint(&record.id), self.fingerprint(&content));
        match self.seen.insert(id, content) {
            None => Ok(true),
            Some(known) if known == content => Ok(false),
            Some(_) => Err(format!(
                "usage record `{}` is there twice with other content: allowed is one content for an id",
                record.id
            )),
        }
    }

    fn fingerprint(&self, text: &str) -> u128 {
        let [one, other] = &self.keys;
        (u128::from(one.hash_one(text)) << 64) | u128::from(other.hash_one(text))
    }
}

/// Whether this is where a lake is, and no file: a directory, or a store's URL.
pub(crate) fn is_lake(place: &Path) -> bool {
    place.is_dir() || place.to_string_lossy().contains("://")
}

/// Gives each right record of a file to `take`, with its line, or its row where there are no lines. The file is read as it goes, so of a
/// wrong one `take` has seen what stands before.
pub(crate) fn each(
    file: &Path,
    mapping: Option<&Mapping>,
    mut take: impl FnMut(u64, UsageRecord) -> Result<(), String>,
) -> Result<(), Problem> {
    let mut checked = |line: u64, record: UsageRecord| {
        record.check().map_err(|error| error.to_string())?;
        take(line, record)
    };
    let open = || File::open(file).map_err(|error| Problem::of(file, error));
    match file.extension().and_then(OsStr::to_str) {
        Some("jsonl" | "ndjson" | "json") => json_lines(file, open()?, &mut checked),
        Some("csv") => {
            csv_file::read(open()?, mapping, checked).map_err(|(line, message)| Problem::at(file, line, message))
        }
        Some("parquet") => parquet_file::read(file, mapping, checked),
        _ => Err(Problem::of(
            file,
            "is in a form that is not known by its suffix: allowed are .jsonl, .ndjson and .json for JSON lines, .csv, .parquet, and the directory of a lake",
        )),
    }
}

fn json_lines(
    file: &Path,
    reader: File,
    take: &mut impl FnMut(u64, UsageRecord) -> Result<(), String>,
) -> Result<(), Problem> {
    let mut reader = BufReader::with_capacity(1 << 20, reader);
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let mut bounded = reader.by_ref().take(MOST_BYTES);
        let length = bounded
            .read_until(b'\n', &mut bytes)
            .map_err(|error| Problem::at(file, line, error))?;
        if length == 0 {
            break;
        }
        if length as u64 == MOST_BYTES && bytes.last() != Some(&b'\n') {
            return Err(Problem::at(
                file,
                line,
                format!("is longer than {MOST_BYTES} bytes: allowed is one usage record a line"),
            ));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let record: UsageRecord =
            serde_json::from_slice(&bytes).map_err(|error| Problem::at(file, line, json_message(&error)))?;
        take(line, record).map_err(|message| Problem::at(file, line, message))?;
    }
    Ok(())
}

/// What is wrong with a line, without the place inside of it, and what is allowed.
fn json_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text);
    format!(
        "is not a usage record: {message}; allowed is a JSON object with the strings id, agency, system, meter, quantity, start and end, and optionally \
         resource, unit, source, completeness and recordedAt"
    )
}
