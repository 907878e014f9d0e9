//! The operator of a stage, wherever it runs: seen, killed and started again the same way.

use crate::{
    Faults, Helm, Operator, eventually, install_kinds, load_operator, metrics_of_container, operator_is_ready,
    operator_pods, value,
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, Config, ResourceExt};
use maru_controller::Settings;
use maru_test_cluster::{Cluster, ClusterOptions, freeze_pod, kill_pod, node_ends_pod};
use serde_json::json;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

/// Where the operator is.
pub enum Acting {
    /// In a container of its image, installed by its charts; this is how people reach the API server. A client of each asker's own, for one ends
    /// with the test that made it, and stages are shared.
    Installed(Box<Config>),
    /// In this process, where containers cannot run.
    Here {
        /// How it reaches the API server.
        config: Box<Config>,
        /// How it runs.
        settings: Box<Settings>,
        /// What it meets on the way there.
        faults: Faults,
        /// The one that runs.
        running: Mutex<Option<Operator>>,
    },
}

impl fmt::Debug for Acting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installed(_) => f.write_str("Installed"),
            Self::Here { .. } => f.write_str("Here"),
        }
    }
}

impl Acting {
    /// A cluster with Maru in it, as [`Acting::on`] puts it there. What databases hold is compared every second, and nothing is metered.
    pub async fn on_a_cluster() -> (Cluster, Self) {
        let cluster = cluster_for_containers().await;
        let operator = Self::on(&cluster, &["metering.enabled=false"], looks_often()).await;
        (cluster, operator)
    }

    /// Where containers can run, Maru is installed as its users do it, with these values; else there is an operator in this process with these settings.
    pub async fn on(cluster: &Cluster, values: &[&str], settings: Settings) -> Self {
        let client = cluster.client().unwrap();
        if !cluster.has_real_node() {
            install_kinds(&client).await;
            return Self::here(cluster, settings, &Faults::none()).await;
        }
        load_operator(cluster).await;
        // The one node is of no grade.
        let ours = ["replicas=1", "placement.enabled=false", "datasets.verifySeconds=1"];
        Helm::of(cluster).await.install(&[&ours[..], values].concat()).await;
        operator_is_ready(&client, 1).await;
        Self::Installed(Box::new(cluster.config()))
    }

    /// None yet, in this process; it will reach the API server through these faults.
    pub fn nobody(cluster: &Cluster, settings: Settings, faults: &Faults) -> Self {
        Self::Here {
            config: Box::new(cluster.config()),
            settings: Box::new(settings),
            faults: faults.clone(),
            running: Mutex::new(None),
        }
    }

    /// An operator in this process, which reaches the API server through these faults.
    pub async fn here(cluster: &Cluster, settings: Settings, faults: &Faults) -> Self {
        let operator = Self::nobody(cluster, settings, faults);
        operator.start().await;
        operator
    }

    /// Starts one where none runs.
    pub async fn start(&self) {
        match self {
            Self::Installed(config) => {
                let client = client(config);
                scale(&client, 1).await;
                operator_is_ready(&client, 1).await;
            }
            Self::Here {
                config,
                settings,
                faults,
                running,
            } => *running.lock().unwrap() = Some(Operator::start(config, (**settings).clone(), faults)),
        }
    }

    /// Ends it as `kill -9` does, with no time to put anything in order; nothing of it runs on.
    pub async fn kill(&self) {
        match self {
            Self::Installed(config) => kill_containers(&client(config)).await,
            Self::Here { running, .. } => {
                if let Some(operator) = running.lock().unwrap().take() {
                    operator.kill();
                }
            }
        }
    }

    /// Everything that it shows at `/metrics`.
    pub async fn metrics(&self) -> String {
        match self {
            Self::Installed(config) => metrics_of_container(&client(config)).await,
            Self::Here { running, .. } => {
                let running = running.lock().unwrap();
                running.as_ref().map(|one| one.metrics.encode()).unwrap_or_default()
            }
        }
    }

    /// The value of one of its metrics, such as `maru_drift_healed_total{kind="Service"}`; 0 where it is not there.
    pub async fn metric(&self, name: &str) -> u64 {
        value(&self.metrics().await, name)
    }

    /// Ends it in an orderly way, as a drain of its node does.
    pub async fn stop(&self) {
        match self {
            Self::Installed(config) => {
                let client = client(config);
                scale(&client, 0).await;
                none_is_left(&client).await;
            }
            Self::Here { running, .. } => {
                let operator = running.lock().unwrap().take();
                if let Some(operator) = operator {
                    operator.stop().await;
                }
            }
        }
    }

    /// Ends it in an orderly way where it does not end with its cluster.
    pub async fn leave(&self) {
        if let Self::Here { .. } = self {
            self.stop().await;
        }
    }
}

/// A cluster with a node on which an operator can run, if there can be one, and with nodes for everything else.
pub async fn cluster_for_containers() -> Cluster {
    let options = ClusterOptions {
        kwok_nodes: 1,
        service_proxy: true,
        ..ClusterOptions::default()
    };
    Cluster::start(options).await.unwrap()
}

/// An operator that compares databases with what is wanted every second.
pub fn looks_often() -> Settings {
    Settings {
        verify_data_every: Duration::from_secs(1),
        ..Settings::default()
    }
}

async fn kill_containers(client: &Client) {
    let pods = operator_pods(client);
    let (at_once, all) = (DeleteParams::default().grace_period(0), ListParams::default());
    let found = pods.list(&all).await.unwrap();
    let uids: Vec<String> = found.iter().filter_map(ResourceExt::uid).collect();
    let frozen: usize = uids.iter().map(|uid| freeze_pod(uid)).sum();
    assert!(frozen > 0, "the operator has no process: {uids:?}");
    scale(client, 0).await;
    pods.delete_collection(&at_once, &all).await.unwrap();
    none_is_left(client).await;
    // What ends before the node knows that it is to end, the node starts again.
    eventually("the node to give the operator up", 60, async || {
        let waits = uids.iter().find(|uid| freeze_pod(uid) > 0 && !node_ends_pod(uid));
        waits.map_or(Ok(()), |uid| Err(format!("it has not told {uid} to end")))
    })
    .await;
    eventually("nothing of the operator to run", 30, async || {
        match uids.iter().map(|uid| kill_pod(uid)).sum::<usize>() {
            0 => Ok(()),
            processes => Err(format!("{processes} processes do")),
        }
    })
    .await;
}

async fn none_is_left(client: &Client) {
    eventually("no operator to be left", 60, async || {
        match operator_pods(client)
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len()
        {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        }
    })
    .await;
}

fn client(config: &Config) -> Client {
    Client::try_from(config.clone()).unwrap()
}

async fn scale(client: &Client, replicas: i32) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), crate::RELEASE_NAMESPACE);
    let patch = json!({"spec": {"replicas": replicas}});
    deployments
        .patch_scale("maru-operator", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}
