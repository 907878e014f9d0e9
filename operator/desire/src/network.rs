//! Who may talk to whom. Everything is denied, in and out, in every namespace of an agency; what is declared is let through.
//!
//! A connection from system A to system B needs both ends: B names A in `callers`, which opens B's exposed ports to A's pods, and
//! opens A's pods towards B. Components of one system reach each other on every port. Hosts open the routed port to the
//! platform's edge namespaces.

use crate::facts::{Address, Platform, PodsOf, PodsOfSystem, SystemKey};
use crate::manifest::{labels, metadata, selector, some, wanted};
use crate::object::{ObjectKind, WantedObject};
use crate::{COMPONENT_LABEL, SYSTEM_LABEL};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use maru_crds::{AgencyNetwork, EgressRule, LabelExpression, LabelOperator, Protocol, SystemSelector};
use std::collections::BTreeMap;

/// The label that every namespace has with its own name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The policies of one namespace of an agency: nothing but DNS, and the addresses outside that the agency lists.
pub(crate) fn agency_policies(
    agency: &str,
    namespace: &str,
    platform: &Platform,
    network: &AgencyNetwork,
) -> Vec<WantedObject> {
    let policy = |name: &str, types: &[&str], egress: Vec<NetworkPolicyEgressRule>| {
        let spec = NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(types.iter().map(|kind| (*kind).to_owned()).collect()),
            egress: some(egress),
            ingress: None,
        };
        let metadata = metadata(name.to_owned(), namespace, labels(agency, None, None));
        wanted(
            ObjectKind::NetworkPolicy,
            &NetworkPolicy {
                metadata,
                spec: Some(spec),
            },
        )
    };
    let AgencyNetwork { egress } = network;
    let mut policies = vec![
        policy("maru-allow-dns", &["Egress"], vec![dns(&platform.dns)]),
        policy("maru-default-deny", &["Ingress", "Egress"], Vec::new()),
    ];
    if !egress.is_empty() {
        policies.push(policy(
            "maru-allow-egress",
            &["Egress"],
            egress.iter().map(outside).collect(),
        ));
    }
    policies
}

/// What a component or a job may talk to and who may talk to it.
pub(crate) struct Reach<'a> {
    /// The system and the component or job.
    pub(crate) system: &'a SystemKey,
    pub(crate) part: &'a str,
    /// Its ports that callers may reach.
    pub(crate) exposed: Vec<NetworkPolicyPort>,
    /// Its ports that hosts are routed to.
    pub(crate) routed: Vec<NetworkPolicyPort>,
    pub(crate) callers: Vec<(SystemKey, PodsOfSystem)>,
    pub(crate) may_call: Vec<SystemKey>,
    /// It is given a token for the Kubernetes API.
    pub(crate) calls_api: bool,
}

/// The network policy of a component or a job.
pub(crate) fn part_policy(reach: Reach<'_>, platform: &Platform) -> NetworkPolicySpec {
    let Reach {
        system,
        part,
        exposed,
        routed,
        callers,
        may_call,
        calls_api,
    } = reach;
    let own = || NetworkPolicyPeer {
        pod_selector: Some(selector([(SYSTEM_LABEL, system.name.as_str())])),
        ..NetworkPolicyPeer::default()
    };
    let mut ingress = vec![NetworkPolicyIngressRule {
        from: Some(vec![own()]),
        ports: None,
    }];
    if !exposed.is_empty() && !callers.is_empty() {
        let from = callers
            .iter()
            .map(|(caller, pods)| pods_of_caller(caller, pods))
            .collect();
        ingress.push(NetworkPolicyIngressRule {
            from: Some(from),
            ports: Some(exposed),
        });
    }
    if !routed.is_empty() && !platform.edge_namespaces.is_empty() {
        let from = platform
            .edge_namespaces
            .iter()
            .map(|namespace| all_pods_of(namespace))
            .collect();
        ingress.push(NetworkPolicyIngressRule {
            from: Some(from),
            ports: Some(routed),
        });
    }
    let mut egress = vec![NetworkPolicyEgressRule {
        to: Some(vec![own()]),
        ports: None,
    }];
    if !may_call.is_empty() {
        let to = may_call.iter().map(pods_of_system).collect();
        egress.push(NetworkPolicyEgressRule {
            to: Some(to),
            ports: None,
        });
    }
    if calls_api {
        egress.extend(platform.api_servers.iter().map(api_server));
    }
    NetworkPolicySpec {
        pod_selector: Some(selector([
            (SYSTEM_LABEL, system.name.as_str()),
            (COMPONENT_LABEL, part),
        ])),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ingress: Some(ingress),
        egress: Some(egress),
    }
}

