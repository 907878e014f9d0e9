//! Users and passwords are replaced while everybody goes on working, on a real API server and a real PostgreSQL.

use kube::Client;
use maru_stories::data::{ask, condition, dataset, everything, grant, put, secret};
use maru_stories::{Acting, CONSUMERS, Faults, OWNERS, Scene, eventually};
use maru_test_postgres::PostgresOptions;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::task::JoinHandle;

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

/// A grant of one ministry to the other is in force, and the dataset's old credentials work for a minute; gives what the consumer asks.
async fn in_force(scene: &Scene) -> String {
    scene.with_data().await;
    put(&scene.client, &replacing(None)).await;
    condition(&scene.client, &dataset(), "Ready", "True", "Ready").await;
    format!("SELECT name FROM {}", scene.granted("letters", 3600).await)
}

/// Both ministries ask all the time.
fn restless(scene: &Scene, all: &str) -> [Restless; 2] {
    let own = "SELECT FROM business".to_owned();
    [
        Restless::start(&scene.client, "nts", OWNERS, own),
        Restless::start(&scene.client, "mois", CONSUMERS, all.to_owned()),
    ]
}

#[tokio::test]
async fn credentials_are_replaced_on_demand_and_nobody_who_reads_the_secret_is_refused() {
    let scene = Scene::empty(Acting::on_a_cluster().await, PostgresOptions::default());
    let (client, all) = (&scene.client, in_force(&scene).await);
    let [owner, consumer] = restless(&scene, &all);
    let first = both_users(client).await;
    let old = uri(client, "mois", CONSUMERS).await;
    owner.asks(3).await;
    consumer.asks(3).await;
    put(client, &replacing(Some(jiff::Timestamp::now()))).await;
    let second = replaced(client, &first).await;
    assert_eq!(
        ask(old.clone(), all.clone()).await,
        Ok(2),
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
    let faults = Faults::none();
    let scene = Scene::among(&faults).await;
    let all = in_force(&scene).await;
    let first = both_users(&scene.client).await;
    let [owner, consumer] = restless(&scene, &all);
    faults.hang("/namespaces/mois/secrets");
    put(&scene.client, &replacing(Some(jiff::Timestamp::now()))).await;
    let next = format!("{}_b", first[1]);
    let known = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{next}'");
    eventually("the database to know the next user", 60, async || {
        let count = scene.server.sql("postgres", &known).unwrap();
        if count == "1" { Ok(()) } else { Err(count) }
    })
    .await;
    consumer.asks(2).await;
    scene.operator.kill().await;
    assert_eq!(
        both_users(&scene.client).await[1],
        first[1],
        "the Secret was not written"
    );
    owner.asks(2).await;
    consumer.asks(2).await;
    faults.calm();
    scene.operator.start().await;
    let second = replaced(&scene.client, &first).await;
    assert_eq!(second[1], next);
    owner.asks(2).await;
    consumer.asks(2).await;
    owner.end().await;
    consumer.end().await;
    condition(&scene.client, &dataset(), "Ready", "True", "Ready").await;
    scene.end().await;
}
