//! Keeping the lake small, once a day: days whose time to be kept is over leave the table, and files that neither the table nor a bill needs any
//! more are deleted. Whoever leads does it, for the ledger says which versions bills name.

use jiff::{SignedDuration, Timestamp};
use maru_lake::{Lake, LakeError};
use maru_ledger::{Ledger, LedgerError};
use std::sync::Arc;

use super::BillingSettings;
use crate::Metrics;

/// How often it is done.
const EVERY: SignedDuration = SignedDuration::from_hours(24);
/// How long a file that is no longer needed is left, for those who read it.
const READERS: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Why the lake was not kept small.
#[derive(Debug, thiserror::Error)]
enum UpkeepError {
    #[error("the lake: {0}")]
    Lake(#[from] LakeError),
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    #[error("a task was ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Remembers when it was done.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    done: Option<Timestamp>,
}

impl Upkeep {
    /// Does it, where it is due. What fails is said, counted and done the next day.
    pub(super) async fn look(
        &mut self,
        lake: &Arc<Lake>,
        settings: &BillingSettings,
        now: Timestamp,
        metrics: &Metrics,
    ) {
        if self.done.is_some_and(|done| now.duration_since(done) < EVERY) {
            return;
        }
        self.done = Some(now);
        let (lake, settings) = (Arc::clone(lake), settings.clone());
        let kept = tokio::task::spawn_blocking(move || keep_small(&lake, &settings, now));
        match kept.await.map_err(UpkeepError::from).and_then(|kept| kept) {
            Ok(kept) => tracing::info!(records = kept.retired, files = kept.deleted, "kept the lake small"),
            Err(error) => {
                tracing::warn!(%error, "the lake was not kept small, and is the next day");
                metrics.metering_failed("lake", "Vacuum");
            }
        }
    }
}

/// What was done.
struct Kept {
    retired: u64,
    deleted: usize,
}

fn keep_small(lake: &Lake, settings: &BillingSettings, now: Timestamp) -> Result<Kept, UpkeepError> {
    // First who needs what: a bill that is issued in between names a version that is younger than what is deleted.
    let named: Vec<u64> = Ledger::at(&settings.ledger)?.usage_versions()?.into_iter().collect();
    let retired = match settings.usage_kept {
        None => 0,
        Some(kept) => lake.retire(now - kept)?,
    };
    let deleted = lake.vacuum(&named, READERS)?.deleted.len();
    Ok(Kept { retired, deleted })
}
