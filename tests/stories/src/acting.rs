//! The operator of a stage, wherever it runs: seen, killed and started again the same way.

use crate::{
    Faults, Helm, Operator, eventually, install_kinds, load_operator, metrics_of_container, operator_is_ready,
    operator_pods, value,
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, Config};
use maru_controller::Settings;
use maru_test_cluster::{Cluster, ClusterOptions};
use serde_json::json;
use std::fmt;
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
        /// The one that runs.
        running: Option<Operator>,
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
    /// A cluster with Maru's kinds in it, where containers can run with Maru installed as its users do it; else with an operator in this process. What databases hold is compared every second.
    pub async fn on_a_cluster() -> (Cluster, Self) {
        let options = ClusterOptions {
            kwok_nodes: 1,
            service_proxy: true,
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(options).await.unwrap();
        let client = cluster.client().unwrap();
        if cluster.has_real_node() {
            load_operator(&cluster).await;
            // The one node is of no grade.
            let values = [
                "replicas=1",
                "metering.enabled=false",
                "placement.enabled=false",
                "datasets.verifySeconds=1",
            ];
            Helm::of(&cluster).await.install(&values).await;
            operator_is_ready(&client, 1).await;
            let config = Box::new(cluster.config());
            return (cluster, Self::Installed(config));
        }
        install_kinds(&client).await;
        let here = Self::here(&cluster);
        (cluster, here)
    }

    /// An operator in this process.
    pub fn here(cluster: &Cluster) -> Self {
        let settings = Settings {
            verify_data_every: Duration::from_secs(1),
            ..Settings::default()
        };
        Self::Here {
            running: Some(Operator::start(&cluster.config(), settings.clone(), &Faults::none())),
            config: Box::new(cluster.config()),
            settings: Box::new(settings),
        }
    }

    /// Starts one where none runs.
    pub async fn start(&mut self) {
        match self {
            Self::Installed(config) => {
                let client = client(config);
                scale(&client, 1).await;
                operator_is_ready(&client, 1).await;
            }
            Self::Here {
                config,
                settings,
                running,
            } => *running = Some(Operator::start(config, (**settings).clone(), &Faults::none())),
        }
    }

    /// Ends it with no time to put anything in order.
    pub async fn kill(&mut self) {
        match self {
            Self::Installed(config) => {
                let client = client(config);
                scale(&client, 0).await;
                let (at_once, all) = (DeleteParams::default().grace_period(0), ListParams::default());
                let pods = operator_pods(&client);
                pods.delete_collection(&at_once, &all).await.unwrap();
                eventually("no operator to be left", 20, async || {
                    match pods.list(&all).await.unwrap().items.len() {
                        0 => Ok(()),
                        left => Err(format!("{left} are left")),
                    }
                })
                .await;
            }
            Self::Here { running, .. } => {
                if let Some(operator) = running.take() {
                    operator.kill();
                }
            }
        }
    }

    /// Everything that it shows at `/metrics`.
    pub async fn metrics(&self) -> String {
        match self {
            Self::Installed(config) => metrics_of_container(&client(config)).await,
            Self::Here { running, .. } => running.as_ref().map(|one| one.metrics.encode()).unwrap_or_default(),
        }
    }

    /// The value of one of its metrics, such as `maru_drift_healed_total{kind="Service"}`; 0 where it is not there.
    pub async fn metric(&self, name: &str) -> u64 {
        value(&self.metrics().await, name)
    }

    /// Ends it in an orderly way, where it does not end with its cluster.
    pub async fn stop(&mut self) {
        if let Self::Here { running, .. } = self
            && let Some(operator) = running.take()
        {
            operator.stop().await;
        }
    }
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
