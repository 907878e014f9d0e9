//! What datasets take and what is read of them is usage: on a real API server, a real PostgreSQL and a real lake.

use kube::Client;
use kube::api::Api;
use maru_controller::Settings;
use maru_crds::DataGrant;
use maru_lake::Lake;
use maru_meter::{Exact, Interval, UsageRecord};
use maru_stories::data::{accept, ask, condition, dataset, grant, put, two_ministries};
use maru_stories::{
    Acting, CONSUMERS, OWNERS, Scene, cluster_for_containers, delete, eventually, is_gone, looks_often, operator_volume,
};
use maru_test_postgres::PostgresOptions;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

async fn lake(place: &Path) -> Arc<Lake> {
    let place = place.to_owned();
    tokio::task::spawn_blocking(move || Arc::new(Lake::open(place).unwrap()))
        .await
        .unwrap()
}

/// What was recorded of datasets.
async fn records(lake: &Arc<Lake>) -> Vec<UsageRecord> {
    let lake = Arc::clone(lake);
    let always = Interval {
        start: jiff::Timestamp::UNIX_EPOCH,
        end: jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1),
    };
    let mut found = tokio::task::spawn_blocking(move || lake.read(always).unwrap())
        .await
        .unwrap();
    found.retain(|record| record.meter.starts_with("dataset."));
    found
}

fn sum(records: &[UsageRecord], meter: &str, system: &str, resource: &str) -> Exact {
    let of = |record: &&UsageRecord| record.meter == meter && record.system == system && record.resource == resource;
    records.iter().filter(of).map(|record| &record.quantity).sum()
}

fn object(kind: &str, name: &str) -> Value {
    json!({"apiVersion": "maru.dev/v1alpha1", "kind": kind, "metadata": {"name": name}})
}

const LETTERS: &str = "letters";
const OF_LETTERS: &str = "grant/nts/letters";
const OF_MAPS: &str = "grant/nts/maps";
const OF_NO_GRANT: &str = "dataset/nts/businesses";
const COUNT: &str = "CREATE EXTENSION pg_stat_statements; GRANT pg_read_all_stats TO maru_admin";

/// Two ministries' scene and the lake of its operator.
struct Metered {
    scene: Scene,
    client: Client,
    lake: Arc<Lake>,
    _folder: tempfile::TempDir,
}

impl Metered {
    async fn set() -> Self {
        let cluster = cluster_for_containers().await;
        let folder = tempfile::tempdir().unwrap();
        let here = if cluster.has_real_node() {
            None
        } else {
            Some(lake(folder.path()).await)
        };
        let settings = Settings {
            read_usage_every: Duration::from_secs(2),
            lake: here.clone(),
            ..looks_often()
        };
        let values = ["datasets.usageSeconds=2", "billing.enabled=false"];
        let operator = Acting::on(&cluster, &values, settings).await;
        let scene = Scene::empty((cluster, operator), PostgresOptions::default());
        let client = scene.client.clone();
        let lake = match here {
            Some(lake) => lake,
            None => lake(&operator_volume(&client).await.join("lake")).await,
        };
        Self {
            scene,
            client,
            lake,
            _folder: folder,
        }
    }

    /// A dataset with a grant of it in force.
    async fn granted(&self) {
        two_ministries(&self.client).await;
        condition(&self.client, &dataset(), "Ready", "True", "Ready").await;
        self.scene.granted(LETTERS, 600).await;
    }

    /// A server that counts, and a dataset with a grant of it in force; gives the server's object.
    async fn counted(&self) -> Value {
        self.scene.server.sql("postgres", COUNT).unwrap();
        self.scene.registered().await;
        let shared = object("DatabaseServer", "shared");
        condition(&self.client, &shared, "ReadsCounted", "True", "ReadsCounted").await;
        self.granted().await;
        shared
    }

    /// Queries and rows.
    async fn read_so_far(&self, resource: &str) -> (Exact, Exact) {
        let known = records(&self.lake).await;
        let of = |meter| sum(&known, meter, "mois/docs", resource);
        (of("dataset.queries"), of("dataset.rows"))
    }

