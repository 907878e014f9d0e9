//! The endpoint for use that systems report themselves: `POST /v1/events`, CloudEvents as JSON, one or a batch.
//!
//! With a certificate it is encrypted, and takes up a renewed one by itself. It answers when the data is durable, so a sender that got no answer sends again: an event counts once by its source and id.

mod sender;
mod tls;
mod writer;

pub use sender::AUDIENCE;

use crate::Metrics;
use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::Client;
use maru_lake::Lake;
use maru_meter::events::{CloudEvent, SOURCE, Sender, record};
use sender::{SenderError, Senders};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use writer::{WriteError, Writer};

/// The largest request that is read.
const MOST_BYTES: usize = 4 * 1024 * 1024;
const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

struct Ingest {
    senders: Senders,
    writer: Writer,
    metrics: Arc<Metrics>,
}

/// What became of a request.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Events that are recorded, whether by this request or before.
    recorded: usize,
    /// Events that are not and will not be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct Refused {
    /// Its place in the batch, from 0.
    index: usize,
    /// Its id.
    id: String,
    /// What is allowed.
    reason: String,
}

/// Serves until `shutdown`. `certificate` is a folder with `tls.crt` and `tls.key`; without one it is plain HTTP.
///
/// # Errors
/// Where the listener fails, or the certificate cannot be read.
pub fn serve(
    listener: tokio::net::TcpListener,
    certificate: Option<PathBuf>,
    client: Client,
    lake: Arc<Lake>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> BoxFuture<'static, std::io::Result<()>> {
    async move {
        let ingest = Ingest {
            senders: Senders::new(client),
            writer: Writer::start(lake),
            metrics,
        };
        let app = Router::new()
            .route("/v1/events", post(take))
            .layer(DefaultBodyLimit::max(MOST_BYTES))
            .with_state(Arc::new(ingest));
        if let Some(folder) = certificate {
            return tls::serve(listener, app, &folder, shutdown).await;
        }
        axum::serve(listener, app)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
    }
    .boxed()
}

async fn take(State(ingest): State<Arc<Ingest>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let token = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let sender = match token {
        None => Err(SenderError::Unknown),
        Some(token) => ingest.senders.of(token).await,
    };
    let sender = match sender {
        Ok(sender) => sender,
        Err(error) => {
            let status = match error {
                SenderError::Unknown => StatusCode::UNAUTHORIZED,
                SenderError::NoSystem(_) => StatusCode::FORBIDDEN,
                SenderError::Unasked(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            return said(status, &error.to_string());
        }
    };
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let events: Result<Vec<CloudEvent>, _> = match kind {
        ONE => serde_json::from_slice(&body).map(|event| vec![event]),
        BATCH => serde_json::from_slice(&body),
        _ => {
            let allowed = format!("Content-Type `{kind}`: allowed are {ONE} and {BATCH}");
            return said(StatusCode::UNSUPPORTED_MEDIA_TYPE, &allowed);
        }
    };
    match events {
        Ok(events) => ingest.record(&events, &sender).await,
        Err(error) => said(StatusCode::BAD_REQUEST, &format!("nothing of it is recorded: {error}")),
    }
}

impl Ingest {
    async fn record(&self, events: &[CloudEvent], sender: &Sender) -> Response {
        let received = Timestamp::now();
        let mut report = Report::default();
        let mut records = Vec::with_capacity(events.len());
        let mut places = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            match record(event, sender, received) {
                Ok(record) => {
                    records.push(record);
                    places.push(index);
                }
                Err(error) => report.refuse(index, event, error.to_string()),
            }
        }
        let ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
        let conflicts = match self.writer.write(records).await {
            Ok(conflicts) => conflicts,
            Err(error) => {
                self.metrics.metering_failed(SOURCE, "Write");
                let status = match error {
                    WriteError::Full => StatusCode::TOO_MANY_REQUESTS,
                    WriteError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
                };
                return said(status, &error.to_string());
            }
        };
        for (index, id) in places.into_iter().zip(ids) {
            if conflicts.contains(&id) {
                tracing::warn!(id, "an event was sent again with other content and refused");
                let reason =
                    "was recorded before with other content, which counts: allowed is a new id for a new event";
                report.refuse(index, &events[index], reason.to_owned());
            } else {
                report.recorded += 1;
            }
        }
        self.metrics.metered(SOURCE, "Recorded", report.recorded);
        self.metrics.metered(SOURCE, "Conflict", conflicts.len());
        self.metrics
            .metered(SOURCE, "Refused", report.refused.len() - conflicts.len());
        let status = if report.refused.is_empty() {
            StatusCode::OK
        } else if conflicts.is_empty() {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::CONFLICT
        };
        (status, Json(report)).into_response()
    }
}

impl Report {
    fn refuse(&mut self, index: usize, event: &CloudEvent, reason: String) {
        let id = event.id.clone();
        self.refused.push(Refused { index, id, reason });
    }
}

fn said(status: StatusCode, reason: &str) -> Response {
    (status, Json(serde_json::json!({ "reason": reason }))).into_response()
}
