//! A mapping: how rows of a table that others made become usage records. `docs/usage-files.md` has it in words.

use std::num::NonZeroU64;
use std::path::Path;
use std::str::FromStr;

use maru_meter::Exact;
use maru_rate::Refusal;
use serde::Deserialize;

use crate::document::Document;
use crate::problem::Problem;

/// Where each field of a usage record comes from.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) id: Template,
    pub(crate) agency: Template,
    pub(crate) system: Template,
    pub(crate) meter: Template,
    pub(crate) resource: Option<Template>,
    pub(crate) unit: Option<Template>,
    pub(crate) source: Option<Template>,
    pub(crate) completeness: Option<Template>,
    pub(crate) quantity: Product,
    pub(crate) start: Moment,
    pub(crate) end: Moment,
    pub(crate) recorded_at: Option<Moment>,
}

/// Text with columns in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) pieces: Vec<Piece>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Words(String),
    /// `{id}`, `{id % 12}` for the remainder, `{id % 12:02}` with zeros before it to two digits.
    Column {
        name: String,
        modulus: Option<NonZeroU64>,
        width: usize,
    },
}

/// Columns that are multiplied, and what that is divided by.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) multiply: Vec<String>,
    pub(crate) divide_by: Exact,
}

/// When.
#[derive(Debug)]
pub(crate) enum Moment {
    At { column: String, unit: Option<TimeUnit> },
    After { column: String, unit: TimeUnit },
}

/// What numbers of time count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum TimeUnit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl TimeUnit {
    pub(crate) fn nanoseconds(self) -> u64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    id: String,
    agency: String,
    system: String,
    meter: String,
    resource: Option<String>,
    unit: Option<String>,
    source: Option<String>,
    completeness: Option<String>,
    quantity: WrittenProduct,
    start: WrittenMoment,
    end: WrittenMoment,
    recorded_at: Option<WrittenMoment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenProduct {
    multiply: Vec<String>,
    divide_by: Option<String>,
}

#[derive(Deserialize)]
struct WrittenMoment {
    column: Option<String>,
    after: Option<String>,
    unit: Option<TimeUnit>,
}

impl Mapping {
    /// Reads a file of one document.
    pub(crate) fn read(file: &Path) -> Result<Self, Problem> {
        let documents = Document::read(file)?;
        let [document] = documents.as_slice() else {
            let count = documents.len();
            return Err(Problem::of(
                file,
                format!("has {count} documents: allowed is one mapping"),
            ));
        };
        let written: Written = document.object()?;
        Self::of(&written).map_err(|refusal| document.refuse(&refusal))
    }

    fn of(written: &Written) -> Result<Self, Refusal> {
        let template = |field: &str, text: &str| text.parse().map_err(|why: String| Refusal::new(field, why));
        let maybe = |field: &str, text: &Option<String>| text.as_deref().map(|text| template(field, text)).transpose();
        let recorded_at = written.recorded_at.as_ref();
        Ok(Self {
            id: template("id", &written.id)?,
            agency: template("agency", &written.agency)?,
            system: template("system", &written.system)?,
            meter: template("meter", &written.meter)?,
            resource: maybe("resource", &written.resource)?,
            unit: maybe("unit", &written.unit)?,
            source: maybe("source", &written.source)?,
            completeness: maybe("completeness", &written.completeness)?,
            quantity: Product::of(&written.quantity)?,
            start: Moment::of("start", &written.start, false)?,
            end: Moment::of("end", &written.end, true)?,
            recorded_at: recorded_at
                .map(|moment| Moment::of("recordedAt", moment, false))
                .transpose()?,
        })
    }
}

