//! `kubectl maru rate`: the bills that the operator would issue, from files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use maru_bill::Bill;
use maru_rate::{Carry, Month, Period, Usage};

use crate::manifests::Manifests;
use crate::problem::Problem;
use crate::usage_file::UsageFiles;

/// What to rate.
#[derive(Debug, Args)]
pub struct RateArgs {
    /// Manifests: Agency, AgencySystem, SystemSubscription and exactly one RateCard, in any number of files and documents.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Usage records as JSON lines, or the directory of a lake; may be given several times.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    usage: Vec<PathBuf>,
    /// The month, such as 2026-10, or the first and the last one: 2026-10..2026-12.
    #[arg(long, value_name = "YYYY-MM[..YYYY-MM]")]
    period: String,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Print this agency's bills only.
    #[arg(long, value_name = "NAME")]
    agency: Option<String>,
}

/// How bills are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// The text to print. Nothing is printed when anything is wrong.
pub fn run(args: &RateArgs) -> Result<String, Problem> {
    let manifests = Manifests::read(&args.files)?;
    let months = Month::range(&args.period).map_err(|error| Problem::new(format!("--period: {error}")))?;
    let mut usages = Vec::new();
    for month in months {
        let period = Period::new(month, &manifests.book.zone)
            .ok_or_else(|| Problem::new(format!("--period: {month} is beyond the calendar")))?;
        usages.push(Usage::new(&manifests.book, &manifests.world, period));
    }
    let mut files = UsageFiles::new(&usages);
    for file in &args.usage {
        files.read(file, |record| {
            usages
                .iter_mut()
                .try_for_each(|usage| usage.add(record).map_err(|error| error.to_string()))
        })?;
    }

    let mut bills = Vec::new();
    let mut warnings = manifests.warnings.clone();
    let mut carry = Carry::default();
    for usage in usages {
        let rated = usage.rate_after(&carry).map_err(Problem::new)?;
        carry = rated.carry().clone();
        let pages = maru_ledger::draft(&rated).map_err(Problem::new)?;
        bills.extend(pages.iter().map(Bill::of));
        warnings.extend(
            rated
                .warnings()
                .iter()
                .map(|warning| format!("{}: {warning}", rated.month())),
        );
    }
    if let Some(agency) = &args.agency {
        bills.retain(|bill| bill.agency == *agency);
    }
    match args.output {
        Output::Table => Ok(maru_bill::table(&bills, &warnings)),
        Output::Json => maru_bill::json(&bills, &warnings).map_err(Problem::new),
    }
}
