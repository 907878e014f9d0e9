//! What the settings of an installation take from the cluster itself.

use kube::Client;
use maru_desire::{Platform, RouteApi};

/// The group of the Gateway API.
const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// The settings with the API for routes that the cluster has.
///
/// # Errors
/// Where the API server does not say which groups it serves.
pub async fn in_cluster(client: &Client, platform: Platform) -> Result<Platform, kube::Error> {
    let groups = client.list_api_groups().await?.groups;
    let route_api = if groups.iter().any(|group| group.name == GATEWAY_GROUP) {
        RouteApi::HttpRoute
    } else {
        RouteApi::Ingress
    };
    Ok(Platform { route_api, ..platform })
}
