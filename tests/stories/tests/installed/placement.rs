//! The pods of an agency run on nodes of its security grade, whoever makes them and whatever they ask for.

use crate::stage::{Installed, create, patch, with_people};
use crate::tenants::{deployment, object, pod};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use maru_crds::AgencySystem;
use maru_desire::GRADE_LABEL;
use maru_stories::{agency_ready, apply, eventually, system, system_ready};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Waits until this many pods of a namespace have a node, and gives the grade of each one's node.
async fn grades_of_pods(client: &Client, namespace: &str, count: usize) -> BTreeMap<String, String> {
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes.list(&ListParams::default()).await.unwrap().items;
    let grade = |name: &str| {
        let node = nodes.iter().find(|node| node.name_any() == name);
        node.and_then(|node| node.labels().get(GRADE_LABEL).cloned())
            .unwrap_or_default()
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    eventually("every pod to have a node", 60, async || {
        let found = pods.list(&ListParams::default()).await.unwrap().items;
        let placed = found.iter().filter_map(|pod| {
            let node = pod.spec.as_ref()?.node_name.as_deref()?;
            Some((pod.name_any(), grade(node)))
        });
        let placed: BTreeMap<String, String> = placed.collect();
        if placed.len() == count && found.len() == count {
            Ok(placed)
        } else {
            Err(format!("{placed:?} of {}", found.len()))
        }
    })
    .await
}

/// An agency of this grade.
async fn of_grade(client: &Client, name: &str, grade: &str) {
    let mut agency = with_people(name);
    agency["spec"]["securityGrade"] = json!(grade);
    apply(client, &agency).await;
    agency_ready(client, name, 60).await;
}

/// What an agency's people run of their own, each asking for nodes of the highest grade.
fn own(namespace: &str) -> [Value; 3] {
    let high = json!({
        "nodeSelector": {GRADE_LABEL: "High"},
        "tolerations": [{"key": GRADE_LABEL, "operator": "Exists", "effect": "NoSchedule"}],
    });
    let mut of_deployment = deployment(namespace, "own", 2);
    of_deployment["spec"]["template"]["spec"]
        .as_object_mut()
        .unwrap()
        .extend(high.as_object().unwrap().clone());
    let mut of_job = pod(namespace, "job", &high);
    of_job["spec"]["restartPolicy"] = json!("Never");
    let template = json!({"spec": {"template": {"spec": of_job["spec"]}}});
    let mut job = object("batch/v1", "Job", "job", &template);
    job["metadata"]["namespace"] = json!(namespace);
    [of_deployment, job, pod(namespace, "bare", &high)]
}

#[tokio::test]
async fn every_pod_of_an_agency_lands_on_a_node_of_its_grade() {
    let stage = Installed::shared().await;
    let platform = stage.platform();
    for (name, grade) in [
        ("placed-low", "Low"),
        ("placed-moderate", "Moderate"),
        ("placed-high", "High"),
    ] {
        of_grade(&platform, name, grade).await;
        create(&stage.person(&format!("{name}-admin")), &system(name, "docs"))
            .await
            .unwrap();
        for object in own(name) {
            create(&stage.person(&format!("{name}-admin")), &object).await.unwrap();
        }
        let grades = grades_of_pods(&platform, name, 5).await;
        assert!(grades.values().all(|of_node| of_node == grade), "{name}: {grades:?}");
        system_ready(&platform, name, "docs", 60).await;
    }
}

#[tokio::test]
async fn a_system_without_a_node_of_its_grade_says_so_and_starts_when_there_is_one() {
    let stage = Installed::shared().await;
    let platform = stage.platform();
    of_grade(&platform, "waiting", "Low").await;
    let mut large = system("waiting", "large");
    large["spec"]["components"][0]["resources"] = json!({"cpu": "7", "memory": "16Mi"});
    // The only node of the grade has no room until there is another one.
    let fill = |cpu: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "low-0"}, "status": {"allocatable": {"cpu": cpu}}});
    crate::stage::patch_status(&platform, &fill("2")).await.unwrap();
    create(&stage.person("waiting-admin"), &large).await.unwrap();
    let systems: Api<AgencySystem> = Api::namespaced(platform.clone(), "waiting");
    let message = eventually("it to say that no node takes it", 30, async || {
        let status = systems.get("large").await.unwrap().status.unwrap_or_default();
        let ready = status
            .conditions
            .into_iter()
            .find(|condition| condition.type_ == "Ready");
        let ready = ready.ok_or_else(String::new)?;
        if ready.reason == "Unschedulable" {
            Ok(ready.message)
        } else {
            Err(format!("{}: {}", ready.reason, ready.message))
        }
    })
    .await;
    assert!(
        message.contains("go to nodes of its security grade (label maru.dev/grade)"),
        "{message}"
    );
    crate::stage::patch_status(&platform, &fill("1000")).await.unwrap();
    // The scheduler looks again when a node has changed.
    patch(
        &platform,
        &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "low-0", "labels": {"room": "again"}}}),
    )
    .await
    .unwrap();
    system_ready(&platform, "waiting", "large", 60).await;
}
