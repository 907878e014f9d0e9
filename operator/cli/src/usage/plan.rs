//! How a row of a table becomes a usage record: by its own columns, or by a mapping.

use std::num::NonZeroU64;

use jiff::Timestamp;
use maru_meter::{Completeness, Exact, UsageRecord};

use super::cell::{Cell, Kind, Row, missing};
use super::mapping::{Mapping, Moment, Piece, Template, TimeUnit};

const NEEDED: [&str; 7] = ["id", "agency", "system", "meter", "quantity", "start", "end"];
const OPTIONAL: [&str; 5] = ["resource", "unit", "source", "completeness", "recordedAt"];

/// Where each field of a record comes from, with columns by their place.
#[derive(Debug)]
pub(crate) struct Plan {
    columns: Vec<String>,
    id: Text,
    agency: Text,
    system: Text,
    resource: Text,
    meter: Text,
    unit: Text,
    source: Text,
    completeness: Text,
    /// Factors, and what their product is divided by.
    quantity: (Vec<usize>, Exact),
    start: Time,
    end: Time,
    recorded_at: Option<Time>,
}

/// Words and columns in a row.
#[derive(Debug, Default)]
struct Text {
    parts: Vec<Part>,
    /// A row may leave it out.
    optional: bool,
}

#[derive(Debug)]
enum Part {
    Words(String),
    Column {
        place: usize,
        modulus: Option<NonZeroU64>,
        width: usize,
    },
}

#[derive(Debug)]
enum Time {
    At {
        place: usize,
        /// Of a number since 1970; none: the column says moments.
        unit: Option<TimeUnit>,
        optional: bool,
    },
    /// So long after the start.
    After { place: usize, unit: TimeUnit },
}

/// What a column is used for.
#[derive(Clone, Copy)]
enum Purpose {
    Text,
    Number,
    Remainder,
    Moment,
}

impl Purpose {
    fn takes(self, kind: &Kind) -> bool {
        match self {
            Self::Text => matches!(kind, Kind::Text | Kind::Whole),
            Self::Number => matches!(kind, Kind::Text | Kind::Whole | Kind::Decimal),
            Self::Remainder => matches!(kind, Kind::Text | Kind::Whole),
            Self::Moment => matches!(kind, Kind::Text | Kind::Instant),
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            Self::Text => "allowed are text and whole numbers",
            Self::Number => "allowed are decimals, whole numbers and decimals as text, which are exact",
            Self::Remainder => "allowed are whole numbers",
            Self::Moment => {
                "allowed are timestamps with a time zone and RFC 3339 text; for numbers since 1970 a mapping says the unit"
            }
        }
    }
}

impl Plan {
    /// For a table with these columns. Without a mapping they are the fields of a usage record.
    pub(crate) fn new(mapping: Option<&Mapping>, columns: &[&str]) -> Result<Self, String> {
        if let Some((_, twice)) =
            (columns.iter().enumerate()).find(|(place, column)| columns[..*place].contains(column))
        {
            return Err(format!("column `{twice}` is there twice: allowed is each column once"));
        }
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        match mapping {
            None => Self::own(columns),
            Some(mapping) => Self::mapped(mapping, columns),
        }
    }

    fn own(columns: Vec<String>) -> Result<Self, String> {
        let known = |column: &&String| !NEEDED.contains(&column.as_str()) && !OPTIONAL.contains(&column.as_str());
        if let Some(strange) = columns.iter().find(known) {
            return Err(format!("column `{strange}` is not of a usage record: {}", allowed()));
        }
        let place = |name: &str| columns.iter().position(|column| column == name);
        let needed = |name: &str| place(name).ok_or_else(|| format!("column `{name}` is missing: {}", allowed()));
        let column = |place, optional| Text {
            parts: vec![Part::Column {
                place,
                modulus: None,
                width: 0,
            }],
            optional,
        };
        let text = |name: &str| Ok::<_, String>(column(needed(name)?, false));
        let maybe = |name: &str| place(name).map(|place| column(place, true)).unwrap_or_default();
        let time = |place, optional| Time::At {
            place,
            unit: None,
            optional,
        };
        Ok(Self {
            id: text("id")?,
            agency: text("agency")?,
            system: text("system")?,
            meter: text("meter")?,
            quantity: (vec![needed("quantity")?], Exact::ONE),
            start: time(needed("start")?, false),
            end: time(needed("end")?, false),
            resource: maybe("resource"),
            unit: maybe("unit"),
            source: maybe("source"),
            completeness: maybe("completeness"),
            recorded_at: place("recordedAt").map(|place| time(place, true)),
            columns,
        })
    }

