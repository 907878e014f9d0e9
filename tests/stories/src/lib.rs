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

mod acting;
mod cut;
pub mod data;
pub mod events;
mod faults;
mod installed;
mod kinds;
pub mod lives;
mod look;
mod meters;
mod months;
mod operator;
mod programs;
mod scene;
mod words;

pub use acting::{Acting, cluster_for_containers, looks_often};
pub use cut::Cut;
pub use faults::{Fault, Faults};
pub use installed::{
    Helm, OPERATOR_IMAGE, RELEASE_NAMESPACE, chart, last_words, load_operator, metrics_of_container, operator_config,
    operator_is_ready, operator_pods, operator_volume, start_installed,
};
pub use kinds::{delete_kinds, install_kinds};
pub use look::{Snapshot, eventually, snapshot, uid_of, versions};
pub use meters::Meters;
pub use months::{Billing, it_is};
pub use operator::{Operator, among_crashes, value};
pub use programs::programs;
pub use scene::{CONSUMERS, OWNERS, Scene};
pub use words::{HELLO, agency, agency_ready, apply, delete, is_gone, ready_reason, system, system_ready, told};

use kube::Client;
use maru_test_cluster::{Cluster, ClusterOptions, RealNode};
use tokio::sync::OnceCell;

/// A cluster with Maru's kinds in it and one operator.
#[derive(Debug)]
pub struct Stage {
    /// The cluster.
    pub cluster: Cluster,
    operator: Acting,
}

static SHARED: OnceCell<Stage> = OnceCell::const_new();

impl Stage {
    /// The stage that all stories of this program share: where containers can run, Maru is installed as its users do it.
    pub async fn shared() -> &'static Self {
        SHARED
            .get_or_init(|| async {
                let (cluster, operator) = Acting::on_a_cluster().await;
                Self { cluster, operator }
            })
            .await
    }

    /// A client with the administrator's rights.
    pub fn client(&self) -> Client {
        self.cluster.client().unwrap()
    }

    /// The value of one of the operator's metrics, such as `maru_drift_healed_total{kind="Service"}`; 0 where it is not there.
    pub async fn metric(&self, name: &str) -> u64 {
        self.operator.metric(name).await
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
