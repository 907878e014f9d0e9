//! The metering loops: they follow pods and volume claims and put what those held into the lake. They need nothing that reconciling
//! needs, not even the lease: two replicas that meter the same give every record once, as its id is the same.
//!
//! The order is what makes it safe: records are durable first, then the place in the watch is kept, then a finalizer is taken off.
//! Whatever ends in between is done again.

mod cluster;
mod follow;
mod prometheus;
pub mod reconcile;
mod source;
mod tidy;
pub mod used;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Client;
use maru_lake::{Lake, LakeError};
use maru_meter::{Observed, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::Metrics;
use source::Loop;

pub use prometheus::{Prometheus, PrometheusError};

/// How metering runs.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often is looked whether anything is due.
    pub every: Duration,
    /// How long after an hour its end may still be reported before the hour is recorded. It covers nodes that report late and
    /// clocks that differ.
    pub margin: Duration,
    /// How often the place in the watch is kept.
    pub keep_every: Duration,
    /// How often the small files of days that run are joined, where there are many.
    pub join_every: Duration,
    /// How often the files of days that are over are made one.
    pub tidy_every: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(2),
            margin: Duration::from_mins(1),
            keep_every: Duration::from_secs(30),
            join_every: Duration::from_secs(5),
            tidy_every: Duration::from_hours(1),
        }
    }
}

/// Why metering ended.
#[derive(Debug, thiserror::Error)]
pub enum MeterError {
    /// The lake cannot be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A task was ended.
    #[error("a metering task was ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Meters until `shutdown`. Whatever fails on the way is logged, counted and tried again.
///
/// # Errors
/// Where a task was ended from outside.
pub fn run(
    client: Client,
    lake: Arc<Lake>,
    pace: Pace,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> BoxFuture<'static, Result<(), MeterError>> {
    async move {
        let pods = Loop::<Pod>::new(&client, &lake, pace, &metrics, Source::Pods, |pod| {
            let (observed, error) = maru_meter::pods::observe(pod);
            said(observed, error)
        });
        let volumes = Loop::<PersistentVolumeClaim>::new(&client, &lake, pace, &metrics, Source::Volumes, |claim| {
            let (observed, error) = maru_meter::volumes::observe(claim);
            said(observed, error)
        });
        let tidying = tokio::spawn(tidy::tidy(lake, pace, metrics, shutdown.clone()));
        let pods = tokio::spawn(pods.run(shutdown.clone()));
        let volumes = tokio::spawn(volumes.run(shutdown));
        pods.await?;
        volumes.await?;
        tidying.await?;
        Ok(())
    }
    .boxed()
}

/// What cannot be read counts with nothing, and is said.
fn said(observed: Observed, error: Option<impl std::error::Error>) -> Observed {
    if let Some(error) = error {
        tracing::warn!(%error, "an object is metered with nothing");
    }
    observed
}
