//! The ground floor: how long the operator takes beside a bare loop, what it writes at rest, how soon an edit has its effect, what it
//! holds in memory, and whether one agency's trouble is another's.

#![allow(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "times and ratios of measurements; no money is here"
)]

mod load;

use crate::kept::Row;
use crate::operator::Operator;
use clap::Args;
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use load::{Script, Size, all_ready, name, system};
use maru_crds::AgencySystem;
use maru_test_cluster::{Cluster, ClusterOptions, Limits};
use serde_json::json;
use std::error::Error;
use std::time::{Duration, Instant};

/// What a measurement gives, or why it could not be made.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Area 01: how large the run is.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Sizes {
    /// Area 01: agencies, with three systems each.
    #[arg(long, env = "BENCH_AGENCIES", default_value_t = 1000)]
    agencies: usize,
    /// Area 01: agencies of the larger run, with five systems each; 0 leaves it out.
    #[arg(long, env = "BENCH_LARGE", default_value_t = 2000)]
    large: usize,
    /// Area 01: broken systems in one agency.
    #[arg(long, env = "BENCH_BROKEN", default_value_t = 500)]
    broken: usize,
    /// Area 01: edits that are timed.
    #[arg(long, env = "BENCH_EDITS", default_value_t = 300)]
    edits: usize,
    /// Area 01: the time from one edit to the next, in milliseconds: what follows an edit (Kubernetes' own controllers, statuses)
    /// is over by then.
    #[arg(long, env = "BENCH_EDIT_EVERY_MS", default_value_t = 250)]
    edit_every_ms: u64,
    /// Area 01: how long nothing should be written, in seconds.
    #[arg(long, env = "BENCH_REST_SECONDS", default_value_t = 600)]
    rest_seconds: u64,
    /// Area 01: objects worked on at once, by the operator and by the bare loop.
    #[arg(long, env = "BENCH_AT_ONCE", default_value_t = 16)]
    at_once: usize,
}

const AREA: &str = "01 ground floor";

/// Runs the area and gives its rows.
///
/// # Errors
/// Where a part does not start or an object is refused.
pub(crate) fn measure(sizes: Sizes) -> Result<Vec<Row>, Box<dyn Error>> {
    if sizes.agencies < 2 {
        return Err("--agencies: at least 2, one of which is in trouble".into());
    }
    let rows = tokio::runtime::Runtime::new()?.block_on(run(sizes));
    Ok(rows.map_err(|error| error.to_string())?)
}

async fn run(sizes: Sizes) -> Outcome<Vec<Row>> {
    let size = Size {
        agencies: sizes.agencies,
        systems_each: 3,
    };
    let (mut rows, took, script) = operator(size, sizes).await?;
    let writes = script.len();
    eprintln!("the bare loop writes {writes} objects and statuses");
    let cluster = cluster().await?;
    let bare = script.play(&cluster.client()?, sizes.at_once).await?;
    cluster.stop().await?;
    eprintln!("the operator took {took:.1?}, the bare loop {bare:.1?}");
    let measure = format!(
        "{} agencies with 3 systems each, all Ready ({:.1} s), to a bare loop of {writes} writes ({:.1} s)",
        size.agencies,
        took.as_secs_f64(),
        bare.as_secs_f64()
    );
    let ratio = took.as_secs_f64() / bare.as_secs_f64();
    rows.insert(0, Row::at_most(AREA, measure, ratio, "ratio", 1.3));
    if sizes.large > 0 {
        let large = Size {
            agencies: sizes.large,
            systems_each: 5,
        };
        rows.extend(larger(size, took, large, sizes.at_once).await?);
    }
    Ok(rows)
}

async fn cluster() -> Outcome<Cluster> {
    let options = ClusterOptions {
        limits: Limits {
            max_requests_inflight: Some(3_000),
            max_mutating_requests_inflight: Some(1_000),
            ..Limits::default()
        },
        ..ClusterOptions::simulated(1)
    };
    let cluster = Cluster::start(options).await?;
    maru_stories::install_kinds(&cluster.client()?).await;
    Ok(cluster)
}