/// A port of a rule.
pub(crate) fn port(number: i32, protocol: Protocol) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number)),
        protocol: Some(protocol_name(protocol).to_owned()),
        end_port: None,
    }
}

/// A protocol as Kubernetes writes it.
pub(crate) const fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}

fn pods_of_system(system: &SystemKey) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(selector([(NAMESPACE_NAME, system.namespace.as_str())])),
        pod_selector: Some(selector([(SYSTEM_LABEL, system.name.as_str())])),
        ip_block: None,
    }
}

/// The pods of a caller. Those that it runs itself carry no label of Maru's: its selector says which they are.
fn pods_of_caller(caller: &SystemKey, pods: &PodsOfSystem) -> NetworkPolicyPeer {
    match pods {
        PodsOfSystem::Labelled => pods_of_system(caller),
        PodsOfSystem::Selected(selector) => NetworkPolicyPeer {
            pod_selector: Some(label_selector(selector)),
            ..all_pods_of(&caller.namespace)
        },
    }
}

fn label_selector(selector: &SystemSelector) -> LabelSelector {
    let SystemSelector {
        match_labels,
        match_expressions,
    } = selector;
    LabelSelector {
        match_labels: (!match_labels.is_empty()).then(|| match_labels.clone()),
        match_expressions: some(match_expressions.iter().map(requirement).collect()),
    }
}

fn requirement(expression: &LabelExpression) -> LabelSelectorRequirement {
    let LabelExpression { key, operator, values } = expression;
    let operator = match operator {
        LabelOperator::In => "In",
        LabelOperator::NotIn => "NotIn",
        LabelOperator::Exists => "Exists",
        LabelOperator::DoesNotExist => "DoesNotExist",
    };
    LabelSelectorRequirement {
        key: key.clone(),
        operator: operator.to_owned(),
        values: some(values.clone()),
    }
}

fn all_pods_of(namespace: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(selector([(NAMESPACE_NAME, namespace)])),
        ..NetworkPolicyPeer::default()
    }
}

fn dns(dns: &PodsOf) -> NetworkPolicyEgressRule {
    let PodsOf { namespace, labels } = dns;
    let labels: Option<BTreeMap<String, String>> = (!labels.is_empty()).then(|| labels.clone());
    let pods = labels.map(|labels| LabelSelector {
        match_labels: Some(labels),
        match_expressions: None,
    });
    NetworkPolicyEgressRule {
        to: Some(vec![NetworkPolicyPeer {
            pod_selector: pods,
            ..all_pods_of(namespace)
        }]),
        ports: Some(vec![port(53, Protocol::Udp), port(53, Protocol::Tcp)]),
    }
}

fn outside(rule: &EgressRule) -> NetworkPolicyEgressRule {
    let EgressRule { name: _, cidr, ports } = rule;
    NetworkPolicyEgressRule {
        to: Some(vec![addresses(cidr)]),
        ports: some(ports.iter().map(|there| port(there.port, there.protocol)).collect()),
    }
}

fn api_server(address: &Address) -> NetworkPolicyEgressRule {
    let Address { cidr, port: number } = address;
    NetworkPolicyEgressRule {
        to: Some(vec![addresses(cidr)]),
        ports: Some(vec![port(*number, Protocol::Tcp)]),
    }
}

fn addresses(cidr: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: None,
        }),
        ..NetworkPolicyPeer::default()
    }
}
