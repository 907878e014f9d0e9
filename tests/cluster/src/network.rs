//! A network of its own for each cluster: a namespace, a pair of virtual cables and a free subnet.
//!
//! The cluster's processes live inside at `10.200.N.1` with Kubernetes' usual ports; tests reach them from outside,
//! and so they reach the pods at `10.201.N.0/24`. Without root there is no namespace: everything listens on loopback,
//! at ports that are free.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use crate::{
    command,
    error::{ClusterError, Doing},
};

/// Where a cluster's processes listen.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// The namespace, when the cluster has its own.
    pub(crate) namespace: Option<String>,
    /// The address of API server and node.
    pub(crate) address: IpAddr,
    pub(crate) api_port: u16,
    pub(crate) etcd_port: u16,
    pub(crate) etcd_peer_port: u16,
    /// The network of the real node's pods.
    pub(crate) pods: String,
}

impl Network {
    /// Creates the namespace of cluster `number`.
    pub(crate) async fn own(number: u8) -> Result<Self, ClusterError> {
        let name = name(number);
        let inside = format!("10.200.{number}.1");
        let outside = format!("10.200.{number}.2");
        let pods = format!("10.201.{number}.0/24");
        let routes = command::run("ip", &["-4", "route", "show", "match", &inside]).await?;
        if routes.lines().any(|route| !route.starts_with("default")) {
            return Err(ClusterError::Start(format!(
                "the network 10.200.{number}.0/24 is in use"
            )));
        }
        let commands = [
            format!("netns add {name}"),
            format!("link add {name} type veth peer name eth0 netns {name}"),
            format!("addr add {outside}/24 dev {name}"),
            format!("link set {name} up"),
            format!("-n {name} link set lo up"),
            format!("-n {name} addr add {inside}/24 dev eth0"),
            format!("-n {name} link set eth0 up"),
            // Nothing forwards it, but kubelet and API server look for their address by the default route.
            format!("-n {name} route add default via {outside}"),
            format!("route add {pods} via {inside} dev {name}"),
        ];
        for line in commands {
            let words: Vec<&str> = line.split(' ').collect();
            command::run("ip", &words).await?;
        }
        Ok(Self {
            namespace: Some(name),
            address: IpAddr::V4(Ipv4Addr::new(10, 200, number, 1)),
            api_port: 6443,
            etcd_port: 2379,
            etcd_peer_port: 2380,
            pods,
        })
    }

    /// Loopback, with ports that are free at this moment.
    pub(crate) fn loopback(number: u8) -> Result<Self, ClusterError> {
        // All are held until the last one is found, so that they differ.
        let listeners: Result<Vec<TcpListener>, _> = (0..3)
            .map(|_| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
            .collect();
        let listeners = listeners.doing(|| "finding free ports".to_owned())?;
        let mut ports = [0; 3];
        for (port, listener) in ports.iter_mut().zip(&listeners) {
            let address = listener.local_addr();
            *port = address.doing(|| "finding free ports".to_owned())?.port();
        }
        let [api_port, etcd_port, etcd_peer_port] = ports;
        Ok(Self {
            namespace: None,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            api_port,
            etcd_port,
            etcd_peer_port,
            pods: format!("10.201.{number}.0/24"),
        })
    }

    /// The address that clients use, as in a kubeconfig.
    pub(crate) fn server(&self) -> String {
        format!("https://{}:{}", self.address, self.api_port)
    }
}

/// Takes the cables and the namespace of cluster `number` away, if there are any.
pub(crate) async fn remove(number: u8) {
    let name = name(number);
    if std::path::Path::new("/run/netns").join(&name).exists() {
        // The cable first: removing it is done when the command ends, a namespace goes later.
        let _ = command::run("ip", &["link", "del", &name]).await;
        let _ = command::run("ip", &["netns", "del", &name]).await;
    }
}

fn name(number: u8) -> String {
    format!("maru-{number}")
}
