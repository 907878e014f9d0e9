//! A value of a row of a table, whatever the table is written as, and what kind of column it stands in.

use jiff::Timestamp;
use maru_meter::Exact;

/// One value. A column holds values of one kind; what is of any other kind is refused before the first row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    /// Nothing.
    Null,
    Text(&'a str),
    Whole(i128),
    Decimal(Exact),
    Instant(Timestamp),
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Whole,
    Decimal,
    /// A moment that is the same for everyone.
    Instant,
    /// Something that nothing is read from, in words.
    Other(String),
}

/// A row of a table.
pub(crate) trait Row {
    /// The value in the column at a place, from 0.
    fn cell(&self, place: usize) -> Result<Cell<'_>, String>;
}

impl Kind {
    /// In words.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Text => "text",
            Self::Whole => "whole numbers",
            Self::Decimal => "decimals",
            Self::Instant => "timestamps",
            Self::Other(name) => name,
        }
    }
}

impl Cell<'_> {
    /// The number, exact.
    pub(crate) fn exact(&self, column: &str) -> Result<Exact, String> {
        match self {
            Self::Text(text) => text.parse().map_err(|error| format!("column `{column}`: {error}")),
            Self::Whole(number) => Ok(Exact::from(*number)),
            Self::Decimal(number) => Ok(number.clone()),
            Self::Null => Err(missing(column)),
            Self::Instant(moment) => Err(format!(
                "column `{column}`: {moment} is not a number: allowed are numbers"
            )),
        }
    }

    /// The moment, where the cell says one by itself.
    pub(crate) fn instant(&self, column: &str) -> Result<Timestamp, String> {
        let refused = |shown: &str| {
            format!("column `{column}`: `{shown}` is not an instant: allowed is RFC 3339, such as 2026-10-01T00:00:00Z")
        };
        match self {
            Self::Text(text) => text.parse().map_err(|_| refused(text)),
            Self::Instant(moment) => Ok(*moment),
            Self::Null => Err(missing(column)),
            Self::Whole(number) => Err(refused(&number.to_string())),
            Self::Decimal(number) => Err(refused(&number.to_string())),
        }
    }
}

/// What is said of a cell that must hold something.
pub(crate) fn missing(column: &str) -> String {
    format!("column `{column}` has no value: allowed is a value in every row")
}
