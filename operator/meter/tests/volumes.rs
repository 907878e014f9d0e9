//! What a platform engineer sees in the usage records of volume claims.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use maru_meter::{Book, Completeness, Heard, Source, UsageRecord, volumes};
use serde_json::json;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn claim(phase: &str, capacity: &str, written: &str) -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {
            "name": "data", "namespace": "nts", "uid": "v1", "creationTimestamp": "2026-11-24T00:30:00Z",
            "labels": {"maru.dev/system": "hometax"},
            "managedFields": [{"manager": "volumes", "operation": "Update", "time": written}],
        },
        "spec": {"resources": {"requests": {"storage": "10Gi"}}},
        "status": {"phase": phase, "capacity": {"storage": capacity}},
    }))
    .unwrap()
}

fn book() -> Book {
    let mut book = Book::new(Source::Volumes, at("2026-11-24T00:00:00Z"), SignedDuration::ZERO);
    book.namespace("nts", Some("nts"));
    book
}

fn recorded(book: &mut Book, now: &str) -> Vec<UsageRecord> {
    book.is_current(at(now));
    let batch = book.due(at(now), usize::MAX);
    book.written(&batch);
    let mut records = batch.records;
    records.sort_by_key(|record| record.start);
    records
}

#[test]
fn a_claim_counts_with_its_capacity_from_when_it_was_made_until_it_is_gone() {
    let mut book = book();
    let small = claim("Bound", "10Gi", "2026-11-24T00:30:05Z");
    book.see(&volumes::observe(&small).0, at("2026-11-24T00:30:05Z"), Heard::Live);
    let first = recorded(&mut book, "2026-11-24T01:00:00Z");
    assert_eq!(
        (
            first[0].quantity.to_string().as_str(),
            first[0].meter.as_str(),
            first[0].system.as_str()
        ),
        ("5", "storage.provisioned", "nts/hometax")
    );
    // It is made larger at a quarter past, and gone at a quarter to.
    let large = claim("Bound", "20Gi", "2026-11-24T01:15:00Z");
    book.see(&volumes::observe(&large).0, at("2026-11-24T01:15:01Z"), Heard::Live);
    book.gone(&volumes::observe(&large).0, at("2026-11-24T01:45:00Z"), Heard::Live);
    let second = recorded(&mut book, "2026-11-24T01:46:00Z");
    assert_eq!(second[0].quantity.to_string(), "12.5", "15 min of 10 GiB and 30 of 20");
    assert_eq!(second[0].completeness, Completeness::Complete);
    assert!(book.is_empty(), "what is gone and recorded is forgotten");
}

#[test]
fn a_claim_that_waits_for_its_volume_holds_nothing() {
    let mut book = book();
    let waiting = claim("Pending", "0", "2026-11-24T00:30:00Z");
    book.see(&volumes::observe(&waiting).0, at("2026-11-24T00:30:00Z"), Heard::Live);
    assert_eq!(recorded(&mut book, "2026-11-24T02:00:00Z"), []);
}

#[test]
fn a_claim_that_vanished_while_nobody_looked_is_an_estimate() {
    let mut book = book();
    let small = claim("Bound", "10Gi", "2026-11-24T00:30:05Z");
    book.see(&volumes::observe(&small).0, at("2026-11-24T00:30:05Z"), Heard::Live);
    book.is_current(at("2026-11-24T00:36:00Z"));
    book.begin_list();
    book.end_list();
    let records = recorded(&mut book, "2026-11-24T03:00:00Z");
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].quantity.to_string().as_str(), records[0].completeness),
        ("1", Completeness::Estimated)
    );
}
