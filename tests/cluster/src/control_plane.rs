//! etcd, API server, controller manager and scheduler: their keys and their command lines.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use serde_json::json;

use crate::{
    error::{ClusterError, Doing},
    kubeconfig,
    layout::Layout,
    network::Network,
    node,
    options::ClusterOptions,
    pki::{self, Authority, Identity},
    programs,
    service::{Condition, Service},
};

/// The addresses of Services. The first is the API server's own, as pods know it.
const SERVICES: &str = "10.96.0.0/16";
const API_SERVER_SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));

/// Makes every key, certificate and kubeconfig of the cluster.
pub(crate) fn write_credentials(layout: &Layout, network: &Network) -> Result<(), ClusterError> {
    let pki = layout.dir.join("pki");
    let authority = Authority::new("maru-test-cluster")?;
    authority.identity.write(&pki, "ca")?;
    let front = Authority::new("maru-test-cluster-front-proxy")?;
    front.identity.write(&pki, "front-proxy-ca")?;
    front
        .client("front-proxy-client", &[])?
        .write(&pki, "front-proxy-client")?;
    pki::write_service_account_key(&pki)?;

    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let addresses = [loopback, network.address, API_SERVER_SERVICE];
    authority
        .server("kube-apiserver", &names, &addresses)?
        .write(&pki, "kube-apiserver")?;
    authority
        .server("kubelet", &[node::NAME], &addresses)?
        .write(&pki, "kubelet")?;
    authority
        .client("kube-apiserver-kubelet-client", &["system:masters"])?
        .write(&pki, "kubelet-client")?;

    let kubelet = format!("system:node:{}", node::NAME);
    let parts: [(&str, &str, &[&str]); 6] = [
        ("admin", "maru-admin", &["system:masters"]),
        ("controllers", "system:kube-controller-manager", &[]),
        ("scheduler", "system:kube-scheduler", &[]),
        ("proxy", "system:kube-proxy", &[]),
        ("kwok", "maru-kwok", &["system:masters"]),
        ("kubelet", &kubelet, &["system:nodes"]),
    ];
    let server = network.server();
    let write = |path: &Path, user: &str, identity: &Identity| {
        kubeconfig::write(path, &server, &authority.identity, user, identity)
    };
    for (part, user, groups) in parts {
        let identity = authority.client(user, groups)?;
        write(&layout.kubeconfig_of(part), user, &identity)?;
        if part == "admin" {
            write(&layout.kubeconfig(), user, &identity)?;
        }
    }
    Ok(())
}

/// The processes of the control plane, in the order in which they need each other.
pub(crate) fn services(
    layout: &Layout,
    network: &Network,
    options: &ClusterOptions,
) -> Result<Vec<Service>, ClusterError> {
    let mut services = vec![etcd(layout, network)?, api_server(layout, network, options)?];
    if options.controllers {
        services.push(controller_manager(layout, network, options)?);
        services.push(scheduler(layout, network, options)?);
    }
    Ok(services)
}

/// When the API server takes connections.
pub(crate) fn api_server_listens(network: &Network) -> Condition {
    Condition::Listening(SocketAddr::new(network.address, network.api_port))
}

