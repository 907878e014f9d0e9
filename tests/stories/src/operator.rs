//! An operator in this process, on threads of its own, that can be ended in an orderly way or killed in the middle of anything.

use crate::Faults;
use kube::Config;
use kube::client::ClientBuilder;
use maru_controller::{Health, Metrics, Settings};
use maru_test_cluster::Cluster;
use std::fmt;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// One replica of the operator.
pub struct Operator {
    runtime: Option<Runtime>,
    running: Option<JoinHandle<()>>,
    shutdown: CancellationToken,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// Whether its caches are filled.
    pub health: Arc<Health>,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}

impl Operator {
    /// Starts a replica that reaches the API server through `faults`.
    pub fn start(config: &Config, settings: Settings, faults: &Faults) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let client = {
            let _inside = runtime.enter();
            ClientBuilder::try_from(config.clone())
                .unwrap()
                .with_layer(faults)
                .build()
        };
        let metrics = Arc::new(Metrics::default());
        let health = Arc::new(Health::default());
        let shutdown = CancellationToken::new();
        let run = maru_controller::run(
            client,
            settings,
            Arc::clone(&metrics),
            Arc::clone(&health),
            shutdown.clone(),
        );
        let running = runtime.spawn(async move { run.await.unwrap() });
        Self {
            runtime: Some(runtime),
            running: Some(running),
            shutdown,
            metrics,
            health,
        }
    }

    /// Ends it as SIGTERM does, and waits until it has ended.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }

    /// Ends it as SIGKILL does: whatever waits for an answer never gets it.
    pub fn kill(self) {
        drop(self);
    }

    /// The value of one metric as `/metrics` shows it, such as `maru_drift_healed_total{kind="Service"}`; 0 where it is not there.
    pub fn metric(&self, name: &str) -> u64 {
        value(&self.metrics.encode(), name)
    }
}

/// The value of one metric on a page of them; 0 where it is not there.
pub fn value(page: &str, metric: &str) -> u64 {
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs an operator that crashes whenever `faults` say so and is started again, until `story` has ended. Gives it, and how often it crashed.
pub async fn among_crashes(cluster: &Cluster, faults: &Faults, story: impl Future<Output = ()>) -> (Operator, u32) {
    let start = || Operator::start(&cluster.config(), Settings::default(), faults);
    let (mut operator, mut crashes) = (start(), 0);
    tokio::pin!(story);
    loop {
        tokio::select! {
            () = &mut story => return (operator, crashes),
            () = faults.crash() => {
                operator.kill();
                crashes += 1;
                operator = start();
            }
        }
    }
}
