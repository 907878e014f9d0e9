//! How soon a revoked grant is refused, while others are read.

use super::Outcome;
use super::scene::{Scene, agency};
use crate::kept::Row;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use maru_crds::DataGrant;
use maru_stories::data::secret;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};

/// Time between two reads of others, which makes 200 a second.
const BETWEEN: Duration = Duration::from_millis(5);
/// Sessions that read.
const READERS: usize = 4;

struct Reader {
    client: Client,
    sql: String,
}

impl Reader {
    /// A session of a grant's consumer. There is a row for it to read.
    async fn of(scene: &Scene, grant: &DataGrant) -> Outcome<Self> {
        let kubernetes = scene.cluster.client()?;
        let namespace = grant.namespace().unwrap_or_default();
        let dataset = &grant.spec.dataset_ref.name;
        let consumer = &grant.spec.consumer;
        let name = format!("{}.data.{namespace}.{dataset}", consumer.name);
        let credentials = secret(&kubernetes, &consumer.namespace, &name).await;
        let uri = credentials
            .and_then(|found| found.get("uri").cloned())
            .ok_or("no credentials")?;
        let insert = "INSERT INTO business SELECT 'one', 'Seoul', 'Kim' WHERE NOT EXISTS (SELECT FROM business)";
        scene.server.sql(&format!("{namespace}_{dataset}"), insert)?;
        let schema = grant.status.as_ref().and_then(|status| status.view_schema.clone());
        let (client, connection) = tokio_postgres::connect(&uri, NoTls).await?;
        tokio::spawn(connection);
        let sql = format!("SELECT name FROM {}.business", schema.ok_or("no view")?);
        Ok(Self { client, sql })
    }

    /// Whether it is given a row.
    async fn reads(&self) -> bool {
        let rows = self.client.query(&self.sql, &[]).await;
        rows.is_ok_and(|rows| !rows.is_empty())
    }
}

/// Revokes so many grants, one after the other.
pub(super) async fn measure(area: &str, scene: &Scene, count: usize) -> Outcome<Row> {
    let client = scene.cluster.client()?;
    let grants = Api::<DataGrant>::namespaced(client.clone(), &agency(0));
    let all = grants.list(&ListParams::default()).await?.items;
    let (others, revoked) = all.split_at(READERS.min(all.len() / 2));
    let read = Arc::new(AtomicU64::new(0));
    let mut reading = tokio::task::JoinSet::new();
    for grant in others {
        let (reader, read) = (Reader::of(scene, grant).await?, Arc::clone(&read));
        reading.spawn(async move {
            let mut every = tokio::time::interval(BETWEEN * u32::try_from(READERS).unwrap_or(1));
            loop {
                every.tick().await;
                if reader.reads().await {
                    read.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let began = Instant::now();
    let mut times = Vec::new();
    for grant in revoked.iter().take(count) {
        let reader = Reader::of(scene, grant).await?;
        if !reader.reads().await {
            return Err(format!("{} gives no row before it is revoked", grant.name_any()).into());
        }
        let revoke = Patch::Merge(json!({"spec": {"revoked": true}}));
        let asked = Instant::now();
        grants
            .patch(&grant.name_any(), &PatchParams::default(), &revoke)
            .await?;
        while reader.reads().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(asked.elapsed());
    }
    let a_second = read.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    reading.abort_all();
    times.sort();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).saturating_sub(1)].as_secs_f64();
    let measure = format!(
        "grant revoked → first refused query, p99 of {} (p50 {:.3} s), beside {a_second:.0} queries a second",
        times.len(),
        at(50)
    );
    Ok(Row::at_most(area, measure, at(99), "s", 1.0))
}