fn on_loopback(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn etcd(layout: &Layout, network: &Network) -> Result<Service, ClusterError> {
    let client = on_loopback(network.etcd_port);
    let peer = on_loopback(network.etcd_peer_port);
    let service = Service::new("etcd", programs::ETCD_SERVER.path()?)
        .flag("name", "maru")
        .file("data-dir", layout.dir.join("etcd"))
        .flag("listen-client-urls", &client)
        .flag("advertise-client-urls", &client)
        .flag("listen-peer-urls", &peer)
        .flag("initial-advertise-peer-urls", &peer)
        .flag("initial-cluster", format!("maru={peer}"))
        .flag("quota-backend-bytes", 8_u64 << 30)
        .flag("log-level", "warn");
    // The data is gone after the test anyway; waiting for the disk would only slow it.
    Ok(with_word(service, "--unsafe-no-fsync"))
}

fn api_server(layout: &Layout, network: &Network, options: &ClusterOptions) -> Result<Service, ClusterError> {
    let issuer = "https://kubernetes.default.svc.cluster.local";
    let limits = &options.limits;
    let mut service = Service::new("kube-apiserver", programs::API_SERVER.path()?)
        .after(Condition::Listening(SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            network.etcd_port,
        ))))
        .flag("etcd-servers", on_loopback(network.etcd_port))
        .flag("bind-address", network.address)
        .flag("advertise-address", network.address)
        .flag("secure-port", network.api_port)
        .flag("service-cluster-ip-range", SERVICES)
        .flag("allow-privileged", true)
        .flag("authorization-mode", "Node,RBAC")
        .flag("enable-admission-plugins", "NodeRestriction")
        .file("client-ca-file", layout.pki("ca.crt"))
        .file("tls-cert-file", layout.pki("kube-apiserver.crt"))
        .file("tls-private-key-file", layout.pki("kube-apiserver.key"))
        .flag("service-account-issuer", issuer)
        .file("service-account-key-file", layout.pki("service-account.pub"))
        .file("service-account-signing-key-file", layout.pki("service-account.key"))
        .file("kubelet-certificate-authority", layout.pki("ca.crt"))
        .file("kubelet-client-certificate", layout.pki("kubelet-client.crt"))
        .file("kubelet-client-key", layout.pki("kubelet-client.key"))
        .flag("kubelet-preferred-address-types", "InternalIP")
        .file("requestheader-client-ca-file", layout.pki("front-proxy-ca.crt"))
        .flag("requestheader-allowed-names", "front-proxy-client")
        .flag("requestheader-extra-headers-prefix", "X-Remote-Extra-")
        .flag("requestheader-group-headers", "X-Remote-Group")
        .flag("requestheader-username-headers", "X-Remote-User")
        .file("proxy-client-cert-file", layout.pki("front-proxy-client.crt"))
        .file("proxy-client-key-file", layout.pki("front-proxy-client.key"))
        // There is no proxy on the way to Services, so aggregated APIs are reached at their endpoints.
        .flag("enable-aggregator-routing", true)
        .maybe("max-requests-inflight", limits.max_requests_inflight)
        .maybe("max-mutating-requests-inflight", limits.max_mutating_requests_inflight);
    if network.namespace.is_none() {
        // A loopback address is refused as an endpoint of the Service `kubernetes`.
        service = service.flag("endpoint-reconciler-type", "none");
    }
    if options.audit {
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata"}],
        });
        let path = layout.config("audit.json");
        fs::write(&path, policy.to_string()).doing(|| format!("writing {}", path.display()))?;
        service = service
            .file("audit-policy-file", path)
            .file("audit-log-path", layout.audit_log())
            .flag("audit-log-mode", "batch");
    }
    service.args.extend(options.api_server_flags.iter().cloned());
    Ok(service)
}

fn controller_manager(layout: &Layout, network: &Network, options: &ClusterOptions) -> Result<Service, ClusterError> {
    let limits = &options.limits;
    let mut service = Service::new("kube-controller-manager", programs::CONTROLLERS.path()?)
        .after(api_server_listens(network))
        .file("kubeconfig", layout.kubeconfig_of("controllers"))
        .flag("leader-elect", false)
        .flag("secure-port", 0)
        // Each controller with its own account, as everywhere: the audit log tells them apart.
        .flag("use-service-account-credentials", true)
        .file("service-account-private-key-file", layout.pki("service-account.key"))
        .file("root-ca-file", layout.pki("ca.crt"))
        .file("cluster-signing-cert-file", layout.pki("ca.crt"))
        .file("cluster-signing-key-file", layout.pki("ca.key"))
        .flag("allocate-node-cidrs", false)
        .flag("kube-api-qps", limits.controllers_qps)
        .flag("kube-api-burst", limits.controllers_qps * 2);
    if let Some(workers) = limits.controllers_concurrency {
        for controller in [
            "deployment",
            "replicaset",
            "endpoint",
            "service-endpoint",
            "namespace",
            "resource-quota",
            "serviceaccount-token",
            "gc",
            "job",
            "cron-job",
            "horizontal-pod-autoscaler",
            "disruption",
        ] {
            service = service.flag(&format!("concurrent-{controller}-syncs"), workers);
        }
    }
    Ok(service)
}

fn scheduler(layout: &Layout, network: &Network, options: &ClusterOptions) -> Result<Service, ClusterError> {
    let qps = options.limits.controllers_qps;
    // Flags for the rate are ignored beside a configuration file, so they are in it.
    let configuration = json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": false},
        "clientConnection": {
            "kubeconfig": layout.kubeconfig_of("scheduler"),
            "qps": qps,
            "burst": qps * 2,
        },
    });
    let path = layout.config("scheduler.json");
    fs::write(&path, configuration.to_string()).doing(|| format!("writing {}", path.display()))?;
    Ok(Service::new("kube-scheduler", programs::SCHEDULER.path()?)
        .after(api_server_listens(network))
        .file("config", path)
        .flag("secure-port", 0))
}

fn with_word(mut service: Service, word: &str) -> Service {
    service.args.push(word.to_owned());
    service
}
