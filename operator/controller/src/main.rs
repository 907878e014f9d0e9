//! `maru-operator`: one replica of the operator.

use clap::Parser;
use kube::{Client, Config};
use maru_backup::Place;
use maru_controller::billing::{self, BillingSettings};
use maru_controller::meter::{self, MeterError, Pace, Prometheus, PrometheusError};
use maru_controller::{Backups, Health, Lease, Metrics, Settings, ingest};
use maru_desire::Platform;
use maru_lake::Lake;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The Maru operator.
#[derive(Debug, Parser)]
#[command(name = "maru-operator", version)]
struct Arguments {
    /// Where `/metrics`, `/livez` and `/readyz` are served.
    #[arg(long, env = "MARU_LISTEN", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
    /// The namespace that the operator runs in; its lease is there.
    #[arg(long, env = "MARU_NAMESPACE", default_value = "maru-system")]
    namespace: String,
    /// The name of this replica in the lease; none given: this replica always leads.
    #[arg(long, env = "MARU_REPLICA")]
    replica: Option<String>,
    /// Where usage records are kept: a directory, or a URL such as `s3://bucket/path`; none given: nothing is metered.
    #[arg(long, env = "MARU_LAKE")]
    lake: Option<PathBuf>,
    /// Put the finalizer `maru.dev/metering` on the pods of systems' Deployments and jobs, so that one that ended is kept until its last use is
    /// recorded. Without it, what ends while no operator runs is an estimate. Needs `--lake`.
    #[arg(long, env = "MARU_METERING_FINALIZER", default_value_t = true, action = clap::ArgAction::Set)]
    metering_finalizer: bool,
    /// Where bills are booked: the path of a file, or the URL of a PostgreSQL database; none given: billing runs are not worked on. Needs
    /// `--lake`.
    #[arg(long, env = "MARU_LEDGER", hide_env_values = true, requires = "lake")]
    ledger: Option<String>,
    /// How many days usage is kept in the lake; none given: for ever. What bills were made from is kept all the same. Needs `--ledger`.
    #[arg(long, env = "MARU_USAGE_KEPT_DAYS", requires = "ledger", value_parser = clap::value_parser!(u32).range(62..=36500))]
    usage_kept_days: Option<u32>,
    /// Where `/v1/events` is served, for use that systems report themselves; none given: nowhere. Needs `--lake`.
    #[arg(long, env = "MARU_EVENTS_LISTEN", requires = "lake")]
    events_listen: Option<SocketAddr>,
    /// A folder with `tls.crt` and `tls.key` with which `/v1/events` is encrypted, as a Secret of the type `kubernetes.io/tls` is mounted; a renewed
    /// certificate is taken up. None given: plain HTTP.
    #[arg(long, env = "MARU_EVENTS_CERTIFICATE", requires = "events_listen")]
    events_certificate: Option<PathBuf>,
    /// The Prometheus that says what containers used, such as `http://prometheus.monitoring:9090`; none given: used CPU and memory are not metered.
    /// Needs `--lake`.
    #[arg(long, env = "MARU_PROMETHEUS", requires = "lake")]
    prometheus: Option<String>,
    /// A file with the token that Prometheus is asked with.
    #[arg(long, env = "MARU_PROMETHEUS_TOKEN_FILE", requires = "prometheus")]
    prometheus_token_file: Option<PathBuf>,
    /// Where backups of datasets are kept: a directory, or a URL such as `s3://bucket/backups`; none given: there are none.
    #[arg(long, env = "MARU_BACKUPS", requires = "backup_key_file")]
    backups: Option<String>,
    /// The file with the key that backups are encrypted with, as `kubectl maru dataset key` prints it.
    #[arg(long, env = "MARU_BACKUP_KEY_FILE", requires = "backups")]
    backup_key_file: Option<PathBuf>,
    /// After how many seconds databases are compared with what is wanted when nothing changed. A right that somebody
    /// gave by hand can last so long, and up to 18 seconds more.
    #[arg(long, env = "MARU_VERIFY_DATA_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    verify_data_seconds: u64,
    /// After how many seconds what datasets take and what is read of them is recorded as usage; a whole number of them
    /// must make an hour. Needs `--lake`.
    #[arg(long, env = "MARU_DATA_USAGE_SECONDS", default_value_t = HOUR_SECONDS, value_parser = part_of_an_hour)]
    data_usage_seconds: u64,
    /// How many objects are worked on at once.
    #[arg(long, env = "MARU_WORKERS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
}

const HOUR_SECONDS: u64 = 3600;

/// What is logged where `RUST_LOG` says nothing else: what the operator has to say, and troubles of what it uses. Each commit to the lake, each
/// notice of a database and that an option is called experimental would be most of all lines.
const LOGGED: &str = "info,kube=warn,tokio_postgres=warn,deltalake_core=warn,deltalake_core::operations::vacuum=error,buoyant_kernel=off";