    async fn until_read(&self, resource: &str, queries: u64, rows: u64) {
        let expected = (Exact::from(queries), Exact::from(rows));
        eventually(&format!("what was read of {resource} to be usage"), 30, async || {
            let found = self.read_so_far(resource).await;
            if found == expected {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        })
        .await;
    }

    /// Waits until everything was read `times` more.
    async fn readings(&self, times: usize) {
        let before = stored(&records(&self.lake).await).len();
        eventually("the dataset to be read again", 30, async || {
            let now = stored(&records(&self.lake).await).len();
            if now >= before + times {
                Ok(())
            } else {
                Err(format!("{now} after {before}"))
            }
        })
        .await;
    }
}

/// What was stored, in the order of time.
fn stored(records: &[UsageRecord]) -> Vec<&UsageRecord> {
    let stored = records.iter().filter(|record| record.meter == "dataset.stored");
    let mut stored: Vec<&UsageRecord> = stored.collect();
    stored.sort_by_key(|record| record.start);
    stored
}

async fn reads(uri: &str, times: usize, sql: &str, rows: usize) {
    for _ in 0..times {
        assert_eq!(ask(uri.to_owned(), sql.to_owned()).await, Ok(rows));
    }
}

#[tokio::test]
async fn what_a_ministry_stores_and_every_row_that_another_reads_of_it_is_the_usage_of_each() {
    let metered = Metered::set().await;
    let (client, scene) = (&metered.client, &metered.scene);
    metered.counted().await;
    let owner = scene.uri("nts", OWNERS).await;
    let rows = "INSERT INTO business SELECT n::text, 'Seoul', 'Kim' FROM generate_series(1, 30) AS n";
    ask(owner.clone(), rows.to_owned()).await.unwrap();

    let (schema, consumer) = (scene.schema(LETTERS).await, scene.uri("mois", CONSUMERS).await);
    let all = format!("SELECT name FROM {schema}.business");
    reads(&consumer, 7, &all, 30).await;
    // Whoever names no schema is counted all the same, and whoever reads nothing is not. It asks for something else: the server counts those who ask
    // the same of the same view as one, under the words of the first.
    let quietly = format!("{consumer}&options=-csearch_path%3D{schema}");
    reads(&quietly, 1, "SELECT name, 'quietly' FROM business LIMIT 4", 4).await;
    reads(&consumer, 1, "SELECT 1", 1).await;
    // What the owner reads of its own is nobody's grant.
    reads(&owner, 1, "SELECT FROM business", 30).await;

    metered.until_read(OF_LETTERS, 7, 7 * 30).await;
    metered.until_read(OF_NO_GRANT, 1, 4).await;
    // The operator is killed, reads go on, and another one takes up where it was.
    scene.operator.kill().await;
    reads(&consumer, 5, &format!("{all} LIMIT 10"), 10).await;
    scene.operator.start().await;
    condition(client, &grant("letters", 600), "Ready", "True", "Ready").await;
    // The last reads come a moment before the grant and its login are gone.
    reads(&consumer, 3, &format!("{all} LIMIT 2"), 2).await;
    let grants = Api::<DataGrant>::namespaced(client.clone(), "nts");
    delete(&grants, "letters").await;
    is_gone(&grants, "letters", 10).await;
    metered.until_read(OF_LETTERS, 15, 7 * 30 + 5 * 10 + 3 * 2).await;
    metered.readings(2).await;
    scene.operator.stop().await;
    metered.until_read(OF_LETTERS, 15, 7 * 30 + 5 * 10 + 3 * 2).await;
    metered.until_read(OF_NO_GRANT, 1, 4).await;
    let all = records(&metered.lake).await;
    assert!(
        all.iter()
            .all(|record| record.system.split('/').next() == Some(record.agency.as_str()))
    );
    let stored = stored(&all);
    for pair in stored.windows(2) {
        assert_eq!(pair[0].end, pair[1].start, "no time is left out and none counts twice");
    }
    assert!(
        stored
            .iter()
            .all(|record| record.system == "nts/registry" && !record.quantity.is_zero())
    );
    metered.scene.end().await;
}

#[tokio::test]
async fn whatever_becomes_of_grants_and_of_counting_each_read_is_usage_once() {
    let metered = Metered::set().await;
    let (client, scene) = (&metered.client, &metered.scene);
    let shared = metered.counted().await;
    put(client, &grant("maps", 600)).await;
    accept(client, &[LETTERS, "maps"]).await;
    condition(client, &grant("maps", 600), "Ready", "True", "Ready").await;
    let rows = "INSERT INTO business SELECT n::text, 'Seoul', 'Kim' FROM generate_series(1, 30) AS n";
    ask(scene.uri("nts", OWNERS).await, rows.to_owned()).await.unwrap();

    let letters = format!("SELECT name FROM {}.business", scene.schema(LETTERS).await);
    let maps = format!("SELECT name FROM {}.business", scene.schema("maps").await);
    let consumer = scene.uri("mois", CONSUMERS).await;
    let quietly = format!("{consumer}&options=-csearch_path%3D{}", scene.schema("maps").await);
    reads(&consumer, 6, &letters, 30).await;
    reads(&consumer, 4, &maps, 30).await;
    reads(&quietly, 2, "SELECT name FROM business LIMIT 5", 5).await;
    metered.until_read(OF_LETTERS, 6, 180).await;
    metered.until_read(OF_MAPS, 4, 120).await;
    metered.until_read(OF_NO_GRANT, 2, 10).await;

    // The consumer withdraws one of the two, so that its login stays, and accepts it again.
    accept(client, &["maps"]).await;
    condition(client, &grant(LETTERS, 600), "Ready", "False", "NotAccepted").await;
    metered.readings(2).await;
    accept(client, &[LETTERS, "maps"]).await;
    condition(client, &grant(LETTERS, 600), "Ready", "True", "Ready").await;
    // Whatever a statement says of other grants in passing, it is counted.
    let said = format!(
        "{} /* maru_grant_{} */",
        "SELECT name FROM business LIMIT 3",
        "0".repeat(32)
    );
    reads(&quietly, 1, &said, 3).await;
    reads(&consumer, 2, &letters, 30).await;
    metered.until_read(OF_LETTERS, 8, 240).await;

    // The operator is not told for a while what was read.
    scene
        .server
        .sql("postgres", "REVOKE pg_read_all_stats FROM maru_admin")
        .unwrap();
    condition(client, &shared, "ReadsCounted", "False", "ReadsNotCounted").await;
    reads(&consumer, 3, &maps, 30).await;
    metered.readings(2).await;
    scene
        .server
        .sql("postgres", "GRANT pg_read_all_stats TO maru_admin")
        .unwrap();
    condition(client, &shared, "ReadsCounted", "True", "ReadsCounted").await;
    metered.until_read(OF_MAPS, 7, 210).await;
    metered.readings(2).await;
    scene.operator.stop().await;
    metered.until_read(OF_LETTERS, 8, 240).await;
    metered.until_read(OF_MAPS, 7, 210).await;
    metered.until_read(OF_NO_GRANT, 3, 13).await;
    metered.scene.end().await;
}

#[tokio::test]
async fn a_server_that_counts_nothing_says_what_to_do_and_never_makes_a_zero_of_it() {
    let metered = Metered::set().await;
    let (client, scene) = (&metered.client, &metered.scene);
    scene.registered().await;
    let shared = object("DatabaseServer", "shared");
    let said = condition(client, &shared, "ReadsCounted", "False", "ReadsNotCounted").await;
    assert!(
        said.message.contains("CREATE EXTENSION pg_stat_statements"),
        "{}",
        said.message
    );
    condition(client, &shared, "Ready", "True", "Ready").await;
    metered.granted().await;
    let all = format!("SELECT name FROM {}.business", scene.schema(LETTERS).await);
    let consumer = scene.uri("mois", CONSUMERS).await;
    reads(&consumer, 1, &all, 0).await;
    eventually("what is stored to be metered", 20, async || {
        let known = stored(&records(&metered.lake).await).len();
        if known >= 2 { Ok(()) } else { Err(known.to_string()) }
    })
    .await;
    let known = records(&metered.lake).await;
    assert_eq!(stored(&known).len(), known.len(), "and nothing else");
    // The platform does what the condition says.
    scene.server.sql("postgres", COUNT).unwrap();
    condition(client, &shared, "ReadsCounted", "True", "ReadsCounted").await;
    eventually("reads to be metered", 20, async || {
        ask(consumer.clone(), all.clone()).await?;
        let (queries, _) = metered.read_so_far(OF_LETTERS).await;
        if queries.is_zero() {
            Err("none".to_owned())
        } else {
            Ok(())
        }
    })
    .await;
    metered.scene.end().await;
}
