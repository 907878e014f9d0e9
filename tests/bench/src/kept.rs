//! The rows of a benchmark, as a file and as a table.

#![allow(
    clippy::float_arithmetic,
    reason = "figures of measurements are rounded; no money is here"
)]

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::Path;

/// One measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The area, by number and name.
    pub(crate) area: String,
    /// What was measured, and at which size.
    pub(crate) measure: String,
    /// How much.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: String,
    /// What it should be: at most or at least this much.
    pub(crate) target: String,
    /// Whether it was.
    pub(crate) met: bool,
}

impl Row {
    /// A measure that should be at most `most`.
    pub(crate) fn at_most(area: &str, measure: impl Into<String>, value: f64, unit: &str, most: f64) -> Self {
        Self::new(area, measure.into(), value, unit, format!("≤ {most}"), value <= most)
    }

    /// A measure that should be at least `least`.
    #[cfg(any(feature = "area-02", feature = "area-03"))]
    pub(crate) fn at_least(area: &str, measure: impl Into<String>, value: f64, unit: &str, least: f64) -> Self {
        Self::new(area, measure.into(), value, unit, format!("≥ {least}"), value >= least)
    }

    /// A measure that should be `wanted` and nothing else, as far as a row shows it.
    #[cfg(feature = "area-05")]
    pub(crate) fn exactly(area: &str, measure: impl Into<String>, value: f64, unit: &str, wanted: f64) -> Self {
        let met = (value - wanted).abs() < 0.000_05;
        Self {
            // Not rounded: it is the last places that are looked at.
            value,
            ..Self::new(area, measure.into(), value, unit, wanted.to_string(), met)
        }
    }

    fn new(area: &str, measure: String, value: f64, unit: &str, target: String, met: bool) -> Self {
        Self {
            area: area.to_owned(),
            measure,
            value: (value * 1000.0).round() / 1000.0,
            unit: unit.to_owned(),
            target,
            met,
        }
    }
}

/// Keeps the rows of an area in `.maru/bench.json`, in place of those it had, and the whole as a table in `.maru/bench.md`.
/// Gives the table of the area.
///
/// # Errors
/// Where the files cannot be written, or hold something else.
pub(crate) fn keep(folder: &Path, rows: &[Row]) -> Result<String, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join("bench.json");
    let mut all: Vec<Row> = match std::fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    all.retain(|row| rows.iter().all(|new| new.area != row.area));
    all.extend_from_slice(rows);
    all.sort_by(|one, other| one.area.cmp(&other.area));
    std::fs::write(&file, serde_json::to_string_pretty(&all)? + "\n")?;
    std::fs::write(folder.join("bench.md"), table(&all)?)?;
    table(rows)
}

fn table(rows: &[Row]) -> Result<String, Box<dyn std::error::Error>> {
    let mut text =
        "| area | measure | value | unit | target | met |\n| --- | --- | ---: | --- | --- | --- |\n".to_owned();
    for row in rows {
        let met = if row.met { "yes" } else { "no" };
        let Row {
            area,
            measure,
            value,
            unit,
            target,
            ..
        } = row;
        writeln!(text, "| {area} | {measure} | {value} | {unit} | {target} | {met} |")?;
    }
    Ok(text)
}
