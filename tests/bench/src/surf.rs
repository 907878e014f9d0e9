//! A month of a real computing service: its jobs as `kubectl maru rate` bills them, from the start of the process to its end.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use maru_meter::{Exact, Rounding};

use crate::report::Report;

const MOST: Duration = Duration::from_secs(1);
/// How often it is run; the median counts.
const RUNS: usize = 5;
/// What the data's README says the month holds.
const CORE_HOURS: &str = "1380385.4889";

/// Adds the row, where the data is there.
///
/// # Errors
/// Where the command is not built or refuses, or the core-hours on the bills are others.
pub(crate) fn add(report: &mut Report) -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("MARU_SHARED_DATA").map_or_else(|| here.join("../../../shared/data"), PathBuf::from);
    let jobs = folder.join("surf-2022-10-jobs.parquet");
    if !jobs.exists() {
        eprintln!(
            "left out: {} is not there; MARU_SHARED_DATA names its folder",
            jobs.display()
        );
        return Ok(());
    }
    let program = std::env::current_exe()?.with_file_name("kubectl-maru");
    let files = here.join("../../operator/cli/tests/usage_files");
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let mut command = Command::new(&program);
        command.args(["rate", "--period", "2022-10..2022-11", "-o", "json", "-f"]);
        command.arg(files.join("surf-card.yaml")).arg("--usage").arg(&jobs);
        command.arg("--mapping").arg(files.join("surf.yaml"));
        let began = Instant::now();
        let output = command
            .output()
            .map_err(|error| format!("{}: {error}; run make bench", program.display()))?;
        times.push(began.elapsed());
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let hours = core_hours(&output.stdout)?;
        if hours.to_string() != CORE_HOURS {
            return Err(format!("{hours} core-hours are on the bills: they should be {CORE_HOURS}").into());
        }
    }
    times.sort();
    let median = times.get(RUNS / 2).copied().unwrap_or(Duration::MAX);
    report.took(
        "kubectl maru rate on the 68,648 jobs of October 2022, whole process, median of five".to_owned(),
        median,
        MOST,
    );
    Ok(())
}

/// The sum over all lines of all bills, to four places.
fn core_hours(json: &[u8]) -> Result<Exact, Box<dyn Error>> {
    let bills: serde_json::Value = serde_json::from_slice(json)?;
    let lines = bills["bills"].as_array().into_iter().flatten();
    let lines = lines.flat_map(|bill| bill["lines"].as_array().into_iter().flatten());
    let mut hours = Exact::ZERO;
    for line in lines {
        hours += line["quantity"].as_str().unwrap_or_default().parse::<Exact>()?;
    }
    Ok(hours.round(4, Rounding::HalfUp))
}
