//! What a user waits for: the image, the installation, a change of leaders, and the whole story.

#![allow(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "times and sizes of measurements; no money is here"
)]

mod replica;

use crate::kept::Row;
use clap::Args;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;
use maru_stories::{Helm, RELEASE_NAMESPACE, agency, agency_ready, apply, install_kinds};
use maru_test_cluster::{Cluster, ClusterOptions};
use replica::{Ending, Replica};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const AREA: &str = "05 main job";
const IMAGE: &str = "maru.dev/operator:0.1.0";

/// Area 05: what is measured besides what takes seconds.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Parts {
    /// Area 05: how often a leader ends in either way.
    #[arg(long, env = "BENCH_HANDOVERS", default_value_t = 5)]
    handovers: u32,
    /// Area 05: play the demonstration and take its time.
    #[arg(long, env = "BENCH_DEMO", default_value_t = true, action = clap::ArgAction::Set)]
    demo: bool,
    /// Area 05: run all tests and take their time.
    #[arg(long, env = "BENCH_TESTS", default_value_t = false, action = clap::ArgAction::Set)]
    tests: bool,
}

/// Runs the area and gives its rows.
///
/// # Errors
/// Where a part does not start.
pub(crate) fn measure(parts: Parts) -> Result<Vec<Row>, Box<dyn Error>> {
    let rows = tokio::runtime::Runtime::new()?.block_on(run(parts));
    Ok(rows.map_err(|error| error.to_string())?)
}

async fn run(parts: Parts) -> Outcome<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("operator.tar");
    let mut rows = vec![packed(&image).await?];
    rows.extend(installed(&image).await?);
    for (ending, name, most) in [
        (
            Ending::Killed,
            "leader killed → the first write of the other replica",
            15.0,
        ),
        (
            Ending::Orderly,
            "leader ended in an orderly way → the first write of the other",
            2.0,
        ),
    ] {
        let took = handovers(parts.handovers, ending).await?;
        let measure = format!("{name}, the slowest of {}", parts.handovers);
        rows.push(Row::at_most(AREA, measure, took.as_secs_f64(), "s", most));
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if parts.demo {
        rows.extend(demonstration(&repository).await?);
    }
    if parts.tests {
        let took = timed(Command::new("make").arg("test").current_dir(&repository)).await?;
        rows.push(Row::at_most(AREA, "make test, everything built", took, "s", 1200.0));
    }
    Ok(rows)
}

/// Plays the demonstration and takes its time, and what it says of its bills.
async fn demonstration(repository: &Path) -> Outcome<Vec<Row>> {
    let mut demo = Command::new("make");
    demo.arg("demo").env("DEMO_KEEP", "0").current_dir(repository);
    let began = Instant::now();
    maru_test_cluster::as_from_a_shell(demo.as_std_mut());
    let output = demo.stderr(Stdio::inherit()).output().await?;
    let took = began.elapsed().as_secs_f64();
    let said = String::from_utf8(output.stdout)?;
    print!("{said}");
    if !output.status.success() {
        return Err(format!("make demo ended with {}", output.status).into());
    }
    let mut rows = vec![Row::at_most(AREA, "make demo, everything built", took, "s", 180.0)];
    let proof = said
        .lines()
        .find_map(|line| line.split_once(" core-hours. To recover "));
    if let Some((core_hours, _)) = proof {
        let core_hours: f64 = core_hours.trim().replace(',', "").parse()?;
        let measure = "core-hours on the twelve agencies' bills of October";
        rows.push(Row::exactly(AREA, measure, core_hours, "core-hour", 1_380_385.488_9));
    }
    let differences = said.lines().filter_map(|line| line.split_once(", difference "));
    let differences = differences.filter(|(_, difference)| difference.contains(|figure| ('1'..='9').contains(&figure)));
    let differences = differences.count();
    let measure = "months in which the bills are not what was to be recovered, to the cent";
    let differences = u32::try_from(differences)?.into();
    rows.push(Row::exactly(AREA, measure, differences, "", 0.0));
    Ok(rows)
}