impl Product {
    fn of(written: &WrittenProduct) -> Result<Self, Refusal> {
        if written.multiply.is_empty() {
            return Err(Refusal::new(
                "quantity.multiply",
                "is empty: allowed are names of columns",
            ));
        }
        let divide_by: Exact = match &written.divide_by {
            None => Exact::ONE,
            Some(text) => text.parse().map_err(|error| Refusal::new("quantity.divideBy", error))?,
        };
        if divide_by.is_zero() || divide_by.is_negative() {
            let message = format!("{divide_by} is not above zero: allowed are numbers above zero");
            return Err(Refusal::new("quantity.divideBy", message));
        }
        Ok(Self {
            multiply: written.multiply.clone(),
            divide_by,
        })
    }
}

impl Moment {
    fn of(field: &str, written: &WrittenMoment, may_follow: bool) -> Result<Self, Refusal> {
        match (&written.column, &written.after, written.unit) {
            (Some(column), None, unit) => Ok(Self::At {
                column: column.clone(),
                unit,
            }),
            (None, Some(column), Some(unit)) if may_follow => Ok(Self::After {
                column: column.clone(),
                unit,
            }),
            _ if may_follow => Err(Refusal::new(
                field,
                "does not say when: allowed is {column: NAME}, with a unit for numbers, or {after: NAME, unit: UNIT}",
            )),
            _ => Err(Refusal::new(
                field,
                "does not say when: allowed is {column: NAME}, with a unit for numbers",
            )),
        }
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((words, after)) = rest.split_once('{') {
            if !words.is_empty() {
                pieces.push(Piece::Words(words.to_owned()));
            }
            let (inside, after) = after
                .split_once('}')
                .ok_or_else(|| format!("`{text}` opens a brace and does not close it: {ALLOWED}"))?;
            pieces.push(column(inside).ok_or_else(|| format!("`{{{inside}}}` is no column: {ALLOWED}"))?);
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("`{text}` closes a brace that is not open: {ALLOWED}"));
        }
        if !rest.is_empty() {
            pieces.push(Piece::Words(rest.to_owned()));
        }
        if pieces.is_empty() {
            return Err(format!("is empty: {ALLOWED}"));
        }
        Ok(Self { pieces })
    }
}

const ALLOWED: &str = "allowed are words and columns, such as job-{id}, {id % 12} or {id % 12:02}";
/// Most digits that a number is filled up to.
const MOST_WIDTH: usize = 20;

fn column(inside: &str) -> Option<Piece> {
    let (inside, width) = match inside.rsplit_once(":0") {
        None => (inside, 0),
        Some((inside, width)) => (inside, width.parse().ok().filter(|width| *width <= MOST_WIDTH)?),
    };
    let (name, modulus) = match inside.rsplit_once('%') {
        None => (inside, None),
        Some((name, modulus)) => (name, Some(modulus.trim().parse().ok()?)),
    };
    let name = name.trim();
    (!name.is_empty()).then(|| Piece::Column {
        name: name.to_owned(),
        modulus,
        width,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_words_and_columns() {
        let column = |name: &str, modulus, width| Piece::Column {
            name: name.to_owned(),
            modulus: NonZeroU64::new(modulus),
            width,
        };
        let words = |text: &str| Piece::Words(text.to_owned());
        let table = [
            ("batch", vec![words("batch")]),
            ("{id}", vec![column("id", 0, 0)]),
            ("a-{id % 12:02}-z", vec![words("a-"), column("id", 12, 2), words("-z")]),
            ("{job id%7}{n}", vec![column("job id", 7, 0), column("n", 0, 0)]),
        ];
        for (text, pieces) in table {
            assert_eq!(text.parse::<Template>().unwrap().pieces, pieces, "{text}");
        }
    }

    #[test]
    fn a_template_that_cannot_be_read_is_refused_with_what_is_allowed() {
        for text in [
            "", "{", "{}", "}", "a{b", "a}b", "{id % 0}", "{id % x}", "{id:099}", "{ % 3}",
        ] {
            let refused = text.parse::<Template>().unwrap_err();
            assert!(refused.contains("allowed are words and columns"), "{text}: {refused}");
        }
    }
}
