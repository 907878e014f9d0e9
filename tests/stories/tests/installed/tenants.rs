//! What an agency's people may do.

use crate::stage::{Installed, create, refused, remove, scale};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, LogParams, PostParams};
use kube::{Client, Error, ResourceExt};
use maru_crds::Bill;
use maru_stories::{HELLO, eventually, ready_reason, system, system_ready};
use serde_json::{Value, json};

pub(crate) fn object(version: &str, kind: &str, name: &str, more: &Value) -> Value {
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "red"}});
    object
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    object
}

/// A pod that passes Pod Security `restricted`, with more in its spec.
pub(crate) fn pod(namespace: &str, name: &str, more: &Value) -> Value {
    let mut spec = json!({
        "securityContext": {"runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "main", "image": HELLO, "imagePullPolicy": "IfNotPresent",
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}}, "spec": spec})
}

/// A Deployment of an agency's own.
pub(crate) fn deployment(namespace: &str, name: &str, replicas: u32) -> Value {
    let template = pod(namespace, name, &json!({}));
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        },
    })
}

fn service(name: &str, spec: &Value) -> Value {
    object("v1", "Service", name, &json!({"spec": spec}))
}

/// Maru's own Deployment of the system `docs`.
pub(crate) async fn docs_deployment(client: &Client) -> Value {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "red");
    let found = deployments
        .list(&ListParams::default().labels("maru.dev/system=docs"))
        .await
        .unwrap();
    object("apps/v1", "Deployment", &found.items[0].name_any(), &json!({}))
}

/// Objects of the other kinds, as an administrator writes them, and a bill, as the operator does.
pub(crate) async fn others(stage: &Installed) -> Vec<Value> {
    let mut all = vec![object("maru.dev/v1alpha1", "AgencySystem", "docs", &json!({}))];
    for (file, people) in [
        ("system-subscription", stage.person("red-admin")),
        ("dataset", stage.person("red-admin")),
        ("data-grant", stage.person("red-admin")),
        ("bill", stage.platform()),
    ] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../crds/examples/{file}.yaml"));
        let documents: Vec<Value> = serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut first = documents[0].clone();
        first["metadata"]["namespace"] = json!("red");
        match create(&people, &first).await {
            Ok(()) => {}
            Err(Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => panic!("{file}: {error}"),
        }
        all.push(json!({"apiVersion": first["apiVersion"], "kind": first["kind"], "metadata": first["metadata"]}));
    }
    all
}

