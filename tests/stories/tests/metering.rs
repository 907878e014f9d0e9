//! What pods used, told against a real API server and, where there is one, a real node: it is held against somebody who only watches.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt};
use maru_controller::meter::Pace;
use maru_lake::Lake;
use maru_meter::{Completeness, Interval, UsageRecord};
use maru_stories::lives::{Life, expected, life, phase, recorded, sum};
use maru_stories::{HELLO, Meters, eventually};
use maru_test_cluster::{Cluster, ClusterOptions, kubectl};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;

fn pace() -> Pace {
    Pace {
        every: Duration::from_millis(500),
        keep_every: Duration::from_secs(1),
        ..Pace::default()
    }
}

async fn cluster() -> Cluster {
    let options = ClusterOptions {
        kwok_nodes: 1,
        ..ClusterOptions::default()
    };
    Cluster::start(options).await.unwrap()
}

async fn namespace(client: &Client, name: &str, agency: Option<&str>) {
    let labels = agency.map_or_else(|| json!({}), |agency| json!({"maru.dev/agency": agency}));
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap();
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
}

fn pod_spec(cpu: &str) -> Value {
    json!({
        "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": false,
        "containers": [{"name": "web", "image": HELLO, "imagePullPolicy": "Never",
            "resources": {"requests": {"cpu": cpu}}}],
    })
}

fn template(app: &str, cpu: &str, finalizer: bool) -> Value {
    let finalizers = if finalizer {
        json!(["maru.dev/metering"])
    } else {
        json!([])
    };
    json!({
        "metadata": {"labels": {"app": app, "maru.dev/system": app}, "finalizers": finalizers},
        "spec": pod_spec(cpu),
    })
}

fn deployment(app: &str, replicas: u32, cpu: &str) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": app},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": template(app, cpu, true)},
    }))
    .unwrap()
}

fn stateful_set(app: &str, replicas: u32, cpu: &str) -> StatefulSet {
    serde_json::from_value(json!({
        "metadata": {"name": app},
        "spec": {"serviceName": app, "replicas": replicas, "selector": {"matchLabels": {"app": app}},
                 "podManagementPolicy": "Parallel", "template": template(app, cpu, false)},
    }))
    .unwrap()
}

async fn create<K>(client: &Client, namespace: &str, object: &K)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + serde::Serialize
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    Api::<K>::namespaced(client.clone(), namespace)
        .create(&PostParams::default(), object)
        .await
        .unwrap();
}

async fn pods(client: &Client, namespace: &str) -> Vec<Pod> {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    api.list(&ListParams::default()).await.unwrap().items
}

/// The pods of applications that run and stay, once there are so many: not those of jobs, and not those that are going.
async fn running(client: &Client, namespace: &str, count: usize) -> Vec<Pod> {
    eventually("the pods to run", 90, async || {
        let stays = |pod: &Pod| pod.labels().contains_key("app") && pod.metadata.deletion_timestamp.is_none();
        let mut pods = pods(client, namespace).await;
        pods.retain(|pod| phase(pod) == "Running" && stays(pod));
        if pods.len() == count {
            Ok(pods)
        } else {
            Err(format!("{} run", pods.len()))
        }
    })
    .await
}

/// Watches from beside until it is asked what it wrote down.
fn recorder(client: &Client, namespace: &str) -> mpsc::UnboundedReceiver<Life> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    tokio::spawn(async move {
        use futures::StreamExt;
        let mut events = kube::runtime::watcher(api, kube::runtime::watcher::Config::default()).boxed();
        while let Some(event) = events.next().await {
            use kube::runtime::watcher::Event;
            if let Ok(Event::InitApply(pod) | Event::Apply(pod) | Event::Delete(pod)) = event
                && let Some(life) = life(&pod)
                && sender.send(life).is_err()
            {
                return;
            }
        }
    });
    receiver
}

