//! From nothing to a cluster that answers.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::process::Child;

use crate::{
    command, control_plane, debian,
    error::{ClusterError, Doing},
    kwok,
    layout::{Layout, State},
    network::Network,
    options::ClusterOptions,
    places,
    programs,
    progress::Reporter,
    service::{Household, failure_file, household_file, log_file},
    supervisor,
};

/// How long the API server, and then each further part, has to be ready. Slow only beside a heavy build.
const READY: Duration = Duration::from_secs(120);

/// Starts all processes and returns when everything that was asked for answers.
pub(crate) async fn start(
    number: u8,
    options: &ClusterOptions,
    layout: &Layout,
    reporter: &Reporter,
) -> Result<Child, ClusterError> {
    programs::ensure(programs::CONTROL_PLANE, reporter).await?;
    let network = network_for(number, reporter).await?;
    control_plane::write_credentials(layout, &network)?;
    let mut services = control_plane::services(layout, &network, options)?;
    if !options.pools().is_empty() {
        programs::ensure(&[programs::KWOK_CONTROLLER], reporter).await?;
        let stages = programs::kwok_stages(reporter).await?;
        services.push(kwok::service(layout, &network, &stages)?);
    }
    let household = Household {
        isolated: network.namespace.is_some(),
        services,
    };
    let path = household_file(&layout.dir);
    fs::write(&path, serde_json::to_vec_pretty(&household)?)
        .doing(|| format!("writing {}", path.display()))?;
    let inner = supervisor::spawn_inner(layout, network.namespace.as_deref())?;
    let client = client(&layout.kubeconfig()).await?;
    let answers = api_server_answers(&client, layout);
    reporter.step("starting the API server", answers).await?;
    furnish(&client, options, layout, reporter).await?;
    let state = State {
        number,
        supervisor: rustix::process::getpid().as_raw_nonzero().get(),
        inner: inner.id().unwrap_or_default(),
        server: network.server(),
        real_node: None,
        kwok_nodes: options.pools().iter().map(|pool| pool.nodes).sum(),
    };
    fs::write(layout.state(), serde_json::to_vec_pretty(&state)?)
        .doing(|| "writing state.json".to_owned())?;
    if let Some(copy) = &options.kubeconfig {
        fs::copy(layout.kubeconfig(), copy).doing(|| format!("writing {}", copy.display()))?;
    }
    Ok(inner)
}

/// A network of its own when this process is root and the kernel allows it, else loopback.
async fn network_for(number: u8, reporter: &Reporter) -> Result<Network, ClusterError> {
    match own_network(number, reporter).await {
        Ok(network) => Ok(network),
        Err(reason) => {
            crate::network::remove(number).await;
            reporter.note(format!("no real node: {reason}"));
            Network::loopback(number)
        }
    }
}

async fn own_network(number: u8, reporter: &Reporter) -> Result<Network, ClusterError> {
    if !places::is_root() {
        return Err(ClusterError::Start("this process is not root".to_owned()));
    }
    debian::ensure(debian::ISOLATION, reporter).await?;
    let network = Network::own(number).await?;
    // Whether the kernel grants namespaces is known only by trying.
    let probe = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    command::run("unshare", &[&probe[..], &["true"]].concat()).await?;
    Ok(network)
}

/// Puts into a cluster that answers what every test expects to find.
async fn furnish(
    client: &Client,
    options: &ClusterOptions,
    layout: &Layout,
    reporter: &Reporter,
) -> Result<(), ClusterError> {
    kwok::create_nodes(client, options, false).await?;
    let nodes: u32 = options.pools().iter().map(|pool| pool.nodes).sum();
    if options.controllers {
        let settled = until(layout, "controllers and nodes", || async {
            Ok(default_account_exists(client).await?
                && kwok::ready_nodes(client).await? >= nodes as usize)
        });
        reporter.step("starting controllers and nodes", settled).await?;
    }
    Ok(())
}

/// The controller manager gives each namespace an account: when this one is there, it works.
async fn default_account_exists(client: &Client) -> Result<bool, ClusterError> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    Ok(accounts.get_opt("default").await?.is_some())
}

async fn api_server_answers(client: &Client, layout: &Layout) -> Result<(), ClusterError> {
    let ready = || async {
        let request = http::Request::get("/readyz").body(Vec::new());
        let Ok(request) = request else {
            return Ok(false);
        };
        Ok(client.request_text(request).await.is_ok())
    };
    let outcome = until(layout, "the API server", ready).await;
    outcome.map_err(|error| {
        let log = fs::read(log_file(&layout.dir, "kube-apiserver")).unwrap_or_default();
        let log = command::last_lines(&String::from_utf8_lossy(&log), 15);
        ClusterError::Start(format!("{error}\n{log}"))
    })
}

/// Waits until `check` holds, or a service has given up, or the time is over.
pub(crate) async fn until<F>(
    layout: &Layout,
    what: &str,
    mut check: impl FnMut() -> F,
) -> Result<(), ClusterError>
where
    F: Future<Output = Result<bool, ClusterError>>,
{
    let begin = Instant::now();
    let mut last = None;
    loop {
        match check().await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => last = Some(error),
        }
        if let Ok(text) = fs::read_to_string(failure_file(&layout.dir)) {
            return Err(ClusterError::Start(text));
        }
        if begin.elapsed() > READY {
            let reason = last.map_or_else(String::new, |error| format!(": {error}"));
            return Err(ClusterError::Start(format!(
                "{what} not ready after {} s{reason}",
                READY.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// A client with the rights that the kubeconfig gives.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client, ClusterError> {
    Ok(Client::try_from(config(kubeconfig).await?)?)
}

/// How to reach the cluster of a kubeconfig.
pub(crate) async fn config(kubeconfig: &Path) -> Result<Config, ClusterError> {
    let wrong = |message: String| ClusterError::Kubeconfig {
        path: kubeconfig.to_owned(),
        message,
    };
    let file = Kubeconfig::read_from(kubeconfig).map_err(|error| wrong(error.to_string()))?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(|error| wrong(error.to_string()))
}
