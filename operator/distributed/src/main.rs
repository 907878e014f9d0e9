//! `maru-ballista`: a Ballista scheduler or executor with the options of Ballista's own programs, for one machine and for tests.

mod local;

use std::sync::Arc;

use ballista_core::error::{BallistaError, Result};
use ballista_core::object_store::{
    runtime_env_with_s3_support, session_config_with_s3_support, session_state_with_s3_support,
};
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// A Ballista scheduler or executor.
#[derive(Debug, Parser)]
#[command(name = "maru-ballista", version)]
enum Role {
    /// Plans queries and hands their parts out.
    Scheduler(Box<ballista_scheduler::config::Config>),
    /// Works on parts of queries.
    Executor(Box<ballista_executor::config::Config>),
    /// Starts a scheduler and executors on this machine and prints the address that a client gives.
    Local(local::Local),
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match Role::parse() {
        Role::Local(local) => Ok(local.run().await?),
        Role::Scheduler(options) => {
            let address = format!("{}:{}", options.bind_host, options.bind_port);
            let address = address
                .parse()
                .map_err(|error| BallistaError::Configuration(format!("--bind-host {address}: {error}")))?;
            let config = SchedulerConfig::try_from(*options)?
                .with_override_config_producer(Arc::new(session_config_with_s3_support))
                .with_override_session_builder(Arc::new(session_state_with_s3_support));
            let cluster = BallistaCluster::new_from_config(&config).await?;
            start_server(cluster, address, Arc::new(config)).await
        }
        Role::Executor(options) => {
            let mut config = ExecutorProcessConfig::try_from(*options)?;
            config.override_config_producer = Some(Arc::new(session_config_with_s3_support));
            config.override_runtime_producer = Some(Arc::new(runtime_env_with_s3_support));
            start_executor_process(Arc::new(config)).await
        }
    }
}
