//! Writing what many requests brought in one go: each is answered when its records are durable.

use maru_lake::Lake;
use maru_meter::UsageRecord;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait; more are sent away.
const WAITING: usize = 256;
/// Records that are written at once.
const AT_ONCE: usize = 50_000;

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
    while let Some(first) = requests.recv().await {
        let mut all = vec![first];
        let mut count = all[0].records.len();
        while count < AT_ONCE
            && let Ok(next) = requests.try_recv()
        {
            count += next.records.len();
            all.push(next);
        }
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
