//! The metering loop: reads the agencies' pods and puts what they reserved into the lake. It needs nothing that reconciling
//! needs.

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams};
use maru_desire::AGENCY_LABEL;
use maru_lake::{Lake, LakeError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How many pods are read at a time, which bounds the memory of a round.
const PAGE: u32 = 500;

/// Why a round failed; the next one makes up for it, as long as the pods are there.
#[derive(Debug, thiserror::Error)]
pub enum MeterError {
    /// The pods could not be listed.
    #[error("the pods could not be listed: {0}")]
    Pods(#[from] kube::Error),
    /// The records could not be kept.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The task that writes was ended.
    #[error("the writer was ended: {0}")]
    Writer(#[from] tokio::task::JoinError),
}

/// Meters every `every` until `shutdown`, and once more then.
///
/// # Errors
/// Where the lake cannot be opened. A round that fails is logged and made up for by the next.
pub async fn run(
    client: Client,
    directory: PathBuf,
    every: Duration,
    shutdown: CancellationToken,
) -> Result<(), MeterError> {
    let lake = tokio::task::spawn_blocking(move || Lake::open(&directory)).await??;
    let lake = Arc::new(lake);
    loop {
        let ending = tokio::select! {
            () = shutdown.cancelled() => true,
            () = tokio::time::sleep(every) => false,
        };
        match round(&client, &lake).await {
            Ok(records) => tracing::debug!(records, "metered"),
            Err(error) => tracing::warn!(%error, "a metering round failed; the next one makes up for it"),
        }
        if ending {
            return Ok(());
        }
    }
}

/// One round: everything since the hour before, so that the end of an hour is never missed.
async fn round(client: &Client, lake: &Arc<Lake>) -> Result<usize, MeterError> {
    let now = jiff::Timestamp::now();
    let now = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now); // what the API server reports is whole seconds
    let hour = maru_meter::hour_of(now);
    let from = maru_meter::hour_of(hour - jiff::SignedDuration::from_secs(1));
    let api = Api::<Pod>::all(client.clone());
    let mut params = ListParams::default().labels(AGENCY_LABEL).limit(PAGE);
    let mut records = 0;
    loop {
        let page = api.list(&params).await?;
        let metered = maru_meter::pods(&page.items, from, now);
        for refused in &metered.refused {
            tracing::warn!(error = %refused, "a pod was not metered");
        }
        records += metered.records.len();
        let lake = Arc::clone(lake);
        tokio::task::spawn_blocking(move || lake.append(&metered.records)).await??;
        match page.metadata.continue_ {
            Some(next) if !next.is_empty() => params = params.continue_token(&next),
            _ => return Ok(records),
        }
    }
}
