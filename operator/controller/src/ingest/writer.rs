//! Writing what many requests brought in one go: each is answered when its records are durable.

use maru_lake::Lake;
use maru_meter::UsageRecord;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Requests that may wait; more are sent away.
const WAITING: usize = 256;
/// Records that are written at once.
const AT_ONCE: usize = 50_000;

/// How long after the beginning of a write the next one begins, where fewer records wait than are worth it. Each write is a file and a version of the
/// table, which everybody who reads it looks at.
const BETWEEN: Duration = Duration::from_millis(250);
/// So many records are worth a write of their own.
const WORTH: usize = 1_000;

/// What became of the records of a request.
pub(super) type Answer = Result<Vec<String>, String>;

/// Records of a request, and who waits for them.
struct Waiting {
    records: Vec<UsageRecord>,
    answer: oneshot::Sender<Answer>,
}

/// Hands records to the one task that writes.
#[derive(Clone)]
pub(super) struct Writer(mpsc::Sender<Waiting>);

/// Why records were not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// Too much waits already.
    #[error("too much is waiting to be written: send it again in a moment")]
    Full,
    /// The store said no.
    #[error("nothing of it is recorded, send it again: {0}")]
    Store(String),
}

impl Writer {
    pub(super) fn start(lake: Arc<Lake>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(write(lake, receiver));
        Self(sender)
    }

    /// Waits until records are durable. Gives the ids that are known with other content, which were not written.
    pub(super) async fn write(&self, records: Vec<UsageRecord>) -> Result<Vec<String>, WriteError> {
        let (answer, answered) = oneshot::channel();
        self.0
            .try_send(Waiting { records, answer })
            .map_err(|_| WriteError::Full)?;
        let answered = answered.await.map_err(|error| WriteError::Store(error.to_string()))?;
        answered.map_err(WriteError::Store)
    }
}

async fn write(lake: Arc<Lake>, mut requests: mpsc::Receiver<Waiting>) {
    let mut begun: Option<Instant> = None;
    while let Some(first) = requests.recv().await {
        let due = begun.map_or_else(Instant::now, |begun| begun + BETWEEN);
        let all = gather(first, &mut requests, due).await;
        begun = Some(Instant::now());
        let (records, answers): (Vec<_>, Vec<_>) = all.into_iter().map(|one| (one.records, one.answer)).unzip();
        let lake = Arc::clone(&lake);
        let written = tokio::task::spawn_blocking(move || {
            let ids: Vec<Vec<String>> = records
                .iter()
                .map(|records| records.iter().map(|record| record.id.clone()).collect())
                .collect();
            let flat: Vec<UsageRecord> = records.into_iter().flatten().collect();
            let appended = lake.append(&flat).map_err(|error| error.to_string())?;
            Ok::<_, String>((ids, appended.conflicts.into_iter().collect::<HashSet<_>>()))
        });
        let written = written.await.unwrap_or_else(|error| Err(error.to_string()));
        match written {
            Ok((ids, conflicts)) => {
                for (answer, ids) in answers.into_iter().zip(ids) {
                    // Who no longer waits has sent it again or will.
                    answer
                        .send(Ok(ids.into_iter().filter(|id| conflicts.contains(id)).collect()))
                        .ok();
                }
            }
            Err(error) => {
                for answer in answers {
                    answer.send(Err(error.clone())).ok();
                }
            }
        }
    }
}

/// What waits, and what still comes until the next write is due.
async fn gather(first: Waiting, requests: &mut mpsc::Receiver<Waiting>, due: Instant) -> Vec<Waiting> {
    let mut count = first.records.len();
    let mut all = vec![first];
    while count < AT_ONCE && all.len() < WAITING {
        let next = match requests.try_recv() {
            Ok(next) => next,
            Err(_) if count >= WORTH => break,
            Err(_) => match timeout_at(due, requests.recv()).await {
                Ok(Some(next)) => next,
                Ok(None) | Err(_) => break,
            },
        };
        count += next.records.len();
        all.push(next);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(records: usize) -> Waiting {
        let record: UsageRecord = serde_json::from_value(serde_json::json!({
            "id": "events/a", "agency": "nts", "system": "nts/docs", "meter": "m", "quantity": "1",
            "start": "2026-11-03T04:00:00Z", "end": "2026-11-03T04:00:00Z",
        }))
        .unwrap();
        Waiting {
            records: vec![record; records],
            answer: oneshot::channel().0,
        }
    }

    /// How many requests are written at once of those that wait and of one that comes a little later, and after what time.
    async fn gathered(waiting: &[usize], due_in: Duration) -> (usize, Duration) {
        let (sender, mut receiver) = mpsc::channel(WAITING);
        for records in waiting {
            sender.try_send(request(*records)).unwrap();
        }
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            sender.send(request(1)).await.ok();
            tokio::time::sleep(Duration::from_hours(1)).await;
        });
        let since = Instant::now();
        let first = receiver.recv().await.unwrap();
        let all = gather(first, &mut receiver, since + due_in).await;
        (all.len(), since.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_is_written_at_once_and_few_records_after_that_wait_for_more() {
        let none = Duration::ZERO;
        assert_eq!(gathered(&[1, 1], none).await, (2, none), "the write before is long ago");
        assert_eq!(gathered(&[1, 1], BETWEEN).await, (3, BETWEEN));
        let (requests, after) = gathered(&[400, 600], BETWEEN).await;
        assert_eq!((requests, after), (2, none), "so many are worth a write");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_written_at_once_than_is_allowed() {
        assert_eq!(gathered(&[AT_ONCE - 1, 1, 1], BETWEEN).await.0, 2);
        assert_eq!(gathered(&[0; WAITING], BETWEEN).await.0, WAITING);
    }
}
