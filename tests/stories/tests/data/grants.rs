//! A dataset, who may read of it, and how long.

use kube::api::Api;
use maru_crds::{DataGrant, Dataset};
use maru_stories::data::{
    ADMIN_PASSWORD, accept, ask, condition, dataset, grant, put, put_admin, register_server, secret, secrets_of_maru,
    two_ministries,
};
use maru_stories::{Acting, CONSUMERS, OWNERS, Scene, delete, eventually, is_gone};
use maru_test_postgres::{Postgres, PostgresOptions};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_ministry_reads_what_another_granted_and_it_accepted_until_either_takes_it_back() {
    let scene = Scene::set().await;
    let client = &scene.client;
    // Granted alone is not enough.
    put(client, &grant("letters", 600)).await;
    condition(client, &grant("letters", 600), "Ready", "False", "NotAccepted").await;
    assert_eq!(secrets_of_maru(client).await, [format!("nts/{OWNERS}")]);

    accept(client, &["letters"]).await;
    condition(client, &grant("letters", 600), "Ready", "True", "Ready").await;
    condition(client, &grant("letters", 600), "Enforced", "True", "Enforced").await;
    let all = format!("SELECT name FROM {}", scene.view("letters").await);
    assert_eq!(scene.query("mois", CONSUMERS, &all).await, Ok(2));
    assert!(
        scene
            .query("mois", CONSUMERS, "SELECT owner FROM public.business")
            .await
            .is_err()
    );
    assert_eq!(
        secrets_of_maru(client).await,
        [format!("mois/{CONSUMERS}"), format!("nts/{OWNERS}")]
    );

    // The consumer takes its consent back: refused with the old credentials, which are gone from the cluster.
    let uri = scene.uri("mois", CONSUMERS).await;
    accept(client, &[]).await;
    condition(client, &grant("letters", 600), "Ready", "False", "NotAccepted").await;
    condition(client, &grant("letters", 600), "Enforced", "True", "NothingGranted").await;
    assert!(ask(uri.clone(), all.clone()).await.is_err());
    assert_eq!(secret(client, "mois", CONSUMERS).await, None);

    // It accepts again, and the owner deletes the grant.
    accept(client, &["letters"]).await;
    condition(client, &grant("letters", 600), "Ready", "True", "Ready").await;
    assert_eq!(scene.query("mois", CONSUMERS, &all).await, Ok(2));
    let grants = Api::<DataGrant>::namespaced(client.clone(), "nts");
    delete(&grants, "letters").await;
    is_gone(&grants, "letters", 10).await;
    eventually("the consumer to be refused", 20, async || {
        match scene.query("mois", CONSUMERS, &all).await {
            Err(_) => Ok(()),
            Ok(rows) => Err(format!("{rows} rows")),
        }
    })
    .await;
    // What the owner's own system does goes on.
    assert_eq!(scene.query("nts", OWNERS, "SELECT FROM business").await, Ok(3));
    scene.end().await;
}

