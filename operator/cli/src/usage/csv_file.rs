//! Tables as CSV: a header that names the columns, then a row a line.

use std::cell;
use std::io::{self, Read};
use std::rc::Rc;

use csv::{ReaderBuilder, StringRecord};
use maru_meter::UsageRecord;

use super::MOST_BYTES;
use super::cell::{Cell, Row};
use super::mapping::Mapping;
use super::plan::Plan;

/// A line, from 1, and what is wrong there and what is allowed.
pub(crate) type Wrong = (u64, String);

/// Reads one record after the other and gives each to `take`, with its line.
pub(crate) fn read(
    reader: impl Read,
    mapping: Option<&Mapping>,
    mut take: impl FnMut(u64, UsageRecord) -> Result<(), String>,
) -> Result<(), Wrong> {
    let since = Rc::new(cell::Cell::new(0));
    let bounded = Bounded {
        reader,
        since: since.clone(),
    };
    let mut csv = ReaderBuilder::new().from_reader(bounded);
    let header = csv.headers().map_err(|error| wrong(&error, 1))?.clone();
    let columns: Vec<&str> = header.iter().collect();
    let plan = Plan::new(mapping, &columns).map_err(|message| (1, message))?;
    let mut row = StringRecord::new();
    loop {
        since.set(0);
        let before = csv.position().line();
        if !csv.read_record(&mut row).map_err(|error| wrong(&error, before))? {
            return Ok(());
        }
        let line = row.position().map_or(before, csv::Position::line);
        let record = plan.record(&Fields(&row)).map_err(|message| (line, message))?;
        take(line, record).map_err(|message| (line, message))?;
    }
}

/// A line of text, cut into its fields.
struct Fields<'a>(&'a StringRecord);

impl Row for Fields<'_> {
    fn cell(&self, place: usize) -> Result<Cell<'_>, String> {
        Ok(self.0.get(place).map_or(Cell::Null, Cell::Text))
    }
}

/// The message of the reader without the place, which the problem names.
fn wrong(error: &csv::Error, near: u64) -> Wrong {
    let line = error.position().map_or(near, csv::Position::line);
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} fields: allowed are {expected_len}, as many as the header names")
        }
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8 text: allowed is CSV in UTF-8".to_owned(),
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    };
    (line, message)
}

/// Ends reading when a record is too long to be one, so that a file cannot fill the memory.
struct Bounded<R> {
    reader: R,
    /// Bytes that were read since the last record ended.
    since: Rc<cell::Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since.get() > MOST_BYTES {
            return Err(io::Error::other(format!(
                "is longer than {MOST_BYTES} bytes: allowed is one usage record a line"
            )));
        }
        let length = self.reader.read(buffer)?;
        self.since.set(self.since.get() + length as u64);
        Ok(length)
    }
}
