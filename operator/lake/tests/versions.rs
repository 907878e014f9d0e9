//! What compaction, retention and vacuum leave of what a bill was worked out from.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use jiff::{SignedDuration, Timestamp};
use maru_lake::{Lake, LakeError};
use maru_meter::{Completeness, Interval, UsageRecord};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn november() -> Interval {
    Interval {
        start: at("2026-11-01T00:00:00Z"),
        end: at("2026-12-01T00:00:00Z"),
    }
}

fn hour(day: u32, hour: u32) -> UsageRecord {
    let start: Timestamp = at(&format!("2026-11-{day:02}T{hour:02}:00:00Z"));
    serde_json::from_value(serde_json::json!({
        "id": format!("pods/u/cpu.reserved/{start}"), "agency": "nts", "system": "nts/hometax", "meter": "cpu.reserved",
        "quantity": "1", "start": start, "end": start + SignedDuration::from_hours(1),
    }))
    .unwrap()
}

/// A lake with an append for each hour of two days.
fn two_days(lake: &Lake) -> Vec<UsageRecord> {
    let mut all = Vec::new();
    for day in [10, 11] {
        for of_day in 0..24 {
            let record = hour(day, of_day);
            lake.append(std::slice::from_ref(&record)).unwrap();
            all.push(record);
        }
    }
    all
}

#[test]
fn compaction_makes_one_file_of_a_day_and_changes_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let all = two_days(&lake);
    let compacted = lake.compact(at("2026-11-11T12:00:00Z")).unwrap();
    assert_eq!(
        (compacted.before, compacted.after),
        (24, 1),
        "the day that still runs is left alone"
    );
    let compacted = lake.compact(at("2026-11-12T00:00:00Z")).unwrap();
    assert_eq!((compacted.before, compacted.after), (24, 1));
    assert_eq!(lake.read(november()).unwrap(), all);
    assert_eq!(
        lake.compact(at("2026-11-12T00:00:00Z")).unwrap(),
        maru_lake::Compacted::default()
    );
    let again = lake.append(&all).unwrap();
    assert_eq!((again.added, again.known), (0, 48), "what was compacted is still known");
}

#[test]
fn a_version_that_a_bill_names_is_read_after_late_usage_compaction_retention_and_vacuum() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let all = two_days(&lake);
    let billed = lake.version().unwrap().unwrap();
    let delayed = UsageRecord {
        id: "late".to_owned(),
        ..hour(10, 3)
    };
    lake.append(std::slice::from_ref(&delayed)).unwrap();
    lake.compact(at("2026-11-20T00:00:00Z")).unwrap();
    let compacted = lake.version().unwrap().unwrap();

    lake.vacuum(&[billed], SignedDuration::ZERO).unwrap();
    assert_eq!(lake.read_at(billed, november()).unwrap(), all);
    assert_eq!(lake.read(november()).unwrap().len(), 49);

    assert_eq!(lake.retire(at("2026-11-11T05:00:00Z")).unwrap(), 25, "whole days only");
    assert_eq!(lake.read(november()).unwrap(), all[24..]);
    lake.vacuum(&[billed, compacted], SignedDuration::ZERO).unwrap();
    assert_eq!(lake.read_at(billed, november()).unwrap(), all);
    assert_eq!(lake.read_at(compacted, november()).unwrap().len(), 49);

    let gone = lake.vacuum(&[], SignedDuration::ZERO).unwrap();
    assert!(gone.deleted.len() >= 49, "{gone:?}");
    assert!(matches!(
        lake.read_at(billed, november()),
        Err(LakeError::Damaged { .. })
    ));
    assert_eq!(lake.read(november()).unwrap(), all[24..]);
}

#[test]
fn vacuum_takes_away_what_was_written_and_never_committed_but_not_what_is_young() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    lake.append(&[hour(10, 0)]).unwrap();
    let orphan = folder.path().join("day=2026-11-10/part-orphan.parquet");
    std::fs::write(&orphan, "PAR1").unwrap();
    lake.vacuum(&[], SignedDuration::from_hours(1)).unwrap();
    assert!(orphan.exists(), "somebody may be about to commit it");
    lake.vacuum(&[], SignedDuration::ZERO).unwrap();
    assert!(!orphan.exists());
    assert_eq!(lake.read(november()).unwrap(), [hour(10, 0)]);
}

#[test]
fn an_unknown_version_is_an_error_and_not_an_empty_bill() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    assert_eq!(lake.version().unwrap(), None);
    assert!(lake.read_at(7, november()).is_err());
    lake.append(&[hour(10, 0)]).unwrap();
    assert!(lake.read_at(7, november()).is_err());
}

#[test]
fn a_version_says_from_which_day_on_it_has_more_than_an_earlier_one_and_compaction_and_retention_are_no_news() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let day = |day: u32| Some(at(&format!("2026-11-{day:02}T00:00:00Z")));
    assert_eq!(lake.more_since(None, lake.version().unwrap()).unwrap(), None);
    two_days(&lake);
    let before = lake.version().unwrap();
    assert_eq!(lake.more_since(None, before).unwrap(), day(10));
    lake.compact(at("2026-11-12T00:00:00Z")).unwrap();
    assert_eq!(lake.more_since(before, lake.version().unwrap()).unwrap(), None);

    lake.append(&[hour(12, 3)]).unwrap();
    assert_eq!(lake.more_since(before, lake.version().unwrap()).unwrap(), day(12));
    lake.append(&[hour(9, 3)]).unwrap();
    assert_eq!(lake.more_since(before, lake.version().unwrap()).unwrap(), day(9));
    let between = lake.version().unwrap();
    lake.retire(at("2026-11-11T00:00:00Z")).unwrap();
    assert_eq!(lake.more_since(before, lake.version().unwrap()).unwrap(), day(12));
    assert_eq!(lake.more_since(before, between).unwrap(), day(9), "versions are asked");
}

#[test]
fn a_hole_that_is_measured_later_is_news_though_there_are_as_many_records_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let hole = UsageRecord {
        quantity: maru_meter::Exact::ZERO,
        completeness: Completeness::Missing,
        ..hour(10, 3)
    };
    lake.append(&[hole, hour(10, 4), hour(11, 3)]).unwrap();
    let billed = lake.version().unwrap();
    assert_eq!(lake.append(&[hour(10, 3)]).unwrap().bettered, 1);
    let day = at("2026-11-10T00:00:00Z");
    assert_eq!(lake.more_since(billed, lake.version().unwrap()).unwrap(), Some(day));
    lake.append(&[hour(11, 4)]).unwrap();
    lake.compact(at("2026-11-20T00:00:00Z")).unwrap();
    assert_eq!(
        lake.more_since(billed, lake.version().unwrap()).unwrap(),
        Some(day),
        "nor does compaction hide it"
    );
}
