//! What the service answers.

use crate::ask::Questions;
use crate::report::{Counted, Reports};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use std::sync::Arc;

struct Service {
    questions: Questions,
    reports: Arc<Reports>,
}

pub(crate) fn app(questions: Questions, reports: Arc<Reports>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/documents", post(document))
        .route("/ask/{question}", get(ask))
        .route("/counted", get(counted))
        .with_state(Arc::new(Service { questions, reports }))
}

/// A document for another agency. Who sends it says so in `X-Agency`, as the gateway in front of a real one would.
async fn document(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let agency = headers.get("x-agency").and_then(|value| value.to_str().ok());
    match agency {
        Some(agency) => {
            let number = service.reports.count(agency);
            (StatusCode::CREATED, Json(json!({"document": number}))).into_response()
        }
        None => (
            StatusCode::BAD_REQUEST,
            Json(json!({"reason": "X-Agency says who sends"})),
        )
            .into_response(),
    }
}

async fn ask(State(service): State<Arc<Service>>, Path(question): Path<String>) -> Response {
    match service.questions.ask(&question).await {
        Ok(rows) => Json(rows).into_response(),
        Err(error) => (StatusCode::FORBIDDEN, Json(json!({"reason": error.to_string()}))).into_response(),
    }
}

async fn counted(State(service): State<Arc<Service>>) -> Json<Counted> {
    Json(service.reports.counted())
}
