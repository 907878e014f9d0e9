//! Use, counted and reported: each request is an event with an id of its own, sent until it is acknowledged.

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often is sent what was counted.
const EVERY: Duration = Duration::from_millis(200);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many events a request has at most.
const BATCH: usize = 500;

/// What was counted, and how much of it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counted {
    /// Requests that were answered.
    pub(crate) taken: u64,
    /// Those of which the platform said that they are recorded.
    pub(crate) acknowledged: u64,
}

#[derive(Debug, Default)]
struct Inside {
    waiting: VecDeque<Value>,
    counted: Counted,
    closed: bool,
}

/// The events that are still to be acknowledged.
#[derive(Debug)]
pub(crate) struct Reports {
    source: String,
    inside: Mutex<Inside>,
}

impl Reports {
    pub(crate) fn new(source: String) -> Self {
        Self {
            source,
            inside: Mutex::default(),
        }
    }

    /// Counts a request of an agency's; which one it was since the start.
    pub(crate) fn count(&self, agency: &str) -> u64 {
        let mut inside = self.inside();
        inside.counted.taken += 1;
        let number = inside.counted.taken;
        let event = json!({
            "specversion": "1.0", "id": number.to_string(), "source": self.source, "type": "dev.maru.usage.v1",
            "time": jiff::Timestamp::now(),
            "data": {"meter": "requests.count", "quantity": "1", "unit": "request", "agency": agency},
        });
        inside.waiting.push_back(event);
        number
    }

    pub(crate) fn counted(&self) -> Counted {
        self.inside().counted
    }

    /// Nothing comes any more.
    pub(crate) fn close(&self) {
        self.inside().closed = true;
    }

    /// The next events to send; none, and that none will come.
    fn next(&self) -> (Vec<Value>, bool) {
        let inside = self.inside();
        let batch: Vec<Value> = inside.waiting.iter().take(BATCH).cloned().collect();
        let over = batch.is_empty() && inside.closed;
        (batch, over)
    }

    fn acknowledge(&self, events: usize) {
        let mut inside = self.inside();
        inside.waiting.drain(..events);
        inside.counted.acknowledged += u64::try_from(events).unwrap_or(u64::MAX);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where and how it is sent. It holds a token, so it is nothing to print.
pub(crate) struct Sending {
    client: Client<HttpConnector, Full<Bytes>>,
    to: axum::http::Uri,
    token: String,
}

impl Sending {
    pub(crate) fn new(to: &str, token: &str) -> Result<Self, axum::http::uri::InvalidUri> {
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            to: to.parse()?,
            token: token.to_owned(),
        })
    }

    /// Sends until nothing comes any more. Without an acknowledgement the same events are sent again: they count once.
    pub(crate) async fn run(self, reports: Arc<Reports>) {
        loop {
            let (batch, over) = reports.next();
            if over {
                return;
            }
            if !batch.is_empty() {
                match tokio::time::timeout(PATIENCE, self.send(&batch)).await {
                    Ok(Ok(())) => {
                        reports.acknowledge(batch.len());
                        continue;
                    }
                    Ok(Err(error)) => eprintln!("the events are sent again: {error}"),
                    Err(_) => eprintln!("the events are sent again: there was no answer"),
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn send(&self, batch: &[Value]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let request = axum::http::Request::post(self.to.clone())
            .header("Content-Type", "application/cloudevents-batch+json")
            .header("Authorization", format!("Bearer {}", self.token))
            .body(Full::new(Bytes::from(serde_json::to_vec(batch)?)))?;
        let status = self.client.request(request).await?.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("the answer is {status}").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Json, Router, http::StatusCode, routing::post};
    use std::collections::BTreeMap;

    #[tokio::test]
    async fn what_is_not_acknowledged_is_sent_again_with_the_same_ids_and_nothing_is_left_at_the_end() {
        let seen: Arc<Mutex<(u32, BTreeMap<String, u32>)>> = Arc::default();
        let kept = Arc::clone(&seen);
        // Refuses the first two requests, though it has read them.
        let take = post(move |Json(events): Json<Vec<Value>>| async move {
            let mut seen = kept.lock().unwrap();
            seen.0 += 1;
            for event in events {
                *seen.1.entry(event["id"].as_str().unwrap().to_owned()).or_default() += 1;
            }
            if seen.0 <= 2 {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::OK
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = format!("http://{}/v1/events", listener.local_addr().unwrap());
        let serving = axum::serve(listener, Router::new().route("/v1/events", take)).into_future();
        tokio::spawn(async move { serving.await.unwrap() });

        let reports = Arc::new(Reports::new("/test".to_owned()));
        for _ in 0..1200 {
            reports.count("nts");
        }
        reports.close();
        Sending::new(&to, "token").unwrap().run(Arc::clone(&reports)).await;
        let all = Counted {
            taken: 1200,
            acknowledged: 1200,
        };
        assert_eq!(reports.counted(), all);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.1.len(), 1200);
        assert_eq!(seen.1["1"], 3);
    }
}
