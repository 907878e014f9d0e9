//! The settings that the operator of a cluster was installed with, as far as they change what it writes.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::EnvVar;
use kube::Client;
use kube::api::{Api, ListParams};
use maru_desire::Platform;

use super::cluster::trouble;
use crate::problem::Problem;

/// The operator is told by this where usage is kept; without it nothing is metered.
const LAKE: &str = "MARU_LAKE";
/// And by this whether pods are kept until their last use is recorded: unless it says `false`.
const METERING_FINALIZER: &str = "MARU_METERING_FINALIZER";

/// The settings together with what the cluster and the operator's own Deployment say. Without such a Deployment, the operator
/// does not meter.
pub(super) async fn read(client: &Client, platform: Platform) -> Result<Platform, Problem> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &platform.operator_namespace);
    let found = deployments.list(&ListParams::default()).await.map_err(trouble)?;
    let metering_finalizer = found.items.iter().any(keeps_pods);
    let platform = Platform {
        metering_finalizer,
        ..platform
    };
    maru_controller::in_cluster(client, platform).await.map_err(trouble)
}

fn keeps_pods(deployment: &Deployment) -> bool {
    let pod = deployment.spec.template.spec.as_ref();
    let containers = pod.into_iter().flat_map(|pod| &pod.containers);
    containers
        .map(|container| container.env.as_deref().unwrap_or_default())
        .any(|env| value(env, LAKE).is_some() && value(env, METERING_FINALIZER) != Some("false"))
}

fn value<'a>(env: &'a [EnvVar], name: &str) -> Option<&'a str> {
    let found = env.iter().find(|variable| variable.name == name)?;
    Some(found.value.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn operator(env: &serde_json::Value) -> Deployment {
        let template = json!({"spec": {"containers": [{"name": "operator", "env": env}]}});
        serde_json::from_value(json!({"spec": {"selector": {}, "template": template}})).unwrap()
    }

    #[test]
    fn pods_are_kept_where_the_operator_meters_and_does_not_say_otherwise() {
        let lake = json!({"name": LAKE, "value": "/lake"});
        let (on, off) = ("true", "false");
        let says = |text: &str| json!({"name": METERING_FINALIZER, "value": text});
        assert!(keeps_pods(&operator(&json!([lake]))));
        assert!(keeps_pods(&operator(&json!([lake, says(on)]))));
        assert!(!keeps_pods(&operator(&json!([lake, says(off)]))));
        assert!(!keeps_pods(&operator(&json!([says(on)]))));
    }
}
