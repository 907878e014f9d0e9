//! Metering and the lake: how fast a month is summed beside `DuckDB` on the same files, what becomes of the sums, how fast records come in
//! from files and from senders, how small they are at rest, and what it takes to meter many pods.
//!
//! Each measurement is a process of its own, so that its memory is its own.

#![allow(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "times and ratios of measurements; no money is here"
)]

mod duck;
mod events;
mod little;
mod make;
mod pods;
mod step;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::kept::Row;

const AREA: &str = "03 lake";
/// Runs of a measurement that is a ratio; the middle one counts.
const TIMES: usize = 3;
/// More runnable work than this beside the benchmark makes a machine busy, in processes.
const BUSY: f64 = 1.5;

/// Area 03: how large the run is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Sizes {
    /// Area 03: usage records in the lake.
    #[arg(long, env = "BENCH_RECORDS", default_value_t = 100_000_000)]
    records: u64,
    /// Area 03: records that are imported from a Parquet file; 0 leaves it out.
    #[arg(long, env = "BENCH_IMPORT", default_value_t = 10_000_000)]
    import: u64,
    /// Area 03: how long events are sent, in seconds; 0 leaves it out.
    #[arg(long, env = "BENCH_EVENT_SECONDS", default_value_t = 20)]
    event_seconds: u64,
    /// Area 03: how often a little is appended to one day; 0 leaves it out.
    #[arg(long, env = "BENCH_APPENDS", default_value_t = 4_000)]
    appends: u64,
    /// Area 03: pods that are metered; 0 leaves it out.
    #[arg(long, env = "BENCH_PODS", default_value_t = 100_000)]
    pods: u64,
    /// Area 03: leave the lake in the cache, and take it from there if it is there.
    #[arg(long, env = "BENCH_KEEP")]
    keep: bool,
    /// One measurement, in this process.
    #[arg(long, hide = true)]
    step: Option<Step>,
    /// Where its lake is.
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
}

/// A measurement with a process of its own.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Step {
    /// Makes the lake.
    Make,
    /// Sums the month.
    Sum,
    /// Sums the month and issues its bills.
    Bills,
    /// Imports a file.
    Import,
    /// Meters pods.
    Pods,
    /// Sends events.
    Events,
    /// Appends a little again and again.
    Little,
}

/// What a step found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
    /// How long its first part took, in seconds.
    pub(crate) first_seconds: f64,
    /// How many there were.
    pub(crate) count: u64,
    /// The most memory that it held, in MiB.
    pub(crate) peak: f64,
    /// What it came to, to compare.
    pub(crate) result: String,
}

impl Sizes {
    /// The one measurement that this process is to make.
    pub(crate) fn step(&self) -> Option<Step> {
        self.step
    }
}

/// Makes one measurement and gives it as JSON.
///
/// # Errors
/// Where it could not be made.
pub(crate) fn step(sizes: &Sizes, step: Step) -> Result<String, Box<dyn Error>> {
    let folder = sizes.folder.as_deref().ok_or("--folder is missing")?;
    let mut found = match step {
        Step::Make => make::lake(folder, sizes.records)?,
        Step::Sum => step::sum(folder)?,
        Step::Bills => step::bills(folder)?,
        Step::Import => step::import(folder)?,
        Step::Pods => pods::cut(folder, sizes.pods)?,
        Step::Events => events::send(folder, sizes.event_seconds)?,
        Step::Little => little::append(folder, sizes.appends)?,
    };
    found.peak = crate::memory::resident_mib("self", "VmHWM").map_err(|error| error.to_string())?;
    Ok(serde_json::to_string(&found)?)
}

/// Runs the area and gives its rows.
///
/// # Errors
/// Where a part does not start, or two readers of the lake disagree.
pub(crate) fn run(sizes: &Sizes) -> Result<Vec<Row>, Box<dyn Error>> {
    let folder = maru_test_cluster::cache_dir().join(format!("bench-lake-{}", sizes.records));
    if !sizes.keep {
        remove(&folder)?;
    }
    let rows = measure(sizes, &folder);
    if !sizes.keep {
        remove(&folder)?;
    }
    rows
}

fn measure(sizes: &Sizes, folder: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    let lake = folder.join("lake");
    if !folder.join("made").exists() {
        remove(folder)?;
        std::fs::create_dir_all(folder)?;
        let made = child(sizes, Step::Make, &lake)?;
        eprintln!(
            "{} records are made and compacted after {:.0} s, in {:.0} MiB",
            made.count, made.seconds, made.peak
        );
        std::fs::write(folder.join("made"), made.count.to_string())?;
    }
    let count: u64 = std::fs::read_to_string(folder.join("made"))?.parse()?;
    rows.extend(told(sums(sizes, &lake, count)?));
    let size = duck::bytes(&lake)? as f64 / count as f64;
    let measure = format!("bytes a record in the compacted lake ({count} records)");
    rows.extend(told(vec![Row::at_most(AREA, measure, size, "bytes", 20.0)]));
    rows.extend(told(bills(sizes, &lake, count)?));
    if sizes.import > 0 {
        let file = folder.join("import.parquet");
        let records = duck::export(&lake, &file, sizes.import)?;
        let found = child(sizes, Step::Import, folder)?;
        remove(&folder.join("imported"))?;
        std::fs::remove_file(&file)?;
        if found.count != records {
            return Err(format!("{} of {records} records were imported", found.count).into());
        }
        let measure = format!(
            "import of {records} records from Parquet ({:.1} s, {:.0} MiB){}",
            found.seconds,
            found.peak,
            busy()
        );
        let a_second = (found.count as f64 / found.seconds).floor();
        rows.extend(told(vec![Row::at_least(AREA, measure, a_second, "a second", 1e6)]));
    }
    if sizes.pods > 0 {
        rows.extend(told(metered(sizes, folder)?));
    }
    if sizes.event_seconds > 0 {
        rows.extend(told(sent(sizes, folder)?));
    }
    if sizes.appends > 0 {
        rows.extend(told(little(sizes, folder)?));
    }
    Ok(rows)
}

