//! Services at their own addresses, for the pods of the real node: kube-proxy, with rules in the cluster's own network.

use std::fs;

use serde_json::json;

use crate::{
    control_plane,
    error::{ClusterError, Doing},
    layout::Layout,
    network::Network,
    node, programs,
    service::Service,
};

/// kube-proxy, as `/etc/kubernetes` of a usual node would have it.
pub(crate) fn service(layout: &Layout, network: &Network) -> Result<Service, ClusterError> {
    let configuration = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": node::NAME,
        "clusterCIDR": network.pods,
        "clientConnection": {"kubeconfig": layout.kubeconfig_of("proxy")},
        // The machine's table of connections is not the cluster's to size.
        "conntrack": {"maxPerCore": 0},
        "healthzBindAddress": format!("{}:10256", network.address),
        "metricsBindAddress": format!("{}:10249", network.address),
        "nftables": {"minSyncPeriod": "100ms"},
    });
    let path = layout.config("kube-proxy.json");
    fs::write(&path, configuration.to_string()).doing(|| format!("writing {}", path.display()))?;
    Ok(Service::new("kube-proxy", programs::KUBE_PROXY.path()?)
        .after(control_plane::api_server_listens(network))
        .file("config", path))
}
