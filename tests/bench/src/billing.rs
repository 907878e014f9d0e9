//! Area 02: a month of 2,000 agencies and a million quantities is rated, closed into the ledger on both stores, and verified.

use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use maru_crds::RateCardSpec;
use maru_ledger::{Inputs, Issue, Ledger};
use maru_meter::{Exact, UsageRecord};
use maru_rate::{Month, Period, PriceBook, Rated, Usage, World, card};
use maru_test_postgres::{Postgres, PostgresOptions};

use crate::kept::Row;
use crate::report::Report;

const AGENCIES: u64 = 2_000;
const SYSTEMS: u64 = 100;
const METERS: u64 = 5;
const MOST_RATING: Duration = Duration::from_secs(3);
const MOST_CLOSING: Duration = Duration::from_secs(10);
const LEAST_ENTRIES: u32 = 1_000_000;
/// Memory goes with agencies and lines: so many times the records of the same lines take no more of it.
const RECORDS: u64 = 10;
const MOST_MEMORY: f64 = 1.05;

/// Runs the area and gives its rows.
///
/// # Errors
/// Where a part does not start, or the ledger disagrees with itself.
pub(crate) fn run(months: u8) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut report = Report::of("02 billing");
    crate::surf::add(&mut report)?;
    let book = book()?;
    let world = World::default();
    let folder = tempfile::tempdir()?;
    let server = Postgres::start(&PostgresOptions::default())?;
    let file = folder.path().join("ledger.sqlite").display().to_string();
    let mut ledgers = [
        ("SQLite", Ledger::at(&file)?),
        ("PostgreSQL", Ledger::at(&server.create_database("ledger")?)?),
    ];
    // The allocator keeps some of the first run's memory, and would count it with the second's.
    memory(&book, &world, 1)?;
    let once = memory(&book, &world, 1)?;
    #[allow(clippy::float_arithmetic, reason = "a ratio of measurements; no money is here")]
    let ratio = memory(&book, &world, RECORDS)? / once;
    report.at_most(
        format!("peak memory of rating with each quantity in {RECORDS} records, to in one ({once:.0} MiB)"),
        ratio,
        "ratio",
        MOST_MEMORY,
    );
    for month in 1..=months {
        let month: Month = format!("2026-{month:02}").parse()?;
        let (rated, time) = rate(&book, &world, month, 1)?;
        report.took(format!("{month}: rating a million quantities"), time, MOST_RATING);
        for (name, ledger) in &mut ledgers {
            let began = Instant::now();
            let pages = close(ledger, &rated)?;
            report.took(
                format!("{month}: closing {pages} bills on {name}"),
                began.elapsed(),
                MOST_CLOSING,
            );
        }
    }
    for (name, ledger) in &mut ledgers {
        let began = Instant::now();
        let verified = ledger.verify()?;
        let time = began.elapsed();
        if let Some(disagreement) = verified.disagreements.first() {
            return Err(format!("{name}: {disagreement}").into());
        }
        report.rate(
            format!("verifying entries on {name}"),
            verified.entries,
            time,
            LEAST_ENTRIES,
        );
    }
    Ok(report.into_rows())
}

fn book() -> Result<PriceBook, Box<dyn Error>> {
    let mut text = "currency: KRW
timeZone: Asia/Seoul
versions:
- from: '2026-01-01T00:00:00+09:00'
  items:
"
    .to_owned();
    for meter in 0..METERS {
        writeln!(
            text,
            "  - {{meter: meter-{meter}, unit: unit, model: PerUnit, unitPrice: '{}.25'}}",
            meter + 1
        )?;
    }
    text.push_str("taxes: [{from: '2026-01-01T00:00:00+09:00', name: VAT, rate: '0.1'}]\n");
    let spec: RateCardSpec = serde_saphyr::from_str(&text)?;
    Ok(card::read(&spec)?)
}

/// The most memory that a month takes, in MiB, from the first record to its bills, with all else that the program holds.
fn memory(book: &PriceBook, world: &World, records: u64) -> Result<f64, Box<dyn Error>> {
    // "5" makes the kernel forget the highest resident set so far: proc_pid_clear_refs(5).
    std::fs::write("/proc/self/clear_refs", "5")?;
    drop(rate(book, world, "2026-01".parse()?, records)?);
    Ok(crate::memory::resident_mib("self", "VmHWM").map_err(|error| error.to_string())?)
}

/// The month, and how long it took from quantities to bills; making them up does not count. Each quantity comes in so many records.
fn rate(book: &PriceBook, world: &World, month: Month, times: u64) -> Result<(Rated, Duration), Box<dyn Error>> {
    let period = Period::new(month, &book.zone).ok_or("beyond the calendar")?;
    let mut usage = Usage::new(book, world, period);
    let mut record = blank(period.interval.start, period.interval.end);
    let mut time = Duration::ZERO;
    for agency in 0..AGENCIES {
        record.agency = format!("agency-{agency:04}");
        let records: Vec<UsageRecord> = (0..SYSTEMS * METERS)
            .map(|place| {
                let mut record = record.clone();
                record.system = format!("agency-{agency:04}/system-{:02}", place / METERS);
                record.meter = format!("meter-{}", place % METERS);
                record.quantity = Exact::scaled(1_000_003 * (agency + 1) + 7_919 * place, 4);
                record
            })
            .collect();
        let began = Instant::now();
        for _ in 0..times {
            for record in &records {
                usage.add(record)?;
            }
        }
        time += began.elapsed();
    }
    let began = Instant::now();
    let rated = usage.rate()?;
    Ok((rated, time + began.elapsed()))
}

fn blank(start: Timestamp, end: Timestamp) -> UsageRecord {
    UsageRecord {
        id: "benchmark".to_owned(),
        agency: String::new(),
        system: String::new(),
        resource: String::new(),
        meter: String::new(),
        quantity: Exact::ZERO,
        unit: String::new(),
        start,
        end,
        source: String::new(),
        completeness: maru_meter::Completeness::Complete,
        recorded_at: None,
    }
}

fn close(ledger: &mut Ledger, rated: &Rated) -> Result<usize, Box<dyn Error>> {
    let inputs = Inputs::default();
    let issue = Issue {
        issuer: "maru",
        fiscal_year: 2026,
        at: rated.interval().end,
        inputs: &inputs,
    };
    Ok(ledger.issue(rated, &issue)?.len())
}
