//! A database server in trouble: nothing is lost, rights end on time, a condition says what to do, and all is well when it is mended.

use kube::Client;
use maru_stories::data::{
    ADMIN_PASSWORD, accept, ask, condition, dataset, grant, put, register_server, secrets_of_maru, two_ministries,
};
use maru_stories::{
    Acting, CONSUMERS, Cut, Faults, OWNERS, Operator, Scene, cluster_with_kinds, eventually, looks_often,
};
use maru_test_cluster::Cluster;
use maru_test_postgres::PostgresOptions;
use serde_json::{Value, json};
use std::net::IpAddr;

/// Two ministries, three businesses of which two are granted, until so many seconds from now; gives what the consumer asks.
async fn granted(scene: &Scene, seconds: i64) -> String {
    scene.filled().await;
    format!("SELECT name FROM {}", scene.granted("letters", seconds).await)
}

fn shared() -> Value {
    json!({"apiVersion": "maru.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "shared"}})
}

/// The server's object says another address, as a Service would lead elsewhere.
async fn is_at(client: &Client, host: IpAddr, port: u16) {
    put(client, &json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "shared"},
        "spec": {"host": host, "port": port, "tls": {"mode": "Disable"}, "adminSecretRef": {"name": "shared-admin"}},
    }))
    .await;
}

/// Another dataset of the same ministry.
fn another() -> Value {
    let mut another = dataset();
    another["metadata"]["name"] = json!("farms");
    another
}

#[tokio::test]
async fn a_server_without_a_connection_left_says_so_and_those_who_have_one_go_on() {
    let settings = [("max_connections", "12"), ("superuser_reserved_connections", "3")];
    let options = PostgresOptions {
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..PostgresOptions::default()
    };
    let scene = Scene::empty(Acting::on_a_cluster().await, options);
    let client = &scene.client;
    scene.registered().await;
    let all = granted(&scene, 600).await;
    let consumer = scene.uri("mois", CONSUMERS).await;
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
    let said = condition(client, &shared(), "Ready", "False", "TooManyConnections").await;
    assert!(said.message.contains("max_connections"), "{}", said.message);
    condition(client, &dataset(), "Enforced", "Unknown", "TooManyConnections").await;
    assert_eq!(open[0].query(&all, &[]).await.unwrap().len(), 2, "who is in goes on");
    drop(open);
    condition(client, &shared(), "Ready", "True", "Ready").await;
    condition(client, &dataset(), "Ready", "True", "Ready").await;
    scene.end().await;
}

#[tokio::test]
async fn a_full_disk_is_said_and_what_is_there_goes_on_and_ends_on_time() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("a disk of its own takes root");
        return;
    }
    let options = PostgresOptions {
        disk_mib: Some(150),
        ..PostgresOptions::default()
    };
    let scene = Scene::empty(Acting::on_a_cluster().await, options);
    let client = &scene.client;
    scene.registered().await;
    let all = granted(&scene, 45).await;
    let consumer = scene.uri("mois", CONSUMERS).await;
    let filler = scene.server.fill_disk(1).unwrap();
    put(client, &another()).await;
    let said = condition(client, &another(), "Ready", "False", "DiskFull").await;
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
    condition(client, &another(), "Ready", "True", "Ready").await;
    condition(client, &dataset(), "Ready", "True", "Ready").await;
    let rows = scene.query("nts", OWNERS, "SELECT FROM business").await;
    assert_eq!(rows, Ok(3), "nothing is lost");
    scene.end().await;
}