#[tokio::test]
async fn a_grant_ends_at_its_time_with_no_operator_and_strangers_rights_go_when_one_is_back() {
    let scene = Scene::set().await;
    let client = &scene.client.clone();
    let all = format!("SELECT name FROM {}", scene.granted("short", 40).await);
    let uri = scene.uri("mois", CONSUMERS).await;
    let found = Api::<DataGrant>::namespaced(client.clone(), "nts")
        .get("short")
        .await
        .unwrap();
    let end: jiff::Timestamp = found.spec.not_after.parse().unwrap();
    scene.operator.kill().await;
    let began = Instant::now();
    while ask(uri.clone(), all.clone()).await == Ok(2) {
        assert!(began.elapsed() < Duration::from_mins(1), "the grant does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let late = jiff::Timestamp::now().duration_since(end);
    assert!(late.as_secs().abs() <= 1, "it ended {late:?} after its time");
    assert_eq!(
        ask(uri.clone(), all).await,
        Ok(0),
        "the session lives and shows nothing"
    );

    // Somebody with the right to do so gives the consumer the whole table by hand.
    let user = secret(client, "mois", CONSUMERS).await.unwrap()["username"].clone();
    let database = secret(client, "mois", CONSUMERS).await.unwrap()["database"].clone();
    let by_hand = format!("GRANT USAGE ON SCHEMA public TO {user}; GRANT SELECT ON business TO {user}");
    scene.server.sql(&database, &by_hand).unwrap();
    assert_eq!(ask(uri.clone(), "SELECT FROM business".to_owned()).await, Ok(3));
    scene.operator.start().await;
    condition(client, &grant("short", 0), "Active", "False", "Expired").await;
    condition(client, &grant("short", 0), "Enforced", "True", "NothingGranted").await;
    assert!(ask(uri, "SELECT FROM business".to_owned()).await.is_err());

    // And under a running one.
    scene
        .server
        .sql(&database, "GRANT SELECT ON business TO PUBLIC")
        .unwrap();
    eventually("the stranger's grant to be undone", 20, async || {
        let acl = scene
            .server
            .sql(&database, "SELECT relacl FROM pg_class WHERE relname = 'business'")
            .unwrap();
        let metric = "maru_deviations_undone_total{kind=\"Dataset\"}";
        let counted = scene.operator.metric(metric).await;
        if !acl.contains("{=r") && !acl.contains(",=r") && counted >= 1 {
            Ok(())
        } else {
            Err(format!("{acl} {counted}"))
        }
    })
    .await;
    condition(client, &dataset(), "Ready", "True", "Ready").await;
    scene.end().await;
}

/// How many rows there are, whoever may read them.
fn stored(server: &Postgres) -> String {
    server.sql("nts_businesses", "SELECT count(*) FROM business").unwrap()
}

/// How often somebody connected to the dataset's database.
fn sessions(server: &Postgres) -> String {
    let sql = "SELECT sessions FROM pg_stat_database WHERE datname = 'nts_businesses'";
    server.sql("postgres", sql).unwrap()
}

#[tokio::test]
async fn at_rest_nobody_connects_to_a_database_and_what_a_stranger_does_there_is_undone_all_the_same() {
    let scene = Scene::set().await;
    let client = &scene.client;
    scene.granted("letters", 600).await;
    let turns = async || {
        let metric = "maru_reconciles_total{kind=\"Dataset\",outcome=\"Done\"}";
        scene.operator.metric(metric).await
    };
    let (mut at, mut before) = (turns().await, sessions(&scene.server));
    eventually("four verifications without a session", 30, async || {
        if turns().await < at + 4 {
            return Err("they go on".to_owned());
        }
        let (after, known) = (sessions(&scene.server), before.clone());
        (at, before) = (turns().await, after.clone());
        if known == after { Ok(()) } else { Err(after) }
    })
    .await;

    // Somebody with every right changes the table's rights, and stays connected without doing more.
    let url = scene.server.url("nts_businesses");
    let stranger = tokio::task::spawn_blocking(move || {
        let mut session = postgres::Client::connect(&url, postgres::NoTls).unwrap();
        session.batch_execute("GRANT SELECT ON business TO PUBLIC").unwrap();
        session
    });
    let stranger = stranger.await.unwrap();
    eventually("the stranger's grant to be undone", 30, async || {
        let sql = "SELECT relacl FROM pg_class WHERE relname = 'business'";
        let acl = scene.server.sql("nts_businesses", sql).unwrap();
        if acl.contains("{=r") || acl.contains(",=r") {
            Err(acl)
        } else {
            Ok(())
        }
    })
    .await;
    // What the databases share counts too: a login that may do more.
    let user = secret(client, "mois", CONSUMERS).await.unwrap()["username"].clone();
    let might = format!("GRANT pg_read_all_data TO {user}");
    scene.server.sql("postgres", &might).unwrap();
    eventually("the membership to be undone", 30, async || {
        let sql = format!("SELECT pg_has_role('{user}', 'pg_read_all_data', 'MEMBER')");
        match scene.server.sql("postgres", &sql).unwrap().as_str() {
            "f" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
    tokio::task::spawn_blocking(move || drop(stranger)).await.unwrap();
    condition(client, &dataset(), "Ready", "True", "Ready").await;
    scene.end().await;
}

#[tokio::test]
async fn a_server_that_refuses_or_is_away_says_what_to_do_and_all_is_well_when_it_is_mended() {
    let options = PostgresOptions {
        tls: true,
        ..PostgresOptions::default()
    };
    let mut scene = Scene::empty(Acting::on_a_cluster().await, options);
    let client = &scene.client.clone();
    let object = json!({"apiVersion": "maru.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "shared"}});
    // Without the authority's certificate the server's is refused.
    register_server(client, &scene.server, "wrong-word", json!({})).await;
    two_ministries(client).await;
    condition(client, &object, "Ready", "False", "CertificateRefused").await;
    condition(client, &dataset(), "Ready", "False", "CertificateRefused").await;
    let authority = std::fs::read_to_string(scene.server.authority()).unwrap();
    let ca = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shared-ca", "namespace": "maru-system"},
        "stringData": {"ca.crt": authority},
    });
    put(client, &ca).await;
    register_server(
        client,
        &scene.server,
        "wrong-word",
        json!({"caSecretRef": {"name": "shared-ca"}}),
    )
    .await;
    let wrong = condition(client, &object, "Ready", "False", "WrongPassword").await;
    assert!(wrong.message.contains("adminSecretRef"), "{}", wrong.message);
    put_admin(client, ADMIN_PASSWORD).await;
    condition(client, &object, "Ready", "True", "Ready").await;
    condition(client, &dataset(), "Ready", "True", "Ready").await;

    scene.server.crash().unwrap();
    let away = condition(client, &object, "Ready", "False", "ServerUnreachable").await;
    assert!(away.message.contains("host and port"), "{}", away.message);
    condition(client, &dataset(), "Enforced", "Unknown", "ServerUnreachable").await;
    scene.server.restart().unwrap();
    condition(client, &dataset(), "Ready", "True", "Ready").await;
    condition(client, &object, "Ready", "True", "Ready").await;
    scene.end().await;
}

#[tokio::test]
async fn a_dataset_that_is_deleted_leaves_its_data_and_one_of_the_same_name_has_it_again() {
    let scene = Scene::set().await;
    let client = &scene.client;
    let view = scene.granted("letters", 600).await;
    let uri = scene.uri("mois", CONSUMERS).await;
    let datasets = Api::<Dataset>::namespaced(client.clone(), "nts");
    delete(&datasets, "businesses").await;
    is_gone(&datasets, "businesses", 30).await;
    condition(client, &grant("letters", 600), "Enforced", "Unknown", "DatasetMissing").await;
    assert!(
        ask(uri, format!("SELECT FROM {view}")).await.is_err(),
        "others' rights end with it"
    );
    assert_eq!(stored(&scene.server), "3");
    put(client, &dataset()).await;
    condition(client, &dataset(), "Ready", "True", "Ready").await;
    condition(client, &grant("letters", 600), "Ready", "True", "Ready").await;
    let again = format!("SELECT FROM {}", scene.view("letters").await);
    assert_eq!(scene.query("mois", CONSUMERS, &again).await, Ok(2));
    assert_eq!(scene.query("nts", OWNERS, "SELECT FROM business").await, Ok(3));

    // deletionPolicy Delete is not carried out without a backup, and says so.
    let mut reckless = dataset();
    reckless["spec"]["deletionPolicy"] = json!("Delete");
    put(client, &reckless).await;
    eventually("the policy to be recorded", 20, async || {
        let status = datasets.get("businesses").await.unwrap().status.unwrap();
        (status.deletion_policy == Some(maru_crds::DeletionPolicy::Delete))
            .then_some(())
            .ok_or(String::new())
    })
    .await;
    delete(&datasets, "businesses").await;
    condition(client, &reckless, "Ready", "False", "BackupMissing").await;
    assert_eq!(stored(&scene.server), "3");
    scene.end().await;
}
