//! One month's file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maru_meter::UsageRecord;

use crate::{Appended, LakeError};

pub(crate) const SUFFIX: &str = ".jsonl";

/// The month that holds a moment, such as `2026-11`.
pub(crate) fn name(moment: Timestamp) -> String {
    moment.to_zoned(TimeZone::UTC).strftime("%Y-%m").to_string()
}

/// A month's file, locked against other writers for as long as this lives.
pub(crate) struct Month {
    path: PathBuf,
    directory: PathBuf,
    file: File,
}

impl Month {
    pub(crate) fn lock(directory: &Path, name: &str) -> Result<Self, LakeError> {
        let path = directory.join(format!("{name}{SUFFIX}"));
        let failed = |error| LakeError::io(&path, error);
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(Self {
            directory: directory.to_owned(),
            path,
            file,
        })
    }

    /// The records of a month by id, the longest of each.
    pub(crate) fn read(directory: &Path, name: &str) -> Result<BTreeMap<String, UsageRecord>, LakeError> {
        let path = directory.join(format!("{name}{SUFFIX}"));
        let file = File::open(&path).map_err(|error| LakeError::io(&path, error))?;
        Ok(scan(&path, &file)?.0)
    }

    /// Writes what is new, syncs it, and counts what became of each record.
    pub(crate) fn append(&mut self, records: &[&UsageRecord], appended: &mut Appended) -> Result<(), LakeError> {
        let (mut known, whole) = scan(&self.path, &self.file)?;
        let mut lines = Vec::new();
        for record in records {
            match known.get(&record.id).map(|old| merge(old, record)) {
                None => appended.added += 1,
                Some(Merge::Grows) => appended.grown += 1,
                Some(Merge::Covered) => {
                    appended.known += 1;
                    continue;
                }
                Some(Merge::Conflict) => {
                    appended.conflicts.push(record.id.clone());
                    continue;
                }
            }
            serde_json::to_writer(&mut lines, record).map_err(LakeError::Unwritable)?;
            lines.push(b'\n');
            known.insert(record.id.clone(), (*record).clone());
        }
        if lines.is_empty() {
            return Ok(());
        }
        self.write(whole, &lines)
            .map_err(|error| LakeError::io(&self.path, error))
    }

    /// Writes after the last whole line. What a crash left of a line behind it was never acknowledged, and goes.
    fn write(&mut self, whole: u64, lines: &[u8]) -> std::io::Result<()> {
        self.file.set_len(whole)?;
        self.file.seek(SeekFrom::Start(whole))?;
        self.file.write_all(lines)?;
        self.file.sync_all()?;
        if whole == 0 {
            File::open(&self.directory)?.sync_all()?; // the file's name is durable too
        }
        Ok(())
    }
}

enum Merge {
    Grows,
    Covered,
    Conflict,
}

/// What a record does to one with the same id. Of two that differ only in how far they reach, the longer one counts, so that it does not
/// matter in which order two writers come.
fn merge(old: &UsageRecord, new: &UsageRecord) -> Merge {
    let same_length = UsageRecord {
        recorded_at: old.recorded_at,
        ..new.clone()
    };
    if *old == same_length {
        return Merge::Covered;
    }
    let same_use = UsageRecord {
        end: old.end,
        quantity: old.quantity.clone(),
        completeness: old.completeness,
        ..same_length
    };
    match (*old == same_use, new.end.cmp(&old.end)) {
        (true, std::cmp::Ordering::Greater) if new.quantity >= old.quantity => Merge::Grows,
        (true, std::cmp::Ordering::Less) if new.quantity <= old.quantity => Merge::Covered,
        _ => Merge::Conflict,
    }
}

/// Reads a file: its records by id, and where its last whole line ends.
fn scan(path: &Path, file: &File) -> Result<(BTreeMap<String, UsageRecord>, u64), LakeError> {
    let mut reader = BufReader::new(file);
    reader.rewind().map_err(|error| LakeError::io(path, error))?;
    let mut records: BTreeMap<String, UsageRecord> = BTreeMap::new();
    let (mut line, mut number, mut whole) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        let length = reader
            .read_until(b'\n', &mut line)
            .map_err(|error| LakeError::io(path, error))?;
        if !line.ends_with(b"\n") {
            return Ok((records, whole));
        }
        number += 1;
        let record: UsageRecord = serde_json::from_slice(&line).map_err(|error| LakeError::Damaged {
            path: path.to_owned(),
            line: number,
            error,
        })?;
        whole += length as u64;
        let shorter = records.get(&record.id).is_some_and(|known| record.end < known.end);
        if !shorter {
            records.insert(record.id.clone(), record);
        }
    }
}
