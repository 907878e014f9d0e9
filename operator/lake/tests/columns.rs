//! Records that come as columns are stored as those that come one by one.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::sync::Arc;

use arrow_array::builder::{StringDictionaryBuilder, TimestampMicrosecondBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use jiff::{SignedDuration, Timestamp};
use maru_lake::{Lake, LakeError};
use maru_meter::{Completeness, Exact, Interval, UsageRecord};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn record(number: u64) -> UsageRecord {
    // Neither the agencies nor the hours come in order, and some days have more than others.
    let place = number * 7919 % 1009;
    let start = at("2026-11-01T00:00:00Z") + SignedDuration::from_mins(i64::try_from(place * 13).unwrap());
    UsageRecord {
        id: format!("r{number}"),
        agency: format!("agency-{}", place % 5),
        system: format!("agency-{}/system-{}", place % 5, place % 3),
        resource: format!("pod/x-{}", place % 11),
        meter: ["cpu.used", "memory.used"][usize::try_from(place % 2).unwrap()].to_owned(),
        quantity: Exact::scaled(place * 1_000_003, 9),
        unit: "core-hour".to_owned(),
        start,
        end: start + SignedDuration::from_mins(15),
        source: "test".to_owned(),
        completeness: if place.is_multiple_of(10) {
            Completeness::Estimated
        } else {
            Completeness::Complete
        },
        recorded_at: place.is_multiple_of(4).then_some(at("2026-12-24T00:00:00.000001Z")),
    }
}

fn columns(records: &[UsageRecord]) -> RecordBatch {
    let names = |text: &dyn Fn(&UsageRecord) -> String| -> ArrayRef {
        let mut column = StringDictionaryBuilder::<Int32Type>::new();
        for record in records {
            column.append_value(text(record));
        }
        Arc::new(column.finish())
    };
    let moments = |moment: &dyn Fn(&UsageRecord) -> Timestamp| -> ArrayRef {
        let micros = records.iter().map(|record| moment(record).as_microsecond());
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
    };
    let mut recorded = TimestampMicrosecondBuilder::new();
    for record in records {
        recorded.append_option(record.recorded_at.map(Timestamp::as_microsecond));
    }
    let units = records.iter().map(|record| {
        let units = record.quantity.units(18, maru_meter::Rounding::Down);
        i128::try_from(units).unwrap()
    });
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(records.iter().map(|record| &record.id))),
        names(&|record| record.agency.clone()),
        names(&|record| record.system.clone()),
        names(&|record| record.resource.clone()),
        names(&|record| record.meter.clone()),
        names(&|record| record.unit.clone()),
        names(&|record| record.source.clone()),
        names(&|record| format!("{:?}", record.completeness)),
        Arc::new(
            Decimal128Array::from_iter_values(units)
                .with_precision_and_scale(38, 18)
                .unwrap(),
        ),
        moments(&|record| record.start),
        moments(&|record| record.end),
        Arc::new(recorded.finish().with_timezone("UTC")),
    ];
    RecordBatch::try_new(Lake::columns(), columns).unwrap()
}

fn all(lake: &Lake) -> Vec<UsageRecord> {
    let period = Interval {
        start: at("2026-10-01T00:00:00Z"),
        end: at("2027-01-01T00:00:00Z"),
    };
    lake.read(period).unwrap()
}

#[test]
fn columns_and_single_records_are_the_same_whichever_comes_first_and_whoever_else_writes() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, other] = folders.each_ref().map(|folder| Lake::open(folder.path()).unwrap());
    let records: Vec<UsageRecord> = (0..1000).map(record).collect();
    one.append(&records).unwrap();
    let appended = other.append_columns(&columns(&records[..600])).unwrap();
    assert_eq!((appended.added, appended.known), (600, 0));
    assert_eq!(other.append(&records[500..700]).unwrap().added, 100);
    // Somebody who knows nothing of this writer.
    let third = Lake::open(folders[1].path()).unwrap();
    let appended = third.append_columns(&columns(&records)).unwrap();
    assert_eq!((appended.added, appended.known), (300, 700));
    assert_eq!(one.append_columns(&columns(&records)).unwrap().known, 1000);
    assert_eq!(all(&one), all(&other));
    assert_eq!(all(&one).len(), 1000);
    other.compact(at("2027-01-01T00:00:00Z")).unwrap();
    assert_eq!(all(&one), all(&other));
}

#[test]
fn an_event_that_is_imported_again_with_another_day_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let event = |month: u32, id: &str| UsageRecord {
        id: format!("events/mois/docs/8:/gateway/{id}"),
        start: at(&format!("2026-{month:02}-20T10:00:00Z")),
        end: at(&format!("2026-{month:02}-20T10:00:00Z")),
        ..record(1)
    };
    lake.append_columns(&columns(&[event(3, "a")])).unwrap();
    let again = lake
        .append_columns(&columns(&[event(11, "a"), event(11, "b")]))
        .unwrap();
    assert_eq!((again.added, again.conflicts), (1, vec![event(11, "a").id]));
    assert_eq!(lake.append_columns(&columns(&[event(3, "a")])).unwrap().known, 1);
}

#[test]
fn what_is_better_known_replaces_and_what_contradicts_is_refused_also_within_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let mut records: Vec<UsageRecord> = (0..50).map(record).collect();
    records[7].completeness = Completeness::Missing;
    lake.append_columns(&columns(&records[..20])).unwrap();
    let better = UsageRecord {
        completeness: Completeness::Complete,
        ..records[7].clone()
    };
    let other = UsageRecord {
        quantity: Exact::from(1_000_000),
        agency: "somebody-else".to_owned(),
        ..records[30].clone()
    };
    let mut batch = vec![better.clone()];
    batch.extend_from_slice(&records[8..]);
    batch.extend([records[31].clone(), other]);
    let appended = lake.append_columns(&columns(&batch)).unwrap();
    assert_eq!((appended.added, appended.bettered, appended.known), (30, 1, 13));
    assert_eq!(appended.conflicts, ["r30"]);
    let mut expected = records.clone();
    expected[7] = better;
    expected.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
    assert_eq!(all(&lake), expected);
}

#[test]
fn a_row_that_is_not_right_refuses_the_batch_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    let right: Vec<UsageRecord> = (0..30).map(record).collect();
    let wrong = |change: &dyn Fn(&mut UsageRecord)| {
        let mut records = right.clone();
        change(&mut records[17]);
        columns(&records)
    };
    let batches = [
        wrong(&|record| record.agency.clear()),
        wrong(&|record| record.id = "x".repeat(513)),
        wrong(&|record| record.quantity = Exact::from(-1)),
        wrong(&|record| record.end = record.start - SignedDuration::from_secs(1)),
        wrong(&|record| record.end = record.start + SignedDuration::from_hours(24 * 32)),
    ];
    for batch in batches {
        assert_eq!(Lake::first_wrong(&batch).unwrap(), Some(17));
        let refused = lake.append_columns(&batch);
        assert!(
            matches!(refused, Err(LakeError::Record(_) | LakeError::TooLong { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(lake.version().unwrap(), None);
    assert_eq!(Lake::first_wrong(&columns(&right)).unwrap(), None);
}
