//! The node that runs real containers: containerd, runc and kubelet, with a pod network of its own.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path};

use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, api::ListParams};
use serde_json::json;

use crate::{
    control_plane,
    error::{ClusterError, Doing},
    image::CONTAINERD_SOCKET,
    layout::Layout,
    network::Network,
    options::ClusterOptions,
    places, programs, register,
    service::{Condition, Service},
};

/// The name of the real node.
pub(crate) const NAME: &str = "real-0";

/// The label that tells the real node from simulated ones; its value is `true`.
pub const REAL_NODE_LABEL: &str = "maru.dev/real-node";

/// The image that holds a pod's namespaces open.
pub(crate) const PAUSE_IMAGE: &str = "maru.dev/pause:1";

/// The example image: a small HTTP server.
pub const HELLO_IMAGE: &str = "maru.dev/hello:1";

/// Where programs other than ours are looked for, the plugins of the pod network among them.
const CNI_PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// Where cluster DNS would answer. Nothing does yet; the address is written into pods all the same.
const DNS: &str = "10.96.0.10";

/// containerd and kubelet of cluster `number`.
pub(crate) fn services(
    number: u8,
    layout: &Layout,
    network: &Network,
    options: &ClusterOptions,
) -> Result<Vec<Service>, ClusterError> {
    link_programs(layout)?;
    create_control_groups(number)?;
    write_pod_network(layout, network)?;
    Ok(vec![containerd(layout)?, kubelet(number, layout, network, options)?])
}

/// containerd looks for its shim by name, so the cluster has a folder where it has that name.
fn link_programs(layout: &Layout) -> Result<(), ClusterError> {
    let folder = layout.dir.join("bin");
    places::create(&folder)?;
    for program in [programs::SHIM, programs::CTR, programs::KUBECTL] {
        let link = folder.join(program.name);
        let _ = fs::remove_file(&link);
        symlink(program.path()?, &link).doing(|| format!("linking {}", link.display()))?;
    }
    Ok(())
}

/// Pods of different clusters are accounted for in different groups, and removed with them.
fn create_control_groups(number: u8) -> Result<(), ClusterError> {
    for hierarchy in register::hierarchies() {
        places::create(&hierarchy.join(register::control_group(number)))?;
    }
    Ok(())
}

fn write_pod_network(layout: &Layout, network: &Network) -> Result<(), ClusterError> {
    let configuration = json!({
        "cniVersion": "1.0.0",
        "name": "maru",
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": network.pods}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": layout.dir.join("cni/addresses"),
            },
        }],
    });
    let folder = layout.dir.join("cni/conf");
    places::create(&folder)?;
    write(&folder.join("10-maru.conflist"), &configuration.to_string())
}

fn containerd(layout: &Layout) -> Result<Service, ClusterError> {
    let path = layout.config("containerd.toml");
    let configuration = CONTAINERD
        .replace("{root}", &layout.dir.join("containerd").display().to_string())
        .replace("{socket}", CONTAINERD_SOCKET)
        .replace("{pause}", PAUSE_IMAGE)
        .replace("{plugins}", &CNI_PLUGINS.map(|folder| format!("'{folder}'")).join(", "))
        .replace("{cni}", &layout.dir.join("cni/conf").display().to_string());
    write(&path, &configuration)?;
    let mut service = Service::new("containerd", programs::CONTAINERD_SERVER.path()?)
        .file("config", path)
        .flag("log-level", "info");
    let bin = layout.dir.join("bin").display().to_string();
    let path = format!("{bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    service.env.insert("PATH".to_owned(), path);
    Ok(service)
}

/// `restrict_oom_score_adj`: the machine may withhold `CAP_SYS_RESOURCE`, and then no process may be made safer.
const CONTAINERD: &str = "\
version = 3
root = '{root}'
state = '/run/containerd'
disabled_plugins = [
  'io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.zfs', 'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.blockfile', 'io.containerd.snapshotter.v1.erofs', 'io.containerd.nri.v1.nri',
  'io.containerd.internal.v1.opt',
]

[grpc]
address = '{socket}'

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{pause}'

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = [{plugins}]
conf_dir = '{cni}'
use_internal_loopback = true

[plugins.'io.containerd.metadata.v1.bolt']
no_sync = true
";

fn kubelet(number: u8, layout: &Layout, network: &Network, options: &ClusterOptions) -> Result<Service, ClusterError> {
    let resolv_conf = layout.config("resolv.conf");
    write(&resolv_conf, &format!("nameserver {DNS}\n"))?;
    // The disk may be nearly full: that is no reason to evict a test's pods or to drop its images. A share of a large disk would be gigabytes.
    let nearly_none = json!({
        "memory.available": "50Mi",
        "nodefs.available": "100Mi",
        "nodefs.inodesFree": "1%",
        "imagefs.available": "100Mi",
    });
    let configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.address,
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": layout.pki("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": layout.pki("kubelet.crt"),
        "tlsPrivateKeyFile": layout.pki("kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", register::control_group(number)),
        "failCgroupV1": false,
        "failSwapOn": false,
        "resolvConf": resolv_conf,
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS],
        "evictionHard": nearly_none,
        "imageGCHighThresholdPercent": 100,
        "maxPods": 250,
        "volumePluginDir": layout.dir.join("kubelet/volume-plugins"),
        // A container that is killed comes back within a second, also the third time.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
    });
    let path = layout.config("kubelet.json");
    write(&path, &configuration.to_string())?;
    let mut labels = BTreeMap::from([(REAL_NODE_LABEL.to_owned(), "true".to_owned())]);
    labels.extend(options.node_labels.clone());
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Ok(Service::new("kubelet", programs::KUBELET.path()?)
        .after(Condition::Exists(CONTAINERD_SOCKET.into()))
        .after(control_plane::api_server_listens(network))
        .file("config", path)
        .file("kubeconfig", layout.kubeconfig_of("kubelet"))
        .flag("hostname-override", NAME)
        .flag("node-ip", network.address)
        .flag("node-labels", labels.join(",")))
}

fn write(path: &Path, text: &str) -> Result<(), ClusterError> {
    fs::write(path, text).doing(|| format!("writing {}", path.display()))
}

/// How many nodes take pods.
pub(crate) async fn ready(client: &Client) -> Result<usize, ClusterError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes.list(&ListParams::default()).await?;
    Ok(nodes.iter().filter(|node| takes_pods(node)).count())
}

/// Whether there is a node that runs real containers.
pub(crate) async fn is_there(client: &Client) -> Result<bool, ClusterError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let label = format!("{REAL_NODE_LABEL}=true");
    let nodes = nodes.list(&ListParams::default().labels(&label)).await?;
    Ok(!nodes.items.is_empty())
}

/// Whether a node says of itself that it is ready.
pub(crate) fn says_ready(node: &Node) -> bool {
    let status = node.status.iter();
    let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether pods can be placed on a node: it is ready, and the taints that new nodes carry are gone.
fn takes_pods(node: &Node) -> bool {
    let spec = node.spec.iter();
    let mut taints = spec.flat_map(|spec| spec.taints.iter().flatten());
    says_ready(node) && !taints.any(|taint| taint.key.starts_with("node.kubernetes.io/"))
}
