//! `kubectl maru usage`: what agencies and their systems used, by month from their bills, or by day or month from a lake.

mod from_bills;
mod from_lake;
mod plot;

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use maru_bill::layout::Align;
use maru_meter::{Completeness, Exact, Rounding};
use maru_rate::Month;
use serde::Serialize;

use plot::plot;

use crate::bills::PlaceArgs;
use crate::columns::columns;
use crate::problem::Problem;
use crate::terminal;

/// What use to show.
#[derive(Debug, Args)]
#[command(
    after_help = "In the plot each letter is an hour, a day or a month, as high as its use beside the highest of the row: `·` nothing, `?` a hole, where use was not seen."
)]
pub struct UsedArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Read the lake in this directory or at this URL in place of bills, which know months and nothing of drivers.
    #[arg(long, value_name = "PLACE", env = "MARU_LAKE", conflicts_with_all = ["namespace", "all_namespaces", "kubeconfig", "context"])]
    lake: Option<String>,
    /// The month, such as 2026-10, or the first and the last one; none: every bill that you may read. A lake needs it.
    #[arg(long, value_name = "YYYY-MM[..YYYY-MM]")]
    period: Option<String>,
    /// That of this agency only.
    #[arg(long, value_name = "NAME")]
    agency: Option<String>,
    /// That of this system only, as namespace/name.
    #[arg(long, value_name = "NAME")]
    system: Option<String>,
    /// What has a row of its own; what is left out is summed.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [By::Agency, By::System])]
    by: Vec<By>,
    /// For which time use is summed; none: by day from a lake, by month from bills. The table shows it as a small plot.
    #[arg(long, value_enum)]
    per: Option<Per>,
    /// Where days and months begin, in a lake; bills have the price book's.
    #[arg(long, value_name = "ZONE", default_value = "UTC", requires = "lake")]
    time_zone: String,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = UsedOutput::Table)]
    output: UsedOutput,
}

/// What has a row of its own, besides meter and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Each agency.
    Agency,
    /// Each system.
    System,
}

/// For which time a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Per {
    /// An hour of UTC, a line for each day; from a lake only.
    Hour,
    /// A day; from a lake only.
    Day,
    /// A month.
    Month,
}

/// How use is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UsedOutput {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// The same document as YAML.
    Yaml,
    /// For spreadsheets.
    Csv,
}

/// Places of a quantity that a person looks at; the other outputs have all of them.
const SHOWN_PLACES: u32 = 6;

/// Use of a meter, by whom, for which time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    time: String,
    agency: Option<String>,
    system: Option<String>,
    meter: String,
    unit: String,
}

/// What was used.
#[derive(Debug, Default)]
struct Used {
    /// Sums by key, each as complete as its least complete part.
    sums: BTreeMap<Key, (Exact, Completeness)>,
    /// The hours, days or months that were asked for, also those without use.
    times: BTreeSet<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    agency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    meter: String,
    quantity: Exact,
    unit: String,
    completeness: Completeness,
}

#[derive(Serialize)]
struct Document<'a> {
    usage: &'a [Row],
}

/// The text to print.
pub fn run(args: &UsedArgs) -> Result<String, Problem> {
    let months = args.period.as_deref().map(Month::range).transpose();
    let months = months.map_err(|error| Problem::new(format!("--period: {error}")))?;
    let mut used = Used::default();
    match &args.lake {
        Some(lake) => {
            let zone = TimeZone::get(&args.time_zone)
                .map_err(|error| Problem::new(format!("--time-zone: {error}: allowed are names such as Asia/Seoul")))?;
            let months = months.ok_or_else(|| Problem::new("--lake needs --period, such as 2026-10"))?;
            from_lake::read(args, lake, &months, &zone, &mut used)?;
        }
        None => from_bills::read(args, months.as_deref(), &mut used)?,
    }
    print(used, args.output, args.per)
}

impl UsedArgs {
    /// Adds to the row that it belongs to, if it is asked for.
    fn add(&self, used: &mut Used, key: Key, quantity: &Exact, completeness: Completeness) {
        let asked = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
        if !asked(&self.agency, &key.agency) || !asked(&self.system, &key.system) {
            return;
        }
        let key = Key {
            agency: key.agency.filter(|_| self.by.contains(&By::Agency)),
            system: key.system.filter(|_| self.by.contains(&By::System)),
            ..key
        };
        used.times.insert(key.time.clone());
        let (sum, least) = used.sums.entry(key).or_default();
        *sum += quantity;
        *least = (*least).max(completeness);
    }
}