/// Everything that is measured in one cluster with the operator.
async fn operator(size: Size, sizes: Sizes) -> Outcome<(Vec<Row>, Duration, Script)> {
    let cluster = cluster().await?;
    let client = cluster.client()?;
    let operator = Operator::start(cluster.kubeconfig(), sizes.at_once).await?;
    let took = all_ready(&client, size, sizes.at_once).await?;
    let systems = size.systems();
    eprintln!(
        "{} agencies and {systems} systems are ready after {took:.1?}",
        size.agencies
    );
    operator.settled().await?;
    let memory = operator.memory()?;
    let script = Script::read(&client, size).await?;
    let mut rows = vec![rest(&client, &operator, Duration::from_secs(sizes.rest_seconds), systems).await?];

    let calm = edits(&client, size, sizes, 1).await?;
    let calm_server = plain_writes(&client, size, sizes, 1).await?;
    eprintln!(
        "an edit has its effect after {:.1?} (median), {:.1?} (p99)",
        at(&calm, 50),
        at(&calm, 99)
    );
    let measure = format!(
        "spec edit → its effect, p99, at {systems} systems, an edit every {} ms (p50 {:.1} ms)",
        sizes.edit_every_ms,
        milliseconds(at(&calm, 50))
    );
    rows.push(Row::at_most(AREA, measure, milliseconds(at(&calm, 99)), "ms", 50.0));
    rows.push(Row::at_most(
        AREA,
        format!("operator memory (RSS) at {systems} systems"),
        memory,
        "MiB",
        64.0,
    ));

    breaks(&client, sizes.broken, sizes.at_once).await?;
    operator.settled().await?;
    let beside = edits(&client, size, sizes, 2).await?;
    let beside_server = plain_writes(&client, size, sizes, 2).await?;
    eprintln!(
        "beside {} broken systems: {:.1?} (median), {:.1?} (p99)",
        sizes.broken,
        at(&beside, 50),
        at(&beside, 99)
    );
    let measure = format!(
        "others' p99 beside {} broken systems in one agency ({:.1} ms, without {:.1} ms; of one write and its event, without the operator: {:.1} ms, without {:.1} ms)",
        sizes.broken,
        milliseconds(at(&beside, 99)),
        milliseconds(at(&calm, 99)),
        milliseconds(at(&beside_server, 99)),
        milliseconds(at(&calm_server, 99))
    );
    let ratio = at(&beside, 99).as_secs_f64() / at(&calm, 99).as_secs_f64();
    rows.push(Row::at_most(AREA, measure, ratio, "ratio", 1.1));
    drop(operator);
    cluster.stop().await?;
    Ok((rows, took, script))
}

async fn rest(client: &Client, operator: &Operator, rest: Duration, systems: usize) -> Outcome<Row> {
    let counted = operator.writes().await?;
    let before = maru_stories::versions(client).await;
    tokio::time::sleep(rest).await;
    let after = maru_stories::versions(client).await;
    let changed = after
        .iter()
        .filter(|(key, version)| before.get(*key) != Some(version))
        .count();
    let writes = (operator.writes().await? - counted).max(changed as f64);
    let measure = format!(
        "API writes in {} s at rest, lease aside, at {systems} systems",
        rest.as_secs()
    );
    Ok(Row::at_most(AREA, measure, writes, "writes", 0.0))
}

/// Edits one system after the other and waits each time until its Deployment says so. Sorted times, from before the edit is sent.
async fn edits(client: &Client, size: Size, sizes: Sizes, round: usize) -> Outcome<Vec<Duration>> {
    let config = Config::default().any_semantic().labels("maru.dev/system");
    let mut deployments = Box::pin(
        watcher(Api::<Deployment>::all(client.clone()), config)
            .default_backoff()
            .applied_objects(),
    );
    // The first list: as many objects as there are systems.
    for _ in 0..size.systems() {
        deployments.next().await.ok_or("the watch ended")??;
    }
    let mut times = Vec::with_capacity(sizes.edits);
    let mut pace = tokio::time::interval(Duration::from_millis(sizes.edit_every_ms.max(1)));
    for index in 0..sizes.edits {
        pace.tick().await;
        // Not the first agency: that is the one with the broken systems.
        let namespace = name(1 + index % (size.agencies - 1));
        let value = format!("edit-{round}-{index}");
        let mut edited = system(&namespace, 0);
        edited["spec"]["components"][0]["env"] = json!([{"name": "EDIT", "value": value}]);
        let began = Instant::now();
        let api = Api::<AgencySystem>::namespaced(client.clone(), &namespace);
        api.patch(
            "system-0",
            &PatchParams::apply("people").force(),
            &Patch::Apply(&edited),
        )
        .await?;
        loop {
            let seen = deployments.next().await.ok_or("the watch ended")??;
            let seen = serde_json::to_string(&seen.spec.template)?;
            if seen.contains(&value) {
                break;
            }
        }
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times)
}

