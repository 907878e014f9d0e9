//! The sums that rating starts from, held against adding up record by record, and against other readers of the same table.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use maru_lake::{Lake, LakeError, Summing};
use maru_meter::{Completeness, Exact, Interval, UsageRecord};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn period() -> Interval {
    Interval {
        start: at("2026-10-31T15:00:00Z"), // a month in Seoul
        end: at("2026-11-30T15:00:00Z"),
    }
}

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// Records of some agencies, systems and meters before, in and after the period, a few of them over its borders.
fn records(seed: u64, count: u64) -> Vec<UsageRecord> {
    let mut numbers = Numbers(seed);
    let first = at("2026-10-30T00:00:00Z");
    let record = |number: u64| {
        let start = first + SignedDuration::from_mins(i64::try_from(numbers.below(33 * 24 * 4)).unwrap() * 15);
        let minutes = [0, 15, 60, 60, 60, 1500][usize::try_from(numbers.below(6)).unwrap()];
        let agency = numbers.below(3);
        let meter = ["cpu.reserved", "memory.reserved", "requests.count"][usize::try_from(numbers.below(3)).unwrap()];
        let completeness = if numbers.below(10) == 0 {
            "Estimated"
        } else {
            "Complete"
        };
        let quantity = format!("{}.{:018}", numbers.below(1000), numbers.below(1_000_000_000));
        serde_json::from_value(serde_json::json!({
            "id": format!("r{number}"), "agency": format!("agency-{agency}"),
            "system": format!("agency-{agency}/system-{}", numbers.below(4)), "meter": meter, "quantity": quantity,
            "start": start, "end": start + SignedDuration::from_mins(minutes), "completeness": completeness,
        }))
        .unwrap()
    };
    (0..count).map(record).collect()
}

fn summing(threads: usize) -> Summing {
    Summing {
        period: period(),
        cuts: vec![
            at("2026-11-10T00:00:00Z"),
            at("2026-11-10T00:00:00Z"),
            at("2027-01-01T00:00:00Z"),
        ],
        alone: vec!["requests.count".to_owned()],
        issued: Vec::new(),
        version: None,
        threads: NonZeroUsize::new(threads).unwrap(),
    }
}

type Totals = BTreeMap<(String, String, String, String), Exact>;

/// What falls between two moments, in proportion to time.
fn totals<'a>(records: impl IntoIterator<Item = &'a UsageRecord>, within: Interval) -> Totals {
    let mut totals = Totals::new();
    for record in records {
        let whole = Interval {
            start: record.start,
            end: record.end,
        };
        let part = if record.start == record.end {
            if record.start < within.start || record.start >= within.end {
                continue;
            }
            Exact::ONE
        } else {
            let Some(part) = whole.overlap(within) else { continue };
            Exact::ratio(part.length().as_nanos(), whole.length().as_nanos()).unwrap()
        };
        let key = (
            record.agency.clone(),
            record.system.clone(),
            record.meter.clone(),
            format!("{:?}", record.completeness),
        );
        *totals.entry(key).or_default() += &(&record.quantity * &part);
    }
    totals
}

fn sums(lake: &Lake, summing: &Summing) -> Vec<UsageRecord> {
    let mut given = Vec::new();
    lake.sum(summing, |record| {
        given.push(record.clone());
        Ok::<(), LakeError>(())
    })
    .unwrap();
    given
}

#[test]
fn sums_are_the_same_as_adding_up_every_record_on_both_sides_of_a_cut() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let all = records(1, 3000);
    for part in all.chunks(1000) {
        lake.append(part).unwrap();
    }
    let cut = at("2026-11-10T00:00:00Z");
    let sides = [
        Interval {
            start: period().start,
            end: cut,
        },
        Interval {
            start: cut,
            end: period().end,
        },
    ];
    for threads in [1, 2] {
        let given = sums(&lake, &summing(threads));
        for side in sides {
            assert_eq!(totals(&given, side), totals(&all, side), "{threads} threads");
        }
        assert!(given.len() < 2000, "{} of 3000 records were not summed", given.len());
        let alone = |record: &&UsageRecord| record.meter == "requests.count" && record.id.starts_with('r');
        assert_eq!(
            given.iter().filter(|record| record.meter == "requests.count").count(),
            given.iter().filter(alone).count(),
            "what counts one by one was summed"
        );
    }
    lake.compact(at("2027-01-01T00:00:00Z")).unwrap();
    assert_eq!(totals(&sums(&lake, &summing(2)), period()), totals(&all, period()));
}

