//! From nothing to a cluster that answers.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::process::Child;

use crate::{
    command, control_plane, debian,
    error::{ClusterError, Doing},
    gateway, image, kwok,
    layout::{Layout, State},
    modules,
    network::Network,
    node,
    options::{ClusterOptions, Isolation, KwokPool, RealNode},
    places, programs,
    progress::Reporter,
    proxy,
    service::{Failure, Household, Service, household_file, log_file},
    supervisor, volumes,
};

/// How long the API server, and then each further part, has to be ready. Slow only beside a heavy build.
const READY: Duration = Duration::from_mins(2);

/// A cluster that answers.
pub(crate) struct Running {
    /// The process whose end ends all others.
    pub(crate) inner: Child,
    /// The administrator's client.
    pub(crate) client: Client,
}

/// Starts all processes and returns when everything that was asked for answers.
///
/// When the real node does not come up, the whole is started again without it, and one line says why.
pub(crate) async fn start(
    number: u8,
    options: &ClusterOptions,
    layout: &Layout,
    reporter: &Reporter,
) -> Result<Running, ClusterError> {
    programs::ensure(programs::CONTROL_PLANE, reporter).await?;
    let (network, real_node) = ground(number, options, reporter).await?;
    match attempt(number, options, layout, &network, real_node, reporter).await {
        Err(ClusterError::RealNode(reason)) => {
            reporter.note(format!("no real node: {}", command::one_line(&reason)));
            supervisor::all_processes_gone().await?;
            layout.clear()?;
            attempt(number, options, layout, &network, false, reporter).await
        }
        outcome => outcome,
    }
}

async fn attempt(
    number: u8,
    options: &ClusterOptions,
    layout: &Layout,
    network: &Network,
    real_node: bool,
    reporter: &Reporter,
) -> Result<Running, ClusterError> {
    let nodes = Nodes::wanted(options, real_node);
    let services = services(number, options, layout, network, &nodes, reporter).await?;
    write_household(layout, network, services)?;
    let inner = supervisor::spawn_inner(layout, network.namespace.as_deref())?;
    let client = client(&layout.kubeconfig()).await?;
    let answers = api_server_answers(&client, layout);
    reporter.step("starting the API server", answers).await?;
    let state = State {
        number,
        supervisor: rustix::process::getpid().as_raw_nonzero().get(),
        inner: first_process(&inner, network)?,
        server: network.server(),
        real_node: real_node.then(|| node::NAME.to_owned()),
        kwok_nodes: nodes.simulated(),
    };
    furnish(&client, options, &nodes, &state, layout, reporter).await?;
    fs::write(layout.state(), serde_json::to_vec_pretty(&state)?).doing(|| "writing state.json".to_owned())?;
    if let Some(copy) = &options.kubeconfig {
        fs::copy(layout.kubeconfig(), copy).doing(|| format!("writing {}", copy.display()))?;
    }
    Ok(Running { inner, client })
}

/// All processes of the cluster, with everything built that they need.
async fn services(
    number: u8,
    options: &ClusterOptions,
    layout: &Layout,
    network: &Network,
    nodes: &Nodes,
    reporter: &Reporter,
) -> Result<Vec<Service>, ClusterError> {
    control_plane::write_credentials(layout, network)?;
    let mut services = control_plane::services(layout, network, options)?;
    if nodes.real {
        programs::ensure(programs::REAL_NODE, reporter).await?;
        services.extend(node::services(number, layout, network, options)?);
        if options.service_proxy {
            debian::ensure(debian::SERVICE_PROXY, reporter).await?;
            programs::ensure(&[programs::KUBE_PROXY], reporter).await?;
            services.push(proxy::service(layout, network)?);
        }
    }
    if nodes.simulated() > 0 {
        programs::ensure(&[programs::KWOK_CONTROLLER], reporter).await?;
        let stages = modules::ensure(&modules::KWOK_STAGES, reporter).await?;
        services.push(kwok::service(layout, network, &stages)?);
    }
    Ok(services)
}

/// The nodes that a cluster is to have.
struct Nodes {
    real: bool,
    pools: Vec<KwokPool>,
}

impl Nodes {
    /// What the options ask for. A cluster without the real node that was asked for gets a simulated one instead.
    fn wanted(options: &ClusterOptions, real: bool) -> Self {
        let mut pools = options.pools();
        if pools.is_empty() && !real && options.node == RealNode::WhenPossible {
            pools.push(KwokPool {
                nodes: 1,
                ..KwokPool::default()
            });
        }
        Self { real, pools }
    }

    fn simulated(&self) -> u32 {
        self.pools.iter().map(|pool| pool.nodes).sum()
    }

    fn all(&self) -> usize {
        self.simulated() as usize + usize::from(self.real)
    }
}

