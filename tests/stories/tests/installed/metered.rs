//! What pods used, recorded by the operator as its users have it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use maru_controller::Settings;
use maru_meter::Completeness;
use maru_stories::lives::{expected, life, phase, recorded, sum};
use maru_stories::{
    Acting, agency, agency_ready, apply, cluster_for_containers, delete, eventually, operator_volume, system,
    system_ready,
};

async fn pods(client: &Client) -> Vec<Pod> {
    let api = Api::<Pod>::namespaced(client.clone(), "mois");
    api.list(&ListParams::default()).await.unwrap().items
}

/// The pods of the only system, once each has run for some seconds: whole seconds are what the API server says.
async fn lived(client: &Client) -> Vec<Pod> {
    eventually("the pods to have run for seconds", 30, async || {
        let found = pods(client).await;
        let old =
            |pod: &Pod| life(pod).is_some_and(|life| Timestamp::now() > life.bound + SignedDuration::from_secs(4));
        if !found.is_empty() && found.iter().all(old) {
            Ok(found)
        } else {
            Err("they are too young".to_owned())
        }
    })
    .await
}

#[tokio::test]
async fn what_ended_while_the_operator_was_killed_is_recorded_to_the_second_when_it_is_back() {
    let cluster = cluster_for_containers().await;
    if !cluster.has_real_node() {
        eprintln!("skipped: there is no node that runs real containers");
        return;
    }
    let client = cluster.client().unwrap();
    let operator = Acting::on(&cluster, &["billing.enabled=false"], Settings::default()).await;
    apply(&client, &agency("mois")).await;
    agency_ready(&client, "mois", 30).await;
    apply(&client, &system("mois", "docs")).await;
    system_ready(&client, "mois", "docs", 60).await;
    let before = lived(&client).await;
    operator.kill().await;

    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "mois");
    for deployment in deployments.list(&ListParams::default()).await.unwrap() {
        delete(&deployments, &deployment.name_any()).await;
    }
    let ended = eventually("the pods to have ended", 60, async || {
        let found = pods(&client).await;
        let phases: Vec<&str> = found.iter().map(phase).collect();
        if phases.iter().all(|phase| matches!(*phase, "Succeeded" | "Failed")) {
            Ok(found)
        } else {
            Err(format!("{phases:?}"))
        }
    })
    .await;
    assert_eq!(ended.len(), before.len(), "they stay until they are recorded");

    operator.start().await;
    let uids: Vec<_> = ended.iter().filter_map(ResourceExt::uid).collect();
    eventually("the pods to be recorded and gone", 60, async || {
        let left = pods(&client).await;
        let left = left
            .iter()
            .filter_map(ResourceExt::uid)
            .filter(|uid| uids.contains(uid))
            .count();
        if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} are left"))
        }
    })
    .await;
    let recorded = recorded(&operator_volume(&client).await.join("lake"));
    for life in ended.iter().filter_map(life) {
        let records: Vec<_> = recorded[&life.uid]
            .iter()
            .filter(|record| record.meter == "cpu.reserved")
            .cloned()
            .collect();
        assert_eq!(sum(&records), expected(&life, life.ended.unwrap()));
        let complete = |record: &maru_meter::UsageRecord| record.completeness == Completeness::Complete;
        assert!(records.iter().all(complete), "{records:?}");
        assert!(records.iter().all(|record| record.system == "mois/docs"), "{records:?}");
    }
    cluster.stop().await.unwrap();
}
