//! Which hosts are routed to a system, and who may call it.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

mod house;

use house::{condition, facts, names, object, platform, reasons, store, system, turn, web};
use maru_desire::{
    AgencyBinding, HostHolder, ObjectKind, Platform, PodsOfSystem, Reason, RouteFacts, SystemKey, plan_system,
};
use serde_json::{Value, json};

/// The routes and addresses of a system with this host, and what its conditions say of it.
fn routed(case: &str, platform: &Platform, more: &Value, holder: Option<HostHolder>) -> String {
    let ports = json!([{"name": "http", "port": 8080}, {"name": "metrics", "port": 9090, "expose": false}]);
    let mut host = json!({"host": "docs.mois.example", "component": "web"});
    host.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let docs = system(&json!({"components": [web(&json!({"ports": ports}))], "hosts": [host]}));
    let mut facts = facts(platform);
    let taken = holder.map(|holder| ("docs.mois.example".to_owned(), holder));
    facts.hosts_taken.extend(taken);
    let accepted = RouteFacts {
        accepted: Some(true),
        message: String::new(),
    };
    facts.routes.insert("docs.docs.mois.example".to_owned(), accepted);
    let (plan, status) = turn(&docs, &mut facts);
    let routes = [names(&plan, ObjectKind::HttpRoute), names(&plan, ObjectKind::Ingress)].concat();
    let said = condition(&status, "RoutesAccepted");
    format!("{case}: {routes:?} {:?}\n  {said}", status.urls)
}

#[test]
fn a_host_is_routed_or_it_is_said_why_not() {
    let holder = |agency: &str| {
        Some(HostHolder {
            system: SystemKey::new("nts", "hometax"),
            agency: Some(agency.to_owned()),
        })
    };
    let gateway = platform();
    let no_gateway = Platform {
        gateway: None,
        ..platform()
    };
    let ingress = Platform::default();
    let plain = json!({});
    let tls = json!({"tlsSecretRef": {"name": "docs-tls"}});
    let seen = [
        routed("through the Gateway", &gateway, &plain, None),
        routed("through an Ingress with TLS", &ingress, &tls, None),
        routed("under a path", &ingress, &json!({"path": "/api/"}), None),
        routed("another agency's", &gateway, &plain, holder("nts")),
        routed("this agency's own", &gateway, &plain, holder("mois")),
        routed("no Gateway", &no_gateway, &plain, None),
        routed("a Secret that the Gateway does not read", &gateway, &tls, None),
        routed("a port that is not exposed", &gateway, &json!({"port": 9090}), None),
        routed(
            "a component that is not there",
            &gateway,
            &json!({"component": "wev"}),
            None,
        ),
    ];
    insta::assert_snapshot!(seen.join("\n"), @r#"
    through the Gateway: ["docs.docs.mois.example"] ["https://docs.mois.example"]
      True RoutesAccepted: routed: docs.mois.example
    through an Ingress with TLS: ["docs.docs.mois.example"] ["https://docs.mois.example"]
      True RoutesAccepted: routed: docs.mois.example
    under a path: ["docs.docs.mois.example"] ["http://docs.mois.example/api"]
      True RoutesAccepted: routed: docs.mois.example
    another agency's: [] []
      False HostTaken: host docs.mois.example was claimed by a system of another agency before: choose another host name, or have it given up there
    this agency's own: [] []
      False HostTaken: host docs.mois.example was claimed by system nts/hometax of this agency before: choose another host name, or have it given up there
    no Gateway: [] []
      False NoGateway: no Gateway is configured that hosts could be attached to: the platform's administrators name one in the installation's settings (platform.gateway), or choose routeApi: Ingress
    a Secret that the Gateway does not read: ["docs.docs.mois.example"] ["https://docs.mois.example"]
      True RoutesAccepted: routed: docs.mois.example; tlsSecretRef of host docs.mois.example has no effect: the Gateway ends TLS with a certificate of its own
    a port that is not exposed: [] []
      False NoSuchPort: host docs.mois.example needs port 9090 of component web, which has no such TCP port with expose: true
    a component that is not there: [] []
      False NoSuchPort: host docs.mois.example is routed to component wev, which spec.components does not list
    "#);
}

#[test]
fn no_host_is_routed_to_a_component_that_may_not_begin() {
    let platform = platform();
    let mut facts = facts(&platform);
    facts.agency = AgencyBinding::Missing;
    let hosts = json!([{"host": "docs.mois.example", "component": "web"}]);
    let (_, status) = turn(
        &system(&json!({"components": [web(&json!({}))], "hosts": hosts})),
        &mut facts,
    );
    let said = condition(&status, "RoutesAccepted");
    assert_eq!(
        said,
        "Unknown RoutePending: no host is routed before its component runs"
    );
    assert_eq!(status.urls, [""; 0]);
}

#[test]
fn a_gateway_that_is_taken_out_of_the_settings_takes_no_route_down() {
    let (with, without) = (
        platform(),
        Platform {
            gateway: None,
            ..platform()
        },
    );
    let mut facts = facts(&with);
    let docs =
        system(&json!({"components": [web(&json!({}))], "hosts": [{"host": "docs.mois.example", "component": "web"}]}));
    turn(&docs, &mut facts);
    facts.platform = &without;
    let plan = plan_system(&docs, &facts);
    assert_eq!(plan.sweep, []);
    assert_eq!(reasons(&docs, &facts), [Reason::NoGateway]);
}

#[test]
fn who_may_call_a_component_is_what_its_policy_lets_in() {
    let mut platform = platform();
    platform.api_servers = vec![serde_json::from_value(json!({"cidr": "10.0.0.1/32", "port": 6443})).unwrap()];
    let mut facts = facts(&platform);
    facts.may_call.insert(SystemKey::new("nts", "id"));
    let ports = json!([{"name": "http", "port": 8080}, {"name": "admin", "port": 9090, "expose": false}]);
    let docs = system(&json!({
        "components": [web(&json!({"ports": ports, "serviceAccountToken": true})), store("1Gi")],
        "callers": [{"namespace": "nts", "name": "portal"}],
        "hosts": [{"host": "docs.mois.example", "component": "web"}],
    }));
    let plan = plan_system(&docs, &facts);
    let policies = ["docs-web", "docs-store"].map(|name| &object(&plan, ObjectKind::NetworkPolicy, name)["spec"]);
    insta::assert_yaml_snapshot!("network_policies", policies);
}

#[test]
fn a_caller_that_runs_its_pods_itself_is_let_in_by_its_own_selector() {
    let platform = platform();
    let mut facts = facts(&platform);
    let selector = json!({
        "matchLabels": {"app": "portal"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front", "edge"]}, {"key": "canary", "operator": "DoesNotExist"}],
    });
    let pods = PodsOfSystem::Selected(serde_json::from_value(selector.clone()).unwrap());
    facts.callers.insert(SystemKey::new("nts", "portal"), pods);
    let docs = system(&json!({
        "components": [web(&json!({"ports": [{"name": "http", "port": 8080}]}))],
        "callers": [{"namespace": "nts", "name": "portal"}],
    }));
    let plan = plan_system(&docs, &facts);
    let ingress = &object(&plan, ObjectKind::NetworkPolicy, "docs-web")["spec"]["ingress"];
    let expected = json!([{
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "nts"}},
        "podSelector": selector,
    }]);
    assert_eq!(ingress[1]["from"], expected, "{ingress}");
}