    fn mapped(mapping: &Mapping, columns: Vec<String>) -> Result<Self, String> {
        let place = |name: &str| {
            columns.iter().position(|column| column == name).ok_or_else(|| {
                format!(
                    "column `{name}`, which the mapping names, is missing: allowed are the columns of this file, {}",
                    columns.join(", ")
                )
            })
        };
        let text = |template: &Template| {
            let part = |piece: &Piece| {
                Ok::<_, String>(match piece {
                    Piece::Words(words) => Part::Words(words.clone()),
                    Piece::Column { name, modulus, width } => Part::Column {
                        place: place(name)?,
                        modulus: *modulus,
                        width: *width,
                    },
                })
            };
            let parts = template.pieces.iter().map(part).collect::<Result<_, _>>()?;
            Ok::<_, String>(Text { parts, optional: false })
        };
        let maybe =
            |template: &Option<Template>| template.as_ref().map(text).transpose().map(Option::unwrap_or_default);
        let time = |moment: &Moment, optional| {
            Ok::<_, String>(match moment {
                Moment::At { column, unit } => Time::At {
                    place: place(column)?,
                    unit: *unit,
                    optional,
                },
                Moment::After { column, unit } => Time::After {
                    place: place(column)?,
                    unit: *unit,
                },
            })
        };
        let factors = mapping.quantity.multiply.iter().map(|name| place(name));
        Ok(Self {
            id: text(&mapping.id)?,
            agency: text(&mapping.agency)?,
            system: text(&mapping.system)?,
            meter: text(&mapping.meter)?,
            resource: maybe(&mapping.resource)?,
            unit: maybe(&mapping.unit)?,
            source: maybe(&mapping.source)?,
            completeness: maybe(&mapping.completeness)?,
            quantity: (factors.collect::<Result<_, _>>()?, mapping.quantity.divide_by.clone()),
            start: time(&mapping.start, false)?,
            end: time(&mapping.end, false)?,
            recorded_at: mapping
                .recorded_at
                .as_ref()
                .map(|moment| time(moment, true))
                .transpose()?,
            columns,
        })
    }