#[tokio::test]
async fn after_a_failover_the_promoted_replica_has_every_right_and_every_end() {
    let mut scene = Scene::empty(Acting::on_a_cluster().await, PostgresOptions::default());
    let client = &scene.client.clone();
    scene.registered().await;
    let all = granted(&scene, 45).await;
    let replica = scene.server.replica().unwrap();
    let old = scene.uri("mois", CONSUMERS).await;
    let there = old.replace(&scene.server.port().to_string(), &replica.port().to_string());
    eventually("the replica to follow", 20, async || {
        match ask(there.clone(), all.clone()).await {
            Ok(2) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    scene.server.crash().unwrap();
    condition(client, &shared(), "Ready", "False", "ServerUnreachable").await;
    // The address leads to the replica before anybody promoted it.
    is_at(client, replica.host(), replica.port()).await;
    let said = condition(client, &shared(), "Ready", "False", "NotPrimary").await;
    assert!(said.message.contains("primary"), "{}", said.message);
    replica.promote().unwrap();
    condition(client, &shared(), "Ready", "True", "Ready").await;
    condition(client, &dataset(), "Ready", "True", "Ready").await;
    // The same user and password, at the new address.
    assert_eq!(scene.uri("mois", CONSUMERS).await, there);
    eventually("the grant to end on the new server, too", 80, async || {
        match ask(there.clone(), all.clone()).await {
            Ok(2) => Err("it goes on".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    condition(client, &grant("letters", 0), "Active", "False", "Expired").await;
    condition(client, &grant("letters", 0), "Enforced", "True", "NothingGranted").await;
    assert_eq!(scene.query("nts", OWNERS, "SELECT FROM business").await, Ok(3));
    scene.end().await;
}

#[tokio::test]
async fn a_certificate_whose_time_is_over_is_refused_until_it_is_renewed() {
    let options = PostgresOptions {
        tls: true,
        certificate_over: true,
        ..PostgresOptions::default()
    };
    let scene = Scene::empty(Acting::on_a_cluster().await, options);
    let (client, server) = (&scene.client, &scene.server);
    let ca = async || {
        put(
            client,
            &json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shared-ca", "namespace": "maru-system"},
                "stringData": {"ca.crt": std::fs::read_to_string(server.authority()).unwrap()},
            }),
        )
        .await;
    };
    register_server(
        client,
        server,
        ADMIN_PASSWORD,
        json!({"caSecretRef": {"name": "shared-ca"}}),
    )
    .await;
    ca().await;
    two_ministries(client).await;
    let said = condition(client, &shared(), "Ready", "False", "CertificateRefused").await;
    assert!(said.message.to_lowercase().contains("expired"), "{}", said.message);
    assert!(said.message.contains("renew it"), "{}", said.message);
    server.renew_certificate().unwrap();
    ca().await;
    condition(client, &shared(), "Ready", "True", "Ready").await;
    condition(client, &dataset(), "Ready", "True", "Ready").await;
    scene.end().await;
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

/// An operator in this process, where it can be killed at a statement.
fn operator(cluster: &Cluster) -> Operator {
    Operator::start(&cluster.config(), looks_often(), &Faults::none())
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
    let nobody = Acting::nobody(&cluster, looks_often(), &Faults::none());
    let scene = Scene::empty((cluster, nobody), PostgresOptions::default());
    let (client, server) = (&scene.client, &scene.server);
    let cut = Cut::to(server.port()).await;
    scene.registered().await;
    is_at(client, server.host(), cut.port).await;
    let mut dice = Dice(2026);
    let lives = among_kills(&scene.cluster, &cut, &mut dice, async {
        granted(&scene, 600).await;
        let mut smaller = grant("regions", 600);
        smaller["spec"]["tables"] = json!([{"name": "business", "columns": ["region"]}]);
        put(client, &smaller).await;
        accept(client, &["letters", "regions"]).await;
        condition(client, &smaller, "Ready", "True", "Ready").await;
        // And one of them is taken back.
        accept(client, &["regions"]).await;
        condition(client, &grant("letters", 600), "Enforced", "True", "NothingGranted").await;
        condition(client, &smaller, "Ready", "True", "Ready").await;
    })
    .await;
    assert!(lives > 5, "it was killed {lives} times");
    cut.heal();
    let operator = operator(&scene.cluster);
    condition(client, &dataset(), "Ready", "True", "Ready").await;
    let consumer = scene.uri("mois", CONSUMERS).await;
    let regions = format!("SELECT region FROM {}", scene.view("regions").await);
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
    assert_eq!(scene.query("nts", OWNERS, "SELECT FROM business").await, Ok(3));
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
        secrets_of_maru(client).await,
        [format!("mois/{CONSUMERS}"), format!("nts/{OWNERS}")]
    );
    operator.stop().await;
    scene.end().await;
}
