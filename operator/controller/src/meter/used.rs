//! What containers really used, hour by hour, from a Prometheus. An hour is asked for once its pods are recorded and the samples after it
//! are there. While nobody answers, the hours that go by are recorded as holes; afterwards everything from where it stopped is asked for again, and
//! what is measured takes the place of the holes.

use super::prometheus::{Prometheus, PrometheusError};
use crate::Metrics;
use crate::metrics::SourceLabels;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use maru_desire::AGENCY_LABEL;
use maru_lake::{Appended, Lake, LakeError};
use maru_meter::used::{GAP, Ran, SOURCE, Seen, records};
use maru_meter::{Checkpoint, Interval, Source, UNASSIGNED, UsageRecord, hour_of};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// When after an hour its samples are all there: the gap that may follow it, and a minute for what is on its way.
const SETTLES: SignedDuration = SignedDuration::from_mins(6);
/// When after an hour it is a hole, if nobody answers.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);
/// How often is looked whether an hour is due.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Namespaces and the agencies that they belong to.
pub type Agencies = BTreeMap<String, String>;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// The first hour that is not recorded.
    next: Timestamp,
    /// The hours before are recorded, at least as holes.
    marked: Timestamp,
}

/// Up to when it is recorded what was used, at least as holes; nothing where no Prometheus was ever asked.
pub(crate) fn recorded(lake: &Lake) -> Result<Option<Timestamp>, LakeError> {
    Ok(kept(lake)?.map(|place| place.marked))
}

