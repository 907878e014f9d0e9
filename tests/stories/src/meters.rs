//! Metering by itself, in this process, that can be ended in an orderly way or killed in the middle of anything.

use kube::{Client, Config};
use maru_controller::Metrics;
use maru_controller::meter::{self, Pace};
use maru_lake::Lake;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The metering loops of one replica.
#[derive(Debug)]
pub struct Meters {
    runtime: Option<Runtime>,
    running: Option<JoinHandle<()>>,
    shutdown: CancellationToken,
}

impl Meters {
    /// Starts the loops of a replica, with a lake in a directory.
    pub fn start(config: &Config, lake: &Path, pace: Pace) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let client = {
            let _inside = runtime.enter();
            Client::try_from(config.clone()).unwrap()
        };
        // Opened where blocking is allowed, as the operator does.
        let lake = std::thread::scope(|scope| scope.spawn(|| Arc::new(Lake::open(lake).unwrap())).join().unwrap());
        let shutdown = CancellationToken::new();
        let run = meter::run(client, lake, pace, Arc::new(Metrics::default()), shutdown.clone());
        let running = runtime.spawn(async move { run.await.unwrap() });
        Self {
            runtime: Some(runtime),
            running: Some(running),
            shutdown,
        }
    }

    /// Ends them as SIGTERM does.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }

    /// Ends them as SIGKILL does.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Meters {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