fn print(used: Used, output: UsedOutput, per: Option<Per>) -> Result<String, Problem> {
    let Used { sums, times } = used;
    let rows: Vec<Row> = sums
        .into_iter()
        .map(|(key, (quantity, completeness))| Row {
            time: key.time,
            agency: key.agency,
            system: key.system,
            meter: key.meter,
            quantity,
            unit: key.unit,
            completeness,
        })
        .collect();
    match output {
        UsedOutput::Table if rows.is_empty() => Ok("No use.\n".to_owned()),
        UsedOutput::Table => Ok(table(&rows, &times, per)),
        UsedOutput::Json => serde_json::to_string_pretty(&Document { usage: &rows })
            .map(|text| text + "\n")
            .map_err(Problem::new),
        UsedOutput::Yaml => serde_saphyr::to_string(&Document { usage: &rows }).map_err(Problem::new),
        UsedOutput::Csv => csv(&rows),
    }
}

/// The day that a time is in, where each day has a line of its own.
fn line_of(time: &str, per: Option<Per>) -> &str {
    match per {
        Some(Per::Hour) => time.split('T').next().unwrap_or_default(),
        _ => "",
    }
}

/// A line a meter, or a meter and day, with the sum and what it looked like over time.
fn table(rows: &[Row], times: &BTreeSet<String>, per: Option<Per>) -> String {
    let mut headers = vec![
        ("AGENCY", Align::Name),
        ("SYSTEM", Align::Name),
        ("METER", Align::Left),
        ("QUANTITY", Align::Right),
        ("UNIT", Align::Left),
        ("SEEN", Align::Left),
        ("PLOT", Align::Left),
    ];
    let times: Vec<&str> = times.iter().map(String::as_str).collect();
    let mut meters: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let line = line_of(&row.time, per);
        let meter = (&row.agency, &row.system, &row.meter, &row.unit, line);
        meters.entry(meter).or_default().push(row);
    }
    let by_day = per == Some(Per::Hour);
    if by_day {
        headers.insert(3, ("DAY", Align::Left));
    }
    let all = |name: &Option<String>| name.clone().unwrap_or_else(|| "all".to_owned());
    let lines = meters.into_iter().map(|((agency, system, meter, unit, day), rows)| {
        let times: Vec<&str> = times.iter().copied().filter(|time| line_of(time, per) == day).collect();
        let sum: Exact = rows.iter().map(|row| &row.quantity).sum();
        let least = rows.iter().map(|row| row.completeness).max().unwrap_or_default();
        let mut cells = vec![
            all(agency),
            all(system),
            meter.clone(),
            maru_bill::amount(&sum.round(SHOWN_PLACES, Rounding::HalfUp)),
            unit.clone(),
            seen(least).to_owned(),
            plot(&times, &rows),
        ];
        if by_day {
            cells.insert(3, day.to_owned());
        }
        cells
    });
    let table = columns(&headers, lines.collect(), terminal::columns());
    let (first, last) = (times.first().copied(), times.last().copied());
    let span = match (first, last) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (first, _) => first.unwrap_or_default().to_owned(),
    };
    format!("{span}\n{table}")
}

/// How much of the use was seen, in a word.
fn seen(completeness: Completeness) -> &'static str {
    match completeness {
        Completeness::Complete => "all",
        Completeness::Estimated => "estimated",
        Completeness::Missing => "holes",
    }
}

fn csv(rows: &[Row]) -> Result<String, Problem> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = ["time", "agency", "system", "meter", "quantity", "unit", "completeness"];
    writer.write_record(names).map_err(Problem::new)?;
    for row in rows {
        let record = [
            row.time.clone(),
            row.agency.clone().unwrap_or_default(),
            row.system.clone().unwrap_or_default(),
            row.meter.clone(),
            row.quantity.to_string(),
            row.unit.clone(),
            format!("{:?}", row.completeness),
        ];
        writer.write_record(record).map_err(Problem::new)?;
    }
    let bytes = writer.into_inner().map_err(Problem::new)?;
    String::from_utf8(bytes).map_err(Problem::new)
}
