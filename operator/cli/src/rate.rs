//! `kubectl maru rate`: the bills that the operator would issue, from files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use maru_bill::Bill;
use maru_rate::{Carry, Month, Period, Usage};
use serde::Serialize;

use crate::manifests::Manifests;
use crate::problem::Problem;
use crate::usage_file::UsageFiles;

/// What to rate.
#[derive(Debug, Args)]
pub struct RateArgs {
    /// Manifests: Agency, AgencySystem, SystemSubscription and exactly one RateCard, in any number of files and documents.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Usage records as JSON lines or CSV, by suffix, or the directory of a lake; may be given several times.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    usage: Vec<PathBuf>,
    /// The month, such as 2026-10, or the first and the last one: 2026-10..2026-12.
    #[arg(long, value_name = "YYYY-MM[..YYYY-MM]")]
    period: String,
    /// How to print: `csv` has a row for each line, `focus` is FOCUS 1.2 Cost and Usage as CSV.
    #[arg(short, long, value_enum, default_value_t = RateOutput::Table)]
    output: RateOutput,
    /// Another price book for the same usage: print both bills and the difference.
    #[arg(long, value_name = "OTHER_RATES.yaml")]
    compare: Option<PathBuf>,
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

/// How the bills of files are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RateOutput {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// The same document as YAML.
    Yaml,
    /// For spreadsheets.
    Csv,
    /// FOCUS 1.2 Cost and Usage.
    Focus,
}

/// The bills of one price book.
struct Outcome {
    bills: Vec<Bill>,
    warnings: Vec<String>,
    zone: jiff::tz::TimeZone,
}

/// Both bills and the difference, for programs.
#[derive(Serialize)]
struct Comparison<'a> {
    bills: &'a [Bill],
    other: &'a [Bill],
    differences: &'a [maru_bill::Difference],
    warnings: &'a [String],
}

/// The text to print. Nothing is printed when anything is wrong.
pub fn run(args: &RateArgs) -> Result<String, Problem> {
    let manifests = Manifests::read(&args.files)?;
    let Some(other) = &args.compare else {
        return print(&rated(args, &manifests)?, args.output);
    };
    if !matches!(args.output, RateOutput::Table | RateOutput::Json | RateOutput::Yaml) {
        return Err(Problem::new("--compare: allowed with it are -o table, json and yaml"));
    }
    let other = manifests.with_card(other)?;
    compared(&rated(args, &manifests)?, &rated(args, &other)?, args.output)
}

fn rated(args: &RateArgs, manifests: &Manifests) -> Result<Outcome, Problem> {
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
    Ok(Outcome {
        bills,
        warnings,
        zone: manifests.book.zone.clone(),
    })
}

fn print(rated: &Outcome, output: RateOutput) -> Result<String, Problem> {
    let (bills, warnings) = (&rated.bills, &rated.warnings);
    match output {
        RateOutput::Table => Ok(maru_bill::table(bills, warnings)),
        RateOutput::Json => maru_bill::json(bills, warnings).map_err(Problem::new),
        RateOutput::Yaml => maru_bill::yaml(bills, warnings).map_err(Problem::new),
        RateOutput::Csv => maru_bill::lines(bills).csv().map_err(Problem::new),
        RateOutput::Focus => maru_bill::focus(bills, &rated.zone).csv().map_err(Problem::new),
    }
}

fn compared(rated: &Outcome, other: &Outcome, output: RateOutput) -> Result<String, Problem> {
    let differences = maru_bill::differences(&rated.bills, &other.bills);
    let mut warnings = rated.warnings.clone();
    let news = other
        .warnings
        .iter()
        .filter(|warning| !rated.warnings.contains(warning));
    warnings.extend(news.map(|warning| format!("with the other prices: {warning}")));
    let document = Comparison {
        bills: &rated.bills,
        other: &other.bills,
        differences: &differences,
        warnings: &warnings,
    };
    match output {
        RateOutput::Json => serde_json::to_string_pretty(&document)
            .map(|text| text + "\n")
            .map_err(Problem::new),
        RateOutput::Yaml => serde_saphyr::to_string(&document).map_err(Problem::new),
        _ => Ok(format!(
            "{}With the other prices\n\n{}{}",
            maru_bill::table(&rated.bills, &rated.warnings),
            maru_bill::table(&other.bills, &other.warnings),
            maru_bill::difference_table(&differences)
        )),
    }
}
