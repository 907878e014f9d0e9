//! Two replicas, as the chart makes them where usage and bills are kept outside of the cluster.

use crate::container::{cluster_with_image, previewed, prices};
use crate::stage::create;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, DeleteParams};
use maru_crds::AgencySystem;
use maru_stories::{
    Helm, RELEASE_NAMESPACE, agency, agency_ready, apply, delete, eventually, is_gone, last_words, operator_is_ready,
    operator_pods, system, system_ready,
};
use maru_test_cluster::{Cluster, ObjectStore};
use maru_test_postgres::{Postgres, PostgresOptions};
use serde_json::{Value, json};
use std::net::IpAddr;

/// A ledger that pods reach.
fn ledger(folder: &std::path::Path, outside: IpAddr) -> (Postgres, String) {
    let hba = folder.join("pg_hba.conf");
    std::fs::write(&hba, "local all all scram-sha-256\nhost all all all scram-sha-256\n").unwrap();
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let server = Postgres::start(&PostgresOptions {
        settings: vec![
            ("listen_addresses".to_owned(), format!("127.0.0.1,{outside}")),
            ("hba_file".to_owned(), hba.display().to_string()),
        ],
        ..PostgresOptions::default()
    });
    let server = server.unwrap();
    let url = server.create_database("ledger").unwrap();
    (server, url.replace("127.0.0.1", &outside.to_string()))
}

async fn install(cluster: &Cluster, ledger: &str, store: &ObjectStore) {
    let client = cluster.client().unwrap();
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": RELEASE_NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    let secret = |name: &str, data: Value| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "namespace": RELEASE_NAMESPACE}, "stringData": data,
        })
    };
    let environment: serde_json::Map<String, Value> = store
        .environment()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .into_iter()
        .collect();
    create(&client, &namespace).await.unwrap();
    create(&client, &secret("ledger", json!({"url": ledger})))
        .await
        .unwrap();
    create(&client, &secret("store", Value::Object(environment)))
        .await
        .unwrap();
    let values = [
        "metering.lake=s3://usage/lake",
        "metering.secret=store",
        "billing.ledgerSecret=ledger",
    ];
    Helm::of(cluster).await.install(&values).await;
    operator_is_ready(&client, 2).await;
}

async fn leader(client: &Client) -> String {
    let leases: Api<Lease> = Api::namespaced(client.clone(), RELEASE_NAMESPACE);
    eventually("one of the replicas to lead", 30, async || {
        let lease = leases.get_opt("maru-operator").await.unwrap();
        let holder = lease.and_then(|lease| lease.spec?.holder_identity);
        holder.filter(|holder| !holder.is_empty()).ok_or_else(String::new)
    })
    .await
}

#[tokio::test]
async fn two_replicas_share_their_stores_and_when_the_leader_is_killed_the_other_goes_on() {
    let Some(cluster) = cluster_with_image().await else {
        return;
    };
    let client = cluster.client().unwrap();
    let outside = cluster.outside().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectStore::start(folder.path(), outside, &["usage"]).await.unwrap();
    let (_server, ledger) = ledger(folder.path(), outside);
    install(&cluster, &ledger, &store).await;
    prices(&client).await;
    apply(&client, &agency("mois")).await;
    agency_ready(&client, "mois", 30).await;
    apply(&client, &system("mois", "docs")).await;
    system_ready(&client, "mois", "docs", 60).await;

    let first = leader(&client).await;
    let at_once = DeleteParams::default().grace_period(0);
    operator_pods(&client).delete(&first, &at_once).await.unwrap();
    apply(&client, &system("mois", "second")).await;
    system_ready(&client, "mois", "second", 60).await;
    let second = leader(&client).await;
    assert_ne!(second, first, "{}", last_words(&client).await);
    operator_is_ready(&client, 2).await;
    // What began under the first of them is recorded to its end by the second, and worth something.
    let systems: Api<AgencySystem> = Api::namespaced(client.clone(), "mois");
    delete(&systems, "docs").await;
    is_gone(&systems, "docs", 60).await;
    eventually("the use to be worth something", 120, async || {
        let name = format!("preview-{}", jiff::Timestamp::now().as_second());
        match previewed(&client, &name).await.parse::<u64>().unwrap() {
            0 => Err(last_words(&client).await),
            _ => Ok(()),
        }
    })
    .await;
    cluster.stop().await.unwrap();
}
