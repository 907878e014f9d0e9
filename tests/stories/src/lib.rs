//! What users see, told against the real API server: what the stories need to tell it.
//!
//! A story has agencies of its own, so that those of one program run beside each other in one cluster.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a helper that fails is a story that fails"
)]

mod cut;
pub mod data;
mod faults;
mod installed;
mod kinds;
mod look;
mod meters;
mod months;
mod operator;
mod programs;
mod words;

pub use cut::Cut;
pub use faults::{Fault, Faults};
pub use installed::{Helm, RELEASE_NAMESPACE, chart, operator_config, start_installed};
pub use kinds::{delete_kinds, install_kinds};
pub use look::{Snapshot, eventually, snapshot, uid_of, versions};
pub use meters::Meters;
pub use months::{Billing, it_is};
pub use operator::{Operator, among_crashes};
pub use programs::programs;
pub use words::{HELLO, agency, agency_ready, apply, delete, is_gone, ready_reason, system, system_ready};

use kube::Client;
use maru_controller::Settings;
use maru_test_cluster::{Cluster, ClusterOptions, RealNode};
use tokio::sync::OnceCell;

/// A cluster with Maru's kinds in it and one operator beside it.
#[derive(Debug)]
pub struct Stage {
    /// The cluster.
    pub cluster: Cluster,
    /// The operator, in this process.
    pub operator: Operator,
}

static SHARED: OnceCell<Stage> = OnceCell::const_new();

impl Stage {
    /// The stage that all stories of this program share: with a node that runs real containers where that is possible.
    pub async fn shared() -> &'static Self {
        SHARED
            .get_or_init(|| async {
                let options = ClusterOptions {
                    kwok_nodes: 1,
                    ..ClusterOptions::default()
                };
                let cluster = Cluster::start(options).await.unwrap();
                install_kinds(&cluster.client().unwrap()).await;
                let operator = Operator::start(&cluster.config(), Settings::default(), &Faults::none());
                Self { cluster, operator }
            })
            .await
    }

    /// A client with the administrator's rights.
    pub fn client(&self) -> Client {
        self.cluster.client().unwrap()
    }
}

/// A cluster of one story's own, with simulated nodes and Maru's kinds, and nothing that acts on them yet.
pub async fn cluster_with_kinds() -> Cluster {
    let options = ClusterOptions {
        node: RealNode::Never,
        ..ClusterOptions::simulated(1)
    };
    let cluster = Cluster::start(options).await.unwrap();
    install_kinds(&cluster.client().unwrap()).await;
    cluster
}
