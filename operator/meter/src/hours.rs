//! Cutting time at the hour.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

const HOUR: i64 = 3600;

/// A half-open interval of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// Inclusive.
    pub start: Timestamp,
    /// Exclusive.
    pub end: Timestamp,
}

impl Interval {
    /// The part that two intervals share; nothing when they share no time.
    pub fn overlap(self, other: Self) -> Option<Self> {
        let both = Self {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        };
        (both.start < both.end).then_some(both)
    }

    /// How long it is.
    pub fn length(self) -> SignedDuration {
        self.end.duration_since(self.start)
    }

    /// Its pieces, none of which crosses an hour of UTC.
    pub fn hours(self) -> impl Iterator<Item = Self> {
        let mut next = self.start;
        std::iter::from_fn(move || {
            if next >= self.end {
                return None;
            }
            let piece = Self {
                start: next,
                end: hour_after(next).min(self.end),
            };
            next = piece.end;
            Some(piece)
        })
    }
}

/// The last full hour at or before a moment.
pub fn hour_of(moment: Timestamp) -> Timestamp {
    let second = moment.as_second().div_euclid(HOUR) * HOUR;
    Timestamp::from_second(second).unwrap_or(Timestamp::MIN)
}

/// The first full hour after a moment.
pub fn hour_after(moment: Timestamp) -> Timestamp {
    let second = (moment.as_second().div_euclid(HOUR) + 1) * HOUR;
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_interval_is_cut_at_every_full_hour_and_nothing_is_lost() {
        let whole = Interval {
            start: at("2026-11-23T22:59:30Z"),
            end: at("2026-11-24T01:00:00Z"),
        };
        let pieces: Vec<_> = whole
            .hours()
            .map(|p| (p.start.to_string(), p.length().as_secs()))
            .collect();
        let expected = [
            ("2026-11-23T22:59:30Z", 30),
            ("2026-11-23T23:00:00Z", 3600),
            ("2026-11-24T00:00:00Z", 3600),
        ];
        assert_eq!(pieces, expected.map(|(start, seconds)| (start.to_owned(), seconds)));
    }

    #[test]
    fn hours_before_1970_and_at_the_end_of_time_do_not_panic() {
        assert_eq!(hour_of(at("1969-12-31T23:30:00Z")), at("1969-12-31T23:00:00Z"));
        assert!(hour_after(Timestamp::MAX) >= hour_of(Timestamp::MAX));
    }
}