fn write_household(layout: &Layout, network: &Network, services: Vec<Service>) -> Result<(), ClusterError> {
    let household = Household {
        isolated: network.namespace.is_some(),
        services,
    };
    let path = household_file(&layout.dir);
    fs::write(&path, serde_json::to_vec_pretty(&household)?).doing(|| format!("writing {}", path.display()))
}

/// The innermost process as the machine numbers it: the one that `unshare` started, or the one that we did.
fn first_process(started: &Child, network: &Network) -> Result<u32, ClusterError> {
    let started = started.id().unwrap_or_default();
    if network.namespace.is_none() {
        return Ok(started);
    }
    let path = format!("/proc/{started}/task/{started}/children");
    let children = fs::read_to_string(&path).doing(|| format!("reading {path}"))?;
    let first = children.split_whitespace().next();
    first
        .and_then(|process| process.parse().ok())
        .ok_or_else(|| ClusterError::Start(format!("{path} is empty")))
}

/// The network, and whether there will be a real node.
async fn ground(number: u8, options: &ClusterOptions, reporter: &Reporter) -> Result<(Network, bool), ClusterError> {
    let wanted = options.node == RealNode::WhenPossible;
    let own = async {
        match options.isolation {
            Isolation::WhenPossible => own_network(number, reporter).await,
            Isolation::Never => Err(ClusterError::RealNode(
                "the options ask for no network of its own".to_owned(),
            )),
        }
    };
    let reason = match own.await {
        Ok(network) if !wanted => return Ok((network, false)),
        Ok(network) => match debian::ensure(debian::REAL_NODE, reporter).await {
            Ok(()) => return Ok((network, true)),
            Err(reason) => {
                reporter.note(format!("no real node: {reason}"));
                return Ok((network, false));
            }
        },
        Err(reason) => reason,
    };
    crate::network::remove(number).await;
    if wanted {
        reporter.note(format!("no real node: {reason}"));
    }
    Ok((Network::loopback(number)?, false))
}

async fn own_network(number: u8, reporter: &Reporter) -> Result<Network, ClusterError> {
    if !places::is_root() {
        return Err(ClusterError::RealNode("this process is not root".to_owned()));
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
    nodes: &Nodes,
    state: &State,
    layout: &Layout,
    reporter: &Reporter,
) -> Result<(), ClusterError> {
    let tainted = options.taints_kwok(nodes.real);
    kwok::create_nodes(client, &nodes.pools, tainted).await?;
    if options.volumes {
        volumes::install(client).await?;
    }
    if options.gateway_api {
        let folder = modules::ensure(&modules::GATEWAY_API, reporter).await?;
        gateway::install(client, &folder).await?;
    }
    if nodes.real {
        let ready = real_node_ready(client, state, layout);
        let outcome = reporter.step("starting the real node", ready).await;
        outcome.map_err(|error| ClusterError::RealNode(error.to_string()))?;
    }
    if options.controllers {
        let settled = until(layout, "controllers and nodes", || async {
            Ok(default_account_exists(client).await? && node::ready(client).await? >= nodes.all())
        });
        let step = "starting controllers and nodes";
        reporter.step(step, settled).await?;
    }
    Ok(())
}

/// Loads the images that every node has, and waits for the kubelet.
async fn real_node_ready(client: &Client, state: &State, layout: &Layout) -> Result<(), ClusterError> {
    load_images(state, layout).await?;
    let nodes: Api<Node> = Api::all(client.clone());
    until(layout, "the kubelet", || async {
        let node = nodes.get_opt(node::NAME).await?;
        Ok(node.is_some_and(|node| node::says_ready(&node)))
    })
    .await
}

/// The images that every node has: the one that holds pods together, and the example.
async fn load_images(state: &State, layout: &Layout) -> Result<(), ClusterError> {
    let socket = image::socket(state);
    until(layout, "containerd", || async { Ok(socket.exists()) }).await?;
    for (name, program) in [
        (node::PAUSE_IMAGE, programs::PAUSE),
        (node::HELLO_IMAGE, programs::HELLO),
    ] {
        image::load(state, name, &program.path()?).await?;
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
    match until(layout, "the API server", ready).await {
        Err(ClusterError::Start(text)) => {
            let log = fs::read(log_file(&layout.dir, "kube-apiserver")).unwrap_or_default();
            let log = command::last_lines(&String::from_utf8_lossy(&log), 15);
            Err(ClusterError::Start(format!("{text}\n{log}")))
        }
        outcome => outcome,
    }
}

/// Waits until `check` holds, or a service has given up, or the time is over.
pub(crate) async fn until<F>(layout: &Layout, what: &str, mut check: impl FnMut() -> F) -> Result<(), ClusterError>
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
        if let Some(failure) = Failure::read(&layout.dir) {
            return Err(match failure.service.as_str() {
                "containerd" | "kubelet" => ClusterError::RealNode(failure.text),
                _ => ClusterError::Start(failure.text),
            });
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
