//! The operator as something that runs: at rest, restarted, two of it, none of it, and with its kinds taken away under it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use maru_controller::{Lease, Settings};
use maru_crds::AgencySystem;
use maru_stories::{
    Acting, Faults, Operator, Snapshot, agency, agency_ready, apply, cluster_with_kinds, delete_kinds, eventually,
    install_kinds, is_gone, ready_reason, snapshot, system, system_ready, uid_of, versions,
};
use serde_json::json;
use std::time::Duration;

/// How long nothing may happen.
const REST: Duration = Duration::from_secs(8);

/// An agency with a system that runs and one that cannot.
async fn a_sound_and_a_broken_system(client: &Client) {
    apply(client, &agency("mois")).await;
    apply(client, &system("mois", "docs")).await;
    apply(client, &system("mois", "greedy")).await;
    let mut greedy = system("mois", "greedy");
    greedy["spec"]["components"][0]["resources"]["cpu"] = json!("2000");
    apply(client, &greedy).await;
    system_ready(client, "mois", "docs", 60).await;
    settled(client).await;
}

/// Waits until nothing has been written for two seconds: controllers of Kubernetes itself have their last word, too.
async fn settled(client: &Client) {
    let mut before = versions(client).await;
    eventually("the cluster to come to rest", 60, async || {
        tokio::time::sleep(Duration::from_secs(4)).await;
        let now = versions(client).await;
        let rest = now == before;
        before = now;
        if rest {
            Ok(())
        } else {
            Err("something was written".to_owned())
        }
    })
    .await;
}

async fn events(client: &Client) -> Vec<String> {
    let found = Api::<Event>::all(client.clone())
        .list(&ListParams::default())
        .await
        .unwrap();
    let ours = found
        .items
        .into_iter()
        .filter(|event| event.reporting_controller.as_deref() == Some("maru.dev/operator"));
    ours.map(|event| {
        let count = event.series.map_or(1, |series| series.count);
        format!(
            "{} {} {count}",
            event.type_.unwrap_or_default(),
            event.reason.unwrap_or_default()
        )
    })
    .collect()
}

