//! Under which name and to whom a component answers.

use super::pod::Part;
use super::route::Routes;
use super::site::Site;
use crate::facts::SystemKey;
use crate::manifest::wanted;
use crate::names;
use crate::network::{Reach, part_policy, port, protocol_name};
use crate::object::{ObjectKind, WantedObject};
use k8s_openapi::api::core::v1::{Service, ServiceAccount, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use maru_crds::{Component, Protocol};

/// The account that the system's pods run under. No token of it is mounted unless a component asks.
pub(super) fn account(site: &Site<'_>) -> WantedObject {
    let account = ServiceAccount {
        automount_service_account_token: Some(false),
        metadata: site.metadata(names::account_name(&site.key.name), None),
        ..ServiceAccount::default()
    };
    wanted(ObjectKind::ServiceAccount, &account)
}

/// The Service of a component that listens. It has every port, for the system's own components reach them all; who else may reach
/// which one is the network policy's to say.
pub(super) fn service(site: &Site<'_>, component: &Component) -> Option<WantedObject> {
    let ports: Vec<ServicePort> = component
        .ports
        .iter()
        .map(|port| ServicePort {
            name: Some(port.name.clone()),
            port: port.port,
            protocol: Some(protocol_name(port.protocol).to_owned()),
            ..ServicePort::default()
        })
        .collect();
    if ports.is_empty() {
        return None;
    }
    let name = names::component_name(&site.key.name, &component.name);
    let service = Service {
        metadata: site.metadata(name, Some(&component.name)),
        spec: Some(ServiceSpec {
            ports: Some(ports),
            selector: site.selector(&component.name).match_labels,
            type_: Some("ClusterIP".to_owned()),
            ..ServiceSpec::default()
        }),
        status: None,
    };
    Some(wanted(ObjectKind::Service, &service))
}

/// The network policy of a component or a job.
pub(super) fn policy(site: &Site<'_>, part: &Part<'_>, routes: &Routes<'_>) -> WantedObject {
    let callers = site.spec().callers.iter();
    let exposed = part.ports.iter().filter(|port| port.expose);
    let reach = Reach {
        system: &site.key,
        part: part.name,
        exposed: exposed.map(|exposed| port(exposed.port, exposed.protocol)).collect(),
        routed: routes
            .ports_of(part.name)
            .into_iter()
            .map(|number| port(number, Protocol::Tcp))
            .collect(),
        callers: callers
            .map(|caller| SystemKey::new(caller.namespace.as_str(), caller.name.as_str()))
            .filter(|caller| *caller != site.key)
            .map(|caller| {
                let pods = site.facts.callers.get(&caller).cloned().unwrap_or_default();
                (caller, pods)
            })
            .collect(),
        may_call: site
            .facts
            .may_call
            .iter()
            .filter(|callee| **callee != site.key)
            .cloned()
            .collect(),
        calls_api: part.service_account_token,
    };
    let policy = NetworkPolicy {
        metadata: site.metadata(part.object_name(&site.key.name), Some(part.name)),
        spec: Some(part_policy(reach, site.facts.platform)),
    };
    wanted(ObjectKind::NetworkPolicy, &policy)
}
