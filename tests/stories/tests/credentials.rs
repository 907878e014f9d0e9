//! Users and passwords are replaced while everybody goes on working, on a real API server and a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use kube::Client;
use kube::api::Api;
use maru_controller::Settings;
use maru_crds::DataGrant;
use maru_stories::data::{
    ADMIN_PASSWORD, accept, ask, condition, dataset, everything, grant, make_admin, put, register_server, secret,
    two_ministries,
};
use maru_stories::{Faults, Operator, cluster_with_kinds, eventually};
use maru_test_cluster::Cluster;
use maru_test_postgres::{Postgres, PostgresOptions};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const CONSUMERS: &str = "docs.data.nts.businesses";
const OWNERS: &str = "registry.data.nts.businesses";

/// A client that makes a new connection all the time, each with what the Secret says then.
struct Restless {
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    work: JoinHandle<()>,
}

impl Restless {
    fn start(client: &Client, namespace: &'static str, name: &'static str, sql: String) -> Self {
        let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (client, ending, count) = (client.clone(), Arc::clone(&over), Arc::clone(&asked));
        let work = tokio::spawn(async move {
            while !ending.load(Ordering::Relaxed) {
                let uri = uri(&client, namespace, name).await;
                ask(uri, sql.clone())
                    .await
                    .unwrap_or_else(|error| panic!("{namespace} was refused: {error}"));
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { over, asked, work }
    }

    /// Waits until it has asked so many times more.
    async fn asks(&self, more: usize) {
        let before = self.asked.load(Ordering::Relaxed);
        eventually("the client to ask on", 60, async || {
            assert!(!self.work.is_finished(), "the client ended");
            let now = self.asked.load(Ordering::Relaxed);
            if now >= before + more {
                Ok(())
            } else {
                Err(format!("{now}"))
            }
        })
        .await;
    }

    async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.work.await.unwrap();
    }
}

async fn uri(client: &Client, namespace: &str, name: &str) -> String {
    secret(client, namespace, name).await.unwrap()["uri"].clone()
}

/// The dataset, whose old credentials work for a minute.
fn replacing(before: Option<jiff::Timestamp>) -> Value {
    let mut object = dataset();
    object["spec"]["credentials"] = json!({"overlapMinutes": 1});
    if let Some(before) = before {
        object["spec"]["credentials"]["replaceIssuedBefore"] = json!(before.to_string());
    }
    object
}

/// Waits until both Secrets name another user than these.
async fn replaced(client: &Client, users: &[String; 2]) -> [String; 2] {
    eventually("both credentials to be replaced", 120, async || {
        let now = both_users(client).await;
        if now[0] != users[0] && now[1] != users[1] {
            Ok(now)
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await
}

async fn both_users(client: &Client) -> [String; 2] {
    let of = async |namespace, name| secret(client, namespace, name).await.unwrap()["username"].clone();
    [of("nts", OWNERS).await, of("mois", CONSUMERS).await]
}

struct Scene {
    cluster: Cluster,
    client: Client,
    server: Postgres,
    faults: Faults,
    operator: Operator,
    /// What the consumer asks.
    all: String,
}

fn operator(cluster: &Cluster, faults: &Faults) -> Operator {
    let settings = Settings {
        verify_data_every: Duration::from_secs(1),
        ..Settings::default()
    };
    Operator::start(&cluster.config(), settings, faults)
}

impl Scene {
    /// Two ministries, and a grant of one to the other that is in force.
    async fn set() -> Self {
        let cluster = cluster_with_kinds().await;
        let client = cluster.client().unwrap();
        let server = Postgres::start(&PostgresOptions::default()).unwrap();
        make_admin(&server);
        let faults = Faults::none();
        let operator = operator(&cluster, &faults);
        register_server(&client, &server, ADMIN_PASSWORD, json!({"mode": "Disable"})).await;
        two_ministries(&client).await;
        put(&client, &replacing(None)).await;
        condition(&client, &dataset(), "Ready", "True", "Ready").await;
        put(&client, &grant("letters", 3600)).await;
        accept(&client, &["letters"]).await;
        condition(&client, &grant("letters", 3600), "Ready", "True", "Ready").await;
        let granted = Api::<DataGrant>::namespaced(client.clone(), "nts").get("letters").await;
        let view = granted.unwrap().status.unwrap().view_schema.unwrap();
        Self {
            all: format!("SELECT name FROM {view}.business"),
            cluster,
            client,
            server,
            faults,
            operator,
        }
    }

    fn restless(&self) -> [Restless; 2] {
        let own = "SELECT FROM business".to_owned();
        [
            Restless::start(&self.client, "nts", OWNERS, own),
            Restless::start(&self.client, "mois", CONSUMERS, self.all.clone()),
        ]
    }

    async fn end(self) {
        self.operator.stop().await;
        self.cluster.stop().await.unwrap();
    }
}

#[tokio::test]
async fn credentials_are_replaced_on_demand_and_nobody_who_reads_the_secret_is_refused() {
    let scene = Scene::set().await;
    let (client, all) = (&scene.client, &scene.all);
    let [owner, consumer] = scene.restless();
    let first = both_users(client).await;
    let old = uri(client, "mois", CONSUMERS).await;
    owner.asks(3).await;
    consumer.asks(3).await;
    put(client, &replacing(Some(jiff::Timestamp::now()))).await;
    let second = replaced(client, &first).await;
    assert_eq!(
        ask(old.clone(), all.clone()).await,
        Ok(0),
        "the old one works for a while"
    );
    owner.asks(3).await;
    consumer.asks(3).await;
    // Whoever was not told in time is refused when the minute is over, and nobody else.
    eventually("the old credential to end", 180, async || {
        match ask(old.clone(), all.clone()).await {
            Err(_) => Ok(()),
            Ok(_) => Err("it still works".to_owned()),
        }
    })
    .await;
    assert_eq!(both_users(client).await, second, "replaced once");
    condition(client, &dataset(), "Ready", "True", "Ready").await;
    condition(client, &grant("letters", 3600), "Enforced", "True", "Enforced").await;

    // And once more, back to the first pair of roles, with other passwords.
    put(client, &replacing(Some(jiff::Timestamp::now()))).await;
    assert_eq!(replaced(client, &second).await, first);
    assert_ne!(uri(client, "mois", CONSUMERS).await, old);
    owner.asks(3).await;
    consumer.asks(3).await;
    owner.end().await;
    consumer.end().await;
    let word = secret(client, "mois", CONSUMERS).await.unwrap()["password"].clone();
    assert!(
        !everything(client).await.contains(&word),
        "no object but the Secret says it"
    );
    scene.end().await;
}

#[tokio::test]
async fn a_crash_after_the_database_knows_the_next_user_and_before_the_secret_does_refuses_nobody() {
    let mut scene = Scene::set().await;
    let first = both_users(&scene.client).await;
    let [owner, consumer] = scene.restless();
    scene.faults.hang("/namespaces/mois/secrets");
    put(&scene.client, &replacing(Some(jiff::Timestamp::now()))).await;
    let next = format!("{}_b", first[1]);
    let known = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{next}'");
    eventually("the database to know the next user", 60, async || {
        let count = scene.server.sql("postgres", &known).unwrap();
        if count == "1" { Ok(()) } else { Err(count) }
    })
    .await;
    consumer.asks(2).await;
    scene.operator.kill();
    assert_eq!(
        both_users(&scene.client).await[1],
        first[1],
        "the Secret was not written"
    );
    owner.asks(2).await;
    consumer.asks(2).await;
    scene.faults.calm();
    scene.operator = operator(&scene.cluster, &scene.faults);
    let second = replaced(&scene.client, &first).await;
    assert_eq!(second[1], next);
    owner.asks(2).await;
    consumer.asks(2).await;
    owner.end().await;
    consumer.end().await;
    condition(&scene.client, &dataset(), "Ready", "True", "Ready").await;
    scene.end().await;
}
