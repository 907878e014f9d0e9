//! Billing periods: calendar months in the rate card's time zone.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use maru_meter::Interval;

use crate::refusal::Refusal;

/// A calendar month, such as `2026-10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    first: Date,
}

/// Why a text is not a month or a range of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a period: allowed is YYYY-MM, such as 2026-10, or the first and the last month, such as 2026-10..2026-12, at most 1200 months"
)]
pub struct MonthError(String);

impl Month {
    /// The month that holds a date.
    pub fn of(date: Date) -> Self {
        Self {
            first: date.first_of_month(),
        }
    }

    /// Its first day.
    pub fn first_day(self) -> Date {
        self.first
    }

    /// The month after; nothing after December 9999.
    pub fn next(self) -> Option<Self> {
        self.first
            .checked_add(jiff::Span::new().months(1))
            .ok()
            .map(|first| Self { first })
    }

    /// The months `FIRST..LAST`, both included, or the one month.
    pub fn range(text: &str) -> Result<Vec<Self>, MonthError> {
        let refused = || MonthError(text.chars().take(40).collect());
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let (first, last): (Self, Self) = (first.parse()?, last.parse()?);
        let mut months = vec![first];
        while let Some(month) = months.last().filter(|month| **month < last) {
            let next = month.next().filter(|_| months.len() < 1200).ok_or_else(refused)?;
            months.push(next);
        }
        if first > last { Err(refused()) } else { Ok(months) }
    }

    /// Whole months from an earlier one to this; negative when the other is later.
    pub fn months_since(self, other: Self) -> i32 {
        let count = |month: Self| i32::from(month.first.year()) * 12 + i32::from(month.first.month());
        count(self) - count(other)
    }
}

impl FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, MonthError> {
        let refused = || MonthError(text.chars().take(40).collect());
        let digits = |s: &str, length: usize| s.len() == length && s.bytes().all(|b| b.is_ascii_digit());
        let (year, month) = text
            .split_once('-')
            .filter(|(y, m)| digits(y, 4) && digits(m, 2))
            .ok_or_else(refused)?;
        let (year, month) = (
            year.parse().map_err(|_| refused())?,
            month.parse().map_err(|_| refused())?,
        );
        Date::new(year, month, 1)
            .map(|first| Self { first })
            .map_err(|_| refused())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

/// A month as it really passed in a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Which month.
    pub month: Month,
    /// From its first instant to the next month's.
    pub interval: Interval,
}

impl Period {
    /// A month in a zone; nothing for the last month that a calendar can say.
    pub fn new(month: Month, zone: &TimeZone) -> Option<Self> {
        let begin = |month: Month| month.first.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp());
        let interval = Interval {
            start: begin(month)?,
            end: begin(month.next()?)?,
        };
        Some(Self { month, interval })
    }
}

/// The zone of an IANA name, such as `Asia/Seoul`. The rules are those that are built in, so that a bill comes out the same
/// on every machine.
pub fn read_zone(field: &str, name: &str) -> Result<TimeZone, Refusal> {
    TimeZoneDatabase::bundled().get(name).map_err(|_| {
        Refusal::new(
            field,
            format!("`{name}` is not a time zone: allowed are IANA names, such as Asia/Seoul"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(month: &str, zone: &str) -> Period {
        Period::new(month.parse().unwrap(), &read_zone("spec.timeZone", zone).unwrap()).unwrap()
    }

    #[test]
    fn a_month_lasts_as_long_as_it_really_does() {
        let table = [
            ("2022-10", "Europe/Amsterdam", 745, "2022-09-30T22:00:00Z"),
            ("2022-03", "Europe/Amsterdam", 743, "2022-02-28T23:00:00Z"),
            ("2026-10", "Asia/Seoul", 744, "2026-09-30T15:00:00Z"),
            ("2024-02", "Asia/Seoul", 696, "2024-01-31T15:00:00Z"),
            ("2026-02", "Asia/Seoul", 672, "2026-01-31T15:00:00Z"),
            ("2026-11", "Asia/Kolkata", 720, "2026-10-31T18:30:00Z"),
            ("2026-12", "Asia/Kathmandu", 744, "2026-11-30T18:15:00Z"),
        ];
        for (month, zone, hours, start) in table {
            let period = period(month, zone);
            assert_eq!(period.interval.length().as_hours(), hours, "{month} {zone}");
            assert_eq!(period.interval.start.to_string(), start, "{month} {zone}");
        }
    }

    #[test]
    fn periods_join_without_a_gap() {
        for zone in ["America/Sao_Paulo", "Africa/Cairo", "Pacific/Apia"] {
            let months = Month::range("2010-01..2020-12").unwrap();
            for pair in months.windows(2) {
                let (one, next) = (period(&pair[0].to_string(), zone), period(&pair[1].to_string(), zone));
                assert_eq!(one.interval.end, next.interval.start);
            }
        }
    }

    #[test]
    fn a_range_holds_both_ends() {
        let months: Vec<_> = Month::range("2026-11..2027-01")
            .unwrap()
            .iter()
            .map(Month::to_string)
            .collect();
        assert_eq!(months, ["2026-11", "2026-12", "2027-01"]);
        assert_eq!(Month::range("2026-11").unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for text in [
            "",
            "2026",
            "2026-13",
            "2026-1",
            "26-01",
            "2026-01-01",
            "2026-02..2026-01",
            "2026-01..",
            "0000-01..9999-01",
            "2026-01...2026-02",
        ] {
            assert!(Month::range(text).is_err(), "{text}");
        }
    }
}