#[test]
fn a_sum_past_what_a_machine_number_holds_is_still_exact() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let most: Exact = "99999999999999999999.999999999999999999".parse().unwrap();
    let start = at("2026-11-24T00:00:00Z");
    let record = |number: u64| UsageRecord {
        quantity: most.clone(),
        meter: "cpu.reserved".to_owned(),
        start,
        end: start,
        ..records(1, 1).remove(0).named(number)
    };
    lake.append(&(0..5).map(record).collect::<Vec<_>>()).unwrap();
    let given = sums(&lake, &summing(1));
    assert_eq!(given.len(), 1);
    assert_eq!(
        given[0].quantity.to_string(),
        "499999999999999999999.999999999999999995"
    );
}

#[test]
fn what_became_known_after_its_month_was_issued_is_given_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let issued = at("2026-12-03T15:00:00Z");
    let record = |number: u64, known: Option<Timestamp>| UsageRecord {
        meter: "cpu.reserved".to_owned(),
        start: at("2026-11-24T00:00:00Z"),
        end: at("2026-11-24T01:00:00Z"),
        recorded_at: known,
        ..records(1, 1).remove(0).named(number)
    };
    let afterwards = record(3, Some(issued + SignedDuration::from_micros(1)));
    let all = [record(1, None), record(2, Some(issued)), afterwards.clone()];
    lake.append(&all).unwrap();
    let asked = |issued| Summing { issued, ..summing(2) };
    let given = sums(&lake, &asked(vec![(period().end, issued)]));
    assert_eq!(given.len(), 2);
    assert!(given.contains(&afterwards), "{given:?}");
    assert_eq!(totals(&given, period()), totals(&all, period()));
    // A month that was not issued takes everything in.
    assert_eq!(sums(&lake, &asked(vec![(at("2026-11-01T00:00:00Z"), issued)])).len(), 1);
}

#[test]
fn whoever_refuses_a_record_ends_the_sum_at_once_also_with_many_left() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    lake.append(&records(3, 3000)).unwrap();
    let mut taken = 0;
    let refused = lake.sum(&summing(2), |record| {
        taken += 1;
        Err(LakeError::Name(record.id.clone()))
    });
    assert!(matches!(refused, Err(LakeError::Name(_))), "{refused:?}");
    assert_eq!(taken, 1);
}

trait Named {
    fn named(self, number: u64) -> Self;
}

impl Named for UsageRecord {
    fn named(self, number: u64) -> Self {
        Self {
            id: format!("n{number}"),
            ..self
        }
    }
}