#[tokio::test]
async fn at_rest_and_after_a_restart_nothing_is_written_and_no_event_repeats() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let faults = Faults::none();
    let operator = Operator::start(&cluster.config(), Settings::default(), &faults);
    a_sound_and_a_broken_system(&client).await;
    let told = events(&client).await;
    assert_eq!(told.len(), 1, "one problem is one event: {told:?}");
    assert!(told[0].starts_with("Warning "), "{told:?}");

    faults.take_writes();
    let before = versions(&client).await;
    tokio::time::sleep(REST).await;
    assert_eq!(faults.take_writes(), [""; 0], "at rest");
    assert_eq!(versions(&client).await, before);

    operator.stop().await;
    let operator = Operator::start(&cluster.config(), Settings::default(), &faults);
    eventually("every object to have had its turn", 20, async || {
        let turns: u64 = ["Done", "Again", "Refused"]
            .into_iter()
            .flat_map(|outcome| ["Agency", "AgencySystem"].map(|kind| (kind, outcome)))
            .map(|(kind, outcome)| {
                operator.metric(&format!(
                    "maru_reconciles_total{{kind=\"{kind}\",outcome=\"{outcome}\"}}"
                ))
            })
            .sum();
        if turns >= 3 {
            Ok(())
        } else {
            Err(format!("{turns} turns"))
        }
    })
    .await;
    tokio::time::sleep(REST).await;
    assert_eq!(faults.take_writes(), [""; 0], "after a restart with an empty memory");
    assert_eq!(versions(&client).await, before);
    assert_eq!(events(&client).await, told);
    operator.stop().await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn without_an_operator_systems_scale_and_their_pods_are_replaced() {
    let (cluster, operator) = Acting::on_a_cluster().await;
    let client = cluster.client().unwrap();
    apply(&client, &agency("mois")).await;
    apply(&client, &system("mois", "docs")).await;
    system_ready(&client, "mois", "docs", 60).await;
    operator.kill().await;

    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "mois");
    let name = deployments.list(&ListParams::default()).await.unwrap().items[0].name_any();
    let scale = kube::api::Patch::Merge(json!({"spec": {"replicas": 3}}));
    deployments
        .patch_scale(&name, &kube::api::PatchParams::default(), &scale)
        .await
        .unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "mois");
    let running = async |count: usize| {
        eventually("the pods to run", 30, async || {
            let found = pods.list(&ListParams::default()).await.unwrap().items;
            let said = format!("{:?}", found.iter().map(|pod| &pod.status).collect::<Vec<_>>());
            let running: Vec<_> = found
                .into_iter()
                .filter(|pod| pod.metadata.deletion_timestamp.is_none())
                .filter(|pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running"))
                .collect();
            if running.len() == count { Ok(running) } else { Err(said) }
        })
        .await
    };
    let three = running(3).await;
    maru_stories::delete(&pods, &three[0].name_any()).await;
    maru_stories::is_gone(&pods, &three[0].name_any(), 30).await;
    running(3).await;
    // Nothing about the API server hangs: objects of all kinds, Maru's own too, are written and deleted.
    apply(&client, &system("mois", "second")).await;
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "one"}})).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "mois");
    maps.create(&PostParams::default(), &map).await.unwrap();
    maru_stories::delete(&maps, "one").await;

    // And when one is back, it takes up what was asked for meanwhile and what was changed.
    operator.start().await;
    system_ready(&client, "mois", "second", 30).await;
    running(2).await;
    operator.leave().await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn kinds_deleted_and_installed_again_under_a_running_operator_lose_nothing() {
    let (cluster, operator) = Acting::on_a_cluster().await;
    let client = cluster.client().unwrap();
    // The worst case: these people did say that their data goes when they delete the objects themselves.
    let mut generous = agency("mois");
    generous["spec"]["deletionPolicy"] = json!("Delete");
    let mut docs = system("mois", "docs");
    docs["spec"]["deletionPolicy"] = json!("Delete");
    apply(&client, &generous).await;
    apply(&client, &docs).await;
    system_ready(&client, "mois", "docs", 60).await;
    settled(&client).await;
    let before = snapshot(&client, "mois").await;
    let uid = uid_of(&client, "mois").await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "mois");
    let pods_before: Vec<_> = pods
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .iter()
        .map(ResourceExt::uid)
        .collect();

    delete_kinds(&client).await;
    assert_eq!(snapshot(&client, "mois").await, before, "while the kinds are away");
    install_kinds(&client).await;
    assert_eq!(
        snapshot(&client, "mois").await,
        before,
        "before anybody asks for anything again"
    );
    apply(&client, &generous).await;
    apply(&client, &docs).await;
    agency_ready(&client, "mois", 30).await;
    system_ready(&client, "mois", "docs", 30).await;
    assert_eq!(snapshot(&client, "mois").await, before, "after all is back");
    assert_eq!(uid_of(&client, "mois").await, uid);
    let pods_now: Vec<_> = pods
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .iter()
        .map(ResourceExt::uid)
        .collect();
    assert_eq!(pods_now, pods_before, "the pods ran on");
    operator.leave().await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_left_of_a_system_that_went_by_force_goes_too_and_its_data_stays() {
    let (cluster, operator) = Acting::on_a_cluster().await;
    let client = cluster.client().unwrap();
    apply(&client, &agency("mois")).await;
    for name in ["docs", "archive"] {
        let mut one = system("mois", name);
        one["spec"]["components"][0]["volumes"] =
            json!([{"name": "data", "mountPath": "/data", "persistent": {"size": "1Mi"}}]);
        apply(&client, &one).await;
    }
    for name in ["docs", "archive"] {
        system_ready(&client, "mois", name, 60).await;
    }
    settled(&client).await;
    let all = snapshot(&client, "mois").await;

    // One goes by force while no operator runs, the other one while it does.
    operator.stop().await;
    by_force(&client, "docs").await;
    assert_eq!(snapshot(&client, "mois").await, all);
    operator.start().await;
    is_left(&client, &all, &["docs"]).await;
    by_force(&client, "archive").await;
    is_left(&client, &all, &["docs", "archive"]).await;
    operator.leave().await;
    cluster.stop().await.unwrap();
}

