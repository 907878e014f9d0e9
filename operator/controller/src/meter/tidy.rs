//! Keeping the lake's files few: what is recorded is written at once, so a day has many. Two replicas that do it at once do no harm, one of them
//! comes late.

use jiff::{SignedDuration, Timestamp};
use maru_lake::{Compacted, Lake, LakeError};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::Pace;
use crate::Metrics;

/// How long after a day its files are left as they are, for what still comes.
const LATE: SignedDuration = SignedDuration::from_hours(3);

/// Joins the many small files of days that run, and makes one file of those of each day that is over, until `shutdown`.
pub(super) async fn tidy(lake: Arc<Lake>, pace: Pace, metrics: Arc<Metrics>, shutdown: CancellationToken) {
    tokio::join!(
        repeat(&lake, pace.join_every, Lake::join, &metrics, &shutdown),
        repeat(
            &lake,
            pace.tidy_every,
            |lake| lake.compact(Timestamp::now() - LATE),
            &metrics,
            &shutdown
        ),
    );
}

async fn repeat(
    lake: &Arc<Lake>,
    every: Duration,
    work: fn(&Lake) -> Result<Compacted, LakeError>,
    metrics: &Metrics,
    shutdown: &CancellationToken,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let lake = Arc::clone(lake);
        let tidied = tokio::task::spawn_blocking(move || work(&lake)).await;
        match tidied
            .map_err(|error| error.to_string())
            .and_then(|tidied| tidied.map_err(|error| error.to_string()))
        {
            Ok(tidied) => tracing::debug!(before = tidied.before, after = tidied.after, "tidied the lake"),
            Err(error) => {
                tracing::warn!(error, "the lake was not tidied; the next time makes up for it");
                metrics.metering_failed("lake", "Tidy");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maru_meter::{Interval, UsageRecord};

    #[tokio::test]
    async fn the_files_of_a_day_that_runs_are_joined_beside_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Arc::new(Lake::open(folder.path()).unwrap());
        let start: Timestamp = "2026-11-03T04:00:00Z".parse().unwrap();
        let end = start + SignedDuration::from_secs(60);
        let writing = Arc::clone(&lake);
        let write = move || {
            for number in 0..20 {
                let record: UsageRecord = serde_json::from_value(serde_json::json!({
                    "id": format!("events/{number}"), "agency": "nts", "system": "nts/docs", "meter": "m", "quantity": "1",
                    "start": start, "end": start,
                }))
                .unwrap();
                writing.append(&[record]).unwrap();
            }
        };
        tokio::task::spawn_blocking(write).await.unwrap();
        let pace = Pace {
            join_every: Duration::from_millis(20),
            ..Pace::default()
        };
        let shutdown = CancellationToken::new();
        let tidying = tokio::spawn(tidy(Arc::clone(&lake), pace, Arc::default(), shutdown.clone()));
        let files = move || lake.files(None, Interval { start, end }).unwrap().len();
        let joined = async {
            loop {
                if tokio::task::spawn_blocking(files.clone()).await.unwrap() == 1 {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(1), joined).await.unwrap();
        shutdown.cancel();
        tidying.await.unwrap();
    }
}
