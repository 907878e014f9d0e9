//! Requests to services, as a browser or another service makes them.

use crate::parts::Outcome;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Makes requests.
#[derive(Clone)]
pub(crate) struct Web(Client<HttpConnector, Full<Bytes>>);

impl Web {
    pub(crate) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// The status and the JSON of an answer.
    pub(crate) async fn get(&self, url: &str) -> Outcome<(StatusCode, Value)> {
        self.send(Request::get(url).body(Full::default())?).await
    }

    /// The same of a request with headers and a body.
    pub(crate) async fn post(&self, url: &str, headers: &[(&str, &str)], body: String) -> Outcome<(StatusCode, Value)> {
        let mut request = Request::post(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::new(Bytes::from(body)))?).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Outcome<(StatusCode, Value)> {
        let answered = async {
            let answer = self.0.request(request).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((
                status,
                serde_json::from_slice(&body).unwrap_or_default(),
            ))
        };
        tokio::time::timeout(PATIENCE, answered).await?
    }
}
