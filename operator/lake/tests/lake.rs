//! What a writer and a reader of usage records can rely on.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};

use maru_lake::{Lake, LakeError};
use maru_meter::{Completeness, Interval, UsageRecord};

fn record(id: &str, start: &str, end: &str, quantity: &str) -> UsageRecord {
    serde_json::from_value(serde_json::json!({
        "id": id, "agency": "nts", "system": "nts/hometax", "meter": "cpu.reserved",
        "quantity": quantity, "start": start, "end": end,
    }))
    .unwrap()
}

fn november() -> Interval {
    interval("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
}

fn interval(start: &str, end: &str) -> Interval {
    Interval {
        start: start.parse().unwrap(),
        end: end.parse().unwrap(),
    }
}

fn data_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "parquet"))
        .collect()
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
fn an_id_that_comes_again_with_another_day_is_refused_whoever_asks_and_however_the_files_lie() {
    let on = |day: &str, id: &str| {
        let at = format!("2026-11-{day}T10:00:00Z");
        record(id, &at, &at, "1")
    };
    let named_by_hour = "events/mois/docs/8:/gateway/2026-11-20T10:00:00Z";
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let other = "events/mois/docs/8:/gateway/a";
    let kept = [on("20", other), on("20", named_by_hour)];
    assert_eq!(lake.append(&kept).unwrap().added, 2);
    let refused = |lake: &Lake, day: &str| {
        let again = lake.append(&[on(day, other), on(day, named_by_hour)]).unwrap();
        assert_eq!((again.added, again.conflicts.len()), (0, 2), "{day}");
    };
    refused(&lake, "21");
    lake.append(&[on("20", "events/mois/docs/8:/gateway/b")]).unwrap();
    lake.compact("2026-11-30T00:00:00Z".parse().unwrap()).unwrap();
    refused(&lake, "27");
    refused(&Lake::open(folder.path()).unwrap(), "13");
    // What comes with both days at once counts on one of them.
    let both = lake.append(&[on("24", "events/c"), on("23", "events/c")]).unwrap();
    assert_eq!((both.added, both.conflicts), (1, vec!["events/c".to_owned()]));
    assert_eq!(
        lake.append(&kept).unwrap().known,
        2,
        "sent again as it was, it is known"
    );
    assert_eq!(lake.read(november()).unwrap().len(), 4);
    assert_eq!(lake.refused().unwrap().len(), 7);
}

#[test]
fn the_same_id_twice_in_one_batch_is_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let appended = lake.append(&[hour("a"), hour("a")]).unwrap();
    assert_eq!((appended.added, appended.known), (1, 1));
}

#[test]
fn a_record_that_knows_of_the_end_counts_in_place_of_one_over_the_whole_hour_whoever_comes_first() {
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
        assert_eq!(lake.read(november()).unwrap(), std::slice::from_ref(&short));
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
    let appended = lake.append(&[other.clone(), hour("b")]).unwrap();
    assert_eq!((appended.added, appended.conflicts), (1, vec!["a".to_owned()]));
    assert_eq!(lake.read(november()).unwrap(), [hour("a"), hour("b")]);
    // An auditor finds what was refused, once, however often it is sent, and vacuum leaves it there.
    let refused = Lake::open(folder.path()).unwrap().refused().unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].record, other);
    lake.append(&[other]).unwrap();
    lake.vacuum(&[], jiff::SignedDuration::ZERO).unwrap();
    assert_eq!(lake.refused().unwrap(), refused);
}

#[test]
fn what_a_crash_left_behind_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    lake.append(&[hour("a")]).unwrap();
    let log = folder.path().join("_delta_log");
    fs::write(log.join("00000000000000000002.json#77"), "{\"add\":{\"pa").unwrap();
    fs::write(
        folder.path().join("day=2026-11-24/part-never-committed.parquet"),
        "PAR1",
    )
    .unwrap();
    for lake in [lake, Lake::open(folder.path()).unwrap()] {
        assert_eq!(lake.read(november()).unwrap()[0], hour("a"));
        lake.append(&[hour("b")]).unwrap();
    }
    assert_eq!(
        Lake::open(folder.path()).unwrap().read(november()).unwrap(),
        [hour("a"), hour("b")]
    );
}

