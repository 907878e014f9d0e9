//! What is planned is what the API server keeps: it refuses nothing of it, changes nothing of it, and so a restarted operator has
//! nothing to write.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

#[path = "planned/mod.rs"]
mod planned;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use maru_crds::{Agency, AgencySystem};
use maru_desire::{DeploymentFacts, ObjectKey, ObjectKind, Plan, Platform, RouteApi, SystemKey};
use planned::{agency_plan, cluster, examples, live, platform, settles, system_plan};
use serde_json::{Value, json};

/// A system that uses every field that a component and a job have.
fn everything(replicas: &Value, store: &Value) -> AgencySystem {
    let probe = |kind: Value| {
        let mut probe =
            json!({"initialDelaySeconds": 0, "periodSeconds": 7, "timeoutSeconds": 2, "failureThreshold": 4});
        probe.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        probe
    };
    serde_json::from_value(json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "AgencySystem", "metadata": {"name": "docs", "namespace": "everything"},
        "spec": {
            "components": [{
                "name": "web", "image": "maru.dev/hello:1", "command": ["/hello"], "args": ["--port", "8080"], "replicas": replicas,
                "ports": [{"name": "http", "port": 8080}, {"name": "dns", "port": 53, "protocol": "UDP", "expose": false}],
                "env": [
                    {"name": "EMPTY", "value": ""}, {"name": "GREETING", "value": "안녕하세요"},
                    {"name": "PASSWORD", "secretRef": {"name": "db", "key": "password"}},
                    {"name": "MODE", "configMapRef": {"name": "docs", "key": "mode"}},
                ],
                "resources": {
                    "cpu": "0.25", "memory": "1024Mi", "cpuLimit": "1000m", "memoryLimit": "1.5Gi", "ephemeralStorage": "1000M",
                    "accelerators": [{"resource": "nvidia.com/gpu", "count": 1}],
                },
                "probes": {
                    "startup": probe(json!({"exec": {"command": ["/hello", "--check"]}})),
                    "liveness": probe(json!({"http": {"path": "/livez", "port": 8080}})),
                    "readiness": probe(json!({"tcp": {"port": 8080}})),
                },
                "volumes": [
                    {"name": "shared", "mountPath": "/shared", "persistent": {"size": "1.5Gi", "accessMode": "ReadWriteMany"}},
                    {"name": "tls", "mountPath": "/tls", "readOnly": true, "secretRef": {"name": "tls"}},
                    {"name": "conf", "mountPath": "/conf", "configMapRef": {"name": "docs"}},
                    {"name": "tmp", "mountPath": "/tmp", "emptyDir": {}},
                    {"name": "cache", "mountPath": "/cache", "emptyDir": {"size": "1000Mi"}},
                ],
                "serviceAccountToken": true, "runAsUser": 10001, "terminationGracePeriodSeconds": 0,
            }, {
                "name": "store", "image": "maru.dev/hello:1", "volumes": store,
            }],
            "jobs": [{
                "name": "archive", "schedule": "30 2 * * *", "timeZone": "Asia/Seoul", "image": "maru.dev/hello:1",
                "concurrencyPolicy": "Replace", "backoffLimit": 0, "activeDeadlineSeconds": 60,
            }],
            "hosts": [
                {"host": "docs.example", "component": "web", "tlsSecretRef": {"name": "tls"}},
                {"host": "docs.example", "component": "web", "path": "/api/v1"},
                {"host": "other.example", "component": "web", "port": 8080},
            ],
            "callers": [{"namespace": "nts", "name": "hometax"}],
        },
    }))
    .unwrap()
}

fn may_call(system: &AgencySystem, platform: &Platform) -> Plan {
    system_plan(system, platform, |facts| {
        facts.may_call.insert(SystemKey::new("nts", "id"));
    })
}

async fn namespace(client: &Client, name: &str) {
    let labels: Value = ["enforce", "warn", "audit"]
        .into_iter()
        .map(|mode| (format!("pod-security.kubernetes.io/{mode}"), json!("restricted")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let namespace = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap();
    let api: Api<Namespace> = Api::all(client.clone());
    api.create(&PostParams::default(), &namespace).await.unwrap();
}

#[tokio::test]
async fn what_is_planned_is_what_the_api_server_keeps() {
    let (cluster, client) = cluster().await;
    let gateway = platform(RouteApi::HttpRoute);
    let ingress = platform(RouteApi::Ingress);
    for agency in examples::<Agency>("Agency") {
        settles(
            &client,
            &format!("agency {}", agency.name_any()),
            &agency_plan(&agency, &gateway),
        )
        .await;
    }
    for system in examples::<AgencySystem>("AgencySystem") {
        let plan = system_plan(&system, &gateway, |_| {});
        settles(&client, &format!("system {}", system.name_any()), &plan).await;
    }
    namespace(&client, "everything").await;
    let one = json!({"fixed": 1});
    let several = json!({"min": 2, "max": 6, "targetCPUUtilizationPercent": 70});
    let alone = json!([{"name": "data", "mountPath": "/data", "persistent": {"size": "1Gi"}}]);
    // In this order, so that each is a change of the one before.
    for (what, system, platform) in [
        ("an autoscaler", everything(&several, &json!([])), &gateway),
        ("an Ingress", everything(&several, &json!([])), &ingress),
        ("a fixed number", everything(&one, &json!([])), &gateway),
        ("a volume of one pod", everything(&one, &alone), &gateway),
        ("no such volume again", everything(&several, &json!([])), &gateway),
    ] {
        settles(&client, what, &may_call(&system, platform)).await;
    }
    let mut suspended = everything(&several, &alone);
    suspended.spec.suspended = true;
    settles(&client, "suspended", &may_call(&suspended, &gateway)).await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_an_autoscaler_set_is_left_to_it() {
    let (cluster, client) = cluster().await;
    namespace(&client, "everything").await;
    let platform = platform(RouteApi::Ingress);
    let system = everything(&json!({"min": 2, "max": 6}), &json!([]));
    settles(&client, "at first", &system_plan(&system, &platform, |_| {})).await;
    let key = ObjectKey::new(ObjectKind::Deployment, "everything", "docs-web");
    let api: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(client.clone(), "everything");
    // As the autoscaler does it.
    let five = Patch::Merge(json!({"spec": {"replicas": 5}}));
    let autoscaler = PatchParams {
        field_manager: Some("kube-controller-manager".to_owned()),
        ..PatchParams::default()
    };
    api.patch_scale("docs-web", &autoscaler, &five).await.unwrap();
    let there = live(&client, &key).await.unwrap();
    let mut ours = there
        .managed_fields()
        .iter()
        .filter(|entry| entry.manager.as_deref() == Some("maru-system"));
    let holds = |entry: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry| {
        entry
            .fields_v1
            .as_ref()
            .is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
    };
    assert!(!ours.any(holds), "the autoscaler has taken the field over");
    let plan = system_plan(&system, &platform, |facts| {
        let deployment = DeploymentFacts {
            desired: 5,
            replicas_ours: false,
            ..DeploymentFacts::default()
        };
        facts.deployments.insert("web".to_owned(), deployment);
    });
    settles(&client, "after it scaled", &plan).await;
    let there = live(&client, &key).await.unwrap();
    assert_eq!(there.data["spec"]["replicas"], 5);
    cluster.stop().await.unwrap();
}