/// Deletes a system and takes every finalizer off it, as people do who cannot wait.
async fn by_force(client: &Client, name: &str) {
    let systems = Api::<AgencySystem>::namespaced(client.clone(), "mois");
    systems.delete(name, &DeleteParams::default()).await.unwrap();
    let bare = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    systems.patch(name, &PatchParams::default(), &bare).await.ok();
    is_gone(&systems, name, 30).await;
}

/// Waits until all that is left of these systems is their volumes.
async fn is_left(client: &Client, all: &Snapshot, gone: &[&str]) {
    let theirs = |object: &serde_json::Value| {
        let system = object["metadata"]["labels"]["maru.dev/system"].as_str();
        system.is_some_and(|system| gone.contains(&system))
    };
    let stays =
        |(key, object): &(&String, &serde_json::Value)| !theirs(object) || key.starts_with("PersistentVolumeClaim ");
    let expected: Vec<&String> = all.iter().filter(stays).map(|(key, _)| key).collect();
    assert!(expected.len() < all.len());
    eventually("what is left to go", 60, async || {
        let now = snapshot(client, "mois").await;
        if now.keys().eq(expected.iter().copied()) {
            Ok(())
        } else {
            Err(format!("{expected:?} and not {:?}", now.keys()))
        }
    })
    .await;
}

#[tokio::test]
async fn of_two_replicas_one_leads_and_the_other_takes_over_when_it_ends_and_when_it_is_killed() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "maru-system"}})).unwrap();
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    // The first one's lease would outlive this story, were it not given back.
    let start = |identity: &str, duration_seconds| {
        let lease = Lease {
            duration_seconds,
            namespace: "maru-system".to_owned(),
            name: "maru-operator".to_owned(),
            identity: identity.to_owned(),
        };
        let settings = Settings {
            lease: Some(lease),
            ..Settings::default()
        };
        Operator::start(&cluster.config(), settings, &Faults::none())
    };
    let first = start("one", 600);
    leads(&first, 10).await;
    let second = start("two", 10);
    apply(&client, &agency("mois")).await;
    agency_ready(&client, "mois", 20).await;
    assert_eq!(second.metric("maru_leader"), 0);

    first.stop().await;
    leads(&second, 20).await;
    apply(&client, &system("mois", "docs")).await;
    system_ready(&client, "mois", "docs", 30).await;

    let third = start("three", 10);
    eventually("the third to know the cluster", 10, async || {
        if third.health.is_ready() {
            Ok(())
        } else {
            Err(String::new())
        }
    })
    .await;
    second.kill();
    leads(&third, 20).await;
    apply(&client, &system("mois", "more")).await;
    system_ready(&client, "mois", "more", 30).await;
    third.stop().await;
    cluster.stop().await.unwrap();
}

async fn leads(operator: &Operator, seconds: u64) {
    eventually("a replica to lead", seconds, async || {
        match operator.metric("maru_leader") {
            1 => Ok(()),
            _ => Err("it does not".to_owned()),
        }
    })
    .await;
}

#[tokio::test]
async fn an_agency_with_many_broken_systems_does_not_delay_another() {
    let (cluster, operator) = Acting::on_a_cluster().await;
    let client = cluster.client().unwrap();
    for name in ["broken", "sound"] {
        apply(&client, &agency(name)).await;
        agency_ready(&client, name, 20).await;
    }
    // Each of them asks for more than the agency has: its pods are refused, over and over.
    for index in 0..100 {
        let mut broken = system("broken", &format!("s{index}"));
        broken["spec"]["components"][0]["resources"]["cpu"] = json!("2000");
        apply(&client, &broken).await;
    }
    apply(&client, &system("sound", "docs")).await;
    system_ready(&client, "sound", "docs", 20).await;
    assert_ne!(ready_reason(&client, "broken", "s99").await, "Ready");
    operator.leave().await;
    cluster.stop().await.unwrap();
}