/// Says what was found as soon as it was: an area of an hour may end in its last part.
fn told(rows: Vec<Row>) -> Vec<Row> {
    for row in &rows {
        eprintln!("{}: {} {}", row.measure, row.value, row.unit);
    }
    rows
}

/// Summing the month here and with `DuckDB`, in turns.
fn sums(sizes: &Sizes, lake: &Path, count: u64) -> Result<Vec<Row>, Box<dyn Error>> {
    let (mut own, mut duck) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        own.push(child(sizes, Step::Sum, lake)?);
        duck.push(duck::sum(lake)?);
    }
    let (own, duck) = (middle(own), middle(duck));
    if own.result != duck.result || own.count != duck.count {
        return Err(format!(
            "{} sums with {}, and DuckDB has {} with {}",
            own.count, own.result, duck.count, duck.result
        )
        .into());
    }
    let measure = format!(
        "summing {count} records into {} sums ({:.2} s, DuckDB {:.2} s){}",
        own.count,
        own.seconds,
        duck.seconds,
        busy()
    );
    Ok(vec![
        Row::at_most(AREA, measure, own.seconds / duck.seconds, "ratio", 1.0),
        Row::at_most(
            AREA,
            format!("memory for it, at its peak (DuckDB {:.0} MiB)", duck.peak),
            own.peak,
            "MiB",
            2048.0,
        ),
    ])
}

fn bills(sizes: &Sizes, lake: &Path, count: u64) -> Result<Vec<Row>, Box<dyn Error>> {
    let found = child(sizes, Step::Bills, lake)?;
    let measure = format!(
        "from the sums of {count} records ({:.2} s) to {} issued bills ({:.2} s), in {:.0} MiB{}",
        found.first_seconds,
        found.count,
        found.seconds,
        found.peak,
        busy()
    );
    let ratio = found.seconds / found.first_seconds;
    Ok(vec![Row::at_most(AREA, measure, ratio, "ratio", 1.5)])
}

fn metered(sizes: &Sizes, folder: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let found = child(sizes, Step::Pods, &folder.join("pods"))?;
    remove(&folder.join("pods"))?;
    let pods = sizes.pods;
    let measure = format!("the hourly cut of {pods} pods, {} records{}", found.count, busy());
    let memory = format!("metering {pods} pods: memory at its peak, in the cut");
    Ok(vec![
        Row::at_most(AREA, memory, found.peak, "MiB", 512.0),
        Row::at_most(AREA, measure, found.seconds, "s", 10.0),
    ])
}

fn sent(sizes: &Sizes, folder: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let found = child(sizes, Step::Events, &folder.join("events"))?;
    remove(&folder.join("events"))?;
    let (count, seconds) = (found.count, found.seconds);
    let measure = format!("events accepted, new and durable ({count} in {seconds:.1} s){}", busy());
    let a_second = (count as f64 / seconds).floor();
    Ok(vec![
        Row::at_least(AREA, measure, a_second, "a second", 50_000.0),
        Row::at_most(AREA, "p99 of their answers", found.first_seconds, "s", 1.0),
        Row::at_most(
            AREA,
            format!("the first event of another day after a start, with {count} events in the table"),
            found.result.parse()?,
            "s",
            5.0,
        ),
    ])
}

fn little(sizes: &Sizes, folder: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let found = child(sizes, Step::Little, &folder.join("little"))?;
    remove(&folder.join("little"))?;
    let measure = format!(
        "an append of ten events after {} on its day, beside the first ones{}",
        sizes.appends,
        busy()
    );
    let ratio = found.seconds / found.first_seconds;
    Ok(vec![Row::at_most(AREA, measure, ratio, "ratio", 1.5)])
}

/// Makes a measurement in a process of its own.
fn child(sizes: &Sizes, step: Step, folder: &Path) -> Result<Found, Box<dyn Error>> {
    let name = step.to_possible_value().ok_or("a step has no name")?;
    let output = Command::new(std::env::current_exe()?)
        .args(["--area", "03", "--step", name.get_name(), "--folder"])
        .arg(folder)
        .args([
            "--records",
            &sizes.records.to_string(),
            "--pods",
            &sizes.pods.to_string(),
        ])
        .args(["--event-seconds", &sizes.event_seconds.to_string()])
        .args(["--appends", &sizes.appends.to_string()])
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{} ended with {}", name.get_name(), output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn middle(mut found: Vec<Found>) -> Found {
    found.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
    found.swap_remove(found.len() / 2)
}

/// Says of a figure that it was taken beside other work.
fn busy() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    // The benchmark itself keeps two busy.
    let running: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    if running > 2.0 + BUSY {
        format!("; busy machine, load {running:.1}")
    } else {
        String::new()
    }
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
