//! Maru as its users have it: the charts installed by the real Helm, and the operator with the rights that the chart gives it.

use crate::{Faults, Operator, eventually, programs};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{PersistentVolume, Pod, ServiceAccount};
use kube::api::{Api, ListParams, LogParams, PostParams};
use kube::{Client, Config, ResourceExt};
use maru_controller::Settings;
use maru_test_cluster::Cluster;
use std::path::{Path, PathBuf};

/// The namespace of the release.
pub const RELEASE_NAMESPACE: &str = "maru-system";
/// The image that the chart asks for when nothing else is said.
pub const OPERATOR_IMAGE: &str = "maru.dev/operator:0.1.0";

/// Helm, with files of its own and no others of this machine.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
    files: PathBuf,
}

impl Helm {
    /// Helm, for a cluster of this harness.
    pub async fn of(cluster: &Cluster) -> Self {
        Self {
            program: maru_test_cluster::helm().await.unwrap(),
            kubeconfig: Some(cluster.kubeconfig().to_owned()),
            files: cluster.dir().unwrap().join("helm"),
        }
    }

    /// Helm without a cluster: it renders charts.
    pub async fn without_cluster() -> Self {
        Self {
            program: maru_test_cluster::helm().await.unwrap(),
            kubeconfig: None,
            files: std::env::temp_dir().join("maru-helm-without-cluster"),
        }
    }

    /// Runs Helm with these arguments and gives what it printed.
    ///
    /// # Errors
    /// What it said when it failed.
    pub async fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut helm = tokio::process::Command::new(&self.program);
        helm.args(arguments).env(
            "KUBECONFIG",
            self.kubeconfig.as_deref().unwrap_or(Path::new("/dev/null")),
        );
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(home, self.files.join(home));
        }
        let output = helm.output().await.unwrap();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// `helm upgrade --install` of both charts: the kinds, then the operator, with these values (`replicas=0`).
    pub async fn install(&self, values: &[&str]) {
        let namespace = ["--namespace", RELEASE_NAMESPACE, "--create-namespace"];
        for (name, values) in [("maru-crds", &[][..]), ("maru", values)] {
            let chart = chart(name);
            let mut arguments = vec!["upgrade", "--install", name, chart.to_str().unwrap()];
            arguments.extend(namespace);
            arguments.extend(values.iter().flat_map(|value| ["--set", value]));
            self.run(&arguments).await.unwrap();
        }
    }
}

/// A chart of this repository.
pub fn chart(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts").join(name)
}

/// Gives the real node of a cluster the image that the chart asks for, with the programs as they are now.
pub async fn load_operator(cluster: &Cluster) {
    let folder = programs().await;
    let [operator, kubectl] = ["maru-operator", "kubectl-maru"].map(|name| folder.join(name));
    let [dump, restore] = tokio::task::spawn_blocking(maru_test_postgres::backup_programs)
        .await
        .unwrap()
        .unwrap();
    cluster
        .load_programs(OPERATOR_IMAGE, &[&operator, &kubectl, &dump, &restore])
        .await
        .unwrap();
}

/// The pods of the release.
pub fn operator_pods(client: &Client) -> Api<Pod> {
    Api::namespaced(client.clone(), RELEASE_NAMESPACE)
}

/// The folder of the operator's volume on this machine.
pub async fn operator_volume(client: &Client) -> PathBuf {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let found = volumes.list(&ListParams::default()).await.unwrap();
    let path = found.into_iter().find_map(|volume| {
        let spec = volume.spec?;
        (spec.claim_ref?.name.as_deref() == Some("maru-operator")).then_some(spec.host_path?.path)
    });
    path.unwrap().into()
}

/// What the operators' containers last wrote.
pub async fn last_words(client: &Client) -> String {
    let mut all = String::new();
    for pod in operator_pods(client).list(&ListParams::default()).await.unwrap() {
        let last = LogParams {
            tail_lines: Some(10),
            ..LogParams::default()
        };
        let log = operator_pods(client).logs(&pod.name_any(), &last).await;
        all.extend([
            format!("{:?}\n", pod.status),
            log.unwrap_or_else(|error| error.to_string()),
        ]);
    }
    all
}

/// Waits until so many containers of the operator are ready, and no other is left.
pub async fn operator_is_ready(client: &Client, replicas: i32) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), RELEASE_NAMESPACE);
    eventually("the operator's containers to be ready", 60, async || {
        let status = deployments
            .get("maru-operator")
            .await
            .unwrap()
            .status
            .unwrap_or_default();
        if status.ready_replicas == Some(replicas) && status.unavailable_replicas.is_none() {
            Ok(())
        } else {
            Err(last_words(client).await)
        }
    })
    .await;
}

/// What the operator's container shows at `/metrics`, asked for through the API server.
pub async fn metrics_of_container(client: &Client) -> String {
    let pods = operator_pods(client).list(&ListParams::default()).await.unwrap().items;
    let path = format!(
        "/api/v1/namespaces/{RELEASE_NAMESPACE}/pods/{}:9464/proxy/metrics",
        pods[0].name_any()
    );
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    client.request_text(request).await.unwrap()
}

/// How the operator that the chart installs reaches the API server: with the token of its service account, and so with its rights.
pub async fn operator_config(cluster: &Cluster) -> Config {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client().unwrap(), RELEASE_NAMESPACE);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(7200),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let params = PostParams::default();
    let token = accounts.create_token_request("maru-operator", &params, &request);
    cluster.config_with_token(&token.await.unwrap().status.unwrap().token.unwrap())
}

/// Starts an operator with the rights of the chart, and waits until its caches are filled.
pub async fn start_installed(cluster: &Cluster, settings: Settings) -> Operator {
    let operator = Operator::start(&operator_config(cluster).await, settings, &Faults::none());
    eventually("the operator to have the rights to list everything", 30, async || {
        if operator.health.is_ready() {
            Ok(())
        } else {
            Err(operator.metrics.encode())
        }
    })
    .await;
    operator
}
