//! Two replicas, as the chart makes them where usage and bills are kept outside of the cluster.

use crate::container::{cluster_with_image, previewed, prices};
use crate::stage::create;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams};
use maru_controller::ingest::AUDIENCE;
use maru_crds::AgencySystem;
use maru_stories::events::{BATCH, account, event, send, token};
use maru_stories::{
    Helm, RELEASE_NAMESPACE, agency, agency_ready, apply, delete, eventually, is_gone, last_words, operator_is_ready,
    operator_pods, system, system_ready,
};
use maru_test_cluster::{Cluster, ObjectStore};
use maru_test_postgres::{Postgres, PostgresOptions};
use serde_json::{Value, json};
use std::net::SocketAddr;

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
        "events.enabled=true",
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

/// What so many requests cost together, once they have been worked out.
async fn priced_requests(client: &Client, name: &str, expected: &str) {
    eventually(&format!("{expected} requests to be priced"), 120, async || {
        let run = format!("{name}-{}", jiff::Timestamp::now().as_millisecond());
        match previewed(client, "requests", &run).await {
            total if total == expected => Ok(()),
            total => Err(format!("{total}\n{}", last_words(client).await)),
        }
    })
    .await;
}

/// Sends the same requests to every replica; each says that they are recorded.
async fn report(client: &Client, token: &str, events: &[Value]) {
    for pod in operator_pods(client).list(&ListParams::default()).await.unwrap() {
        let Some(address) = pod.status.and_then(|status| status.pod_ip) else {
            continue;
        };
        let to = SocketAddr::new(address.parse().unwrap(), 9465);
        let (status, said) = send(to, Some(token), BATCH, &json!(events)).await;
        assert_eq!(
            (status, said["recorded"].as_u64()),
            (200, Some(events.len() as u64)),
            "{said}"
        );
    }
}

#[tokio::test]
async fn two_replicas_share_their_stores_and_when_the_leader_is_killed_the_other_goes_on() {
    let Some(cluster) = cluster_with_image().await else {
        return;
    };
    let client = cluster.client().unwrap();
    let outside = cluster.outside();
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectStore::start(folder.path(), outside.unwrap(), &["usage"])
        .await
        .unwrap();
    let server = Postgres::start(&PostgresOptions {
        outside,
        ..PostgresOptions::default()
    })
    .unwrap();
    install(&cluster, &server.create_database("ledger").unwrap(), &store).await;
    prices(&client, "platform", ("cpu.reserved", "core-hour", "100000000")).await;
    prices(&client, "requests", ("requests.count", "request", "1")).await;
    apply(&client, &agency("mois")).await;
    agency_ready(&client, "mois", 30).await;
    apply(&client, &system("mois", "docs")).await;
    system_ready(&client, "mois", "docs", 60).await;
    // Both take what the system reports, and what both were told counts once.
    account(&client, "mois", "counter", Some("docs")).await;
    let token = token(&client, "mois", "counter", AUDIENCE).await;
    let events: Vec<Value> = (0..5).map(|id| event(&id.to_string(), "10")).collect();
    report(&client, &token, &events[..3]).await;
    priced_requests(&client, "before", "30").await;

    let first = leader(&client).await;
    let at_once = DeleteParams::default().grace_period(0);
    operator_pods(&client).delete(&first, &at_once).await.unwrap();
    apply(&client, &system("mois", "second")).await;
    system_ready(&client, "mois", "second", 60).await;
    let second = leader(&client).await;
    assert_ne!(second, first, "{}", last_words(&client).await);
    operator_is_ready(&client, 2).await;
    report(&client, &token, &events[1..]).await;
    priced_requests(&client, "after", "50").await;
    // What began under the first of them is recorded to its end by the second, and worth something.
    let systems: Api<AgencySystem> = Api::namespaced(client.clone(), "mois");
    delete(&systems, "docs").await;
    is_gone(&systems, "docs", 60).await;
    eventually("the use to be worth something", 120, async || {
        let name = format!("preview-{}", jiff::Timestamp::now().as_millisecond());
        match previewed(&client, "platform", &name).await.parse::<u64>().unwrap() {
            0 => Err(last_words(&client).await),
            _ => Ok(()),
        }
    })
    .await;
    cluster.stop().await.unwrap();
}
