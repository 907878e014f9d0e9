//! What a writer and a reader of usage records can rely on.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::io::Write;

use maru_lake::{Lake, LakeError};
use maru_meter::{Interval, UsageRecord};

fn record(id: &str, start: &str, end: &str, quantity: &str) -> UsageRecord {
    serde_json::from_value(serde_json::json!({
        "id": id, "agency": "nts", "system": "nts/hometax", "meter": "cpu.reserved",
        "quantity": quantity, "start": start, "end": end,
    }))
    .unwrap()
}

fn november() -> Interval {
    Interval {
        start: "2026-11-01T00:00:00Z".parse().unwrap(),
        end: "2026-12-01T00:00:00Z".parse().unwrap(),
    }
}

fn hour(id: &str) -> UsageRecord {
    record(id, "2026-11-24T00:00:00Z", "2026-11-24T01:00:00Z", "1")
}

#[test]
fn appending_twice_is_appending_once() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let records = [hour("a"), hour("b")];
    assert_eq!(lake.append(&records).unwrap().added, 2);
    let again = Lake::open(folder.path()).unwrap().append(&records).unwrap();
    assert_eq!((again.added, again.known), (0, 2));
    assert_eq!(lake.read(november()).unwrap(), records);
}

#[test]
fn the_same_id_twice_in_one_batch_is_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let appended = lake.append(&[hour("a"), hour("a")]).unwrap();
    assert_eq!((appended.added, appended.known), (1, 1));
}

#[test]
fn a_longer_interval_counts_in_place_of_a_shorter_one_whoever_comes_first() {
    let short = record(
        "a",
        "2026-11-24T00:00:00Z",
        "2026-11-24T00:20:00Z",
        "0.333333333333333333",
    );
    let long = hour("a");
    for order in [[&short, &long], [&long, &short]] {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path()).unwrap();
        for record in order {
            assert_eq!(
                lake.append(std::slice::from_ref(record)).unwrap().conflicts,
                Vec::<String>::new()
            );
        }
        assert_eq!(lake.read(november()).unwrap(), std::slice::from_ref(&long));
    }
}

#[test]
fn the_same_id_with_other_content_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    lake.append(&[hour("a")]).unwrap();
    let other = UsageRecord {
        quantity: "2".parse().unwrap(),
        ..hour("a")
    };
    let appended = lake.append(&[other, hour("b")]).unwrap();
    assert_eq!((appended.added, appended.conflicts), (1, vec!["a".to_owned()]));
    assert_eq!(lake.read(november()).unwrap(), [hour("a"), hour("b")]);
}

#[test]
fn what_a_crash_left_of_a_line_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    lake.append(&[hour("a")]).unwrap();
    let file = folder.path().join("2026-11.jsonl");
    fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .unwrap()
        .write_all("{\"id\":\"b\",\"agency\":\"국".as_bytes().split_last().unwrap().1)
        .unwrap();
    assert_eq!(lake.read(november()).unwrap(), [hour("a")]);
    lake.append(&[hour("c")]).unwrap();
    assert_eq!(lake.read(november()).unwrap(), [hour("a"), hour("c")]);
}

#[test]
fn a_damaged_line_is_named_with_its_file_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    lake.append(&[hour("a")]).unwrap();
    let file = folder.path().join("2026-11.jsonl");
    fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .unwrap()
        .write_all(b"nonsense\n")
        .unwrap();
    let error = lake.read(november()).unwrap_err();
    assert!(matches!(error, LakeError::Damaged { line: 2, .. }), "{error}");
}

#[test]
fn a_period_reads_what_reaches_into_it_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let reaches_in = record("in", "2026-10-31T23:00:00Z", "2026-11-01T01:00:00Z", "1");
    let before = record("before", "2026-10-31T23:00:00Z", "2026-11-01T00:00:00Z", "1");
    let instant = record("instant", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "1");
    let after = record("after", "2026-12-01T00:00:00Z", "2026-12-01T01:00:00Z", "1");
    lake.append(&[before, after, instant.clone(), reaches_in.clone()])
        .unwrap();
    assert_eq!(lake.read(november()).unwrap(), [reaches_in, instant]);
}

#[test]
fn four_writers_at_once_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = folder.path();
            scope.spawn(move || {
                let lake = Lake::open(path).unwrap();
                for number in 0..25 {
                    let own = hour(&format!("{writer}-{number}"));
                    lake.append(&[own, hour(&format!("shared-{number}"))]).unwrap();
                }
            });
        }
    });
    assert_eq!(Lake::open(folder.path()).unwrap().read(november()).unwrap().len(), 125);
}

#[test]
fn a_record_that_makes_no_sense_refuses_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let backwards = record("a", "2026-11-24T01:00:00Z", "2026-11-24T00:00:00Z", "1");
    let endless = record("b", "2026-11-01T00:00:00Z", "2027-11-01T00:00:00Z", "1");
    assert!(matches!(
        lake.append(&[hour("c"), backwards]),
        Err(LakeError::Record(_))
    ));
    assert!(matches!(
        lake.append(&[hour("c"), endless]),
        Err(LakeError::TooLong { .. })
    ));
    assert_eq!(lake.read(november()).unwrap(), []);
}