#[tokio::test]
async fn a_pod_that_ended_while_no_operator_ran_stays_until_it_is_recorded_and_goes_within_seconds() {
    let cluster = cluster().await;
    let client = cluster.client().unwrap();
    let lake = tempfile::tempdir().unwrap();
    namespace(&client, "mois", Some("mois")).await;
    create(&client, "mois", &deployment("docs", 2, "30m")).await;
    // Whole seconds are what the API server says: a pod that ended within the second in which it was bound used nothing.
    let began = running(&client, "mois", 2).await;
    eventually("the pods to have run for seconds", 10, async || {
        let lived = began
            .iter()
            .filter_map(life)
            .all(|life| Timestamp::now() > life.bound + SignedDuration::from_secs(3));
        lived.then_some(()).ok_or_else(|| "they are too young".to_owned())
    })
    .await;
    let deployments = Api::<Deployment>::namespaced(client.clone(), "mois");
    deployments.delete("docs", &DeleteParams::default()).await.unwrap();
    let ended = eventually("the pods to have ended", 60, async || {
        let pods = pods(&client, "mois").await;
        if pods.iter().all(|pod| matches!(phase(pod), "Succeeded" | "Failed")) {
            Ok(pods)
        } else {
            Err(format!("{:?}", pods.iter().map(phase).collect::<Vec<_>>()))
        }
    })
    .await;
    assert_eq!(ended.len(), 2, "they stay readable");

    let replicas = [0, 1].map(|_| Meters::start(&cluster.config(), lake.path(), pace()));
    eventually("the pods to be gone", 15, async || {
        match pods(&client, "mois").await.len() {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        }
    })
    .await;
    let recorded = recorded(lake.path());
    for pod in &ended {
        let life = life(pod).unwrap();
        let records = recorded
            .get(&life.uid)
            .unwrap_or_else(|| panic!("{life:?} in {recorded:?}"));
        assert_eq!(sum(records), expected(&life, life.ended.unwrap()));
        assert!(
            records
                .iter()
                .all(|record| record.completeness == Completeness::Complete)
        );
        assert!(
            records
                .iter()
                .all(|record| record.system == "mois/docs" && record.agency == "mois")
        );
    }
    assert_eq!(recorded.len(), 2, "two replicas record every pod once");
    for replica in replicas {
        replica.stop().await;
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn whatever_happens_to_pods_and_to_the_operator_the_usage_is_what_one_who_only_watches_writes_down() {
    let cluster = cluster().await;
    let client = cluster.client().unwrap();
    let lake = tempfile::tempdir().unwrap();
    // Names that look like tests or parts of the platform change nothing.
    namespace(&client, "kube-test-mois", Some("mois")).await;
    namespace(&client, "nobody", None).await;
    let mut watched = recorder(&client, "kube-test-mois");
    let mut meters = Meters::start(&cluster.config(), lake.path(), pace());
    create(&client, "kube-test-mois", &deployment("docs", 2, "20m")).await;
    create(&client, "kube-test-mois", &stateful_set("store", 2, "10m")).await;
    create(&client, "nobody", &deployment("docs", 1, "20m")).await;
    let job: Job = serde_json::from_value(json!({
        "metadata": {"name": "nightly"},
        "spec": {"completions": 1, "activeDeadlineSeconds": 3, "backoffLimit": 0, "template": {
            "metadata": {"finalizers": ["maru.dev/metering"]},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": pod_spec("40m")["containers"]},
        }},
    }))
    .unwrap();
    create(&client, "kube-test-mois", &job).await;
    running(&client, "nobody", 1).await;

    let api = Api::<Pod>::namespaced(client.clone(), "kube-test-mois");
    for round in 0..3 {
        let pods = running(&client, "kube-test-mois", 4).await;
        meters.kill();
        // A pod of each kind is deleted while nobody meters; their successors come, the StatefulSet's under the same name.
        for app in ["docs", "store"] {
            let name = pods
                .iter()
                .find(|pod| pod.labels().get("app").is_some_and(|name| name == app))
                .unwrap()
                .name_any();
            api.delete(&name, &DeleteParams::default()).await.unwrap();
        }
        if round == 1 {
            running(&client, "kube-test-mois", 4).await;
        }
        meters = Meters::start(&cluster.config(), lake.path(), pace());
    }
    running(&client, "kube-test-mois", 4).await;
    let namespaces = Api::<Namespace>::all(client.clone());
    for name in ["kube-test-mois", "nobody"] {
        namespaces.delete(name, &DeleteParams::default()).await.unwrap();
    }
    for name in ["kube-test-mois", "nobody"] {
        maru_stories::is_gone(&namespaces, name, 90).await;
    }

    agrees(&mut watched, lake.path()).await;
    meters.stop().await;
    cluster.stop().await.unwrap();
}

/// Holds the lake against what was written down.
async fn agrees(watched: &mut mpsc::UnboundedReceiver<Life>, lake: &Path) {
    let mut lives = BTreeMap::new();
    while let Ok(life) = watched.try_recv() {
        lives.insert(life.uid.clone(), life);
    }
    assert!(lives.len() >= 9, "{}", lives.len());
    // Who ended within the second in which it was bound used nothing, and who was stopped before a container ran may have.
    let used = |life: &Life| life.ended.is_some_and(|ended| ended > life.bound);
    let recorded = eventually("the lake to say what was written down", 20, async || {
        let recorded = recorded(lake);
        let differs = lives.iter().filter(|(_, life)| used(life)).find(|(uid, life)| {
            let exact = life.ended.map(|ended| expected(life, ended));
            recorded.get(*uid).map(|records| sum(records)) != exact
        });
        match differs {
            Some((uid, life)) => Err(format!("{life:?}: {:?}", recorded.get(uid))),
            None => Ok(recorded),
        }
    })
    .await;
    for (uid, records) in &recorded {
        let life = lives
            .get(uid)
            .unwrap_or_else(|| panic!("nobody saw it live: {records:?}"));
        let complete = records
            .iter()
            .all(|record| record.completeness == Completeness::Complete);
        assert!(
            complete || life.ended.is_none(),
            "{life:?} was said by the API server, so it is no estimate: {records:?}"
        );
    }
}

/// Drains a node as people do, and says whether that came to an end.
async fn drained(cluster: &Cluster, node: &str, more: &[&str]) -> bool {
    let mut command = tokio::process::Command::new(kubectl().await.unwrap());
    command
        .env("KUBECONFIG", cluster.kubeconfig())
        .args(["drain", node, "--ignore-daemonsets", "--force", "--grace-period=1"])
        .args(more);
    let output = command.output().await.unwrap();
    output.status.success()
}

#[tokio::test]
async fn without_an_operator_a_stateful_set_is_rolled_and_a_node_is_drained_with_the_flag_that_is_written_down() {
    let cluster = cluster().await;
    let client = cluster.client().unwrap();
    let lake = tempfile::tempdir().unwrap();
    namespace(&client, "mois", Some("mois")).await;
    create(&client, "mois", &stateful_set("store", 2, "10m")).await;
    create(&client, "mois", &deployment("docs", 2, "10m")).await;
    let before = running(&client, "mois", 4).await;

    // Names are used again at once: nothing waits for anybody.
    let sets = Api::<StatefulSet>::namespaced(client.clone(), "mois");
    let larger = json!({"spec": {"template": template("store", "20m", false)}});
    sets.patch(
        "store",
        &kube::api::PatchParams::default(),
        &kube::api::Patch::Merge(&larger),
    )
    .await
    .unwrap();
    eventually("every pod of the set to be a new one", 90, async || {
        let set = sets.get("store").await.unwrap().status.unwrap();
        match (set.updated_replicas, set.ready_replicas) {
            (Some(2), Some(2)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    let on = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let docs = before
        .iter()
        .find(|pod| pod.labels().get("app").is_some_and(|app| app == "docs"))
        .unwrap();
    let node = on(docs).unwrap();
    assert!(
        !drained(&cluster, &node, &["--timeout=10s"]).await,
        "it waits for the pods that wait to be recorded"
    );
    assert!(drained(&cluster, &node, &["--timeout=60s", "--skip-wait-for-delete-timeout=1"]).await);

    let meters = Meters::start(&cluster.config(), lake.path(), pace());
    eventually("what was drained to be recorded and gone", 30, async || {
        let left = pods(&client, "mois").await;
        let left = left.iter().filter(|pod| on(pod).as_ref() == Some(&node)).count();
        if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} are left"))
        }
    })
    .await;
    let life = life(docs).unwrap();
    let recorded = recorded(lake.path());
    assert!(
        recorded[&life.uid]
            .iter()
            .all(|record| record.completeness == Completeness::Complete)
    );
    meters.stop().await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn the_files_of_a_day_that_is_over_become_one_and_say_the_same() {
    let cluster = maru_stories::cluster_with_kinds().await;
    let folder = tempfile::tempdir().unwrap();
    let long_ago: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let read = |folder: &Path| {
        let lake = Lake::open(folder).unwrap();
        let end = long_ago + SignedDuration::from_hours(24);
        let records = lake.read(Interval { start: long_ago, end }).unwrap();
        (lake.version().unwrap(), records)
    };
    let apart = |folder: &Path| std::thread::scope(|scope| scope.spawn(|| read(folder)).join().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let lake = Lake::open(folder.path()).unwrap();
            for hour in 0..5 {
                let start = long_ago + SignedDuration::from_hours(hour);
                let record: UsageRecord = serde_json::from_value(json!({
                    "id": format!("a/{start}"), "agency": "mois", "system": "mois/docs", "meter": "cpu.reserved",
                    "quantity": "1", "start": start, "end": start + SignedDuration::from_hours(1),
                }))
                .unwrap();
                lake.append(&[record]).unwrap();
            }
        });
    });
    let (before, records) = apart(folder.path());
    let quick = Pace {
        tidy_every: Duration::from_millis(300),
        ..pace()
    };
    let meters = Meters::start(&cluster.config(), folder.path(), quick);
    let after = eventually("the files to be one", 30, async || {
        let (version, now) = apart(folder.path());
        assert_eq!(now, records);
        if version > before {
            Ok(version)
        } else {
            Err(format!("{version:?}"))
        }
    })
    .await;
    assert_eq!(
        after,
        before.map(|before| before + 1),
        "one commit, and nothing more to do after it"
    );
    meters.stop().await;
    assert_eq!(apart(folder.path()), (after, records));
    cluster.stop().await.unwrap();
}
