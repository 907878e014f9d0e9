//! One cluster with the charts in it, two agencies, and their people.

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use maru_controller::Settings;
use maru_desire::GRADE_LABEL;
use maru_stories::{Helm, Operator, agency, agency_ready, apply, start_installed, system, system_ready};
use maru_test_cluster::{Cluster, ClusterOptions, KwokPool, KwokTaint, REAL_NODE_LABEL};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::OnceCell;

/// A cluster with the charts installed and the operator running with their rights.
pub(crate) struct Installed {
    pub(crate) cluster: Cluster,
    _operator: Operator,
}

static SHARED: OnceCell<Installed> = OnceCell::const_new();

impl Installed {
    /// The one that the stories of this program share. Its nodes are of three grades; those of grade `High` let nobody in who does not
    /// tolerate it. Agency `red` has a system `docs` and agency `blue` has one.
    pub(crate) async fn shared() -> &'static Self {
        SHARED.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let pool = |name: &str| KwokPool {
            name: name.to_lowercase(),
            nodes: 1,
            labels: BTreeMap::from([(GRADE_LABEL.to_owned(), name.to_owned())]),
            ..KwokPool::default()
        };
        let options = ClusterOptions {
            kwok_pools: ["High", "Low"].map(pool).into(),
            kwok_taint: KwokTaint::Never,
            node_labels: BTreeMap::from([(GRADE_LABEL.to_owned(), "Moderate".to_owned())]),
            gateway_api: true,
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(options).await.unwrap();
        let client = cluster.client().unwrap();
        grades(&client, cluster.has_real_node()).await;
        Helm::of(&cluster)
            .await
            .install(&["replicas=0", "metering.enabled=false"])
            .await;
        let operator = start_installed(&cluster, Settings::default()).await;
        for name in ["red", "blue"] {
            apply(&client, &with_people(name)).await;
            agency_ready(&client, name, 60).await;
            apply(&client, &system(name, "docs")).await;
        }
        // Somebody meant well: this person may do everything in the agency's namespace.
        let careless = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "meant-well", "namespace": "red"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "red-careless"}],
        });
        create(&client, &careless).await.unwrap();
        for name in ["red", "blue"] {
            system_ready(&client, name, "docs", 60).await;
        }
        Self {
            cluster,
            _operator: operator,
        }
    }

    /// The platform's people.
    pub(crate) fn platform(&self) -> Client {
        self.cluster.client().unwrap()
    }

    /// Somebody by name.
    pub(crate) fn person(&self, name: &str) -> Client {
        self.cluster.client_as(name, &["system:authenticated"]).unwrap()
    }
}

/// The taint of the high grade; and without a node that runs containers, one that only says so is of the middle grade.
async fn grades(client: &Client, real_node: bool) {
    let nodes: Api<Node> = Api::all(client.clone());
    let taint = json!({"spec": {"taints": [{"key": GRADE_LABEL, "value": "High", "effect": "NoSchedule"}]}});
    nodes
        .patch("high-0", &PatchParams::default(), &Patch::Merge(taint))
        .await
        .unwrap();
    if !real_node {
        let mut moderate = nodes.get("low-0").await.unwrap();
        moderate.metadata = serde_json::from_value(json!({
            "name": "moderate-0", "labels": {GRADE_LABEL: "Moderate", "type": "kwok"},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        }))
        .unwrap();
        nodes.create(&PostParams::default(), &moderate).await.unwrap();
    }
    let labelled = kube::api::ListParams::default().labels(REAL_NODE_LABEL);
    assert_eq!(!nodes.list(&labelled).await.unwrap().items.is_empty(), real_node);
}

/// An agency with an administrator and a reader of its bills.
pub(crate) fn with_people(name: &str) -> Value {
    let mut agency = agency(name);
    agency["spec"]["administrators"] = json!([{"kind": "User", "name": format!("{name}-admin")}]);
    agency["spec"]["billReaders"] = json!([{"kind": "User", "name": format!("{name}-reader")}]);
    agency
}

fn api(client: &Client, object: &Value) -> Api<DynamicObject> {
    let version = object["apiVersion"].as_str().unwrap();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, object["kind"].as_str().unwrap()));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// `kubectl create`
pub(crate) async fn create(client: &Client, object: &Value) -> Result<(), Error> {
    let wanted = serde_json::from_value(object.clone()).unwrap();
    api(client, object)
        .create(&PostParams::default(), &wanted)
        .await
        .map(drop)
}

/// `kubectl patch`; what is patched is what `object` names, by what it has beside kind and metadata and by its labels and annotations.
pub(crate) async fn patch(client: &Client, object: &Value) -> Result<(), Error> {
    let name = object["metadata"]["name"].as_str().unwrap();
    api(client, object)
        .patch(name, &PatchParams::default(), &Patch::Merge(object))
        .await
        .map(drop)
}

/// The same of its status.
pub(crate) async fn patch_status(client: &Client, object: &Value) -> Result<(), Error> {
    let name = object["metadata"]["name"].as_str().unwrap();
    api(client, object)
        .patch_status(name, &PatchParams::default(), &Patch::Merge(object))
        .await
        .map(drop)
}

/// `kubectl scale`
pub(crate) async fn scale(client: &Client, object: &Value, replicas: u32) -> Result<(), Error> {
    let name = object["metadata"]["name"].as_str().unwrap();
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    api(client, object)
        .patch_scale(name, &PatchParams::default(), &patch)
        .await
        .map(drop)
}

/// `kubectl delete`
pub(crate) async fn remove(client: &Client, object: &Value) -> Result<(), Error> {
    let name = object["metadata"]["name"].as_str().unwrap();
    api(client, object)
        .delete(name, &DeleteParams::default())
        .await
        .map(drop)
}

/// What the API server says to somebody who may not.
pub(crate) fn refused(case: &str, answer: Result<(), Error>) -> String {
    match answer {
        Err(Error::Api(status))
            if matches!(status.reason.as_str(), "Forbidden" | "Invalid") && status.message.contains("forbidden") =>
        {
            status.message
        }
        other => panic!("{case}: {other:?}"),
    }
}