/// What the API server takes by itself, at the same pace: a write of what nobody but the one who asks looks at, until its event is there. Sorted.
async fn plain_writes(client: &Client, size: Size, sizes: Sizes, round: usize) -> Outcome<Vec<Duration>> {
    let config = Config::default().any_semantic().labels("bench=plain");
    let maps = watcher(Api::<ConfigMap>::all(client.clone()), config).default_backoff();
    let mut seen = Box::pin(maps.applied_objects());
    let mut times = Vec::with_capacity(sizes.edits);
    let mut pace = tokio::time::interval(Duration::from_millis(sizes.edit_every_ms.max(1)));
    for index in 0..sizes.edits {
        pace.tick().await;
        let namespace = name(1 + index % (size.agencies - 1));
        let value = format!("edit-{round}-{index}");
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plain", "labels": {"bench": "plain"}},
            "data": {"value": value},
        });
        let began = Instant::now();
        let api = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
        let params = PatchParams::apply("people").force();
        let patch = Patch::Apply(&map);
        let sent = api.patch("plain", &params, &patch);
        let event = async {
            loop {
                let map = seen.next().await.ok_or("the watch ended")??;
                if map.data.is_some_and(|data| data.get("value") == Some(&value)) {
                    return Outcome::Ok(());
                }
            }
        };
        let (sent, event) = tokio::join!(sent, event);
        sent?;
        event?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times)
}

/// Systems of the first agency that ask for more than its quota, over and over: their pods are refused, again and again.
async fn breaks(client: &Client, count: usize, at_once: usize) -> Outcome<()> {
    let namespace = name(0);
    let broken = futures::stream::iter(0..count).map(|index| {
        let mut broken = maru_stories::system(&namespace, &format!("broken-{index}"));
        broken["spec"]["components"][0]["resources"]["cpu"] = json!("2000");
        let api = Api::<AgencySystem>::namespaced(client.clone(), &namespace);
        async move {
            let name = format!("broken-{index}");
            api.patch(&name, &PatchParams::apply("people"), &Patch::Apply(&broken))
                .await
                .map(drop)
        }
    });
    let answers: Vec<_> = broken.buffer_unordered(at_once).collect().await;
    Ok(answers.into_iter().collect::<Result<(), kube::Error>>()?)
}

/// The same at another size, in a cluster of its own.
async fn larger(small: Size, took: Duration, large: Size, at_once: usize) -> Outcome<Vec<Row>> {
    let cluster = cluster().await?;
    let operator = Operator::start(cluster.kubeconfig(), at_once).await?;
    let took_large = all_ready(&cluster.client()?, large, at_once).await?;
    operator.settled().await?;
    let memory = operator.memory()?;
    let script = Script::read(&cluster.client()?, large).await?;
    drop(operator);
    cluster.stop().await?;
    let writes = script.len();
    let cluster = self::cluster().await?;
    let bare = script.play(&cluster.client()?, at_once).await?;
    cluster.stop().await?;
    let objects = (large.agencies + large.systems()) as f64 / (small.agencies + small.systems()) as f64;
    let times = took_large.as_secs_f64() / took.as_secs_f64();
    let at = format!("{} agencies and {} systems", large.agencies, large.systems());
    let measure = format!(
        "{at} ({:.1} s): ratio of times {times:.2} to ratio of objects {objects:.2}",
        took_large.as_secs_f64()
    );
    let beside = format!("{at} to a bare loop of {writes} writes ({:.1} s)", bare.as_secs_f64());
    let ratio = took_large.as_secs_f64() / bare.as_secs_f64();
    Ok(vec![
        Row::at_most(AREA, measure, times / objects, "ratio", 1.1),
        Row::at_most(AREA, beside, ratio, "ratio", 1.3),
        Row::at_most(AREA, format!("operator memory (RSS) at {at}"), memory, "MiB", 200.0),
    ])
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
