//! The lives of pods as one sees them who only watches, and what a lake says of them.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use maru_lake::Lake;
use maru_meter::{Exact, Interval, UsageRecord};
use std::collections::BTreeMap;
use std::path::Path;

/// Where a pod is in its life; `Pending` where nobody said so.
pub fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Pending")
}

/// What one who only watches writes down of a pod: when it was bound and when it ended, as the API server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Of the pod.
    pub uid: String,
    /// When it was given to a node.
    pub bound: Timestamp,
    /// None where nobody said so.
    pub ended: Option<Timestamp>,
    /// What it reserves, in cores.
    pub cpu: Exact,
}

/// What the API server says of a pod's life; none before it is bound.
pub fn life(pod: &Pod) -> Option<Life> {
    let pod = serde_json::to_value(pod).unwrap();
    let conditions = pod["status"]["conditions"].as_array()?;
    let bound = conditions
        .iter()
        .find(|one| one["type"] == "PodScheduled" && one["status"] == "True")?;
    let statuses = pod["status"]["containerStatuses"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let finished = statuses
        .iter()
        .filter_map(|status| status["state"]["terminated"]["finishedAt"].as_str());
    let millis = pod["spec"]["containers"][0]["resources"]["requests"]["cpu"]
        .as_str()?
        .strip_suffix('m')?;
    Some(Life {
        uid: pod["metadata"]["uid"].as_str()?.to_owned(),
        bound: bound["lastTransitionTime"].as_str()?.parse().unwrap(),
        ended: finished.map(|time| time.parse().unwrap()).max(),
        cpu: Exact::scaled(millis.parse::<i64>().unwrap(), 3),
    })
}

/// What the lake holds, by the uid of the pod.
pub fn recorded(lake: &Path) -> BTreeMap<String, Vec<UsageRecord>> {
    let now = Timestamp::now();
    let period = Interval {
        start: now - SignedDuration::from_hours(24),
        end: now + SignedDuration::from_hours(24),
    };
    let mut by_uid: BTreeMap<String, Vec<UsageRecord>> = BTreeMap::new();
    let read = || Lake::open(lake).unwrap().read(period).unwrap();
    let records = std::thread::scope(|scope| scope.spawn(read).join().unwrap());
    for record in records {
        let uid = record.id.split('/').nth(1).unwrap().to_owned();
        by_uid.entry(uid).or_default().push(record);
    }
    by_uid
}

/// The exact quantity, each hour rounded as records are.
pub fn expected(life: &Life, ended: Timestamp) -> Exact {
    let whole = Interval {
        start: life.bound,
        end: ended,
    };
    whole
        .hours()
        .map(|hour| {
            let seconds = Exact::from(hour.length().as_secs());
            (&life.cpu * &seconds.over(maru_meter::exact::non_zero(3600))).round(18, maru_meter::Rounding::HalfEven)
        })
        .sum()
}

/// What records come to.
pub fn sum(records: &[UsageRecord]) -> Exact {
    records.iter().map(|record| &record.quantity).sum()
}
