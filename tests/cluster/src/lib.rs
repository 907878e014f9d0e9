//! A real Kubernetes on this machine, for the tests and the demo.
//!
//! etcd, API server, controllers and scheduler are built from pinned Go modules. As root there is also a node that
//! runs real containers; simulated nodes come in any number. Clusters run side by side, and everything of a cluster
//! is gone when the process that asked for it is, however that one ended.
//!
//! ```no_run
//! # async fn example() -> Result<(), maru_test_cluster::ClusterError> {
//! use maru_test_cluster::{Cluster, ClusterOptions};
//!
//! let cluster = Cluster::start(ClusterOptions { kwok_nodes: 2, ..ClusterOptions::default() }).await?;
//! let client = cluster.client()?;
//! # drop(client);
//! cluster.stop().await
//! # }
//! ```

mod cluster;
mod command;
mod containers;
mod control_plane;
mod debian;
mod error;
mod gateway;
mod image;
mod inner;
mod kubeconfig;
mod kwok;
mod layout;
mod modules;
mod network;
mod node;
mod object_store;
mod oci;
mod options;
mod pki;
mod places;
mod program;
mod programs;
mod progress;
mod proxy;
mod register;
mod service;
mod start;
mod supervisor;
mod supervisor_program;
mod volumes;

pub use cluster::{Cluster, shared};
pub use command::as_from_a_shell;
pub use containers::{freeze_pod, kill_pod, node_ends_pod};
pub use error::ClusterError;
pub use layout::State;
pub use node::{HELLO_IMAGE, REAL_NODE_LABEL};
pub use object_store::ObjectStore;
pub use options::{ClusterOptions, Isolation, KwokPool, KwokTaint, Limits, RealNode};
pub use places::cache_dir;
pub use program::main;
pub use programs::{helm, kubectl, prometheus, promtool};
pub use progress::{Event, Reporter};
pub use volumes::STORAGE_CLASS;
