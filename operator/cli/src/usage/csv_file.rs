//! Usage records as CSV: a header that names the columns, then a record a line.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use csv::{ReaderBuilder, StringRecord};
use maru_meter::{Completeness, Exact, UsageRecord};

use crate::usage_file::MOST_BYTES;

const NEEDED: [&str; 7] = ["id", "agency", "system", "meter", "quantity", "start", "end"];
const OPTIONAL: [&str; 5] = ["resource", "unit", "source", "completeness", "recordedAt"];

/// A line, from 1, and what is wrong there and what is allowed.
pub(crate) type Wrong = (u64, String);

/// Reads one record after the other and gives each to `take`.
pub(crate) fn read(reader: impl Read, mut take: impl FnMut(UsageRecord) -> Result<(), String>) -> Result<(), Wrong> {
    let since = Rc::new(Cell::new(0));
    let bounded = Bounded {
        reader,
        since: since.clone(),
    };
    let mut csv = ReaderBuilder::new().from_reader(bounded);
    let header = csv.headers().map_err(|error| wrong(&error, 1))?.clone();
    check_header(&header).map_err(|message| (1, message))?;
    let mut row = StringRecord::new();
    loop {
        since.set(0);
        let before = csv.position().line();
        if !csv.read_record(&mut row).map_err(|error| wrong(&error, before))? {
            return Ok(());
        }
        let line = row.position().map_or(before, csv::Position::line);
        let record = record(&header, &row).map_err(|message| (line, message))?;
        take(record).map_err(|message| (line, message))?;
    }
}

fn allowed() -> String {
    format!(
        "allowed are the columns {}, and optionally {}",
        NEEDED.join(", "),
        OPTIONAL.join(", ")
    )
}

fn check_header(header: &StringRecord) -> Result<(), String> {
    for (place, column) in header.iter().enumerate() {
        if !NEEDED.contains(&column) && !OPTIONAL.contains(&column) {
            return Err(format!("column `{column}` is not of a usage record: {}", allowed()));
        }
        if header.iter().take(place).any(|other| other == column) {
            return Err(format!("column `{column}` is there twice: allowed is each column once"));
        }
    }
    match NEEDED
        .iter()
        .find(|needed| !header.iter().any(|column| column == **needed))
    {
        Some(needed) => Err(format!("column `{needed}` is missing: {}", allowed())),
        None => Ok(()),
    }
}

fn record(header: &StringRecord, row: &StringRecord) -> Result<UsageRecord, String> {
    let cell = |name: &str| {
        let cells = header.iter().zip(row.iter());
        cells
            .filter(|(column, _)| *column == name)
            .map(|(_, cell)| cell)
            .next()
            .unwrap_or_default()
    };
    let text = |name: &str| cell(name).to_owned();
    let time = |name: &str| {
        let text = cell(name);
        text.parse().map_err(|_| {
            format!("column `{name}`: `{text}` is not an instant: allowed is RFC 3339, such as 2026-10-01T00:00:00Z")
        })
    };
    let completeness = match cell("completeness") {
        "" | "Complete" => Completeness::Complete,
        "Estimated" => Completeness::Estimated,
        "Missing" => Completeness::Missing,
        other => {
            return Err(format!(
                "column `completeness`: `{other}` is not known: allowed are Complete, Estimated and Missing, or nothing"
            ));
        }
    };
    let quantity: Exact = cell("quantity")
        .parse()
        .map_err(|error| format!("column `quantity`: {error}"))?;
    let recorded_at = match cell("recordedAt") {
        "" => None,
        _ => Some(time("recordedAt")?),
    };
    Ok(UsageRecord {
        id: text("id"),
        agency: text("agency"),
        system: text("system"),
        resource: text("resource"),
        meter: text("meter"),
        quantity,
        unit: text("unit"),
        start: time("start")?,
        end: time("end")?,
        source: text("source"),
        completeness,
        recorded_at,
    })
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
    since: Rc<Cell<u64>>,
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
