//! Twelve agencies that share a research computing service: a month of 68,648 real jobs, where they are at hand.

use crate::parts::{Outcome, Parts, finish};
use maru_meter::Exact;
use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// What the service costs in a month: 18 million euros over sixty months, and 95 thousand.
const TO_RECOVER: i64 = 18_000_000 / 60 + 95_000;

/// Works the bills of October 2022 out.
pub(crate) async fn october(parts: &Parts) -> Outcome<()> {
    parts.say("Twelve agencies share a research computing service. Its jobs of October 2022 become bills.");
    let jobs = jobs(parts)?;
    let story = parts.repository.join("tests/demo/story");
    let rate = |output: &str| {
        let mut rate = Command::new(parts.program("kubectl-maru"));
        rate.current_dir(&story)
            .args([
                "rate",
                "-f",
                "research.yaml",
                "--mapping",
                "research-mapping.yaml",
                "--period",
                "2022-10",
            ])
            .args(["-o", output, "--usage"])
            .arg(&jobs);
        rate
    };
    println!("   $ kubectl maru rate -f research.yaml --usage JOBS --mapping research-mapping.yaml --period 2022-10");
    let rated: Value = serde_json::from_str(&finish(&mut rate("json")).await?)?;
    let (mut hours, mut billed) = (Exact::default(), Exact::default());
    for bill in rated["bills"].as_array().into_iter().flatten() {
        let agency = bill["agency"].as_str().unwrap_or_default();
        let (mut own, mut amount) = (Exact::default(), Exact::default());
        for line in bill["lines"].as_array().into_iter().flatten() {
            // Lines of the pool have no quantity.
            own += line["quantity"].as_str().unwrap_or("0").parse::<Exact>()?;
            amount += line["amount"].as_str().unwrap_or("0").parse::<Exact>()?;
        }
        println!(
            "     {agency}  {:>14} core-hours  {:>12} EUR",
            own.to_fixed(4),
            amount.to_fixed(2)
        );
        hours += own;
        billed += amount;
    }
    let difference = &Exact::from(TO_RECOVER) - &billed;
    println!(
        "     {} core-hours. To recover {TO_RECOVER}.00 EUR, billed {} EUR, difference {}.",
        hours.to_fixed(4),
        billed.to_fixed(2),
        difference.to_fixed(2)
    );
    if difference.is_zero() {
        Ok(())
    } else {
        Err("the bills do not add up to what was to be recovered".into())
    }
}

/// The real jobs, or as many of the same shape.
fn jobs(parts: &Parts) -> Outcome<PathBuf> {
    let shared =
        std::env::var_os("MARU_SHARED_DATA").map_or_else(|| parts.repository.join("../shared/data"), PathBuf::from);
    let real = shared.join("surf-2022-10-jobs.parquet");
    if real.exists() {
        println!("     the jobs of a Dutch public research computing service, as recorded");
        return Ok(real);
    }
    println!(
        "     {} is not there: a month of the same shape is generated",
        real.display()
    );
    generated(parts.folder.path())
}

/// How long the jobs of the real month took: so many in a thousand took at most so many seconds. All of them had sixteen cores.
const DURATIONS: [(u64, u64); 12] = [
    (0, 1),
    (100, 23),
    (250, 42),
    (500, 69),
    (750, 482),
    (900, 3_611),
    (950, 10_488),
    (970, 22_351),
    (980, 42_920),
    (990, 129_006),
    (995, 233_733),
    (1000, 435_629),
];

/// The seconds at a place between the shortest job, 0, and the longest, a million.
fn duration(place: u64) -> u64 {
    let [mut below, mut above] = [DURATIONS[0]; 2];
    for point in DURATIONS {
        (below, above) = (above, point);
        if place < point.0 * 1000 {
            break;
        }
    }
    let (from, to) = (below.0 * 1000, above.0 * 1000);
    below.1 + (above.1 - below.1) * (place - from) / (to - from)
}

/// Jobs all over October 2022 in Amsterdam, from a generator that always gives the same.
fn generated(folder: &Path) -> Outcome<PathBuf> {
    const BEGINS: u64 = 1_664_575_200_000;
    const ENDS: u64 = 1_667_257_200_000;
    let mut state: u64 = 20_221_031;
    let mut next = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut table = String::from("id,submission_time,duration,cpu_count\n");
    for id in 0..68_648 {
        let took = 1000 * duration(next(1_000_000));
        let begin = BEGINS + next(ENDS - BEGINS - took);
        writeln!(table, "{id},{begin},{took},16")?;
    }
    let file = folder.join("jobs.csv");
    std::fs::write(&file, table)?;
    Ok(file)
}
