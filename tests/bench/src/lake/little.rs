//! A day to which a little is appended again and again: what an append takes in the end, beside what it took at first.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use maru_lake::Lake;
use maru_meter::{Exact, UsageRecord};

use super::Found;

const EVENTS: u64 = 10;
/// The operator joins every five seconds, in which little senders make twenty versions.
const JOIN_EVERY: u64 = 20;
/// So many of the first and of the last are compared.
const COMPARED: u64 = 500;

/// Appends so many times. The first duration that it gives is that of the first ones.
pub(super) fn append(folder: &Path, appends: u64) -> Result<Found, Box<dyn Error>> {
    let lake = Lake::open(folder)?;
    let (mut first_seconds, mut seconds, mut count) = (0.0, 0.0, 0);
    for number in 0..appends {
        let records: Vec<UsageRecord> = (0..EVENTS)
            .map(|event| reported(number, event))
            .collect::<Result<_, _>>()?;
        let began = Instant::now();
        count += lake.append(&records)?.added as u64;
        let took = began.elapsed().as_secs_f64();
        if number < COMPARED {
            first_seconds += took;
        }
        if number + COMPARED >= appends {
            seconds += took;
        }
        if number % JOIN_EVERY == 0 {
            lake.join()?;
        }
    }
    Ok(Found {
        seconds,
        first_seconds,
        count,
        ..Found::default()
    })
}

fn reported(number: u64, event: u64) -> Result<UsageRecord, Box<dyn Error>> {
    let start = "2026-11-03T00:00:00Z".parse::<jiff::Timestamp>()?
        + jiff::SignedDuration::from_millis(i64::try_from(number)? * 250);
    let mut record: UsageRecord = serde_json::from_value(serde_json::json!({
        "id": format!("events/mois/docs/8:/gateway/{number}-{event}"), "agency": "nts", "system": "mois/docs",
        "meter": "requests.count", "quantity": "0", "start": start, "end": start, "source": "events",
    }))?;
    record.quantity = Exact::from(i64::try_from(1 + (number + event) % 900)?);
    Ok(record)
}
