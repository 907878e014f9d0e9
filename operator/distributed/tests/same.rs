//! A cluster of one scheduler and two executors gives the sums that this process gives, and that `DuckDB` gives.
#![cfg(feature = "distributed")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use jiff::{SignedDuration, Timestamp};
use maru_distributed::{Cluster, DistributedError};
use maru_lake::{Lake, LakeError, Summing};
use maru_meter::{Exact, Interval, UsageRecord};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A month in Seoul.
fn period() -> Interval {
    Interval {
        start: at("2026-10-31T15:00:00Z"),
        end: at("2026-11-30T15:00:00Z"),
    }
}

/// Records before, in and after the month: over its borders, of no length, late, estimated, and with all the places that a quantity may have.
fn records(count: u64) -> Vec<UsageRecord> {
    let first = at("2026-10-30T00:00:00Z");
    let record = |number: u64| {
        // Multiplying and folding spreads what each number decides.
        let mix = |salt: u64, most: u64| {
            let once = (number * 16 + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let twice = (once ^ (once >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            (twice ^ (twice >> 32)) % most
        };
        let start = first + SignedDuration::from_mins(i64::try_from(mix(1, 33 * 24 * 4)).unwrap() * 15);
        let minutes = [0, 15, 60, 60, 60, 1500][usize::try_from(mix(2, 6)).unwrap()];
        let agency = mix(3, 3);
        let meter = ["cpu.reserved", "memory.reserved", "requests.count"][usize::try_from(mix(6, 3)).unwrap()];
        let late = SignedDuration::from_hours(if mix(4, 9) == 0 { 24 * 40 } else { 1 });
        serde_json::from_value(serde_json::json!({
            "id": format!("r{number}"), "agency": format!("agency-{agency}"),
            "system": format!("agency-{agency}/system-{}", mix(5, 4)),
            "meter": meter,
            "quantity": format!("{}.{:018}", 99_999_999_999_999_000 + mix(7, 1000), mix(8, 1_000_000_000)),
            "start": start, "end": start + SignedDuration::from_mins(minutes), "recordedAt": start + late,
            "completeness": if mix(9, 10) == 0 { "Estimated" } else { "Complete" },
        }))
        .unwrap()
    };
    (0..count).map(record).collect()
}

/// The whole month in three slots, with a meter whose records count one by one, after an issue.
fn summing() -> Summing {
    Summing {
        period: period(),
        cuts: vec![at("2026-11-10T00:00:00Z"), at("2026-11-20T06:30:00Z")],
        alone: vec!["requests.count".to_owned()],
        issued: vec![(at("2026-11-20T06:30:00Z"), at("2026-11-25T00:00:00Z"))],
        version: None,
        threads: NonZeroUsize::MIN,
    }
}

/// A scheduler and two executors, until the end of the test.
struct Running(Child, String);

impl Running {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_maru-ballista"))
            .args(["local", "--executors", "2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        let address = address.trim().to_owned();
        assert!(address.starts_with("df://"), "it says where it is: `{address}`");
        Self(child, address)
    }

    fn cluster(&self) -> Cluster {
        Cluster::at(&self.1).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn here(lake: &Lake, summing: &Summing) -> Vec<UsageRecord> {
    let mut given = Vec::new();
    lake.sum(summing, |record| {
        given.push(record.clone());
        Ok::<(), LakeError>(())
    })
    .unwrap();
    sorted(given)
}

fn there(cluster: &Cluster, lake: &Lake, summing: &Summing) -> Vec<UsageRecord> {
    let mut given = Vec::new();
    cluster
        .sum(lake, summing, |record| {
            given.push(record.clone());
            Ok::<(), DistributedError>(())
        })
        .unwrap();
    sorted(given)
}

fn sorted(mut records: Vec<UsageRecord>) -> Vec<UsageRecord> {
    records.sort_by(|a, b| a.id.cmp(&b.id));
    records
}

#[test]
fn two_executors_give_the_sums_that_one_process_gives() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let all = records(6000);
    for part in all.chunks(2000) {
        lake.append(part).unwrap();
    }
    let first = lake.version().unwrap();
    let (running, summing) = (Running::start(), summing());
    let cluster = running.cluster();

    let expected = here(&lake, &summing);
    assert_eq!(
        there(&cluster, &lake, &summing),
        expected,
        "every sum and every record given by itself"
    );
    let alone = expected.iter().filter(|record| !record.id.starts_with("sum/")).count();
    assert!(
        alone > 100 && expected.len() - alone > 20,
        "both kinds are there: {alone} of {}",
        expected.len()
    );

    let plain = Summing {
        alone: Vec::new(),
        cuts: Vec::new(),
        issued: Vec::new(),
        ..summing.clone()
    };
    assert_eq!(
        there(&cluster, &lake, &plain),
        here(&lake, &plain),
        "with no cut, and nothing by itself"
    );

    lake.compact(at("2026-12-05T00:00:00Z")).unwrap();
    assert_eq!(there(&cluster, &lake, &summing), expected, "from compacted files");

    lake.append(&[UsageRecord {
        id: "one more".to_owned(),
        ..all[7].clone()
    }])
    .unwrap();
    let then = Summing {
        version: first,
        ..summing.clone()
    };
    assert_eq!(there(&cluster, &lake, &then), expected, "as the table was before");
}

#[test]
fn a_lake_with_nothing_in_it_sums_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let running = Running::start();
    assert_eq!(there(&running.cluster(), &lake, &summing()), []);
}

#[test]
fn where_no_cluster_answers_the_message_names_the_address_and_what_is_allowed() {
    for address in ["df://127.0.0.1:1", "df://127.0.0.1", "somewhere"] {
        let Err(error) = Cluster::at(address) else {
            panic!("nothing answers at {address}");
        };
        let message = error.to_string();
        assert!(
            message.contains(address) && message.contains("df://scheduler:50050"),
            "{message}"
        );
    }
}

const DUCKDB: &str = "
import sys, duckdb
files = sys.argv[3:]
query = '''select agency, system, meter, completeness, sum(quantity)::varchar from read_parquet(?)
 where \"start\" >= ?::timestamptz and \"end\" <= ?::timestamptz and \"start\" < ?::timestamptz group by all order by all'''
for row in duckdb.sql(query, params=[files, sys.argv[1], sys.argv[2], sys.argv[2]]).fetchall():
    print(*row)
";

/// A Python with `DuckDB`, in the cache; none where there is none.
fn python() -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    let cache = std::env::var_os("MARU_CACHE").map_or_else(|| home.join(".cache/maru"), PathBuf::from);
    let python = cache.join("python-lake/bin/python");
    let imported = Command::new(&python).args(["-c", "import duckdb"]).output();
    imported.is_ok_and(|output| output.status.success()).then_some(python)
}

#[test]
fn duckdb_reads_the_same_sums_from_the_same_files() {
    let Some(python) = python() else {
        eprintln!("SKIPPED: no Python with the package duckdb; the tests of the lake install it");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    lake.append(&records(4000)).unwrap();
    let running = Running::start();
    let summing = Summing {
        alone: Vec::new(),
        cuts: Vec::new(),
        issued: Vec::new(),
        ..summing()
    };

    let mut sums: BTreeMap<String, Exact> = BTreeMap::new();
    for record in there(&running.cluster(), &lake, &summing) {
        // Those that cross a border are given by themselves, and the query leaves them out.
        if record.id.starts_with("sum/") {
            let key = format!(
                "{} {} {} {:?}",
                record.agency, record.system, record.meter, record.completeness
            );
            *sums.entry(key).or_default() += &record.quantity;
        }
    }
    let expected: Vec<String> = sums
        .iter()
        .map(|(key, sum)| format!("{key} {}", sum.to_fixed(18)))
        .collect();
    let files = lake.files(None, period()).unwrap();
    let paths = files
        .iter()
        .map(|file| Path::new(file.strip_prefix("file://").unwrap()));
    let output = Command::new(python)
        .args(["-c", DUCKDB, &period().start.to_string(), &period().end.to_string()])
        .args(paths)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<&str> = printed.lines().collect();
    assert!(printed.len() > 30, "there is something to compare: {}", printed.len());
    assert_eq!(printed, expected);
}
