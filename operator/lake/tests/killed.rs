//! Writers that are killed in the middle, and the ones that take over from them.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use maru_lake::Lake;
use maru_meter::{Interval, UsageRecord};

/// Where the writer below writes; set by the test that starts it.
const PLACE: &str = "MARU_TEST_KILLED_LAKE";

fn month() -> Interval {
    Interval {
        start: "2026-11-01T00:00:00Z".parse().unwrap(),
        end: "2026-12-01T00:00:00Z".parse().unwrap(),
    }
}

fn batch(number: i64) -> Vec<UsageRecord> {
    let start = month().start + SignedDuration::from_hours(number % 48);
    let record = |part: i64| {
        serde_json::from_value(serde_json::json!({
            "id": format!("pods/{number}-{part}/cpu.reserved/{start}"), "agency": "nts", "system": "nts/hometax",
            "meter": "cpu.reserved", "quantity": "0.25", "start": start, "end": start + SignedDuration::from_mins(15),
        }))
        .unwrap()
    };
    (0..20).map(record).collect()
}

/// Not a test by itself: what a process does until it is killed. It acknowledges each batch by a file once the lake has it.
#[test]
fn a_writer_that_another_test_kills() {
    let Some(place) = std::env::var_os(PLACE) else { return };
    let lake = Lake::open(Path::new(&place).join("lake")).unwrap();
    for number in 0.. {
        lake.append(&batch(number)).unwrap();
        std::fs::write(Path::new(&place).join(format!("acknowledged-{number}")), "").unwrap();
    }
}

fn start(place: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_writer_that_another_test_kills"])
        .env(PLACE, place)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

fn acknowledged(place: &Path) -> i64 {
    let entries = std::fs::read_dir(place).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    i64::try_from(names.filter(|name| name.starts_with("acknowledged")).count()).unwrap()
}

#[test]
fn two_writers_of_the_same_records_are_killed_again_and_again_and_every_record_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let deadline = Instant::now() + Duration::from_mins(2);
    let mut most = 0;
    for round in 1..=4 {
        let mut writers = [start(folder.path()), start(folder.path())];
        while acknowledged(folder.path()) < round * 8 {
            assert!(Instant::now() < deadline, "the writers get nowhere");
            std::thread::sleep(Duration::from_millis(3 + 2 * u64::try_from(round).unwrap()));
        }
        for writer in &mut writers {
            writer.kill().unwrap();
            writer.wait().unwrap();
        }
        most = acknowledged(folder.path());
    }
    let lake = Lake::open(folder.path().join("lake")).unwrap();
    let mut ids: Vec<String> = lake
        .read(month())
        .unwrap()
        .into_iter()
        .map(|record| record.id)
        .collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "a record is there twice");
    for number in 0..most {
        for record in batch(number) {
            assert!(
                ids.binary_search(&record.id).is_ok(),
                "{} was acknowledged and is gone",
                record.id
            );
        }
    }
    let taken_over: Vec<UsageRecord> = (0..=most).flat_map(batch).collect();
    lake.append(&taken_over).unwrap();
    assert_eq!(lake.append(&taken_over).unwrap().known, taken_over.len());
}
