//! A bill's month, worked out again: with the months that it corrects, as far as the books say what stood on their bills.

use jiff::Timestamp;
use maru_ledger::{Inputs, Ledger, LedgerError, Naming, Page, PageKind};
use maru_meter::{Interval, UsageRecord};
use maru_rate::{Billed, Carry, Month, Period, Rated, Reopened, Usage};

use super::VerifyArgs;
use crate::manifests::Manifests;
use crate::problem::Problem;
use crate::usage::{Moment, UsageFiles};

/// The month's charges, and the names of what they were worked out from.
pub(super) fn work_out(ledger: &mut Ledger, args: &VerifyArgs, page: &Page) -> Result<(Rated, Inputs), Problem> {
    let manifests = Manifests::read(&args.files)?;
    let month: Month = page.month().parse().map_err(Problem::new)?;
    let pages = pages(ledger, args, month)?;
    let zone = &manifests.book.zone;
    let lines = pages.iter().flat_map(|page| &page.statement().lines);
    let corrected = lines.filter(|line| line.correction.is_some());
    let corrected = corrected.map(|line| Month::of(line.interval.start.to_zoned(zone.clone()).date()));
    let first = corrected.min().unwrap_or(month);
    let months = Month::range(&format!("{first}..{month}")).map_err(Problem::new)?;
    let mut periods = Vec::new();
    for month in &months {
        let beyond = || Problem::new(format!("{month} is beyond the calendar"));
        periods.push(Period::new(*month, zone).ok_or_else(beyond)?);
    }
    let last = before(month)?;
    let read = Reading {
        then: moment(&self::pages(ledger, args, last)?),
        at: moment(std::slice::from_ref(page)),
        periods,
    };
    let (billed, usage, inputs) = read.usage(args, &manifests)?;
    let began_with = carry(ledger, args, before(first)?)?;
    let mut reopened = Reopened::new(&manifests.book, began_with, billed);
    for month in months.iter().filter(|earlier| **earlier != month) {
        for page in self::pages(ledger, args, *month)? {
            if let Some(number) = page.number() {
                reopened.bill(number, page.statement());
            }
        }
    }
    let rated = reopened.rate(usage, &carry(ledger, args, last)?);
    Ok((rated.map_err(Problem::new)?, inputs))
}

/// What is read of usage, and up to when it was known.
struct Reading {
    /// When the bills of the month before were issued.
    then: Moment,
    /// When the bill was issued.
    at: Moment,
    /// The months that are corrected and, last, the bill's own.
    periods: Vec<Period>,
}

impl Reading {
    fn usage<'a>(
        &self,
        args: &VerifyArgs,
        manifests: &'a Manifests,
    ) -> Result<(Vec<Billed<'a>>, Usage<'a>, Inputs), Problem> {
        let nothing = || Problem::new("no month is to be worked out: allowed is at least one");
        let (own, earlier) = self.periods.split_last().ok_or_else(nothing)?;
        let empty = |period: Period| Usage::new(&manifests.book, &manifests.world, period);
        let mut billed: Vec<Billed<'a>> = earlier
            .iter()
            .map(|period| Billed {
                before: empty(*period),
                now: empty(*period),
            })
            .collect();
        let mut usage = empty(*own);
        let start = earlier.first().unwrap_or(own).interval.start;
        let mut naming = Naming::new(Interval {
            start,
            end: own.interval.end,
        });
        Manifests::read_and_name(&args.files, &mut naming)?;
        let mut reader = UsageFiles::new(&self.periods);
        for file in &args.usage {
            reader.read_known(file, &self.then, &self.at, |record, known_then| {
                let add =
                    |usage: &mut Usage<'_>, record: &UsageRecord| usage.add(record).map_err(|error| error.to_string());
                naming.usage(record).map_err(|error| error.to_string())?;
                for billed in &mut billed {
                    add(&mut billed.now, record)?;
                    if known_then {
                        add(&mut billed.before, record)?;
                    }
                }
                add(&mut usage, record)
            })?;
        }
        Ok((billed, usage, naming.inputs()))
    }
}

/// The invoices of a month.
fn pages(ledger: &mut Ledger, args: &VerifyArgs, month: Month) -> Result<Vec<Page>, Problem> {
    let mut pages = ledger.pages(&args.issuer, month).map_err(of_ledger)?;
    pages.retain(|page| page.kind() == PageKind::Invoice);
    Ok(pages)
}

fn carry(ledger: &mut Ledger, args: &VerifyArgs, month: Month) -> Result<Carry, Problem> {
    let carry = ledger.carry(&args.issuer, month).map_err(of_ledger)?;
    Ok(carry.unwrap_or_default())
}

/// Up to when bills know of usage.
fn moment(pages: &[Page]) -> Moment {
    let issued = pages
        .iter()
        .filter_map(|page| page.issued_at()?.parse::<Timestamp>().ok());
    let versions = pages.iter().filter_map(|page| page.inputs()?.usage_table_version);
    Moment {
        time: issued.max(),
        version: versions.max(),
    }
}

fn before(month: Month) -> Result<Month, Problem> {
    month.first_day().yesterday().map(Month::of).map_err(Problem::new)
}

#[allow(clippy::needless_pass_by_value, reason = "what map_err gives")]
fn of_ledger(error: LedgerError) -> Problem {
    Problem::new(format!("--ledger: {error}"))
}
