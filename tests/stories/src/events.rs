//! What whoever reports usage has: an account, a token, and events to send.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// One `CloudEvent` as JSON.
pub const ONE: &str = "application/cloudevents+json";
/// A list of them.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// Makes a service account of a namespace, of a system if it is to be.
pub async fn account(client: &Client, namespace: &str, name: &str, system: Option<&str>) {
    let labels = system.map_or_else(|| json!({}), |system| json!({"maru.dev/system": system}));
    let account: ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap();
    let api = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &account).await.unwrap();
}

/// A token of a service account, for an audience.
pub async fn token(client: &Client, namespace: &str, name: &str, audience: &str) -> String {
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(vec![audience.to_owned()]),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let api = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let answer = api
        .create_token_request(name, &PostParams::default(), &request)
        .await
        .unwrap();
    answer.status.unwrap().token.unwrap()
}

/// So many requests, now, as a `CloudEvent` of the gateway's.
pub fn event(id: &str, quantity: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/gateway", "type": "dev.maru.usage.v1",
        "time": jiff::Timestamp::now(), "data": {"meter": "requests.count", "quantity": quantity, "unit": "request"},
    })
}

/// Sends events to an operator; the status code and the body of the answer.
pub async fn send(to: SocketAddr, token: Option<&str>, kind: &str, body: &Value) -> (u16, Value) {
    let url = format!("http://{to}/v1/events");
    post(&reqwest::Client::new(), &url, token, kind, body).await.unwrap()
}

/// Sends a body to a URL; the status code and the body of the answer.
pub async fn post(
    client: &reqwest::Client,
    url: &str,
    token: Option<&str>,
    kind: &str,
    body: &Value,
) -> Result<(u16, Value), reqwest::Error> {
    let mut request = client.post(url).header("content-type", kind).body(body.to_string());
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    Ok((status, serde_json::from_str(&answer.text().await?).unwrap_or_default()))
}
