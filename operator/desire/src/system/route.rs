//! Host names: which of them are routed to which component, and what stands in the way.
//!
//! A host is one route object, whatever its paths, so that a host that is another's leaves the others alone.

use super::site::{Parts, Site};
use crate::facts::{GatewayRef, HostHolder, RouteApi};
use crate::manifest::wanted;
use crate::names;
use crate::object::{ObjectKey, ObjectKind, WantedObject};
use crate::plan::Problem;
use crate::reason::Reason;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec,
    IngressTLS, ServiceBackendPort,
};
use maru_crds::{HostRoute, Protocol};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The host names that are routed, and why others are not.
pub(super) struct Routes<'a> {
    hosts: Vec<Host<'a>>,
    kind: ObjectKind,
    /// The Gateway that `HTTPRoute`s attach to. Nothing is written without it.
    gateway: Option<&'a GatewayRef>,
    pub(super) problems: Vec<Problem>,
}

/// A host that is routed.
struct Host<'a> {
    name: &'a str,
    paths: Vec<Path<'a>>,
    tls: Option<&'a str>,
}

/// The beginning of a host's paths and what answers there.
struct Path<'a> {
    begin: &'a str,
    component: &'a str,
    port: i32,
}

impl<'a> Routes<'a> {
    /// The routes to the components that run.
    pub(super) fn of(site: &Site<'a>, parts: &Parts<'a>) -> Self {
        let platform = site.facts.platform;
        let mut routes = Self {
            hosts: Vec::new(),
            kind: match platform.route_api {
                RouteApi::HttpRoute => ObjectKind::HttpRoute,
                RouteApi::Ingress => ObjectKind::Ingress,
            },
            gateway: platform.gateway.as_ref(),
            problems: Vec::new(),
        };
        let mut by_host: BTreeMap<&str, Vec<&HostRoute>> = BTreeMap::new();
        for route in &site.spec().hosts {
            by_host.entry(&route.host).or_default().push(route);
        }
        for (host, given) in by_host {
            if let Some(holder) = site.facts.hosts_taken.get(host) {
                routes.problems.push(taken(host, holder, site.agency));
                continue;
            }
            routes.add(site, parts, host, &given);
        }
        if routes.is_stuck() && !site.spec().hosts.is_empty() {
            let message = "no Gateway is configured that hosts could be attached to: the platform's administrators name one in \
                           the installation's settings (platform.gateway), or choose routeApi: Ingress";
            routes.problems.push(Problem::new(Reason::NoGateway, message));
        }
        routes
    }

    fn add(&mut self, site: &Site<'a>, parts: &Parts<'a>, host: &'a str, given: &[&'a HostRoute]) {
        let mut paths = Vec::new();
        for route in given.iter().filter(|route| is_started(parts, route)) {
            match port_of(site, route) {
                Ok(port) => paths.push(Path {
                    begin: &route.path,
                    component: &route.component,
                    port,
                }),
                Err(problem) => self.problems.push(problem),
            }
        }
        let secrets: BTreeSet<&str> = given
            .iter()
            .filter_map(|route| Some(route.tls_secret_ref.as_ref()?.name.as_str()))
            .collect();
        if secrets.len() > 1 {
            let message = format!(
                "host {host} names more than one TLS Secret, and a host has one certificate: give all its paths the same \
                 tlsSecretRef"
            );
            self.problems.push(Problem::new(Reason::Duplicate, message));
        } else if self.kind == ObjectKind::HttpRoute && !secrets.is_empty() {
            let message = format!(
                "tlsSecretRef of host {host} has no effect: the Gateway ends TLS with a certificate of its own"
            );
            self.problems.push(Problem::new(Reason::TlsOfGateway, message));
        }
        let tls = given
            .iter()
            .find_map(|route| Some(route.tls_secret_ref.as_ref()?.name.as_str()));
        if !paths.is_empty() {
            self.hosts.push(Host { name: host, paths, tls });
        }
    }

    /// Whether routes are wanted of an API that they cannot be written with.
    fn is_stuck(&self) -> bool {
        self.kind == ObjectKind::HttpRoute && self.gateway.is_none()
    }

    /// The ports of a component that hosts are routed to.
    pub(super) fn ports_of(&self, component: &str) -> BTreeSet<i32> {
        let paths = self.hosts.iter().flat_map(|host| &host.paths);
        paths
            .filter(|path| path.component == component)
            .map(|path| path.port)
            .collect()
    }

    /// The route objects.
    pub(super) fn objects(&self, site: &Site<'_>) -> Vec<WantedObject> {
        let one = |host: &Host<'_>| match (self.kind, self.gateway) {
            (ObjectKind::HttpRoute, None) => None,
            (ObjectKind::HttpRoute, Some(gateway)) => Some(http_route(site, host, gateway)),
            _ => Some(ingress(site, host)),
        };
        self.hosts.iter().filter_map(one).collect()
    }

    /// Whether an object is the route of a host that cannot be written now, and stays as it is: a setting that is missing must not take
    /// down what is reached.
    pub(super) fn keeps(&self, site: &Site<'_>, key: &ObjectKey) -> bool {
        self.is_stuck()
            && key.kind == ObjectKind::HttpRoute
            && self.hosts.iter().any(|host| name(site, host.name) == key.name)
    }

    /// The hosts that are routed, each with the name of its route.
    pub(super) fn routed(&self, site: &Site<'_>) -> Vec<(&'a str, String)> {
        if self.is_stuck() {
            return Vec::new();
        }
        let hosts = self.hosts.iter();
        hosts.map(|host| (host.name, name(site, host.name))).collect()
    }

    /// Where the system is reached.
    pub(super) fn urls(&self) -> Vec<String> {
        if self.is_stuck() {
            return Vec::new();
        }
        let urls = self.hosts.iter().flat_map(|host| {
            let tls = match self.kind {
                ObjectKind::HttpRoute => self.gateway.is_some_and(|gateway| gateway.tls),
                _ => host.tls.is_some(),
            };
            let scheme = if tls { "https" } else { "http" };
            host.paths
                .iter()
                .map(move |path| format!("{scheme}://{}{}", host.name, path.begin.trim_end_matches('/')))
        });
        urls.collect()
    }
}

