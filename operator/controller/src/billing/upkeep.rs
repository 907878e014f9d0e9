//! Keeping the lake small: four times a day, days whose time to be kept is over leave the table, and files that neither the table nor a bill needs any
//! more are deleted; once an hour, what nobody needs of the table's log. Whoever leads does it, for the ledger says which versions bills name.

use jiff::{SignedDuration, Timestamp};
use maru_lake::{Lake, LakeError};
use maru_ledger::{Ledger, LedgerError};
use std::sync::Arc;

use super::BillingSettings;
use crate::Metrics;

/// How often each is done.
const EVERY: SignedDuration = SignedDuration::from_hours(6);
const LOG_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// How long a version that no bill names can be read.
const VERSIONS: SignedDuration = SignedDuration::from_hours(24);
/// How long a file that is no longer needed is left, for those who read it.
const READERS: SignedDuration = SignedDuration::from_hours(24);

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
    log_done: Option<Timestamp>,
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
        let is_due = |done: Option<Timestamp>, every| done.is_none_or(|done| now.duration_since(done) >= every);
        let (all, log) = (is_due(self.done, EVERY), is_due(self.log_done, LOG_EVERY));
        if !all && !log {
            return;
        }
        self.log_done = Some(now);
        if all {
            self.done = Some(now);
        }
        let (lake, settings) = (Arc::clone(lake), settings.clone());
        let kept = tokio::task::spawn_blocking(move || keep_small(&lake, &settings, now, all));
        match kept.await.map_err(UpkeepError::from).and_then(|kept| kept) {
            Ok(kept) if all => tracing::info!(?kept, "kept the lake small"),
            Ok(kept) => tracing::debug!(?kept, "kept the lake's log small"),
            Err(error) => {
                tracing::warn!(%error, "the lake was not kept small, and is the next time");
                metrics.metering_failed("lake", "Vacuum");
            }
        }
    }
}

/// What was done.
#[derive(Debug, Default)]
struct Kept {
    retired_records: u64,
    deleted_files: usize,
    deleted_log_files: usize,
}

fn keep_small(lake: &Lake, settings: &BillingSettings, now: Timestamp, all: bool) -> Result<Kept, UpkeepError> {
    // First who needs what: a bill that is issued in between names a version that is younger than what is deleted.
    let named: Vec<u64> = Ledger::at(&settings.ledger)?.usage_versions()?.into_iter().collect();
    let mut kept = Kept::default();
    if all {
        if let Some(time) = settings.usage_kept {
            kept.retired_records = lake.retire(now - time)?;
        }
        kept.deleted_files = lake.vacuum(&named, READERS)?.deleted.len();
    }
    kept.deleted_log_files = lake.trim_log(&named, VERSIONS)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use maru_meter::UsageRecord;
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    #[test]
    fn what_is_a_day_old_of_the_log_goes_every_hour_and_the_newest_version_stays() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path().join("lake")).unwrap();
        for number in 0..45 {
            let record: UsageRecord = serde_json::from_value(serde_json::json!({
                "id": format!("events/{number}"), "agency": "nts", "system": "nts/docs", "meter": "m", "quantity": "1",
                "start": "2026-11-03T04:00:00Z", "end": "2026-11-03T04:00:00Z",
            }))
            .unwrap();
            lake.append(&[record]).unwrap();
        }
        let ledger = folder.path().join("ledger.sqlite").display().to_string();
        let settings = BillingSettings::into_ledger(ledger);
        let keep = || keep_small(&lake, &settings, Timestamp::now(), false).unwrap();
        assert_eq!(keep().deleted_log_files, 0, "all of it is young");
        let yesterday = SystemTime::now() - Duration::from_hours(25);
        for entry in fs::read_dir(folder.path().join("lake/_delta_log")).unwrap() {
            let file = File::options().write(true).open(entry.unwrap().path()).unwrap();
            file.set_modified(yesterday).unwrap();
        }
        let kept = keep();
        assert!(kept.deleted_log_files >= 40, "{kept:?}");
        assert_eq!(
            (kept.deleted_files, kept.retired_records),
            (0, 0),
            "that is due more seldom"
        );
        let newest = lake.version().unwrap().unwrap();
        let day = maru_meter::Interval {
            start: "2026-11-03T00:00:00Z".parse().unwrap(),
            end: "2026-11-04T00:00:00Z".parse().unwrap(),
        };
        assert_eq!(lake.read_at(newest, day).unwrap().len(), 45);
    }
}
