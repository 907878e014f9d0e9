//! A database server in trouble: nothing is lost, rights end on time, a condition says what to do, and all is well when it is mended.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use kube::Client;
use kube::api::Api;
use maru_controller::Settings;
use maru_crds::DataGrant;
use maru_stories::data::{
    ADMIN_PASSWORD, accept, ask, condition, dataset, grant, make_admin, put, register_server, secret, secrets_of_maru,
    two_ministries,
};
use maru_stories::{Cut, Faults, Operator, cluster_with_kinds, eventually};
use maru_test_cluster::Cluster;
use maru_test_postgres::{Postgres, PostgresOptions};
use serde_json::{Value, json};
use std::time::Duration;

const CONSUMERS: &str = "docs.data.nts.businesses";
const OWNERS: &str = "registry.data.nts.businesses";

fn operator(cluster: &Cluster) -> Operator {
    let settings = Settings {
        verify_data_every: Duration::from_secs(1),
        ..Settings::default()
    };
    Operator::start(&cluster.config(), settings, &Faults::none())
}

fn shared() -> Value {
    json!({"apiVersion": "maru.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "shared"}})
}

/// The server's object says another port, as a Service would lead elsewhere.
async fn is_at(client: &Client, port: u16) {
    put(client, &json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "shared"},
        "spec": {"host": "127.0.0.1", "port": port, "tls": {"mode": "Disable"}, "adminSecretRef": {"name": "shared-admin"}},
    }))
    .await;
}

async fn uri(client: &Client, namespace: &str, name: &str) -> String {
    secret(client, namespace, name).await.unwrap()["uri"].clone()
}

async fn view(client: &Client, name: &str) -> String {
    let grants = Api::<DataGrant>::namespaced(client.clone(), "nts");
    let status = grants.get(name).await.unwrap().status.unwrap();
    format!("SELECT name FROM {}.business", status.view_schema.unwrap())
}

/// Two ministries, three businesses of which two are granted, until so many seconds from now.
async fn granted(client: &Client, seconds: i64) {
    two_ministries(client).await;
    condition(client, &dataset(), "Ready", "True", "Ready").await;
    let rows =
        "INSERT INTO business VALUES ('one', 'Seoul', 'Kim'), ('two', 'Seoul', 'Lee'), ('three', 'Busan', 'Park')";
    ask(uri(client, "nts", OWNERS).await, rows.to_owned()).await.unwrap();
    put(client, &grant("letters", seconds)).await;
    accept(client, &["letters"]).await;
    condition(client, &grant("letters", seconds), "Ready", "True", "Ready").await;
}

/// Another dataset of the same ministry.
fn another() -> Value {
    let mut another = dataset();
    another["metadata"]["name"] = json!("farms");
    another
}