#[test]
fn the_hours_of_which_a_meter_did_not_see_all_are_named_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let all = records(5, 2000);
    lake.append(&all).unwrap();
    let mut expected: BTreeMap<String, BTreeMap<Timestamp, Completeness>> = BTreeMap::new();
    for record in all
        .iter()
        .filter(|record| record.completeness != Completeness::Complete)
    {
        let mut at = record.start;
        loop {
            if period().start <= at && at < period().end {
                let hours = expected.entry(record.meter.clone()).or_default();
                hours.insert(maru_meter::hour_of(at), record.completeness);
            }
            at += SignedDuration::from_mins(15);
            if at >= record.end {
                break;
            }
        }
    }
    assert!(expected.values().all(|hours| hours.len() > 10), "{expected:?}");
    assert_eq!(lake.doubts(None, period()).unwrap(), expected);
    lake.compact(at("2026-12-15T00:00:00Z")).unwrap();
    assert_eq!(lake.doubts(None, period()).unwrap(), expected, "after compaction");

    // A hole is worse than an estimate of the same hour, and is repaired when the measurement comes.
    let hole = |completeness| UsageRecord {
        id: "hole".to_owned(),
        meter: "cpu.used".to_owned(),
        completeness,
        start: at("2026-11-03T04:00:00Z"),
        end: at("2026-11-03T06:00:00Z"),
        ..all[0].clone()
    };
    let estimate = UsageRecord {
        id: "estimate".to_owned(),
        end: at("2026-11-03T05:00:00Z"),
        ..hole(Completeness::Estimated)
    };
    lake.append(&[hole(Completeness::Missing), estimate]).unwrap();
    let of_meter = || {
        lake.doubts(None, period())
            .unwrap()
            .remove("cpu.used")
            .unwrap_or_default()
    };
    let hours = [at("2026-11-03T04:00:00Z"), at("2026-11-03T05:00:00Z")];
    assert_eq!(
        of_meter(),
        BTreeMap::from(hours.map(|hour| (hour, Completeness::Missing)))
    );
    lake.append(&[hole(Completeness::Complete)]).unwrap();
    assert_eq!(of_meter(), BTreeMap::from([(hours[0], Completeness::Estimated)]));
}

/// A Python with the readers, in the cache; none where there is no Python or no package index.
fn python() -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    let cache = std::env::var_os("MARU_CACHE").map_or_else(|| home.join(".cache/maru"), PathBuf::from);
    let folder = cache.join("python-lake");
    let python = folder.join("bin/python");
    let ready = |python: &Path| {
        let imported = Command::new(python)
            .args(["-c", "import duckdb, deltalake, pyarrow"])
            .output();
        imported.is_ok_and(|output| output.status.success())
    };
    if ready(&python) {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status();
    if !made.is_ok_and(|status| status.success()) {
        return None;
    }
    let installed = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "duckdb", "deltalake", "pyarrow"])
        .status();
    (installed.is_ok_and(|status| status.success()) && ready(&python)).then_some(python)
}

const READERS: &str = r#"
import sys, duckdb
from deltalake import DeltaTable
table = DeltaTable(sys.argv[1])
files = table.file_uris()
rows = table.to_pyarrow_table()
assert rows.num_rows == int(sys.argv[2]), rows.num_rows
def show(reader, sums):
    for agency, meter, quantity, count in sorted(sums):
        print(reader, agency, meter, quantity, count)
query = "select agency, meter, sum(quantity)::varchar, count(distinct id) from {} group by all"
show("deltalake", duckdb.sql(query.format("rows")).fetchall())
show("duckdb", duckdb.sql(query.format("read_parquet(" + repr(files) + ")")).fetchall())
"#;

#[test]
fn python_and_duckdb_read_the_same_sums_from_the_table() {
    let Some(python) = python() else {
        eprintln!("SKIPPED: no python3 with the packages deltalake and duckdb, and they could not be installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let all = records(2, 500);
    lake.append(&all[..300]).unwrap();
    lake.append(&all[200..]).unwrap();
    lake.compact(at("2026-11-15T00:00:00Z")).unwrap();
    let output = Command::new(python)
        .args(["-c", READERS])
        .arg(folder.path())
        .arg(all.len().to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut sums: BTreeMap<(&str, &str), (Exact, usize)> = BTreeMap::new();
    for record in &all {
        let sum = sums.entry((&record.agency, &record.meter)).or_default();
        sum.0 += &record.quantity;
        sum.1 += 1;
    }
    let expected: Vec<String> = ["deltalake", "duckdb"]
        .iter()
        .flat_map(|reader| {
            sums.iter().map(move |((agency, meter), (quantity, count))| {
                format!("{reader} {agency} {meter} {} {count}", quantity.to_fixed(18))
            })
        })
        .collect();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}
