//! The operator as users have it: a container of the image, under Pod Security `restricted`, on a node that runs real containers.

use crate::stage::create;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, ResourceExt};
use maru_crds::{AgencySystem, BillingRun};
use maru_desire::GRADE_LABEL;
use maru_stories::{
    Helm, RELEASE_NAMESPACE, agency, agency_ready, apply, delete, eventually, is_gone, last_words, load_operator,
    operator_is_ready, operator_pods, system, system_ready,
};
use maru_test_cluster::{Cluster, ClusterOptions};
use serde_json::json;
use std::collections::BTreeMap;

/// A cluster with a real node that has the image; none where this machine cannot have one.
pub(crate) async fn cluster_with_image() -> Option<Cluster> {
    let options = ClusterOptions {
        node_labels: BTreeMap::from([(GRADE_LABEL.to_owned(), "Moderate".to_owned())]),
        service_proxy: true,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    if !cluster.has_real_node() {
        eprintln!("skipped: there is no node that runs real containers");
        return None;
    }
    load_operator(&cluster).await;
    Some(cluster)
}

/// What a preview of this month by a rate card comes to, once it has been worked out.
pub(crate) async fn previewed(client: &Client, rate_card: &str, name: &str) -> String {
    let month = jiff::Timestamp::now()
        .in_tz("Asia/Seoul")
        .unwrap()
        .strftime("%Y-%m")
        .to_string();
    let run = json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "BillingRun", "metadata": {"name": name},
        "spec": {"rateCardRef": {"name": rate_card}, "period": month, "action": "Preview"},
    });
    create(client, &run).await.unwrap();
    let runs: Api<BillingRun> = Api::all(client.clone());
    eventually("the month to be worked out", 60, async || {
        let status = runs.get(name).await.unwrap().status.unwrap_or_default();
        match status.total {
            Some(total) => Ok(total),
            None => Err(format!("{:?}\n{}", status.conditions, last_words(client).await)),
        }
    })
    .await
}

/// A rate card with one price, of a unit of a meter.
pub(crate) async fn prices(client: &Client, name: &str, (meter, unit, price): (&str, &str, &str)) {
    let card = json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "RateCard", "metadata": {"name": name},
        "spec": {
            "currency": "KRW", "timeZone": "Asia/Seoul",
            "versions": [{"from": "2026-01-01T00:00:00+09:00",
                "items": [{"meter": meter, "unit": unit, "model": "PerUnit", "unitPrice": price}]}],
        },
    });
    create(client, &card).await.unwrap();
}

#[tokio::test]
async fn two_charts_and_ten_lines_of_yaml_give_an_agency_its_first_bill() {
    let Some(cluster) = cluster_with_image().await else {
        return;
    };
    let client = cluster.client().unwrap();
    let strict = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": RELEASE_NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    create(&client, &strict).await.unwrap();
    Helm::of(&cluster).await.install(&["events.enabled=true"]).await;
    operator_is_ready(&client, 1).await;

    // A few seconds of a small pod cost something.
    prices(&client, "platform", ("cpu.reserved", "core-hour", "100000000")).await;
    apply(&client, &agency("mois")).await;
    agency_ready(&client, "mois", 30).await;
    apply(&client, &system("mois", "docs")).await;
    system_ready(&client, "mois", "docs", 60).await;
    // Whole seconds are what the API server says: a pod that ended within the second in which it began used nothing.
    let of_mois: Api<Pod> = Api::namespaced(client.clone(), "mois");
    eventually("the pods to have run for seconds", 20, async || {
        let pods = of_mois.list(&ListParams::default()).await.unwrap().items;
        let began = pods.iter().filter_map(|pod| pod.status.as_ref()?.start_time.as_ref());
        let lived = |began: jiff::Timestamp| jiff::Timestamp::now() > began + jiff::SignedDuration::from_secs(3);
        if !pods.is_empty() && began.clone().count() == pods.len() && began.clone().all(|began| lived(began.0)) {
            Ok(())
        } else {
            Err("they are too young".to_owned())
        }
    })
    .await;
    // Its pods are kept until their last second is recorded, and then they go.
    let systems: Api<AgencySystem> = Api::namespaced(client.clone(), "mois");
    delete(&systems, "docs").await;
    is_gone(&systems, "docs", 60).await;
    eventually("the pods to be recorded and gone", 60, async || {
        let left = of_mois.list(&ListParams::default()).await.unwrap().items;
        if left.is_empty() {
            Ok(())
        } else {
            Err(last_words(&client).await)
        }
    })
    .await;
    let total = previewed(&client, "platform", "first").await;
    assert!(total.parse::<u64>().unwrap() > 0, "{total}");

    // Usage and money are on the volume: another container has them, and goes on.
    let running = operator_pods(&client).list(&ListParams::default()).await.unwrap().items;
    operator_pods(&client)
        .delete(&running[0].name_any(), &DeleteParams::default())
        .await
        .unwrap();
    is_gone(&operator_pods(&client), &running[0].name_any(), 60).await;
    operator_is_ready(&client, 1).await;
    assert_eq!(previewed(&client, "platform", "again").await, total);

    // It survives the release as well.
    Helm::of(&cluster)
        .await
        .run(&["uninstall", "maru", "--namespace", RELEASE_NAMESPACE])
        .await
        .unwrap();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), RELEASE_NAMESPACE);
    let kept = claims.get("maru-operator").await.unwrap();
    assert!(kept.metadata.deletion_timestamp.is_none());
    cluster.stop().await.unwrap();
}
