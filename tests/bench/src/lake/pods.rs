//! Many pods that run, and an hour that is over.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use maru_lake::Lake;
use maru_meter::{Book, Heard, Source};
use serde_json::json;

use super::Found;
use super::make::uid;

/// What a metering loop writes at once.
const AT_ONCE: usize = 50_000;

/// Hears of pods as from a watch and records their first hour, in the order of the metering loop: the place is kept, then records are durable.
pub(super) fn cut(folder: &Path, pods: u64) -> Result<Found, Box<dyn Error>> {
    let lake = Lake::open(folder)?;
    let hour: Timestamp = "2026-11-24T10:00:00Z".parse()?;
    let margin = SignedDuration::from_mins(1);
    let mut book = Book::new(Source::Pods, hour, margin);
    for number in 0..pods {
        let namespace = format!("agency-{:04}", number % 1800);
        if number < 1800 {
            book.namespace(&namespace, Some(&namespace));
        }
        let (observed, error) = maru_meter::pods::observe(&pod(number, &namespace, hour)?);
        if let Some(error) = error {
            return Err(error.into());
        }
        book.see(&observed, hour, Heard::Live);
    }
    let now = hour + SignedDuration::from_hours(1) + margin;
    book.is_current(now);
    let (began, mut count) = (Instant::now(), 0);
    loop {
        let batch = book.due(now, AT_ONCE);
        if batch.is_empty() {
            break;
        }
        if batch.closing.is_some() {
            lake.keep(Source::Pods.name(), &serde_json::to_vec(&book.checkpoint("1"))?)?;
        }
        count += lake.append(&batch.records)?.added;
        book.written(&batch);
    }
    lake.keep(Source::Pods.name(), &serde_json::to_vec(&book.checkpoint("1"))?)?;
    Ok(Found {
        seconds: began.elapsed().as_secs_f64(),
        count: count as u64,
        ..Found::default()
    })
}

fn pod(number: u64, namespace: &str, hour: Timestamp) -> Result<Pod, serde_json::Error> {
    let since = hour - SignedDuration::from_secs(i64::try_from(number % 3600).unwrap_or(0));
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("system-{:05}-{number:06x}", number / 5), "namespace": namespace, "uid": uid(number),
            "generation": 1, "creationTimestamp": since, "labels": {"maru.dev/system": format!("system-{:05}", number / 5)},
            "finalizers": ["maru.dev/metering"],
        },
        "spec": {"nodeName": format!("node-{}", number % 1000), "containers": [
            {"name": "main", "resources": {"requests": {"cpu": format!("{}m", 50 + number % 20 * 50), "memory": format!("{}Mi", 64 + number % 30 * 64)}}},
        ]},
        "status": {"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": since}]},
    }))
}
