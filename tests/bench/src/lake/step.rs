//! The month in the lake is summed, and billed.

use std::error::Error;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use maru_crds::RateCardSpec;
use maru_lake::{Lake, LakeError, Summing};
use maru_ledger::{Inputs, Issue, Ledger};
use maru_meter::Exact;
use maru_rate::{Month, Period, PriceBook, Usage, World, card};

use super::Found;
use super::make::{METERS, period};

const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
/// What the command writes at once.
const AT_ONCE: usize = 500_000;

/// Sums the month.
pub(super) fn sum(folder: &Path) -> Result<Found, Box<dyn Error>> {
    let lake = Lake::open(folder)?;
    let summing = Summing {
        period: period()?,
        cuts: Vec::new(),
        alone: Vec::new(),
        issued: Vec::new(),
        version: None,
        threads: THREADS,
    };
    let (mut count, mut total) = (0, Exact::ZERO);
    let began = Instant::now();
    lake.sum(&summing, |record| {
        count += 1;
        total += &record.quantity;
        Ok::<(), LakeError>(())
    })?;
    Ok(Found {
        seconds: began.elapsed().as_secs_f64(),
        count,
        result: total.to_fixed(18),
        ..Found::default()
    })
}

/// Sums the month, rates it and issues its bills.
pub(super) fn bills(folder: &Path) -> Result<Found, Box<dyn Error>> {
    let lake = Lake::open(folder)?;
    let (book, world) = (book()?, World::default());
    let month: Month = "2026-11".parse()?;
    let period = Period::new(month, &book.zone).ok_or("beyond the calendar")?;
    let mut usage = Usage::new(&book, &world, period);
    let version = lake.version()?;
    let summing = Summing {
        period: period.interval,
        cuts: usage.cuts(),
        alone: usage.one_by_one(),
        issued: Vec::new(),
        version,
        threads: THREADS,
    };
    let mut sums = Vec::new();
    let began = Instant::now();
    lake.sum(&summing, |record| {
        sums.push(record.clone());
        Ok::<(), LakeError>(())
    })?;
    let summed = Instant::now();
    for record in &sums {
        usage.add(record)?;
    }
    let rated = usage.rate()?;
    let ledger = tempfile::tempdir()?;
    let mut ledger = Ledger::at(&ledger.path().join("ledger.sqlite").display().to_string())?;
    let inputs = Inputs {
        usage_table_version: version,
        ..Inputs::default()
    };
    let issue = Issue {
        issuer: "maru",
        fiscal_year: 2026,
        at: rated.interval().end,
        inputs: &inputs,
    };
    let pages = ledger.issue(&rated, &issue)?;
    Ok(Found {
        seconds: summed.elapsed().as_secs_f64(),
        first_seconds: summed.duration_since(began).as_secs_f64(),
        count: pages.len() as u64,
        ..Found::default()
    })
}

fn book() -> Result<PriceBook, Box<dyn Error>> {
    let mut text =
        "currency: KRW\ntimeZone: Asia/Seoul\nversions:\n- from: '2026-01-01T00:00:00+09:00'\n  items:\n".to_owned();
    for (meter, unit) in METERS {
        writeln!(
            text,
            "  - {{meter: {meter}, unit: {unit}, model: PerUnit, unitPrice: '4.25'}}"
        )?;
    }
    text.push_str("taxes: [{from: '2026-01-01T00:00:00+09:00', name: VAT, rate: '0.1'}]\n");
    let spec: RateCardSpec = serde_saphyr::from_str(&text)?;
    Ok(card::read(&spec)?)
}

/// Imports a Parquet file into a new lake, as `kubectl maru usage import` does.
pub(super) fn import(folder: &Path) -> Result<Found, Box<dyn Error>> {
    let lake = Lake::open(folder.join("imported"))?;
    let began = Instant::now();
    let imported = maru_cli::usage::import::import_file(&lake, &folder.join("import.parquet"), AT_ONCE)?;
    Ok(Found {
        seconds: began.elapsed().as_secs_f64(),
        count: imported.added as u64,
        ..Found::default()
    })
}
