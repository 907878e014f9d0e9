//! Use as bills have it: what was priced, by month, with the right of a bill reader.

use jiff::SignedDuration;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use maru_bill::BillLine;
use maru_rate::{Charge, Month};

use super::{Key, Per, Used, UsedArgs};
use crate::bills::object;
use crate::connect;
use crate::problem::Problem;

/// Adds the use of every bill that may be read. A correction counts for the month that it corrects.
pub(super) fn read(args: &UsedArgs, months: Option<&[Month]>, used: &mut Used) -> Result<(), Problem> {
    if matches!(args.per, Some(Per::Hour | Per::Day)) {
        return Err(Problem::new(
            "--per: bills know months only; hours and days are allowed with --lake",
        ));
    }
    let (bills, _) = connect::block_on(args.place.read())?;
    for bill in &bills {
        let shown = object::read(bill)?.bill;
        let own: Month = shown.period.parse().map_err(Problem::new)?;
        for line in shown.lines.iter().filter(|line| line.charge == Charge::Usage) {
            let (Some(meter), Some(quantity)) = (&line.meter, &line.quantity) else {
                continue;
            };
            let month = month_of(line, own);
            if months.is_some_and(|months| !months.contains(&month)) {
                continue;
            }
            let key = Key {
                time: month.to_string(),
                agency: Some(shown.agency.clone()),
                system: line.system.as_deref().map(str::to_owned),
                meter: meter.to_string(),
                unit: line.unit.as_deref().unwrap_or_default().to_owned(),
            };
            args.add(used, key, quantity, line.completeness);
        }
    }
    Ok(())
}

/// No zone is this far east of UTC.
const FARTHEST: SignedDuration = SignedDuration::from_hours(14);

/// The month that a line is for. A bill does not say where its months begin, so a line of an earlier one is looked at where it is surely inside.
fn month_of(line: &BillLine, own: Month) -> Month {
    let begins = line.period_start.to_zoned(TimeZone::UTC).datetime();
    let first = own.first_day().to_datetime(Time::midnight());
    if begins + FARTHEST >= first {
        return own;
    }
    let half = line.period_end.duration_since(line.period_start) / 2;
    Month::of((begins + half.min(FARTHEST)).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_an_earlier_month_counts_there_whatever_the_zone() {
        let own = "2026-11".parse().unwrap();
        let line = |start: &str, end: &str| BillLine {
            system: None,
            charge: Charge::Usage,
            meter: None,
            item: None,
            quantity: None,
            unit: None,
            unit_price: None,
            amount: maru_meter::Exact::ZERO,
            tax: maru_meter::Exact::ZERO,
            period_start: start.parse().unwrap(),
            period_end: end.parse().unwrap(),
            completeness: maru_meter::Completeness::Complete,
            corrects: None,
            correction: None,
            reason: None,
            allocation: None,
        };
        for (start, end, month) in [
            ("2026-10-31T15:00:00Z", "2026-11-30T15:00:00Z", "2026-11"), // Seoul
            ("2026-09-30T15:00:00Z", "2026-10-31T15:00:00Z", "2026-10"),
            ("2026-09-30T15:00:00Z", "2026-10-10T15:00:00Z", "2026-10"),
            ("2026-11-01T05:00:00Z", "2026-12-01T05:00:00Z", "2026-11"), // New York
            ("2026-10-01T04:00:00Z", "2026-11-01T04:00:00Z", "2026-10"),
        ] {
            assert_eq!(month_of(&line(start, end), own).to_string(), month, "{start}");
        }
    }
}
