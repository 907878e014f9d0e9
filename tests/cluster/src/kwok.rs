//! Simulated nodes: kwok answers for them and for the pods on them.

use std::{collections::BTreeMap, fs, path::Path};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    api::core::v1::{Node, NodeSpec, NodeStatus, Taint},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use crate::{
    control_plane,
    error::{ClusterError, Doing},
    layout::Layout,
    network::Network,
    options::KwokPool,
    programs,
    service::Service,
};

/// The annotation by which kwok knows the nodes that it may answer for.
const FAKE: &str = "kwok.x-k8s.io/node";

/// The kwok process, with the rules in `stages`.
pub(crate) fn service(layout: &Layout, network: &Network, stages: &Path) -> Result<Service, ClusterError> {
    let mut service = Service::new("kwok", programs::KWOK_CONTROLLER.path()?)
        .after(control_plane::api_server_listens(network))
        .file("kubeconfig", layout.kubeconfig_of("kwok"))
        .flag("manage-all-nodes", false)
        .flag("manage-nodes-with-annotation-selector", format!("{FAKE}=fake"))
        .flag("node-ip", network.address)
        .flag("node-lease-duration-seconds", 40)
        .flag("cidr", "10.202.0.0/16");
    let files = fs::read_dir(stages).doing(|| format!("reading {}", stages.display()))?;
    let mut files: Vec<_> = files.flatten().map(|file| file.path()).collect();
    files.sort();
    for file in files {
        service = service.file("config", file);
    }
    Ok(service)
}

/// Registers the simulated nodes. It does not wait for them to be ready.
pub(crate) async fn create_nodes(client: &Client, pools: &[KwokPool], tainted: bool) -> Result<(), ClusterError> {
    let api: Api<Node> = Api::all(client.clone());
    let nodes = pools
        .iter()
        .flat_map(|pool| (0..pool.nodes).map(move |index| simulated(pool, index, tainted)));
    stream::iter(nodes)
        .map(|node| {
            let api = api.clone();
            async move { create(&api, &node).await }
        })
        .buffer_unordered(16)
        .try_collect()
        .await
}

async fn create(api: &Api<Node>, node: &Node) -> Result<(), ClusterError> {
    match api.create(&PostParams::default(), node).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn simulated(pool: &KwokPool, index: u32, tainted: bool) -> Node {
    let name = format!("{}-{index}", pool.name);
    let mut labels = BTreeMap::from(
        [
            ("type", "kwok"),
            ("kubernetes.io/hostname", name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
            ("kubernetes.io/role", "agent"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    labels.extend(pool.labels.clone());
    let capacity: BTreeMap<String, Quantity> = pool
        .capacity
        .iter()
        .map(|(resource, quantity)| (resource.clone(), Quantity(quantity.clone())))
        .collect();
    let taint = Taint {
        key: FAKE.to_owned(),
        value: Some("fake".to_owned()),
        effect: "NoSchedule".to_owned(),
        time_added: None,
    };
    Node {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(labels),
            annotations: Some(BTreeMap::from([(FAKE.to_owned(), "fake".to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: tainted.then(|| vec![taint]),
            ..NodeSpec::default()
        }),
        status: Some(NodeStatus {
            allocatable: Some(capacity.clone()),
            capacity: Some(capacity),
            ..NodeStatus::default()
        }),
    }
}