fn kept(lake: &Lake) -> Result<Option<Place>, LakeError> {
    let kept = lake.kept(SOURCE)?;
    Ok(kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Why an hour is not recorded yet.
#[derive(Debug, thiserror::Error)]
pub enum UsedError {
    /// Nobody says what was used.
    #[error(transparent)]
    Prometheus(#[from] PrometheusError),
    /// The lake cannot be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A task was ended.
    #[error("a metering task was ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Metering of what was used.
#[derive(Debug)]
pub struct Used {
    lake: Arc<Lake>,
    prometheus: Prometheus,
    place: Option<Place>,
    /// Where it begins when it never ran before.
    begins: Timestamp,
    /// What was given to the lake since the last look.
    written: Appended,
}

impl Used {
    /// Takes up where it was, or begins with the hour of a moment.
    pub fn new(lake: Arc<Lake>, prometheus: Prometheus, begins: Timestamp) -> Self {
        Self {
            lake,
            prometheus,
            place: None,
            begins: hour_of(begins),
            written: Appended::default(),
        }
    }

    /// The hours before are recorded, as far as that is known.
    pub fn closed(&self) -> Option<Timestamp> {
        self.place.map(|place| place.next)
    }

    /// Records what is due at a moment, in the namespaces of agencies.
    ///
    /// # Errors
    /// Where Prometheus or the lake does not answer. The next turn goes on where this one stopped.
    pub async fn turn(&mut self, now: Timestamp, agencies: &Agencies) -> Result<(), UsedError> {
        let mut place = match self.place {
            Some(place) => place,
            None => self.restore().await?,
        };
        self.place = Some(place);
        let recorded = self.pods_recorded().await?;
        while now >= place.next + HOUR + SETTLES && recorded >= place.next + HOUR {
            let hour = hour_from(place.next);
            let ran = self.ran(hour).await?;
            match self.seen(hour, &ran, agencies).await {
                Ok(seen) => {
                    let records = records(hour, &with_others(hour, ran, &seen, agencies), Some(&seen));
                    place.next = hour.end;
                    place.marked = place.marked.max(place.next);
                    self.write(records, place).await?;
                }
                Err(error) => {
                    self.mark(now.min(recorded + PATIENCE), place).await?;
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Records the hours as holes that have gone by without an answer.
    async fn mark(&mut self, now: Timestamp, mut place: Place) -> Result<(), UsedError> {
        while now >= place.marked + HOUR + PATIENCE {
            let hour = hour_from(place.marked);
            let ran = self.ran(hour).await?;
            place.marked = hour.end;
            self.write(records(hour, &ran, None), place).await?;
        }
        Ok(())
    }

    async fn restore(&self) -> Result<Place, UsedError> {
        let lake = Arc::clone(&self.lake);
        let kept = tokio::task::spawn_blocking(move || kept(&lake)).await??;
        Ok(kept.unwrap_or(Place {
            next: self.begins,
            marked: self.begins,
        }))
    }

    /// Up to when it is recorded which pods ran.
    async fn pods_recorded(&self) -> Result<Timestamp, UsedError> {
        let lake = Arc::clone(&self.lake);
        let kept = tokio::task::spawn_blocking(move || lake.kept(Source::Pods.name())).await??;
        let kept = kept.and_then(|bytes| serde_json::from_slice::<Checkpoint>(&bytes).ok());
        Ok(kept.map_or(Timestamp::MIN, |checkpoint| checkpoint.closed()))
    }

    /// Which pods ran in an hour, and from when to when, as their reservations in the lake say.
    async fn ran(&self, hour: Interval) -> Result<BTreeMap<String, Ran>, UsedError> {
        let lake = Arc::clone(&self.lake);
        let records = tokio::task::spawn_blocking(move || lake.read(hour)).await??;
        let mut all = BTreeMap::new();
        for record in records
            .into_iter()
            .filter(|record| record.source == Source::Pods.name())
        {
            let Some(pod) = record.resource.strip_prefix("pod/") else {
                continue;
            };
            let time = Interval {
                start: record.start.max(hour.start),
                end: record.end.min(hour.end),
            };
            let ran = all.entry(pod.to_owned()).or_insert(Ran {
                agency: record.agency,
                system: record.system,
                time,
            });
            ran.time.start = ran.time.start.min(time.start);
            ran.time.end = ran.time.end.max(time.end);
        }
        Ok(all)
    }

    async fn seen(
        &self,
        hour: Interval,
        ran: &BTreeMap<String, Ran>,
        agencies: &Agencies,
    ) -> Result<Seen, PrometheusError> {
        let of_ran = ran.keys().filter_map(|pod| Some(pod.split_once('/')?.0));
        let namespaces: BTreeSet<&str> = of_ran.chain(agencies.keys().map(String::as_str)).collect();
        let mut seen = Seen::new();
        for namespace in namespaces {
            self.prometheus.seen(hour, namespace, &mut seen).await?;
        }
        Ok(seen)
    }

    async fn write(&mut self, records: Vec<UsageRecord>, place: Place) -> Result<(), UsedError> {
        let lake = Arc::clone(&self.lake);
        let appended = tokio::task::spawn_blocking(move || {
            let appended = lake.append(&records)?;
            let bytes = serde_json::to_vec(&place).map_err(|error| LakeError::Unwritable(error.to_string()))?;
            lake.keep(SOURCE, &bytes)?;
            Ok::<_, LakeError>(appended)
        });
        let appended = appended.await??;
        self.place = Some(place);
        self.written.added += appended.added;
        self.written.bettered += appended.bettered;
        self.written.known += appended.known;
        self.written.conflicts.extend(appended.conflicts);
        Ok(())
    }
}

fn hour_from(start: Timestamp) -> Interval {
    let end = start + HOUR;
    Interval { start, end }
}

/// The pods, and those that reserve nothing: they are their agency's, of no system.
fn with_others(
    hour: Interval,
    mut ran: BTreeMap<String, Ran>,
    seen: &Seen,
    agencies: &Agencies,
) -> BTreeMap<String, Ran> {
    for ((pod, _), containers) in seen {
        let agency = pod.split_once('/').and_then(|(namespace, _)| agencies.get(namespace));
        let Some(agency) = agency.filter(|_| !ran.contains_key(pod)) else {
            continue;
        };
        let moments = || containers.iter().flatten().map(|sample| sample.at);
        let (Some(first), Some(last)) = (moments().min(), moments().max()) else {
            continue;
        };
        // Its first sample may be long after its beginning; without reservations nothing tells.
        let start = if first < hour.start + GAP { hour.start } else { first };
        let end = if last > hour.end { hour.end } else { last };
        if start < end {
            let (agency, system) = (agency.clone(), UNASSIGNED.to_owned());
            let time = Interval { start, end };
            ran.insert(pod.clone(), Ran { agency, system, time });
        }
    }
    ran
}

/// Meters what is used until `shutdown`.
pub fn run(
    client: Client,
    lake: Arc<Lake>,
    prometheus: Prometheus,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> BoxFuture<'static, ()> {
    async move {
        let mut used = Used::new(lake, prometheus, Timestamp::now());
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = looks.tick() => {}
            }
            let turn = async {
                let agencies = agencies(&client).await.map_err(|error| error.to_string())?;
                let turn = used.turn(Timestamp::now(), &agencies).await;
                turn.map_err(|error| error.to_string())
            };
            let turned = tokio::select! {
                () = shutdown.cancelled() => return,
                turned = turn => turned,
            };
            if let Err(error) = turned {
                tracing::warn!(
                    error,
                    "what was used could not be read for now: it is made up for later, and until then it is a hole"
                );
                metrics.metering_failed(SOURCE, "Read");
            }
            let written = std::mem::take(&mut used.written);
            metrics.metered(SOURCE, "Added", written.added);
            metrics.metered(SOURCE, "Bettered", written.bettered);
            metrics.metered(SOURCE, "Known", written.known);
            metrics.metered(SOURCE, "Conflict", written.conflicts.len());
            if let Some(closed) = used.closed() {
                let labels = SourceLabels { source: SOURCE };
                metrics.metering_closed.get_or_create(&labels).set(closed.as_second());
            }
        }
    }
    .boxed()
}

async fn agencies(client: &Client) -> Result<Agencies, kube::Error> {
    let listed = Api::<Namespace>::all(client.clone())
        .list_metadata(&ListParams::default().labels(AGENCY_LABEL))
        .await?;
    let agency = |name: String, labels: &BTreeMap<String, String>| Some((name, labels.get(AGENCY_LABEL)?.clone()));
    let found = listed.items.iter();
    Ok(found
        .filter_map(|namespace| agency(namespace.name_any(), namespace.labels()))
        .collect())
}
