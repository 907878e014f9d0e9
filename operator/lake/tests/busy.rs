//! A day to which a little is appended often, by several, and senders who send again much later.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use jiff::{SignedDuration, Timestamp};
use maru_lake::Lake;
use maru_meter::{Interval, UsageRecord};
use std::collections::BTreeSet;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn years() -> Interval {
    Interval {
        start: at("2020-01-01T00:00:00Z"),
        end: at("2030-01-01T00:00:00Z"),
    }
}

fn event(id: &str, at: Timestamp) -> UsageRecord {
    serde_json::from_value(serde_json::json!({
        "id": format!("events/mois/docs/8:/gateway/{id}"), "agency": "nts", "system": "mois/docs", "meter": "requests.count",
        "quantity": "1", "start": at, "end": at, "source": "events",
    }))
    .unwrap()
}

/// What a sender reports at a time.
fn report(sender: &str, number: i64) -> Vec<UsageRecord> {
    let at = at("2026-11-24T10:00:00Z") + SignedDuration::from_secs(number);
    (0..3)
        .map(|one| event(&format!("{sender}-{number}-{one}"), at))
        .collect()
}

fn ids(lake: &Lake) -> Vec<String> {
    let ids = lake.read(years()).unwrap().into_iter().map(|record| record.id);
    ids.collect()
}

#[test]
fn a_day_has_few_files_however_often_something_is_appended_and_each_event_once() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let mut sent = BTreeSet::new();
    for number in 0..70 {
        let records = report("a", number);
        assert_eq!(lake.append(&records).unwrap().added, 3);
        sent.extend(records.into_iter().map(|record| record.id));
        lake.join().unwrap();
    }
    let files = lake.files(None, years()).unwrap().len();
    assert!(files <= 15 + 4, "{files} files of 70 appends");
    assert_eq!(ids(&lake).into_iter().collect::<BTreeSet<_>>(), sent);
    assert_eq!(ids(&lake).len(), sent.len());
    // Whoever is asked knows them, and knows one that says something else.
    let mut other = report("a", 3);
    other[0].quantity = "2".parse().unwrap();
    for lake in [&lake, &Lake::open(folder.path()).unwrap()] {
        for number in [0, 15, 16, 40, 69] {
            assert_eq!(lake.append(&report("a", number)).unwrap().known, 3);
        }
        let again = lake.append(&other).unwrap();
        assert_eq!((again.known, again.conflicts), (2, vec![other[0].id.clone()]));
    }
}

#[test]
fn several_write_and_join_at_once_and_nothing_is_lost_or_twice() {
    let folder = tempfile::tempdir().unwrap();
    let lakes = [0, 1].map(|_| Lake::open(folder.path()).unwrap());
    let done = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (lake, sender) in lakes.iter().zip(["a", "b"]) {
            scope.spawn(|| {
                for number in 0..40 {
                    // The other replica takes what this sender gave up waiting for.
                    lake.append(&report("both", number)).unwrap();
                    lake.append(&report(sender, number)).unwrap();
                }
                done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            });
            scope.spawn(|| {
                while done.load(std::sync::atomic::Ordering::SeqCst) < 2 {
                    lake.join().unwrap();
                }
            });
        }
    });
    let found = ids(&Lake::open(folder.path()).unwrap());
    let senders = ["a", "b", "both"];
    let sent = senders
        .iter()
        .flat_map(|sender| (0..40).flat_map(|number| report(sender, number)));
    let sent: BTreeSet<String> = sent.map(|record| record.id).collect();
    assert_eq!(found.len(), sent.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), sent);
    assert!(lakes[0].files(None, years()).unwrap().len() < 80);
}

#[test]
fn an_event_that_was_recorded_long_ago_is_refused_with_another_time_and_known_with_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let (first, later) = (at("2025-11-20T10:00:00Z"), at("2026-11-24T10:00:00Z"));
    assert_eq!(lake.append(&[event("a", first)]).unwrap().added, 1);
    let metered: UsageRecord = serde_json::from_value(serde_json::json!({
        "id": "pods/u/cpu.reserved/2026-11-23T10:00:00Z", "agency": "nts", "system": "mois/docs", "meter": "cpu.reserved",
        "quantity": "1", "start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z",
    }))
    .unwrap();
    lake.append(&[metered]).unwrap();
    let refused = |lake: &Lake| {
        let again = lake.append(&[event("a", later), event("b", later)]).unwrap();
        assert_eq!(again.conflicts, [event("a", later).id]);
        assert_eq!(lake.append(&[event("a", first)]).unwrap().known, 1);
    };
    refused(&lake);
    refused(&Lake::open(folder.path()).unwrap());
    lake.compact(at("2026-12-30T00:00:00Z")).unwrap();
    refused(&lake);
    refused(&Lake::open(folder.path()).unwrap());
    // Days that are no longer kept are not known either.
    lake.retire(at("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(lake.append(&[event("a", later)]).unwrap().added, 1);
}