#[test]
fn a_file_that_was_cut_off_is_named_and_other_months_are_read_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let january = record("j", "2026-01-24T00:00:00Z", "2026-01-24T01:00:00Z", "1");
    lake.append(&[hour("a"), january]).unwrap();
    let files = |day: &str| data_files(&folder.path().join(day));
    let file = files("day=2026-01-24").pop().unwrap();
    let whole = fs::metadata(&file).unwrap().len();
    fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(whole - 9)
        .unwrap();

    assert_eq!(lake.read(november()).unwrap(), [hour("a")]);
    let error = lake
        .read(interval("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"))
        .unwrap_err();
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    assert!(
        matches!(error, LakeError::Damaged { .. }) && error.to_string().contains(&name),
        "{error}"
    );
}

#[test]
fn what_was_measured_takes_the_place_of_an_estimate_whoever_comes_first() {
    let estimated = UsageRecord {
        completeness: Completeness::Estimated,
        quantity: "0.5".parse().unwrap(),
        ..hour("a")
    };
    for order in [[&estimated, &hour("a")], [&hour("a"), &estimated]] {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path()).unwrap();
        for record in order {
            let appended = lake.append(std::slice::from_ref(record)).unwrap();
            assert_eq!(appended.conflicts, Vec::<String>::new());
        }
        assert_eq!(lake.read(november()).unwrap(), [hour("a")]);
    }
}

#[test]
fn what_the_table_cannot_hold_exactly_is_refused_and_not_rounded() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let with = |quantity: &str| UsageRecord {
        quantity: quantity.parse().unwrap(),
        ..hour("a")
    };
    for too_much in ["0.0000000000000000001", "100000000000000000000"] {
        assert!(
            matches!(lake.append(&[with(too_much)]), Err(LakeError::Quantity { .. })),
            "{too_much}"
        );
    }
    let fine = record("a", "2026-11-24T00:00:00.0000001Z", "2026-11-24T01:00:00Z", "1");
    assert!(matches!(lake.append(&[fine]), Err(LakeError::TooFine { .. })));
    let most = with("99999999999999999999.999999999999999999");
    lake.append(std::slice::from_ref(&most)).unwrap();
    assert_eq!(lake.read(november()).unwrap(), [most]);
}

#[test]
fn every_field_of_a_record_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let full = UsageRecord {
        resource: "pod/nts/홈택스-1".to_owned(),
        unit: "core-hour".to_owned(),
        source: "pods".to_owned(),
        completeness: Completeness::Missing,
        recorded_at: Some("2026-12-24T00:00:00.000001Z".parse().unwrap()),
        ..record(
            "x/y z%20=",
            "2026-11-24T00:00:01Z",
            "2026-11-24T00:00:02.000001Z",
            "0.1",
        )
    };
    Lake::open(folder.path())
        .unwrap()
        .append(std::slice::from_ref(&full))
        .unwrap();
    assert_eq!(Lake::open(folder.path()).unwrap().read(november()).unwrap(), [full]);
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

#[test]
fn what_a_writer_keeps_is_there_after_a_restart_and_survives_vacuum() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    lake.append(&[hour("a")]).unwrap();
    assert_eq!(lake.kept("pods").unwrap(), None);
    lake.keep("pods", b"one").unwrap();
    lake.keep("pods", b"two").unwrap();
    lake.vacuum(&[], jiff::SignedDuration::ZERO).unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    assert_eq!(lake.kept("pods").unwrap().as_deref(), Some(&b"two"[..]));
    assert!(matches!(lake.keep("../up", b""), Err(LakeError::Name(_))));
}
