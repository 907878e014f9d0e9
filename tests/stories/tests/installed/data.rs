//! Data under the chart: the operator's own ServiceAccount is enough for servers, datasets and grants, and reaches no other Secret.

use crate::charts::{done, empty_cluster, rights};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
use kube::Client;
use kube::api::{Api, ListParams};
use maru_controller::Settings;
use maru_crds::{DataGrant, Dataset};
use maru_stories::data::{
    ADMIN_PASSWORD, accept, condition, dataset, grant, make_admin, put, register_server, secret, secrets_of_maru,
    two_ministries,
};
use maru_stories::{Helm, RELEASE_NAMESPACE, delete, is_gone, operator_config, start_installed};
use maru_test_postgres::{Postgres, PostgresOptions};
use serde_json::json;
use std::time::Duration;

const CONSUMERS: &str = "docs.data.nts.businesses";

/// What the story makes, changes and takes away.
const OF_DATA: [&str; 4] = ["databaseservers", "datasets", "datagrants", "secrets"];

async fn asked(client: &Client, view: &str) -> Result<usize, String> {
    let uri = secret(client, "mois", CONSUMERS).await.ok_or("there is no Secret")?["uri"].clone();
    let sql = format!("SELECT name FROM {view}.business");
    let rows = tokio::task::spawn_blocking(move || {
        let mut session = postgres::Client::connect(&uri, postgres::NoTls).map_err(|error| format!("{error:?}"))?;
        let rows = session.query(&sql, &[]);
        rows.map(|rows| rows.len()).map_err(|error| format!("{error:?}"))
    });
    rows.await.unwrap()
}

#[tokio::test]
async fn the_operator_as_installed_carries_out_grants_and_reads_no_other_secret() {
    let cluster = empty_cluster().await;
    let client = &cluster.client().unwrap();
    Helm::of(&cluster)
        .await
        .install(&["replicas=0", "metering.enabled=false"])
        .await;
    let server = Postgres::start(&PostgresOptions::default()).unwrap();
    make_admin(&server);
    let settings = Settings {
        verify_data_every: Duration::from_secs(1),
        ..Settings::default()
    };
    let operator = start_installed(&cluster, settings).await;
    register_server(client, &server, ADMIN_PASSWORD, json!({"mode": "Disable"})).await;
    let object = json!({"apiVersion": "maru.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "shared"}});
    condition(client, &object, "Ready", "True", "Ready").await;
    two_ministries(client).await;
    condition(client, &dataset(), "Ready", "True", "Ready").await;
    put(client, &grant("letters", 3600)).await;
    accept(client, &["letters"]).await;
    condition(client, &grant("letters", 3600), "Ready", "True", "Ready").await;
    let grants = Api::<DataGrant>::namespaced(client.clone(), "nts");
    let view = grants
        .get("letters")
        .await
        .unwrap()
        .status
        .unwrap()
        .view_schema
        .unwrap();
    assert_eq!(asked(client, &view).await, Ok(0), "nobody wrote a row yet");

    // Its Secrets are those of the two namespaces where it delivers, and of its own.
    let as_operator = Client::try_from(operator_config(&cluster).await).unwrap();
    let reads = async |namespace: &str, name: &str| {
        let api = Api::<Secret>::namespaced(as_operator.clone(), namespace);
        api.get_opt(name).await.is_ok()
    };
    assert!(reads("mois", CONSUMERS).await && reads(RELEASE_NAMESPACE, "shared-admin").await);
    assert!(!reads("kube-system", "any").await && !reads("default", "any").await);
    let listed = Api::<Secret>::namespaced(as_operator.clone(), "mois");
    assert!(
        listed.list(&ListParams::default()).await.is_err(),
        "it reads by name alone"
    );

    delete(&grants, "letters").await;
    is_gone(&grants, "letters", 30).await;
    let datasets = Api::<Dataset>::namespaced(client.clone(), "nts");
    delete(&datasets, "businesses").await;
    is_gone(&datasets, "businesses", 60).await;
    assert_eq!(
        secrets_of_maru(client).await,
        ["nts/registry.data.nts.businesses"],
        "what it delivered to the other ministry goes"
    );
    operator.stop().await;

    let log = std::fs::read_to_string(cluster.audit_log().unwrap()).unwrap();
    let (used, refused) = done(&log);
    // Before it binds itself in a namespace it has no right there, and one refusal is how it learns of that; this story's own
    // questions come besides.
    let others: Vec<&String> = refused.iter().filter(|one| !one.contains("/secrets")).collect();
    assert!(others.is_empty(), "the operator was refused {others:?}");
    let everywhere = Api::<ClusterRole>::all(client.clone());
    let mut rules = everywhere.get("maru-operator").await.unwrap().rules.unwrap();
    rules.extend(everywhere.get("maru-credentials").await.unwrap().rules.unwrap());
    let own = Api::<Role>::namespaced(client.clone(), RELEASE_NAMESPACE);
    rules.extend(own.get("maru-operator-servers").await.unwrap().rules.unwrap());
    let unused: Vec<_> = rights(&rules)
        .into_iter()
        .filter(|(_, resource, _)| OF_DATA.contains(&resource.split('/').next().unwrap_or_default()))
        .filter(|right| !used.contains(right))
        .collect();
    assert!(unused.is_empty(), "the operator never needed to {unused:?}");
    cluster.stop().await.unwrap();
}
