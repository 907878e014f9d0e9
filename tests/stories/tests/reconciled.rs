//! What runs is held against what is metered: the operator says so on the open billing run, and anybody with the lake can see for himself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use maru_controller::Metrics;
use maru_controller::billing::{self, BillingSettings};
use maru_controller::meter::Pace;
use maru_controller::meter::reconcile::{Memory, look};
use maru_crds::{BillingRun, RateCard};
use maru_lake::Lake;
use maru_meter::{Interval, UsageRecord, hour_of};
use maru_stories::{Meters, cluster_with_kinds, eventually};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Does what waits for disks outside of the runtime.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// A namespace that has been an agency's for longer than anybody looks back: nothing says since when.
async fn namespace(client: &Client, name: &str) {
    let api = Api::<Namespace>::all(client.clone());
    let namespace = json!({"metadata": {"name": name, "labels": {"maru.dev/agency": name}}});
    api.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap())
        .await
        .unwrap();
    let forget = json!({"metadata": {"managedFields": [{}]}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(&forget))
        .await
        .unwrap();
}

/// A pod that was bound some hours ago, as far as its status says, on a node that nobody runs.
async fn pod(client: &Client, namespace: &str, name: &str, bound: Timestamp) {
    let node = json!({"metadata": {"name": "elsewhere"}});
    let nodes = Api::<Node>::all(client.clone());
    nodes
        .create(&PostParams::default(), &serde_json::from_value(node).unwrap())
        .await
        .unwrap();
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let pod = json!({
        "metadata": {"name": name, "labels": {"maru.dev/system": "docs"}},
        "spec": {
            "nodeName": "elsewhere", "automountServiceAccountToken": false,
            "containers": [{"name": "web", "image": "web", "resources": {"requests": {"cpu": "2"}}}],
        },
    });
    api.create(&PostParams::default(), &serde_json::from_value(pod).unwrap())
        .await
        .unwrap();
    let status = json!({"status": {
        "phase": "Running",
        "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": bound}],
    }});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
}

/// What `kubectl maru reconcile` prints, and whether it says that all agrees.
fn reconciled(kubeconfig: &Path, lake: &Path) -> Result<(bool, String), String> {
    let (kubeconfig, lake) = (kubeconfig.to_str().unwrap(), lake.to_str().unwrap());
    let arguments = ["kubectl-maru", "reconcile", "--kubeconfig", kubeconfig, "--lake", lake];
    let command = maru_cli::Cli::try_parse_from(arguments).unwrap();
    let printed = aside(|| command.run()).map_err(|problem| problem.to_string())?;
    Ok((printed.agrees, String::from_utf8(printed.bytes).unwrap()))
}

/// Three hours, or four where one has ended since.
fn whole_hours(text: &str) -> bool {
    text.contains("1 objects and 3 records") || text.contains("1 objects and 4 records")
}

fn run() -> BillingRun {
    serde_json::from_value(json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "BillingRun", "metadata": {"name": "month"},
        "spec": {"rateCardRef": {"name": "platform"}, "period": Timestamp::now().strftime("%Y-%m").to_string(), "action": "Issue"},
    }))
    .unwrap()
}

fn card() -> RateCard {
    serde_json::from_value(json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "RateCard", "metadata": {"name": "platform"},
        "spec": {"currency": "KRW", "timeZone": "UTC", "versions": [{"from": "2026-01-01T00:00:00Z",
            "items": [{"meter": "cpu.reserved", "unit": "core-hour", "model": "PerUnit", "unitPrice": "10"}]}]},
    }))
    .unwrap()
}

