//! The usage record: one fact of use, as it is stored, sent and rated.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::exact::Exact;

/// The system of usage in an agency's namespace that belongs to no system.
pub const UNASSIGNED: &str = "unassigned";

/// How much of what a record stands for was really seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Completeness {
    /// All of it.
    #[default]
    Complete,
    /// It was bounded by what is known.
    Estimated,
    /// Nothing was seen; the quantity is not a measurement.
    Missing,
}

/// A word that is no [`Completeness`].
#[derive(Debug, thiserror::Error)]
#[error("completeness `{0}` is none of Complete, Estimated, Missing")]
pub struct UnknownCompleteness(pub String);

impl Completeness {
    /// The word for it, as records, tables and bills have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "Complete",
            Self::Estimated => "Estimated",
            Self::Missing => "Missing",
        }
    }
}

impl FromStr for Completeness {
    type Err = UnknownCompleteness;

    fn from_str(name: &str) -> Result<Self, UnknownCompleteness> {
        [Self::Complete, Self::Estimated, Self::Missing]
            .into_iter()
            .find(|completeness| completeness.name() == name)
            .ok_or_else(|| UnknownCompleteness(name.to_owned()))
    }
}

/// One fact of use over `[start, end)`; the two may be the same for an instant. As JSON, one a line:
/// `{"id": …, "agency": …, "system": …, "meter": …, "quantity": "1.5", "start": …, "end": …}` and what is optional.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsageRecord {
    /// Unique; the same use always gets the same id, so that reporting it twice is reporting it once.
    pub id: String,
    /// Who used: the name of an `Agency`.
    pub agency: String,
    /// What was used: `namespace/name` of an `AgencySystem`, its bare name, or `unassigned`.
    pub system: String,
    /// The thing that was metered, such as `pod/<namespace>/<name>`; empty when the source does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// What was measured, such as `cpu.reserved`.
    pub meter: String,
    /// How much, in `unit`; not negative.
    pub quantity: Exact,
    /// Such as `core-hour`; empty when the price book's unit is meant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Start of the use, inclusive.
    pub start: Timestamp,
    /// End of the use, exclusive.
    pub end: Timestamp,
    /// Who measured, such as `pods`; empty when not said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// How much of it was seen.
    #[serde(default)]
    pub completeness: Completeness,
    /// When the record became known; none means in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<Timestamp>,
}

/// What is wrong with a usage record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A field that must say something is empty or too long.
    #[error("usage record field `{field}`: {length} bytes; allowed are 1 to {most}")]
    Length {
        /// The field.
        field: &'static str,
        /// How long it is.
        length: usize,
        /// How long it may be.
        most: usize,
    },
    /// The end lies before the start.
    #[error("usage record `{id}`: end {end} is before start {start}; allowed is an end at or after the start")]
    Backwards {
        /// Which record.
        id: String,
        /// Its start.
        start: Timestamp,
        /// Its end.
        end: Timestamp,
    },
    /// Use is never negative.
    #[error("usage record `{id}`: quantity {quantity} is negative; allowed is zero or more")]
    Negative {
        /// Which record.
        id: String,
        /// Its quantity.
        quantity: Exact,
    },
}

impl UsageRecord {
    /// The id of what a source saw of one resource within one hour of UTC: whoever looks, and however often, it is the same.
    pub fn id_of(source: &str, uid: &str, meter: &str, hour: Timestamp) -> String {
        format!("{source}/{uid}/{meter}/{hour}")
    }

    /// Checks what a type cannot say: names are there and bounded, time runs forward, use is not negative.
    pub fn check(&self) -> Result<(), RecordError> {
        let fields = [
            ("id", &self.id, 512),
            ("agency", &self.agency, 253),
            ("system", &self.system, 253),
            ("meter", &self.meter, 253),
        ];
        for (field, text, most) in fields {
            if text.is_empty() || text.len() > most {
                return Err(RecordError::Length {
                    field,
                    length: text.len(),
                    most,
                });
            }
        }
        if self.end < self.start {
            return Err(RecordError::Backwards {
                id: self.id.clone(),
                start: self.start,
                end: self.end,
            });
        }
        if self.quantity.is_negative() {
            return Err(RecordError::Negative {
                id: self.id.clone(),
                quantity: self.quantity.clone(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"id":"a","agency":"nts","system":"nts/hometax","meter":"cpu.reserved","quantity":"1.5","start":"2026-10-01T00:00:00Z","end":"2026-10-01T01:00:00Z"}"#;

    #[test]
    fn a_line_with_only_the_needed_fields_is_a_record() {
        let record: UsageRecord = serde_json::from_str(LINE).unwrap();
        assert_eq!(record.quantity.to_string(), "1.5");
        assert_eq!(record.completeness, Completeness::Complete);
        record.check().unwrap();
        assert_eq!(
            serde_json::from_str::<UsageRecord>(&serde_json::to_string(&record).unwrap()).unwrap(),
            record
        );
    }

    #[test]
    fn a_number_in_place_of_a_decimal_string_and_an_unknown_field_are_refused() {
        assert!(serde_json::from_str::<UsageRecord>(&LINE.replace("\"1.5\"", "1.5")).is_err());
        assert!(
            serde_json::from_str::<UsageRecord>(&LINE.replace("\"meter\"", "\"colour\":\"red\",\"meter\"")).is_err()
        );
    }

    #[test]
    fn a_record_that_ends_before_it_starts_or_is_negative_is_refused() {
        let record: UsageRecord = serde_json::from_str(LINE).unwrap();
        let backwards = UsageRecord {
            end: record.start - jiff::SignedDuration::from_secs(1),
            ..record.clone()
        };
        assert!(matches!(backwards.check(), Err(RecordError::Backwards { .. })));
        let negative = UsageRecord {
            quantity: "-1".parse().unwrap(),
            ..record.clone()
        };
        assert!(matches!(negative.check(), Err(RecordError::Negative { .. })));
        let nameless = UsageRecord {
            agency: String::new(),
            ..record
        };
        assert!(matches!(
            nameless.check(),
            Err(RecordError::Length { field: "agency", .. })
        ));
    }
}