#[tokio::test]
async fn a_server_without_a_connection_left_says_so_and_those_who_have_one_go_on() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let settings = [("max_connections", "12"), ("superuser_reserved_connections", "3")];
    let server = Postgres::start(&PostgresOptions {
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..PostgresOptions::default()
    })
    .unwrap();
    make_admin(&server);
    let operator = operator(&cluster);
    register_server(&client, &server, ADMIN_PASSWORD, json!({"mode": "Disable"})).await;
    granted(&client, 600).await;
    let (consumer, all) = (uri(&client, "mois", CONSUMERS).await, view(&client, "letters").await);
    let mut open = Vec::new();
    // Until there is none: the operator has some of its own at moments.
    eventually(
        "the last connection to be taken",
        30,
        async || match tokio_postgres::connect(&consumer, tokio_postgres::NoTls).await {
            Ok((session, connection)) => {
                tokio::spawn(connection);
                open.push(session);
                Err(open.len().to_string())
            }
            Err(_) if open.len() >= 9 => Ok(()),
            Err(error) => Err(error.to_string()),
        },
    )
    .await;
    let said = condition(&client, &shared(), "Ready", "False", "TooManyConnections").await;
    assert!(said.message.contains("max_connections"), "{}", said.message);
    condition(&client, &dataset(), "Enforced", "Unknown", "TooManyConnections").await;
    assert_eq!(open[0].query(&all, &[]).await.unwrap().len(), 2, "who is in goes on");
    drop(open);
    condition(&client, &shared(), "Ready", "True", "Ready").await;
    condition(&client, &dataset(), "Ready", "True", "Ready").await;
    operator.stop().await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_said_and_what_is_there_goes_on_and_ends_on_time() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("a disk of its own takes root");
        return;
    }
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let server = Postgres::start(&PostgresOptions {
        disk_mib: Some(150),
        ..PostgresOptions::default()
    })
    .unwrap();
    make_admin(&server);
    let operator = operator(&cluster);
    register_server(&client, &server, ADMIN_PASSWORD, json!({"mode": "Disable"})).await;
    granted(&client, 45).await;
    let (consumer, all) = (uri(&client, "mois", CONSUMERS).await, view(&client, "letters").await);
    let filler = server.fill_disk(1).unwrap();
    put(&client, &another()).await;
    let said = condition(&client, &another(), "Ready", "False", "DiskFull").await;
    assert!(said.message.contains("more room"), "{}", said.message);
    assert_eq!(ask(consumer.clone(), all.clone()).await, Ok(2));
    // The end is data that was written before: it needs no room.
    eventually("the grant to end", 60, async || {
        match ask(consumer.clone(), all.clone()).await {
            Ok(2) => Err("it goes on".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    std::fs::remove_file(filler).unwrap();
    condition(&client, &another(), "Ready", "True", "Ready").await;
    condition(&client, &dataset(), "Ready", "True", "Ready").await;
    let rows = ask(uri(&client, "nts", OWNERS).await, "SELECT FROM business".to_owned()).await;
    assert_eq!(rows, Ok(3), "nothing is lost");
    operator.stop().await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn after_a_failover_the_promoted_replica_has_every_right_and_every_end() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let mut primary = Postgres::start(&PostgresOptions::default()).unwrap();
    make_admin(&primary);
    let operator = operator(&cluster);
    register_server(&client, &primary, ADMIN_PASSWORD, json!({"mode": "Disable"})).await;
    granted(&client, 40).await;
    let replica = primary.replica().unwrap();
    let all = view(&client, "letters").await;
    let old = uri(&client, "mois", CONSUMERS).await;
    let there = old.replace(&primary.port().to_string(), &replica.port().to_string());
    eventually("the replica to follow", 20, async || {
        match ask(there.clone(), all.clone()).await {
            Ok(2) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    primary.crash().unwrap();
    condition(&client, &shared(), "Ready", "False", "ServerUnreachable").await;
    // The address leads to the replica before anybody promoted it.
    is_at(&client, replica.port()).await;
    let said = condition(&client, &shared(), "Ready", "False", "NotPrimary").await;
    assert!(said.message.contains("primary"), "{}", said.message);
    replica.promote().unwrap();
    condition(&client, &shared(), "Ready", "True", "Ready").await;
    condition(&client, &dataset(), "Ready", "True", "Ready").await;
    // The same user and password, at the new address.
    assert_eq!(uri(&client, "mois", CONSUMERS).await, there);
    eventually("the grant to end on the new server, too", 60, async || {
        match ask(there.clone(), all.clone()).await {
            Ok(2) => Err("it goes on".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    condition(&client, &grant("letters", 0), "Active", "False", "Expired").await;
    condition(&client, &grant("letters", 0), "Enforced", "True", "NothingGranted").await;
    let rows = ask(uri(&client, "nts", OWNERS).await, "SELECT FROM business".to_owned()).await;
    assert_eq!(rows, Ok(3));
    operator.stop().await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_certificate_whose_time_is_over_is_refused_until_it_is_renewed() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let server = Postgres::start(&PostgresOptions {
        tls: true,
        certificate_over: true,
        ..PostgresOptions::default()
    })
    .unwrap();
    make_admin(&server);
    let operator = operator(&cluster);
    let ca = async || {
        put(
            &client,
            &json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shared-ca", "namespace": "maru-system"},
                "stringData": {"ca.crt": std::fs::read_to_string(server.authority()).unwrap()},
            }),
        )
        .await;
    };
    put(
        &client,
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "maru-system"}}),
    )
    .await;
    ca().await;
    register_server(
        &client,
        &server,
        ADMIN_PASSWORD,
        json!({"caSecretRef": {"name": "shared-ca"}}),
    )
    .await;
    two_ministries(&client).await;
    let said = condition(&client, &shared(), "Ready", "False", "CertificateRefused").await;
    assert!(said.message.to_lowercase().contains("expired"), "{}", said.message);
    assert!(said.message.contains("renew it"), "{}", said.message);
    server.renew_certificate().unwrap();
    ca().await;
    condition(&client, &shared(), "Ready", "True", "Ready").await;
    condition(&client, &dataset(), "Ready", "True", "Ready").await;
    operator.stop().await;
    cluster.stop().await.unwrap();
}

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// Operators that are killed after a few statements each, before the last one arrives or before its answer does, until `story` has ended.
async fn among_kills(cluster: &Cluster, cut: &Cut, dice: &mut Dice, story: impl Future<Output = ()>) -> usize {
    tokio::pin!(story);
    let mut lives = 0;
    loop {
        lives += 1;
        cut.after(i64::try_from(1 + dice.roll(60)).unwrap(), dice.roll(2) == 0);
        let operator = operator(cluster);
        tokio::select! {
            () = &mut story => {
                operator.stop().await;
                return lives;
            }
            () = cut.broken() => operator.kill(),
        }
    }
}

#[tokio::test]
async fn whatever_statement_the_operator_is_killed_after_the_end_is_the_same() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let server = Postgres::start(&PostgresOptions::default()).unwrap();
    make_admin(&server);
    let cut = Cut::to(server.port()).await;
    register_server(&client, &server, ADMIN_PASSWORD, json!({"mode": "Disable"})).await;
    is_at(&client, cut.port).await;
    let mut dice = Dice(2026);
    let lives = among_kills(&cluster, &cut, &mut dice, async {
        granted(&client, 600).await;
        let mut smaller = grant("regions", 600);
        smaller["spec"]["tables"] = json!([{"name": "business", "columns": ["region"]}]);
        put(&client, &smaller).await;
        accept(&client, &["letters", "regions"]).await;
        condition(&client, &smaller, "Ready", "True", "Ready").await;
        // And one of them is taken back.
        accept(&client, &["regions"]).await;
        condition(&client, &grant("letters", 600), "Enforced", "True", "NothingGranted").await;
        condition(&client, &smaller, "Ready", "True", "Ready").await;
    })
    .await;
    assert!(lives > 5, "it was killed {lives} times");
    cut.heal();
    let operator = operator(&cluster);
    condition(&client, &dataset(), "Ready", "True", "Ready").await;
    let consumer = uri(&client, "mois", CONSUMERS).await;
    let regions = view(&client, "regions").await.replace("name", "region");
    eventually("the consumer to read what is granted", 20, async || {
        match ask(consumer.clone(), regions.clone()).await {
            Ok(3) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(
        ask(consumer.clone(), "SELECT FROM public.business".to_owned())
            .await
            .is_err()
    );
    assert_eq!(
        ask(uri(&client, "nts", OWNERS).await, "SELECT FROM business".to_owned()).await,
        Ok(3)
    );
    // Nothing is left behind: one database, the roles of one dataset, two systems and one grant.
    let of = |what: &str| server.sql("nts_businesses", what).unwrap();
    assert_eq!(of("SELECT count(*) FROM pg_database WHERE datname LIKE 'nts%'"), "1");
    assert_eq!(
        of("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'maru_grant%'"),
        "1"
    );
    let roles =
        of("SELECT substring(rolname FROM '^maru_[a-z]+') FROM pg_roles WHERE rolname LIKE 'maru\\_%' ORDER BY 1");
    let expected = "maru_admin maru_db maru_owner maru_read maru_reader maru_user maru_user maru_write";
    assert_eq!(roles.replace('\n', " "), expected);
    assert_eq!(
        secrets_of_maru(&client).await,
        [format!("mois/{CONSUMERS}"), format!("nts/{OWNERS}")]
    );
    operator.stop().await;
    cluster.stop().await.unwrap();
}