/// Usage is billed by hours: no reading may lie in two of them.
fn part_of_an_hour(text: &str) -> Result<u64, String> {
    let seconds = text.parse::<u64>().ok().filter(|seconds| *seconds > 0);
    seconds
        .filter(|seconds| HOUR_SECONDS.is_multiple_of(*seconds))
        .ok_or_else(|| format!("{text} seconds are no even part of an hour; 300, 900 and 3600 are"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| LOGGED.into()))
        .with_writer(std::io::stderr)
        .init();
    let client = Client::try_from(Config::infer().await?)?;
    let shutdown = CancellationToken::new();
    tokio::spawn(on_signal(shutdown.clone())?);

    let metrics = Arc::new(Metrics::default());
    let health = Arc::new(Health::default());
    let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
    tracing::info!(address = %listener.local_addr()?, "serves metrics and health");
    let http = maru_controller::serve(listener, Arc::clone(&metrics), Arc::clone(&health), shutdown.clone());
    let lake = match arguments.lake.clone() {
        None => None,
        Some(place) => Some(Arc::new(tokio::task::spawn_blocking(move || Lake::open(place)).await??)),
    };
    let metering = match &lake {
        None => Vec::new(),
        Some(lake) => meter_into(lake, &client, &arguments, &metrics, &shutdown)?,
    };
    let billing = arguments.ledger.clone().zip(lake.as_ref()).map(|(ledger, lake)| {
        let days = |days: u32| jiff::SignedDuration::from_hours(24 * i64::from(days));
        let settings = BillingSettings {
            usage_kept: arguments.usage_kept_days.map(days),
            ..BillingSettings::into_ledger(ledger)
        };
        let (metrics, lake) = (Arc::clone(&metrics), Arc::clone(lake));
        tokio::spawn(billing::run(client.clone(), lake, settings, metrics, shutdown.clone()))
    });
    let events = match arguments.events_listen.zip(lake.as_ref()) {
        None => None,
        Some((address, lake)) => {
            let listener = tokio::net::TcpListener::bind(address).await?;
            tracing::info!(address = %listener.local_addr()?, "takes events");
            let (metrics, lake) = (Arc::clone(&metrics), Arc::clone(lake));
            let serving = ingest::serve(
                listener,
                arguments.events_certificate.clone(),
                client.clone(),
                lake,
                metrics,
                shutdown.clone(),
            );
            Some(tokio::spawn(serving))
        }
    };
    let http = tokio::spawn(http);
    let settings = Settings {
        lake,
        ..settings(&client, &arguments).await?
    };
    maru_controller::run(client, settings, metrics, health, shutdown.clone()).await?;
    shutdown.cancel();
    if let Some(events) = events {
        events.await??;
    }
    if let Some(billing) = billing {
        billing.await?;
    }
    for task in metering {
        task.await??;
    }
    http.await??;
    Ok(())
}

/// Starts what meters.
fn meter_into(
    lake: &Arc<Lake>,
    client: &Client,
    arguments: &Arguments,
    metrics: &Arc<Metrics>,
    shutdown: &CancellationToken,
) -> Result<Vec<JoinHandle<Result<(), MeterError>>>, PrometheusError> {
    let (client, lake) = (client.clone(), Arc::clone(lake));
    let mut tasks = Vec::new();
    if let Some(url) = &arguments.prometheus {
        let prometheus = Prometheus::at(url, arguments.prometheus_token_file.clone())?;
        let (lake, metrics) = (Arc::clone(&lake), Arc::clone(metrics));
        let used = meter::used::run(client.clone(), lake, prometheus, metrics, shutdown.clone());
        tasks.push(tokio::spawn(async {
            used.await;
            Ok(())
        }));
    }
    let loops = meter::run(client, lake, Pace::default(), Arc::clone(metrics), shutdown.clone());
    tasks.push(tokio::spawn(loops));
    Ok(tasks)
}

/// Cancels on SIGTERM and Ctrl-C.
fn on_signal(shutdown: CancellationToken) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("shuts down");
        shutdown.cancel();
    })
}

/// The settings, with the API for routes that the cluster has.
async fn settings(client: &Client, arguments: &Arguments) -> Result<Settings, Box<dyn std::error::Error>> {
    let platform = Platform {
        operator_namespace: arguments.namespace.clone(),
        metering_finalizer: arguments.lake.is_some() && arguments.metering_finalizer,
        ..Platform::default()
    };
    Ok(Settings {
        platform: maru_controller::in_cluster(client, platform).await?,
        workers: usize::from(arguments.workers),
        verify_data_every: Duration::from_secs(arguments.verify_data_seconds),
        read_usage_every: Duration::from_secs(arguments.data_usage_seconds),
        backups: backups(arguments)?,
        lease: arguments.replica.clone().map(|identity| Lease {
            namespace: arguments.namespace.clone(),
            name: "maru-operator".to_owned(),
            identity,
            duration_seconds: Lease::DURATION_SECONDS,
        }),
        ..Settings::default()
    })
}

/// Where backups are kept, and their key.
fn backups(arguments: &Arguments) -> Result<Option<Backups>, Box<dyn std::error::Error>> {
    let Some((place, file)) = arguments.backups.as_deref().zip(arguments.backup_key_file.as_deref()) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(Some(Backups {
        place: Place::at(place)?,
        key: text.parse()?,
    }))
}
