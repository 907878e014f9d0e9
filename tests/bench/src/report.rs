//! What was measured of an area, beside what was promised: rows by the kind of target.

#![allow(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "times and rates of measurements; no money is here"
)]

use crate::kept::Row;
use std::time::Duration;

/// The rows of an area.
#[derive(Debug)]
pub(crate) struct Report {
    area: &'static str,
    rows: Vec<Row>,
}

impl Report {
    /// No rows yet of an area, by number and name.
    pub(crate) const fn of(area: &'static str) -> Self {
        Self { area, rows: Vec::new() }
    }

    /// Something that should take no longer than `most`.
    pub(crate) fn took(&mut self, measure: impl Into<String>, time: Duration, most: Duration) {
        let row = Row::at_most(self.area, measure, time.as_secs_f64(), "s", most.as_secs_f64());
        self.rows.push(row);
    }

    /// Something that should be done at least `least` times a second.
    pub(crate) fn rate(&mut self, measure: impl Into<String>, count: u64, time: Duration, least: u32) {
        let a_second = (count as f64 / time.as_secs_f64().max(1e-6)).floor();
        let measure = format!("{} ({count} in {time:.2?})", measure.into());
        let row = Row::at_least(self.area, measure, a_second, "a second", f64::from(least));
        self.rows.push(row);
    }

    /// Something that should be no more than `most`.
    pub(crate) fn at_most(&mut self, measure: impl Into<String>, value: f64, unit: &str, most: f64) {
        self.rows.push(Row::at_most(self.area, measure, value, unit, most));
    }

    /// The rows, in the order in which they were measured.
    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}
