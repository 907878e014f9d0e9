//! Users and passwords are replaced while everybody goes on working, on a real API server and a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use kube::Client;
use kube::api::Api;
use maru_controller::Settings;
use maru_crds::DataGrant;
use maru_stories::data::{
    ADMIN_PASSWORD, accept, condition, dataset, everything, grant, make_admin, put, register_server, secret,
    two_ministries,
};
use maru_stories::{Faults, Operator, cluster_with_kinds, eventually};
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

async fn ask(uri: String, sql: String) -> Result<usize, String> {
    let asked = tokio::task::spawn_blocking(move || {
        let mut session = postgres::Client::connect(&uri, postgres::NoTls).map_err(|error| format!("{error:?}"))?;
        session
            .query(&sql, &[])
            .map(|rows| rows.len())
            .map_err(|error| format!("{error:?}"))
    });
    asked.await.unwrap()
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

#[tokio::test]
async fn credentials_are_replaced_on_demand_and_nobody_who_reads_the_secret_is_refused() {
    let cluster = cluster_with_kinds().await;
    let client = &cluster.client().unwrap();
    let server = Postgres::start(&PostgresOptions::default()).unwrap();
    make_admin(&server);
    let settings = Settings {
        verify_data_every: Duration::from_secs(1),
        ..Settings::default()
    };
    let operator = Operator::start(&cluster.config(), settings, &Faults::none());
    register_server(client, &server, ADMIN_PASSWORD, json!({"mode": "Disable"})).await;
    two_ministries(client).await;
    put(client, &replacing(None)).await;
    condition(client, &dataset(), "Ready", "True", "Ready").await;
    put(client, &grant("letters", 3600)).await;
    accept(client, &["letters"]).await;
    condition(client, &grant("letters", 3600), "Ready", "True", "Ready").await;
    let granted = Api::<DataGrant>::namespaced(client.clone(), "nts").get("letters").await;
    let view = granted.unwrap().status.unwrap().view_schema.unwrap();
    let all = format!("SELECT name FROM {view}.business");

    let owner = Restless::start(client, "nts", OWNERS, "SELECT FROM business".to_owned());
    let consumer = Restless::start(client, "mois", CONSUMERS, all.clone());
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
    operator.stop().await;
    cluster.stop().await.unwrap();
}
