//! What a cluster should have.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Whether the cluster gets a node that runs real containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RealNode {
    /// When this process is root and the kernel allows it; otherwise one line says why not.
    #[default]
    WhenPossible,
    /// Never: the cluster starts faster and needs nothing from Debian.
    Never,
}

/// Whether the cluster's processes get a network and a process tree of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isolation {
    /// When this process is root and the kernel allows it. A real node needs it.
    #[default]
    WhenPossible,
    /// Never: everything listens on loopback at free ports, as it does without root.
    Never,
}

/// When simulated nodes carry the taint `kwok.x-k8s.io/node=fake:NoSchedule`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KwokTaint {
    /// Only beside a real node, so that pods land where they really run.
    #[default]
    BesideRealNode,
    /// Always.
    Always,
    /// Never: pods may land on simulated nodes as on any other.
    Never,
}

/// Some simulated nodes that are alike. They are named `<name>-0`, `<name>-1` and so on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KwokPool {
    /// The nodes' names begin with this.
    pub name: String,
    /// How many nodes. Each renews a lease every ten seconds, so for load prefer few large nodes.
    pub nodes: u32,
    /// Labels beside `type=kwok` and the well-known ones, for example `maru.dev/grade`.
    pub labels: BTreeMap<String, String>,
    /// What each node offers, as Kubernetes quantities by resource name.
    pub capacity: BTreeMap<String, String>,
}

impl Default for KwokPool {
    fn default() -> Self {
        let capacity = [("cpu", "1000"), ("memory", "4Ti"), ("pods", "100000")];
        Self {
            name: "kwok".to_owned(),
            nodes: 0,
            labels: BTreeMap::new(),
            capacity: capacity
                .map(|(resource, quantity)| (resource.to_owned(), quantity.to_owned()))
                .into(),
        }
    }
}

/// Limits that matter under load. `None` leaves Kubernetes' own default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// `--max-requests-inflight` of the API server (requests).
    pub max_requests_inflight: Option<u32>,
    /// `--max-mutating-requests-inflight` of the API server (requests).
    pub max_mutating_requests_inflight: Option<u32>,
    /// `--kube-api-qps` of controller manager and scheduler (requests a second); the burst is twice that.
    ///
    /// Kubernetes' default of 20 alone makes a controller manager take five seconds longer to start.
    pub controllers_qps: u32,
    /// Workers of each controller in the controller manager that a busy test leans on.
    pub controllers_concurrency: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_requests_inflight: None,
            max_mutating_requests_inflight: None,
            controllers_qps: 500,
            controllers_concurrency: None,
        }
    }
}

/// What a cluster should have. The default is a whole one: control plane, controllers, and a real node when possible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a part that is there or not")]
pub struct ClusterOptions {
    /// The node that runs real containers.
    pub node: RealNode,
    /// A network and a process tree of its own.
    pub isolation: Isolation,
    /// Labels of the real node beside `maru.dev/real-node=true`, for example `maru.dev/grade`.
    pub node_labels: BTreeMap<String, String>,
    /// How many simulated nodes of the default shape (1,000 cores, 4 TiB, 100,000 pods each).
    pub kwok_nodes: u32,
    /// More simulated nodes, with names, labels and sizes of their own.
    pub kwok_pools: Vec<KwokPool>,
    /// Whether pods must tolerate simulated nodes.
    pub kwok_taint: KwokTaint,
    /// Install the custom resource definitions of the Gateway API (standard channel).
    pub gateway_api: bool,
    /// Let pods of the real node reach Services at their addresses, with kube-proxy.
    pub service_proxy: bool,
    /// Run controller manager and scheduler. Without them objects are stored and nothing happens to them.
    pub controllers: bool,
    /// Serve persistent volume claims from folders of this machine (the default storage class `maru-test`).
    pub volumes: bool,
    /// Write an audit log (metadata level, one JSON event a line) to `logs/audit.log` of the folder.
    pub audit: bool,
    /// Limits under load.
    pub limits: Limits,
    /// More flags for the API server, for example `--feature-gates=…`.
    pub api_server_flags: Vec<String>,
    /// Where the cluster keeps its files. Default: a new folder under the system's temporary one.
    pub dir: Option<PathBuf>,
    /// Leave the folder with its logs behind when the cluster ends.
    pub keep_files: bool,
    /// Where else to write the kubeconfig; it is removed when the cluster ends.
    pub kubeconfig: Option<PathBuf>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            node: RealNode::default(),
            isolation: Isolation::default(),
            node_labels: BTreeMap::new(),
            kwok_nodes: 0,
            kwok_pools: Vec::new(),
            kwok_taint: KwokTaint::default(),
            gateway_api: false,
            service_proxy: false,
            controllers: true,
            volumes: true,
            audit: false,
            limits: Limits::default(),
            api_server_flags: Vec::new(),
            dir: None,
            keep_files: false,
            kubeconfig: None,
        }
    }
}

impl ClusterOptions {
    /// Control plane and controllers with `kwok_nodes` simulated nodes, and no real one.
    pub fn simulated(kwok_nodes: u32) -> Self {
        Self {
            node: RealNode::Never,
            kwok_nodes,
            ..Self::default()
        }
    }

    /// All simulated nodes that are asked for, the default pool first.
    pub(crate) fn pools(&self) -> Vec<KwokPool> {
        let default = KwokPool {
            nodes: self.kwok_nodes,
            ..KwokPool::default()
        };
        std::iter::once(default)
            .chain(self.kwok_pools.iter().cloned())
            .filter(|pool| pool.nodes > 0)
            .collect()
    }

    /// Whether simulated nodes keep pods away that do not tolerate them.
    pub(crate) fn taints_kwok(&self, real_node: bool) -> bool {
        match self.kwok_taint {
            KwokTaint::BesideRealNode => real_node,
            KwokTaint::Always => true,
            KwokTaint::Never => false,
        }
    }
}
