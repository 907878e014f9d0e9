//! What was measured, beside what was promised.

use std::fmt;
use std::time::Duration;

/// The rows of an area.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    measure: String,
    figure: String,
    target: String,
    met: bool,
}

impl Report {
    /// Something that should take no longer than `most`.
    pub(crate) fn took(&mut self, measure: impl Into<String>, time: Duration, most: Duration) {
        self.rows.push(Row {
            measure: measure.into(),
            figure: seconds(time),
            target: format!("at most {}", seconds(most)),
            met: time <= most,
        });
    }

    /// Something that should be done at least `least` times a second.
    pub(crate) fn rate(&mut self, measure: impl Into<String>, count: u64, time: Duration, least: u128) {
        let a_second = u128::from(count) * 1_000_000 / time.as_micros().max(1);
        self.rows.push(Row {
            measure: measure.into(),
            figure: format!("{a_second} a second ({count} in {})", seconds(time)),
            target: format!("at least {least} a second"),
            met: a_second >= least,
        });
    }

    pub(crate) fn all_met(&self) -> bool {
        self.rows.iter().all(|row| row.met)
    }
}

fn seconds(time: Duration) -> String {
    format!("{}.{:02} s", time.as_secs(), time.subsec_millis() / 10)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|row| row.measure.chars().count())
            .max()
            .unwrap_or_default();
        for row in &self.rows {
            let verdict = if row.met { "met" } else { "MISSED" };
            writeln!(f, "{:width$}  {}  {}  {verdict}", row.measure, row.figure, row.target)?;
        }
        Ok(())
    }
}