async fn timed(command: &mut Command) -> Outcome<f64> {
    maru_test_cluster::as_from_a_shell(command.as_std_mut());
    let began = Instant::now();
    let status = command.status().await?;
    if !status.success() {
        return Err(format!("{:?} ended with {status}", command.as_std()).into());
    }
    Ok(began.elapsed().as_secs_f64())
}

/// A program that was built with the same profile as this one.
fn program(name: &str) -> Outcome<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(name);
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("{} is not there; run make bench", program.display()).into())
    }
}

/// The size of the image as a registry would hold it.
async fn packed(file: &Path) -> Outcome<Row> {
    let mut pack = Command::new(program("maru-cluster")?);
    pack.args(["pack", "--name", IMAGE, "--out"]).arg(file);
    pack.args([program("maru-operator")?, program("kubectl-maru")?])
        .args(maru_test_postgres::backup_programs()?);
    timed(&mut pack).await?;
    let megabytes = std::fs::metadata(file)?.len() as f64 / 1e6;
    Ok(Row::at_most(AREA, "image, compressed", megabytes, "MB", 60.0))
}

/// From `helm install` to an operator that is ready, on a real node that has the image; nothing where there can be no such node.
async fn installed(image: &Path) -> Outcome<Option<Row>> {
    let options = ClusterOptions {
        node_labels: BTreeMap::from([("maru.dev/grade".to_owned(), "Moderate".to_owned())]),
        service_proxy: true,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await?;
    if !cluster.has_real_node() {
        cluster.stop().await?;
        return Ok(None);
    }
    cluster.import_image(image).await?;
    let helm = Helm::of(&cluster).await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client()?, RELEASE_NAMESPACE);
    let began = Instant::now();
    helm.install(&[]).await;
    loop {
        let status = deployments.get("maru-operator").await?.status.unwrap_or_default();
        if status.ready_replicas == Some(1) {
            break;
        }
        if began.elapsed() > Duration::from_mins(3) {
            return Err("the operator is not ready after three minutes".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed().as_secs_f64();
    cluster.stop().await?;
    Ok(Some(Row::at_most(
        AREA,
        "helm install of both charts → the operator Ready",
        took,
        "s",
        10.0,
    )))
}

/// The longest time from the end of a leader to the first write of the other replica.
async fn handovers(times: u32, ending: Ending) -> Outcome<Duration> {
    let cluster = Cluster::start(ClusterOptions::simulated(1)).await?;
    let client = cluster.client()?;
    install_kinds(&client).await;
    let namespace = serde_json::from_value(serde_json::json!({"metadata": {"name": RELEASE_NAMESPACE}}))?;
    Api::<Namespace>::all(client.clone())
        .create(&kube::api::PostParams::default(), &namespace)
        .await?;
    let mut leader = Replica::start(cluster.kubeconfig(), "replica-0").await?;
    leader.leads().await?;
    apply(&client, &agency("warm")).await;
    agency_ready(&client, "warm", 30).await;
    let mut slowest = Duration::ZERO;
    for round in 0..times {
        let other = Replica::start(cluster.kubeconfig(), &format!("replica-{}", round + 1)).await?;
        let began = Instant::now();
        let ended = leader.end(ending);
        slowest = slowest.max(first_write(&client, &format!("{ending:?}-{round}").to_lowercase(), began).await?);
        ended.await?;
        leader = other;
    }
    cluster.stop().await?;
    Ok(slowest)
}

/// Asks for an agency and waits for its namespace.
async fn first_write(client: &Client, name: &str, began: Instant) -> Outcome<Duration> {
    apply(client, &agency(name)).await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    while namespaces.get_opt(name).await?.is_none() {
        if began.elapsed() > Duration::from_mins(2) {
            return Err("nobody leads after two minutes".into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(began.elapsed())
}
