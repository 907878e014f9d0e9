//! `kubectl maru rate`: the bills that the operator would issue, from files.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use maru_bill::{Bill, Focus};
#[cfg(feature = "distributed")]
use maru_distributed::Cluster;
use maru_lake::{Lake, Summing};
use maru_meter::UsageRecord;
use maru_rate::{Carry, Course, Month, Period, Recovery};
use serde::Serialize;

use crate::manifests::Manifests;
use crate::output::RateOutput;
use crate::problem::Problem;
use crate::usage::mapping::Mapping;
use crate::usage::{self, UsageFiles};

/// What to rate.
#[derive(Debug, Args)]
pub struct RateArgs {
    /// Manifests: Agency, AgencySystem, SystemSubscription and exactly one RateCard, in any number of files and documents.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Usage records as JSON lines, CSV or Parquet, by suffix, or the directory or URL of a lake; may be given several times.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    usage: Vec<PathBuf>,
    /// How rows of CSV and Parquet files that are not usage records become such (docs/usage-files.md).
    #[arg(long, value_name = "MAPPING.yaml")]
    mapping: Option<PathBuf>,
    /// The month, such as 2026-10, or the first and the last one: 2026-10..2026-12. Each month is taken to be issued 72 hours after its end: a
    /// usage record with a later `recordedAt` is a correction on the next bill.
    #[arg(long, value_name = "YYYY-MM[..YYYY-MM]")]
    period: String,
    /// How to print: table, json, yaml, csv (a row for each line), or focus[=1.2|1.4][,DATASET][,csv|parquet], where DATASET is cost-and-usage
    /// and, in 1.4, invoice-detail or billing-period; `focus` alone is 1.2 Cost and Usage as CSV.
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: RateOutput,
    /// Another price book for the same usage: print both bills and the difference.
    #[arg(long, value_name = "OTHER_RATES.yaml")]
    compare: Option<PathBuf>,
    /// Print this agency's bills only.
    #[arg(long, value_name = "NAME")]
    agency: Option<String>,
    /// Sum the lake on a Ballista cluster, by its scheduler's address such as df://scheduler:50050; --usage must name one lake, at a place that
    /// the executors see.
    #[cfg(feature = "distributed")]
    #[arg(long, value_name = "URL")]
    ballista: Option<String>,
}

/// How bills are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// The bills of one price book.
struct Outcome {
    bills: Vec<Bill>,
    recoveries: Vec<Recovery>,
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
pub fn run(args: &RateArgs) -> Result<Vec<u8>, Problem> {
    let manifests = Manifests::read(&args.files)?;
    let Some(other) = &args.compare else {
        let rated = rated(args, &manifests)?;
        return print(&rated, args.agency.as_deref(), args.output);
    };
    if !matches!(args.output, RateOutput::Table | RateOutput::Json | RateOutput::Yaml) {
        return Err(Problem::new("--compare: allowed with it are -o table, json and yaml"));
    }
    let other = manifests.with_card(other)?;
    let agency = args.agency.as_deref();
    let (rated, other) = (
        rated(args, &manifests)?.of_agency(agency),
        rated(args, &other)?.of_agency(agency),
    );
    compared(&rated, &other, args.output).map(String::into_bytes)
}

impl Outcome {
    /// One agency's bills, or all, and then what systems recovered.
    fn of_agency(&self, agency: Option<&str>) -> Self {
        let bills = self
            .bills
            .iter()
            .filter(|bill| agency.is_none_or(|agency| bill.agency == agency));
        Self {
            bills: bills.cloned().collect(),
            recoveries: self.recoveries.iter().filter(|_| agency.is_none()).cloned().collect(),
            warnings: self.warnings.clone(),
            zone: self.zone.clone(),
        }
    }
}

fn rated(args: &RateArgs, manifests: &Manifests) -> Result<Outcome, Problem> {
    let months = Month::range(&args.period).map_err(|error| Problem::new(format!("--period: {error}")))?;
    let mut periods = Vec::new();
    for month in months {
        let period = Period::new(month, &manifests.book.zone)
            .ok_or_else(|| Problem::new(format!("--period: {month} is beyond the calendar")))?;
        periods.push(period);
    }
    let mapping = args.mapping.as_deref().map(Mapping::read).transpose()?;
    let mut files = UsageFiles::new(&periods).with_mapping(mapping);
    let mut course = Course::new(&manifests.book, &manifests.world, periods, Course::GRACE);
    match args.usage.as_slice() {
        // Alone, a lake is summed where it is. Beside others it is read record by record, for an id may be in both.
        [place] if usage::is_lake(place) => add_sums(args, place, &mut course)?,
        #[cfg(feature = "distributed")]
        _ if args.ballista.is_some() => {
            return Err(Problem::new(
                "--ballista: allowed with it is one lake as --usage, and nothing beside it",
            ));
        }
        usage => {
            for file in usage {
                files.read(file, |record| course.add(record).map_err(|error| error.to_string()))?;
            }
        }
    }

    let mut bills = Vec::new();
    let (mut recoveries, mut warnings) = (Vec::new(), manifests.warnings.clone());
    for rated in course.rate(&Carry::default()).map_err(Problem::new)? {
        let pages = maru_ledger::draft(&rated).map_err(Problem::new)?;
        bills.extend(pages.iter().map(Bill::of));
        recoveries.extend(rated.recoveries().iter().cloned());
        warnings.extend(
            rated
                .warnings()
                .iter()
                .map(|warning| format!("{}: {warning}", rated.month())),
        );
    }
    Ok(Outcome {
        bills,
        recoveries,
        warnings,
        zone: manifests.book.zone.clone(),
    })
}

/// Adds a lake up. What is held grows with agencies, systems and meters, not with records.
fn add_sums(args: &RateArgs, place: &Path, course: &mut Course<'_>) -> Result<(), Problem> {
    let Some(period) = course.interval() else { return Ok(()) };
    let summing = Summing {
        period,
        cuts: course.cuts(),
        alone: course.one_by_one(),
        issued: course.issues(),
        version: None,
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    let lake = Lake::open(place).map_err(Problem::new)?;
    let add = |record: &UsageRecord| course.add(record).map_err(|error| Problem::of(place, error));
    #[cfg(feature = "distributed")]
    if let Some(url) = &args.ballista {
        return Cluster::at(url).map_err(Problem::new)?.sum(&lake, &summing, add);
    }
    #[cfg(not(feature = "distributed"))]
    let _ = args;
    lake.sum(&summing, add)
}

fn print(rated: &Outcome, agency: Option<&str>, output: RateOutput) -> Result<Vec<u8>, Problem> {
    if let RateOutput::Focus(file) = output {
        // Who shares a cost is seen in all bills.
        let focus = Focus::new(&rated.bills, &rated.zone, Timestamp::now()).of_agency(agency);
        return file.print(&focus);
    }
    let shown = rated.of_agency(agency);
    let (bills, recoveries, warnings) = (&shown.bills, &shown.recoveries, &shown.warnings);
    let text = match output {
        RateOutput::Table | RateOutput::Focus(_) => {
            maru_bill::table(bills, warnings) + &maru_bill::recovery_table(recoveries)
        }
        RateOutput::Json => maru_bill::json(bills, recoveries, warnings).map_err(Problem::new)?,
        RateOutput::Yaml => maru_bill::yaml(bills, recoveries, warnings).map_err(Problem::new)?,
        RateOutput::Csv => maru_bill::lines(bills).csv().map_err(Problem::new)?,
    };
    Ok(text.into_bytes())
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
