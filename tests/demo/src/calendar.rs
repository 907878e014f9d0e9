//! The months of the story: the two that are over, and when everything began.

use crate::parts::Outcome;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

/// Where bills begin and end.
pub(crate) const ZONE: &str = "Asia/Seoul";

/// The two months before this one.
pub(crate) struct Months {
    /// The first days of the month before the last one, of the last one, and of this one.
    pub(crate) first: Date,
    pub(crate) second: Date,
    pub(crate) current: Date,
}

impl Months {
    /// The months before a moment.
    pub(crate) fn before(now: Timestamp) -> Outcome<Self> {
        let current = now.in_tz(ZONE)?.date().first_of_month();
        let second = current.checked_sub(1.month())?;
        let first = second.checked_sub(1.month())?;
        Ok(Self { first, second, current })
    }

    /// When systems went into service and prices began: the year's first day, so that both months have whole amounts.
    pub(crate) fn start(&self) -> String {
        self.first.first_of_year().to_string()
    }

    /// When grants end.
    pub(crate) fn end(&self) -> Outcome<String> {
        Ok(self.current.checked_add(6.months())?.to_string())
    }
}

/// A month as periods are named, such as `2026-10`.
pub(crate) fn name(month: Date) -> String {
    month.strftime("%Y-%m").to_string()
}

/// Noon of each day of a month, in Seoul.
pub(crate) fn noons(month: Date) -> Outcome<Vec<Timestamp>> {
    let days = month.days_in_month();
    (1..=days)
        .map(|day| {
            let noon = Date::new(month.year(), month.month(), day)?.at(12, 0, 0, 0);
            Ok(noon.in_tz(ZONE)?.timestamp())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_months_before_the_turn_of_the_year_are_of_the_year_before() {
        // Still December in Greenwich, January in Seoul.
        let months = Months::before("2026-12-31T15:30:00Z".parse().unwrap()).unwrap();
        assert_eq!([months.first, months.second].map(name), ["2026-11", "2026-12"]);
        assert_eq!(
            (months.start(), name(months.current)),
            ("2026-01-01".to_owned(), "2027-01".to_owned())
        );
        assert_eq!(months.end().unwrap(), "2027-07-01");
    }

    #[test]
    fn a_month_has_a_noon_for_each_day() {
        let noons = noons(Date::new(2028, 2, 1).unwrap()).unwrap();
        assert_eq!(noons.len(), 29);
        assert_eq!(noons[0].to_string(), "2028-02-01T03:00:00Z");
    }
}
