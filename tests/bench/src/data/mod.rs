//! Datasets and grants: how long the operator takes beside a bare client, how soon a revoked grant is refused, what a view costs over its
//! table, and what verification takes at rest.

#![allow(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "times and ratios of measurements; no money is here"
)]

mod replay;
mod revoke;
mod scene;
mod views;

use crate::bare::Write;
use crate::kept::Row;
use crate::operator::Operator;
use clap::Args;
use futures::{StreamExt, TryStreamExt};
use maru_test_postgres::Postgres;
use replay::Script;
use scene::{Scene, Size};
use std::error::Error;
use std::time::{Duration, Instant};

/// What a measurement gives, or why it could not be made.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Area 04: how large the run is.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Sizes {
    /// Area 04: datasets, with three grants each; in twenties.
    #[arg(long, env = "BENCH_DATASETS", default_value_t = 1000)]
    datasets: usize,
    /// Area 04: grants that are revoked while others are read.
    #[arg(long, env = "BENCH_REVOKED", default_value_t = 60)]
    revoked: usize,
    /// Area 04: rows of the table that is read through a view.
    #[arg(long, env = "BENCH_ROWS", default_value_t = 1_000_000)]
    rows: usize,
    /// Area 04: how long verification is watched at rest, in seconds.
    #[arg(long, env = "BENCH_VERIFY_SECONDS", default_value_t = 120)]
    verify_seconds: u64,
    /// Area 04: connections, of the operator and of the bare client.
    #[arg(long, env = "BENCH_CONNECTIONS", default_value_t = 4)]
    connections: usize,
}

const AREA: &str = "04 datasets";
const ADMIN: &str = "maru_admin";
const ADMIN_PASSWORD: &str = "only-for-the-benchmark";

/// Runs the area and gives its rows.
///
/// # Errors
/// Where a part does not start or something is refused.
pub(crate) fn measure(sizes: Sizes) -> Result<Vec<Row>, Box<dyn Error>> {
    let rows = tokio::runtime::Runtime::new()?.block_on(run(sizes));
    Ok(rows.map_err(|error| error.to_string())?)
}

async fn run(sizes: Sizes) -> Outcome<Vec<Row>> {
    let mut rows = views::measure(AREA, sizes.rows).await?;
    let size = Size::of(sizes.datasets);
    let scene = Scene::set(size, sizes.connections).await?;
    let operator = Operator::start(scene.cluster.kubeconfig(), 16).await?;
    scene.agencies().await?;
    scene.forget_log()?;
    let took = scene.all_ready(sizes.connections).await?;
    eprintln!(
        "{} datasets and {} grants are ready after {took:.1?}",
        size.datasets,
        size.grants()
    );
    let script = Script::read(&scene.statements())?;
    let (statements, sessions) = script.size();
    let objects = scene.objects().await?;
    rows.push(at_rest(&operator, size, sizes.verify_seconds).await?);
    rows.push(revoke::measure(AREA, &scene, sizes.revoked).await?);
    drop(operator);
    scene.end().await?;

    let scene = Scene::set(size, sizes.connections).await?;
    let writes = objects.values().map(Vec::len).sum::<usize>();
    eprintln!(
        "the bare client runs {statements} statements in {sessions} sessions and writes {writes} objects and statuses"
    );
    let bare = play(script, objects, &scene, sizes.connections).await?;
    eprintln!("the operator took {took:.1?}, the bare client {bare:.1?}");
    let measure = format!(
        "{} datasets with 3 grants each, all Ready ({:.1} s), to a bare client that runs the same {statements} statements and writes \
         the same {writes} objects ({:.1} s)",
        size.datasets,
        took.as_secs_f64(),
        bare.as_secs_f64()
    );
    rows.insert(
        0,
        Row::at_most(AREA, measure, took.as_secs_f64() / bare.as_secs_f64(), "ratio", 1.3),
    );
    scene.end().await?;
    Ok(rows)
}

/// The same SQL and the same objects, without anybody who thinks about them.
async fn play(
    mut script: Script,
    objects: std::collections::BTreeMap<String, Vec<Write>>,
    scene: &Scene,
    at_once: usize,
) -> Outcome<Duration> {
    let client = scene.cluster.client()?;
    scene.namespaces().await?;
    let server: &Postgres = &scene.server;
    let acts: Vec<_> = objects
        .into_iter()
        .map(|(database, writes)| (script.take(&database), writes))
        .collect();
    let began = Instant::now();
    futures::stream::iter(acts)
        .map(|(act, writes)| {
            let client = client.clone();
            async move {
                act.play(server).await?;
                for write in writes {
                    write.send(client.clone()).await?;
                }
                Outcome::Ok(())
            }
        })
        .buffer_unordered(at_once)
        .try_collect::<Vec<()>>()
        .await?;
    script.rest().play(server).await?;
    Ok(began.elapsed())
}

/// What verification takes of the processor while nothing happens, and what it writes.
async fn at_rest(operator: &Operator, size: Size, seconds: u64) -> Outcome<Row> {
    operator.settled().await?;
    // A server tells twice a minute what is on it: at rest is what comes after that.
    tokio::time::sleep(Duration::from_secs(35)).await;
    operator.settled().await?;
    let (time, writes) = (operator.processor_time()?, operator.writes_by_kind().await?);
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let used = operator.processor_time()?.saturating_sub(time);
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let mut written = operator.writes_by_kind().await?;
    written.retain(|kind, count| writes.get(kind) != Some(count));
    eprintln!("written at rest: {written:?}, before {writes:?}");
    let written = written
        .iter()
        .map(|(kind, count)| count - writes.get(kind).copied().unwrap_or_default());
    let written: f64 = written.sum();
    let measure = format!(
        "operator's processor time a minute while it verifies {} grants at rest ({written} writes)",
        size.grants()
    );
    let mut row = Row::at_most(AREA, measure, used.as_secs_f64() / minutes, "s", 2.0);
    row.met &= written < 0.5;
    Ok(row)
}
