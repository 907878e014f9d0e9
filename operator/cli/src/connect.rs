//! The cluster that a command asks.

use std::fmt::Debug;
use std::path::PathBuf;

use clap::Args;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Objects asked for at once.
const PAGE: u32 = 500;

/// Which cluster, as kubectl has it.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// The kubeconfig file; none: the usual places, or the pod's own account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; none: its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl Connection {
    /// A client, and the namespace that the context names.
    pub(crate) async fn open(&self) -> Result<(Client, String), Problem> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = match &self.kubeconfig {
            Some(file) => {
                let kubeconfig = Kubeconfig::read_from(file).map_err(|error| Problem::of(file, error))?;
                Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .map_err(|error| Problem::new(format!("the kubeconfig: {error}")))?
            }
            None if self.context.is_some() => Config::from_kubeconfig(&options)
                .await
                .map_err(|error| Problem::new(format!("the kubeconfig: {error}")))?,
            None => Config::infer().await.map_err(|error| {
                Problem::new(format!("no cluster is known ({error}): give --kubeconfig or --context"))
            })?,
        };
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(Problem::new)?;
        Ok((client, namespace))
    }
}

/// Everything that an API lists, a page at a time.
pub(crate) async fn list<K>(api: &Api<K>) -> Result<Vec<K>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut params = ListParams::default().limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = api.list(&params).await?;
        all.extend(page.items);
        match page.metadata.continue_ {
            Some(next) if !next.is_empty() => params = params.continue_token(&next),
            _ => return Ok(all),
        }
    }
}

/// What a command asks of a cluster, with a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Problem::new)?.block_on(work)
}

/// What is wrong with the cluster, and what to do. `what` is what was read.
pub(crate) fn trouble(what: &str, error: kube::Error) -> Problem {
    match error {
        kube::Error::Api(status) if status.code == 404 => Problem::new(format!(
            "the cluster has no such thing ({}): look at the name and -n, and whether the chart maru-crds is installed",
            status.message
        )),
        kube::Error::Api(status) if status.code == 403 => Problem::new(format!(
            "{what} are to be read, and that is not allowed: {}",
            status.message
        )),
        error => Problem::new(format!("the cluster does not answer as it should: {error}")),
    }
}