/// Whether the reason is one of routes: it is told by the condition `RoutesAccepted`.
pub(super) const fn concerns_routes(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::HostTaken | Reason::NoGateway | Reason::NoSuchPort | Reason::TlsOfGateway
    )
}

fn name(site: &Site<'_>, host: &str) -> String {
    names::route_name(&site.key.name, host)
}

/// Whether the component is not one that may not begin: those have a problem of their own.
fn is_started(parts: &Parts<'_>, route: &HostRoute) -> bool {
    !parts.withheld.contains(&route.component.as_str())
}

fn taken(host: &str, holder: &HostHolder, agency: &str) -> Problem {
    // Which systems another agency has is not everybody's to know.
    let by = if holder.agency.as_deref() == Some(agency) {
        format!("system {} of this agency", holder.system)
    } else {
        "a system of another agency".to_owned()
    };
    let message =
        format!("host {host} was claimed by {by} before: choose another host name, or have it given up there");
    Problem::new(Reason::HostTaken, message)
}

/// The port that a host is routed to: the given one, or the component's first; it must be an exposed TCP port.
fn port_of(site: &Site<'_>, route: &HostRoute) -> Result<i32, Problem> {
    let HostRoute {
        host, component, port, ..
    } = route;
    let no_such_port = |message: String| Problem::new(Reason::NoSuchPort, message);
    let Some(found) = site.spec().components.iter().find(|known| known.name == *component) else {
        let message = format!("host {host} is routed to component {component}, which spec.components does not list");
        return Err(no_such_port(message));
    };
    let mut open = found
        .ports
        .iter()
        .filter(|open| open.expose && open.protocol == Protocol::Tcp)
        .map(|open| open.port);
    open.find(|open| port.is_none_or(|port| port == *open)).ok_or_else(|| {
        let wanted = port.map_or_else(|| "a port".to_owned(), |port| format!("port {port}"));
        no_such_port(format!(
            "host {host} needs {wanted} of component {component}, which has no such TCP port with expose: true"
        ))
    })
}

fn ingress(site: &Site<'_>, host: &Host<'_>) -> WantedObject {
    let paths = host.paths.iter().map(|path| HTTPIngressPath {
        backend: IngressBackend {
            resource: None,
            service: Some(IngressServiceBackend {
                name: names::component_name(&site.key.name, path.component),
                port: Some(ServiceBackendPort {
                    name: None,
                    number: Some(path.port),
                }),
            }),
        },
        path: Some(path.begin.to_owned()),
        path_type: "Prefix".to_owned(),
    });
    let rule = IngressRule {
        host: Some(host.name.to_owned()),
        http: Some(HTTPIngressRuleValue { paths: paths.collect() }),
    };
    let tls = host.tls.map(|secret| IngressTLS {
        hosts: Some(vec![host.name.to_owned()]),
        secret_name: Some(secret.to_owned()),
    });
    let ingress = Ingress {
        metadata: site.metadata(name(site, host.name), None),
        spec: Some(IngressSpec {
            default_backend: None,
            ingress_class_name: site.facts.platform.ingress_class.clone(),
            rules: Some(vec![rule]),
            tls: tls.map(|tls| vec![tls]),
        }),
        status: None,
    };
    wanted(ObjectKind::Ingress, &ingress)
}

/// With the defaults of the Gateway API written out: its lists are owned as a whole, so they are compared with them.
fn http_route(site: &Site<'_>, host: &Host<'_>, gateway: &GatewayRef) -> WantedObject {
    let mut parent = json!({
        "group": ObjectKind::HttpRoute.group(),
        "kind": "Gateway",
        "namespace": gateway.namespace,
        "name": gateway.name,
    });
    if let Some(section) = &gateway.section {
        parent["sectionName"] = json!(section);
    }
    // Paths with the same answer share a rule: a route has sixteen rules and each many paths.
    let mut rules: Vec<((&str, i32), Vec<Value>)> = Vec::new();
    for path in &host.paths {
        let one = json!({"path": {"type": "PathPrefix", "value": path.begin}});
        let answer = (path.component, path.port);
        match rules.iter_mut().find(|(known, _)| *known == answer) {
            Some((_, matches)) => matches.push(one),
            None => rules.push((answer, vec![one])),
        }
    }
    let rules: Vec<Value> = rules
        .into_iter()
        .map(|((component, port), matches)| {
            let service = names::component_name(&site.key.name, component);
            let backend = json!({"group": "", "kind": "Service", "name": service, "port": port, "weight": 1});
            json!({"matches": matches, "backendRefs": [backend]})
        })
        .collect();
    let kind = ObjectKind::HttpRoute;
    let metadata = site.metadata(name(site, host.name), None);
    WantedObject {
        key: ObjectKey::new(kind, site.key.namespace.as_str(), name(site, host.name)),
        body: json!({
            "apiVersion": kind.api_version(),
            "kind": kind.kind(),
            "metadata": metadata,
            "spec": {"parentRefs": [parent], "hostnames": [host.name], "rules": rules},
        }),
    }
}