    /// The places of the columns that are read, in order.
    pub(crate) fn wanted(&self) -> Vec<usize> {
        let mut wanted: Vec<usize> = self.purposes().iter().map(|(place, _)| *place).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// Refuses columns that hold something else than what they are used for.
    pub(crate) fn check(&self, kinds: &[Kind]) -> Result<(), String> {
        for (place, purpose) in self.purposes() {
            let kind = &kinds[place];
            if !purpose.takes(kind) {
                let (column, holds) = (&self.columns[place], kind.name());
                return Err(format!("column `{column}` holds {holds}: {}", purpose.allowed()));
            }
        }
        Ok(())
    }

    fn purposes(&self) -> Vec<(usize, Purpose)> {
        let mut purposes: Vec<(usize, Purpose)> =
            self.quantity.0.iter().map(|place| (*place, Purpose::Number)).collect();
        for text in [
            &self.id,
            &self.agency,
            &self.system,
            &self.resource,
            &self.meter,
            &self.unit,
            &self.source,
            &self.completeness,
        ] {
            purposes.extend(text.parts.iter().filter_map(|part| match part {
                Part::Words(_) => None,
                Part::Column {
                    place, modulus: None, ..
                } => Some((*place, Purpose::Text)),
                Part::Column { place, .. } => Some((*place, Purpose::Remainder)),
            }));
        }
        for time in [Some(&self.start), Some(&self.end), self.recorded_at.as_ref()]
            .into_iter()
            .flatten()
        {
            purposes.push(match time {
                Time::At { place, unit: None, .. } => (*place, Purpose::Moment),
                Time::At { place, .. } | Time::After { place, .. } => (*place, Purpose::Number),
            });
        }
        purposes
    }

    /// The record that a row says.
    pub(crate) fn record(&self, row: &impl Row) -> Result<UsageRecord, String> {
        let start = self.moment(&self.start, row, None)?.ok_or_else(|| missing("start"))?;
        let (factors, divisor) = &self.quantity;
        let mut quantity = Exact::ONE;
        for place in factors {
            quantity = quantity * row.cell(*place)?.exact(&self.columns[*place])?;
        }
        Ok(UsageRecord {
            id: self.text(&self.id, row)?,
            agency: self.text(&self.agency, row)?,
            system: self.text(&self.system, row)?,
            resource: self.text(&self.resource, row)?,
            meter: self.text(&self.meter, row)?,
            quantity: quantity.checked_div(divisor).ok_or("divideBy is zero")?,
            unit: self.text(&self.unit, row)?,
            start,
            end: self
                .moment(&self.end, row, Some(start))?
                .ok_or_else(|| missing("end"))?,
            source: self.text(&self.source, row)?,
            completeness: completeness(&self.text(&self.completeness, row)?)?,
            recorded_at: match &self.recorded_at {
                None => None,
                Some(time) => self.moment(time, row, Some(start))?,
            },
        })
    }

    fn text(&self, text: &Text, row: &impl Row) -> Result<String, String> {
        let mut whole = String::new();
        for part in &text.parts {
            let (place, modulus, width) = match part {
                Part::Words(words) => {
                    whole.push_str(words);
                    continue;
                }
                Part::Column { place, modulus, width } => (*place, *modulus, *width),
            };
            let column = &self.columns[place];
            let shown = match (row.cell(place)?, modulus) {
                (Cell::Null, _) if text.optional => continue,
                (Cell::Null, _) => return Err(missing(column)),
                (Cell::Text(text), None) => text.to_owned(),
                (Cell::Whole(number), None) => number.to_string(),
                (Cell::Whole(number), Some(modulus)) => number.rem_euclid(i128::from(modulus.get())).to_string(),
                (Cell::Text(text), Some(modulus)) => {
                    let number: i128 = text.parse().map_err(|_| {
                        format!("column `{column}`: `{text}` is not a whole number: allowed are digits")
                    })?;
                    number.rem_euclid(i128::from(modulus.get())).to_string()
                }
                (Cell::Decimal(_) | Cell::Instant(_), _) => {
                    return Err(format!("column `{column}`: {}", Purpose::Text.allowed()));
                }
            };
            whole.extend(std::iter::repeat_n('0', width.saturating_sub(shown.chars().count())));
            whole.push_str(&shown);
        }
        Ok(whole)
    }

    /// None where a row leaves out what it may.
    fn moment(&self, time: &Time, row: &impl Row, start: Option<Timestamp>) -> Result<Option<Timestamp>, String> {
        let (place, unit, after) = match time {
            Time::At { place, unit, optional } => {
                let cell = row.cell(*place)?;
                if *optional && matches!(cell, Cell::Null | Cell::Text("")) {
                    return Ok(None);
                }
                let Some(unit) = unit else {
                    return cell.instant(&self.columns[*place]).map(Some);
                };
                (*place, *unit, Timestamp::UNIX_EPOCH)
            }
            Time::After { place, unit } => (*place, *unit, start.unwrap_or_default()),
        };
        let column = &self.columns[place];
        let length = row.cell(place)?.exact(column)?;
        let nanos = &length * &Exact::from(unit.nanoseconds());
        if nanos != Exact::from(nanos.floor()) {
            return Err(format!(
                "column `{column}`: {length} is finer than a nanosecond: allowed are whole ones"
            ));
        }
        let moment = i128::try_from(nanos.floor())
            .ok()
            .and_then(|nanos| nanos.checked_add(after.as_nanosecond()))
            .and_then(|nanos| Timestamp::from_nanosecond(nanos).ok());
        moment.map(Some).ok_or_else(|| {
            format!("column `{column}`: {length} leads beyond the calendar: allowed are the years -9999 to 9999")
        })
    }
}

fn completeness(name: &str) -> Result<Completeness, String> {
    if name.is_empty() {
        return Ok(Completeness::Complete);
    }
    name.parse().map_err(|_| {
        format!("column `completeness`: `{name}` is not known: allowed are Complete, Estimated and Missing, or nothing")
    })
}

fn allowed() -> String {
    format!(
        "allowed are the columns {}, and optionally {}",
        NEEDED.join(", "),
        OPTIONAL.join(", ")
    )
}