/// Waits until the run says so of what runs.
async fn said(client: &Client, reason: &str) -> String {
    let api = Api::<BillingRun>::all(client.clone());
    eventually(&format!("the run to say {reason}"), 60, async || {
        let status = api.get("month").await.unwrap().status.unwrap_or_default();
        let reconciled = status.conditions.iter().find(|one| one.type_ == "Reconciled");
        match reconciled {
            Some(said) if said.reason == reason => Ok(said.message.clone()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// Somebody writes an hour of the pod a second time.
fn by_hand(lake: &Lake) {
    let ever = Interval {
        start: Timestamp::UNIX_EPOCH,
        end: Timestamp::now(),
    };
    let all = aside(|| lake.read(ever)).unwrap();
    let first = all.iter().find(|record| record.meter == "cpu.reserved").unwrap();
    let again = UsageRecord {
        id: format!("{}/again", first.id),
        ..first.clone()
    };
    aside(|| lake.append(std::slice::from_ref(&again))).unwrap();
}

#[tokio::test]
async fn what_runs_and_is_not_metered_what_is_metered_twice_and_what_is_gone_are_said() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let (lake, lost) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    namespace(&client, "mois").await;
    let hours = hour_of(Timestamp::now()) - SignedDuration::from_hours(3);
    pod(&client, "mois", "docs-1", hours).await;
    let quickly = Pace {
        every: Duration::from_millis(200),
        keep_every: Duration::from_millis(500),
        ..Pace::default()
    };
    let meters = Meters::start(&cluster.config(), lake.path(), quickly);

    let (config, place) = (cluster.kubeconfig().to_owned(), lake.path().to_owned());
    eventually("three hours to be recorded", 60, async || {
        match reconciled(&config, &place) {
            Ok((true, text)) if whole_hours(&text) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let opened = aside(|| Arc::new(Lake::open(lake.path()).unwrap()));
    the_open_run_says_so(&client, &opened, lost.path()).await;
    let (agrees, text) = reconciled(&config, lake.path()).unwrap();
    assert!(
        !agrees && text.contains("Twice") && text.contains(&hours.to_string()),
        "{text}"
    );

    // A lake that lost what was written into it.
    let kept = aside(|| opened.kept("pods").unwrap().unwrap());
    let emptied = lost.path().join("lake");
    aside(|| Lake::open(&emptied).unwrap().keep("pods", &kept)).unwrap();
    let (agrees, text) = reconciled(&config, &emptied).unwrap();
    assert!(
        !agrees && text.contains("Unmetered") && text.contains(&hours.to_string()),
        "{text}"
    );

    meters.stop().await;
    it_is_gone_and_is_recorded_all_the_same(&client, &opened).await;
    cluster.stop().await.unwrap();
}

/// The operator holds one against the other once an hour is recorded, and says what it found on the run of the open month.
async fn the_open_run_says_so(client: &Client, lake: &Arc<Lake>, folder: &Path) {
    Api::all(client.clone())
        .create(&PostParams::default(), &card())
        .await
        .unwrap();
    Api::all(client.clone())
        .create(&PostParams::default(), &run())
        .await
        .unwrap();
    let (metrics, shutdown) = (Arc::new(Metrics::default()), CancellationToken::new());
    let settings = BillingSettings {
        look_every: Duration::from_millis(100),
        leads: |_| true,
        ..BillingSettings::into_ledger(folder.join("ledger.sqlite").display().to_string())
    };
    let billing = billing::run(
        client.clone(),
        Arc::clone(lake),
        settings,
        Arc::clone(&metrics),
        shutdown.clone(),
    );
    let billing = tokio::spawn(billing);
    eventually("the month to be drafted", 60, async || {
        let run = Api::<BillingRun>::all(client.clone()).get("month").await.unwrap();
        run.status.map(|_| ()).ok_or_else(|| "it has no status".to_owned())
    })
    .await;
    metrics.is_closed("pods", 1);
    let told = said(client, "Agrees").await;
    assert_eq!(
        told,
        "what runs is metered; nothing is metered twice, or after it was gone"
    );

    by_hand(lake);
    metrics.is_closed("pods", 2);
    let told = said(client, "Disagrees").await;
    let expected = "0 Unmetered, 1 Twice, 0 Gone: pod/mois/docs-1 cpu.reserved is recorded twice";
    assert!(told.starts_with(expected), "{told}");
    let page = metrics.encode();
    let expected = "maru_reconciliation_findings{disagreement=\"Twice\"} 1";
    assert!(page.contains(expected), "{page}");
    shutdown.cancel();
    billing.await.unwrap();
}

/// A pod goes, and somebody writes that it went on.
async fn it_is_gone_and_is_recorded_all_the_same(client: &Client, lake: &Arc<Lake>) {
    let mut memory = Memory::default();
    look(client, lake, &mut memory).await.unwrap();
    let pods = Api::<Pod>::namespaced(client.clone(), "mois");
    let before = pods.get("docs-1").await.unwrap();
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    pods.delete("docs-1", &now).await.unwrap();
    maru_stories::is_gone(&pods, "docs-1", 30).await;
    look(client, lake, &mut memory).await.unwrap();
    // The hour in which it went is not over. Once it is, a record up to its end is one too many.
    let uid = before.metadata.uid.unwrap();
    let hour = hour_of(Timestamp::now());
    let mut kept: Value = serde_json::from_slice(&aside(|| lake.kept("pods").unwrap().unwrap())).unwrap();
    kept["closed"] = json!(hour + SignedDuration::from_hours(1));
    let record: UsageRecord = serde_json::from_value(json!({
        "id": UsageRecord::id_of("pods", &uid, "cpu.reserved", hour), "agency": "mois", "system": "mois/docs",
        "resource": "pod/mois/docs-1", "meter": "cpu.reserved", "quantity": "2", "unit": "core-hour",
        "start": hour, "end": hour + SignedDuration::from_hours(1), "source": "pods",
    }))
    .unwrap();
    aside(|| {
        lake.append(&[record]).unwrap();
        lake.keep("pods", &serde_json::to_vec(&kept).unwrap()).unwrap();
    });
    let looked = look(client, lake, &mut memory).await.unwrap();
    let gone: Vec<String> = looked
        .findings
        .iter()
        .map(ToString::to_string)
        .filter(|text| text.contains("after it was gone"))
        .collect();
    assert_eq!(gone.len(), 1, "{:?}", looked.findings);
    assert!(
        gone[0].starts_with("pod/mois/docs-1 cpu.reserved is recorded after it was gone, from "),
        "{gone:?}"
    );
}