#[tokio::test]
async fn an_administrator_describes_systems_runs_own_workloads_sees_pods_and_logs_and_reads_bills() {
    let stage = Installed::shared().await;
    let admin = stage.person("red-admin");
    others(stage).await;
    create(&admin, &system("red", "second")).await.unwrap();
    system_ready(&admin, "red", "second", 60).await;
    for own in [
        object("v1", "ConfigMap", "own", &json!({"data": {"key": "value"}})),
        object("v1", "Secret", "own", &json!({"stringData": {"key": "value"}})),
        service("own", &json!({"selector": {"app": "own"}, "ports": [{"port": 80}]})),
        deployment("red", "own", 1),
        pod("red", "bare", &json!({})),
    ] {
        create(&admin, &own).await.unwrap();
    }
    scale(&admin, &deployment("red", "own", 1), 2).await.unwrap();
    let bills: Api<Bill> = Api::namespaced(admin.clone(), "red");
    assert_eq!(bills.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let pods: Api<Pod> = Api::namespaced(admin.clone(), "red");
    let running = eventually("the pods to run", 60, async || {
        let found = pods
            .list(&ListParams::default().labels("app in (own, bare)"))
            .await
            .unwrap()
            .items;
        let phase = |pod: &Pod| pod.status.clone().and_then(|status| status.phase).unwrap_or_default();
        match found.iter().filter(|pod| phase(pod) == "Running").count() {
            3 => Ok(found),
            _ => Err(format!("{:?}", found.iter().map(phase).collect::<Vec<_>>())),
        }
    })
    .await;
    if stage.cluster.has_real_node() {
        let log = pods.logs(&running[0].name_any(), &LogParams::default()).await.unwrap();
        assert!(log.contains("8080"), "{log}");
    }
    // Why nothing may begin stands in the namespace, and the agency's people can read it.
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(admin.clone());
    assert_eq!(
        namespaces.get("red").await.unwrap().annotations()["maru.dev/block-new"],
        ""
    );
    for own in [
        deployment("red", "own", 1),
        pod("red", "bare", &json!({})),
        system("red", "second"),
    ] {
        remove(&admin, &own).await.unwrap();
    }
}

#[tokio::test]
async fn a_pod_that_could_reach_its_node_is_refused() {
    let stage = Installed::shared().await;
    let mut privileged = pod("red", "privileged", &json!({}));
    privileged["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    let host_path = json!({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]});
    let cases = [
        ("privileged", privileged, "must not set securityContext.privileged=true"),
        (
            "on the host's network",
            pod("red", "net", &json!({"hostNetwork": true})),
            "hostNetwork=true",
        ),
        (
            "with the host's processes",
            pod("red", "pid", &json!({"hostPID": true})),
            "hostPID=true",
        ),
        (
            "with a path of the host",
            pod("red", "path", &host_path),
            "uses restricted volume type",
        ),
        (
            "as root",
            pod(
                "red",
                "root",
                &json!({"securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}}}),
            ),
            "runAsNonRoot",
        ),
    ];
    for person in ["red-admin", "red-careless"] {
        for (case, pod, words) in &cases {
            let told = refused(case, create(&stage.person(person), pod).await);
            assert!(
                told.contains("violates PodSecurity \"restricted:latest\"") && told.contains(words),
                "{person} {case}: {told}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_refused_of_a_pod_is_refused_of_the_pods_of_a_deployment_too() {
    let stage = Installed::shared().await;
    let admin = stage.person("red-admin");
    let cases = [
        (
            "named",
            json!({"nodeName": "low-0"}),
            "spec.nodeName passes the scheduler by",
        ),
        (
            "first",
            json!({"priorityClassName": "system-cluster-critical"}),
            "priority classes that begin with system-",
        ),
        ("net", json!({"hostNetwork": true}), "violates PodSecurity"),
    ];
    for (name, more, words) in cases {
        let mut wanted = deployment("red", name, 1);
        wanted["spec"]["template"]["spec"]
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        create(&admin, &wanted).await.unwrap();
        let deployments: Api<Deployment> = Api::namespaced(admin.clone(), "red");
        eventually(&format!("the pods of {name} to be refused"), 30, async || {
            let status = serde_json::to_string(&deployments.get(name).await.unwrap().status).unwrap();
            if status.contains("ReplicaFailure") && status.contains(words) {
                Ok(())
            } else {
                Err(status)
            }
        })
        .await;
        remove(&admin, &wanted).await.unwrap();
    }
}

#[tokio::test]
async fn a_reader_of_bills_reads_bills_and_nothing_else() {
    let stage = Installed::shared().await;
    let reader = stage.person("red-reader");
    others(stage).await;
    let bills: Api<Bill> = Api::namespaced(reader.clone(), "red");
    assert_eq!(bills.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let blue: Api<Bill> = Api::namespaced(reader.clone(), "blue");
    let told = refused("blue's bills", blue.list(&ListParams::default()).await.map(drop));
    assert!(told.contains("cannot list resource \"bills\""), "{told}");
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec {
            namespace: Some("red".to_owned()),
        },
        ..SelfSubjectRulesReview::default()
    };
    let reviews: Api<SelfSubjectRulesReview> = Api::all(reader);
    let answer = reviews
        .create(&PostParams::default(), &review)
        .await
        .unwrap()
        .status
        .unwrap();
    // Everybody may ask who they are and what they may do.
    let own = ["authorization.k8s.io", "authentication.k8s.io"];
    let rights: Vec<String> = answer
        .resource_rules
        .iter()
        .filter(|rule| {
            !rule
                .api_groups
                .iter()
                .flatten()
                .all(|group| own.contains(&group.as_str()))
        })
        .map(|rule| {
            format!(
                "{} {}",
                rule.verbs.join(","),
                rule.resources.clone().unwrap_or_default().join(",")
            )
        })
        .collect();
    assert_eq!(rights, ["get,list,watch bills"]);
}

#[tokio::test]
async fn a_host_name_is_whose_system_claimed_it_first() {
    let stage = Installed::shared().await;
    let claim = |namespace: &str| {
        let mut system = system(namespace, "portal");
        system["spec"]["hosts"] = json!([{"host": "portal.example", "component": "web"}]);
        system
    };
    create(&stage.person("blue-admin"), &claim("blue")).await.unwrap();
    let blue = system_ready(&stage.platform(), "blue", "portal", 60).await;
    create(&stage.person("red-admin"), &claim("red")).await.unwrap();
    let red = eventually("the second claim to be refused", 30, async || {
        match ready_reason(&stage.platform(), "red", "portal").await.as_str() {
            "HostTaken" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    red.await;
    let red: Api<maru_crds::AgencySystem> = Api::namespaced(stage.person("red-admin"), "red");
    let said = serde_json::to_string(&red.get("portal").await.unwrap().status).unwrap();
    assert!(
        said.contains("portal.example") && !said.contains("blue"),
        "it does not say whose it is: {said}"
    );
    let routes: Api<k8s_openapi::api::networking::v1::Ingress> = Api::namespaced(stage.platform(), "red");
    assert_eq!(routes.list(&ListParams::default()).await.unwrap().items.len(), 0);
    assert!(blue.status.is_some());
    // When the first gives it up, the second has it.
    remove(&stage.person("blue-admin"), &claim("blue")).await.unwrap();
    system_ready(&stage.platform(), "red", "portal", 60).await;
    remove(&stage.person("red-admin"), &claim("red")).await.unwrap();
}
