//! The main job, played through with real parts, by one command: three ministries share a system that a fourth one built, read each other's
//! data by grants, and get bills that add up to the last won.

mod bills;
mod calendar;
mod data;
mod install;
mod months;
mod parts;
mod process;
mod research;
mod simulated;
mod traffic;
mod watch;
mod web;

use clap::Parser;
use maru_test_cluster::{Cluster, ClusterOptions, Reporter};
use maru_test_postgres::Postgres;
use parts::{Outcome, Parts};
use std::collections::BTreeMap;

/// Plays the demonstration and prints the bills at its end.
#[derive(Debug, Parser)]
struct Arguments {
    /// Whether everything stays up at the end until Ctrl-C (1), or is taken away (0).
    #[arg(long, env = "DEMO_KEEP", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    keep: u8,
    /// Without a real node: how long the system runs before the bill, in seconds.
    #[arg(long, env = "DEMO_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let began = std::time::Instant::now();
    println!("\n1. A real Kubernetes starts on this machine.");
    let options = ClusterOptions {
        node_labels: BTreeMap::from([("maru.dev/grade".to_owned(), "Moderate".to_owned())]),
        service_proxy: true,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start_reporting(options, Reporter::people()).await?;
    let parts = Parts::new(cluster, began)?;
    let played = tokio::select! {
        played = play(&parts, &arguments) => played,
        _ = tokio::signal::ctrl_c() => Err("stopped by Ctrl-C".into()),
    };
    parts.take_away().await?;
    played
}

async fn play(parts: &Parts, arguments: &Arguments) -> Outcome<()> {
    // What ends when it is dropped stays until the end.
    let still = if parts.cluster.has_real_node() {
        Some(story(parts).await?)
    } else {
        simulated::play(parts, arguments.seconds).await?;
        None
    };
    println!("\nPlayed in {} s.", parts.began.elapsed().as_secs());
    if arguments.keep == 1 {
        println!(
            "It stays up until Ctrl-C. In another terminal:\n   export KUBECONFIG={} PATH={}:$PATH\n   kubectl get maru -A",
            parts.cluster.kubeconfig().display(),
            parts.commands().await?.display()
        );
        if let Some((_, prometheus)) = &still {
            println!(
                "   kubectl maru bills -A\n   Prometheus is at http://{}",
                prometheus.address
            );
        }
        tokio::signal::ctrl_c().await?;
        println!("\nEverything is taken away.");
    }
    Ok(())
}

/// The whole story, on a node that runs real containers. Gives the servers beside the cluster.
async fn story(parts: &Parts) -> Outcome<(Postgres, watch::Prometheus)> {
    let months = calendar::Months::before(jiff::Timestamp::now())?;
    let postgres = install::postgres(parts)?;
    install::images(parts).await?;
    install::charts(parts, &postgres).await?;
    let prometheus = watch::Prometheus::start(parts).await?;
    data::ministries(parts, &postgres, &months).await?;
    data::asked(parts).await?;
    let traffic = traffic::Traffic::new(parts);
    traffic.requests_and_a_kill(parts).await?;
    data::revoked(parts).await?;
    let told = months::closed(parts, &postgres, &months).await?;
    months::drafted(parts, &months).await?;
    research::october(parts).await?;
    data::restored(parts, &postgres).await?;
    prometheus.looked_at(parts).await?;
    bills::table(&told)?;
    Ok((postgres, prometheus))
}
