//! What an agency's people are told when they try what is not theirs to do.
//!
//! `red-admin` has the rights that the chart's roles give and is stopped by them; `red-careless` was given every right in the agency's namespace
//! by somebody who meant well, and is stopped by the admission policies.

use crate::stage::{Installed, create, patch, patch_status, refused, remove, scale};
use crate::tenants::{docs_deployment, object, others, pod};
use kube::Client;
use maru_crds::manifests;
use maru_stories::system;
use serde_json::{Value, json};

const RBAC: &str = "rbac.authorization.k8s.io/v1";
const NETWORKING: &str = "networking.k8s.io/v1";

/// What somebody tries.
enum Try {
    Create(Value),
    Patch(Value),
    Remove(Value),
    Scale(Value),
}

/// Tries all of it and gives, line by line, what the API server says to each.
async fn told(client: &Client, attempts: Vec<(&str, Try)>) -> String {
    let mut lines = Vec::new();
    for (case, attempt) in attempts {
        let answer = match attempt {
            Try::Create(object) => create(client, &object).await,
            Try::Patch(object) => patch(client, &object).await,
            Try::Remove(object) => remove(client, &object).await,
            Try::Scale(object) => scale(client, &object, 7).await,
        };
        lines.push(format!("{case}: {}", refused(case, answer)));
    }
    lines.join("\n")
}

/// Something of the whole cluster.
fn of_cluster(version: &str, kind: &str, name: &str, more: &Value) -> Value {
    let mut object = object(version, kind, name, more);
    object["metadata"].as_object_mut().unwrap().remove("namespace");
    object
}

fn raised_quota() -> Value {
    object(
        "v1",
        "ResourceQuota",
        "maru",
        &json!({"spec": {"hard": {"requests.cpu": "1000"}}}),
    )
}

fn open_policy() -> Value {
    let open = json!({"spec": {"podSelector": {}, "ingress": [{}], "egress": [{}]}});
    object(NETWORKING, "NetworkPolicy", "open", &open)
}

fn any_right() -> Value {
    json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]})
}

/// A role for somebody.
fn bound(role: &str, user: &str) -> Value {
    json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    })
}

fn bill() -> Value {
    object("maru.dev/v1alpha1", "Bill", "2026-10", &json!({}))
}

#[tokio::test]
async fn an_administrator_has_no_right_outside_the_agency_and_none_over_what_is_marus() {
    let stage = Installed::shared().await;
    let admin = stage.person("red-admin");
    let docs = docs_deployment(&stage.platform()).await;
    let quota = json!({"spec": {"quota": {"cpu": "1000"}}});
    let mut node = of_cluster("v1", "Node", "low-0", &json!({}));
    node["metadata"]["labels"] = json!({"maru.dev/grade": "Moderate"});
    let attempts = vec![
        ("a system in another agency", Try::Create(system("blue", "intruder"))),
        (
            "a pod in another agency",
            Try::Create(pod("blue", "intruder", &json!({}))),
        ),
        ("another agency's system", Try::Remove(system("blue", "docs"))),
        (
            "a new namespace",
            Try::Create(of_cluster("v1", "Namespace", "mine", &json!({}))),
        ),
        (
            "the own agency's quota",
            Try::Patch(of_cluster("maru.dev/v1alpha1", "Agency", "red", &quota)),
        ),
        ("the namespace's quota", Try::Patch(raised_quota())),
        ("a network policy", Try::Create(open_policy())),
        (
            "a right for oneself",
            Try::Create(object(RBAC, "RoleBinding", "mine", &bound("admin", "red-admin"))),
        ),
        (
            "a right everywhere",
            Try::Create(of_cluster(
                RBAC,
                "ClusterRoleBinding",
                "mine",
                &bound("admin", "red-admin"),
            )),
        ),
        ("a role", Try::Create(object(RBAC, "Role", "mine", &any_right()))),
        ("the label of a node", Try::Patch(node)),
        ("a bill", Try::Remove(bill())),
        ("the scale of Maru's Deployment", Try::Scale(docs)),
    ];
    insta::assert_snapshot!(told(&admin, attempts).await);
}

#[tokio::test]
async fn an_administrator_writes_no_status_and_reads_nothing_of_another_agency() {
    let stage = Installed::shared().await;
    let admin = stage.person("red-admin");
    for manifest in manifests().unwrap() {
        let kind = manifest.definition["spec"]["names"]["kind"]
            .as_str()
            .unwrap()
            .to_owned();
        let status = json!({"status": {"observedGeneration": 1}});
        let status = if manifest.definition["spec"]["scope"] == "Cluster" {
            of_cluster("maru.dev/v1alpha1", &kind, "any", &status)
        } else {
            object("maru.dev/v1alpha1", &kind, "any", &status)
        };
        let told = refused(&kind, patch_status(&admin, &status).await);
        assert!(told.contains("cannot patch resource"), "{kind}: {told}");
    }
    for (group, resource) in [
        ("api/v1", "pods"),
        ("api/v1", "secrets"),
        ("api/v1", "events"),
        ("apis/maru.dev/v1alpha1", "agencysystems"),
        ("apis/maru.dev/v1alpha1", "bills"),
    ] {
        let request = http::Request::get(format!("/{group}/namespaces/blue/{resource}"));
        let answer = admin.request_text(request.body(Vec::new()).unwrap()).await;
        let told = refused(resource, answer.map(drop));
        assert!(told.contains(&format!("cannot list resource \"{resource}\"")), "{told}");
    }
}

/// Quota, limits, rights and network: what follows from the Agency.
fn of_the_agency() -> Vec<(&'static str, Try)> {
    vec![
        ("quota", Try::Patch(raised_quota())),
        ("limits", Try::Remove(object("v1", "LimitRange", "maru", &json!({})))),
        ("a network policy", Try::Create(open_policy())),
        (
            "a right for a friend",
            Try::Create(object(
                RBAC,
                "RoleBinding",
                "friend",
                &bound("cluster-admin", "a-friend"),
            )),
        ),
        ("a role", Try::Create(object(RBAC, "Role", "any", &any_right()))),
    ]
}

/// Host names and what is reached from outside.
fn from_outside() -> Vec<(&'static str, Try)> {
    let backend = json!({"service": {"name": "own", "port": {"number": 80}}});
    let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
    let ingress = json!({"spec": {"rules": [{"host": "docs.blue.example", "http": {"paths": paths}}]}});
    let route = json!({"spec": {"hostnames": ["docs.blue.example"], "rules": [{}]}});
    let service = |name: &str, more: Value| {
        let mut service = object("v1", "Service", name, &json!({"spec": more}));
        service["spec"]["ports"] = json!([{"port": 80}]);
        Try::Create(service)
    };
    vec![
        (
            "an Ingress",
            Try::Create(object(NETWORKING, "Ingress", "theirs", &ingress)),
        ),
        (
            "a route",
            Try::Create(object("gateway.networking.k8s.io/v1", "HTTPRoute", "theirs", &route)),
        ),
        ("a node port", service("port", json!({"type": "NodePort"}))),
        ("a load balancer", service("balancer", json!({"type": "LoadBalancer"}))),
        (
            "an external address",
            service("address", json!({"externalIPs": ["203.0.113.9"]})),
        ),
    ]
}

/// What Maru wrote, and what would pass for it.
fn of_maru(docs: &Value) -> Vec<(&'static str, Try)> {
    let labelled = |key: &str, value: &str| {
        let mut service = object("v1", "Service", "labelled", &json!({"spec": {"ports": [{"port": 80}]}}));
        service["metadata"]["labels"] = json!({key: value});
        service
    };
    let mut edited = docs.clone();
    edited["spec"] = json!({"replicas": 7});
    let mut paid = bill();
    paid["metadata"]["labels"] = json!({"paid": "yes"});
    let mut template = pod("red", "job", &json!({"restartPolicy": "Never"}));
    template["metadata"] = json!({"labels": {"maru.dev/agency": "blue"}});
    let job = json!({"spec": {"template": {"metadata": template["metadata"], "spec": template["spec"]}}});
    let cron = json!({"spec": {"schedule": "0 0 * * *", "jobTemplate": job}});
    let mut unheld = object("maru.dev/v1alpha1", "AgencySystem", "docs", &json!({}));
    unheld["metadata"]["finalizers"] = json!(null);
    vec![
        (
            "another's system label",
            Try::Create(labelled("maru.dev/system", "tax")),
        ),
        (
            "another's label, by a job",
            Try::Create(object("batch/v1", "CronJob", "theirs", &cron)),
        ),
        (
            "Maru's label",
            Try::Create(labelled("app.kubernetes.io/managed-by", "maru")),
        ),
        ("Maru's Deployment", Try::Patch(edited)),
        ("its scale", Try::Scale(docs.clone())),
        ("its end", Try::Remove(docs.clone())),
        ("a bill", Try::Patch(paid)),
        ("a system without its end", Try::Patch(unheld)),
    ]
}

/// Which node a pod runs on, and who gives way to it.
fn of_nodes() -> Vec<(&'static str, Try)> {
    let target = json!({"target": {"apiVersion": "v1", "kind": "Node", "name": "low-0"}});
    let first = json!({"priorityClassName": "system-node-critical"});
    vec![
        ("a node for a pod", Try::Create(object("v1", "Binding", "any", &target))),
        (
            "a node by name",
            Try::Create(pod("red", "placed", &json!({"nodeName": "low-0"}))),
        ),
        ("a system priority", Try::Create(pod("red", "first", &first))),
    ]
}

#[tokio::test]
async fn whoever_has_every_right_in_the_namespace_still_cannot_change_what_is_marus() {
    let stage = Installed::shared().await;
    let careless = stage.person("red-careless");
    let others = others(stage).await;
    let docs = docs_deployment(&stage.platform()).await;
    let attempts = [of_the_agency(), from_outside(), of_maru(&docs), of_nodes()];
    let attempts = attempts.into_iter().flatten().collect();
    insta::assert_snapshot!(told(&careless, attempts).await);
    for mut status in others {
        status["status"] = json!({"observedGeneration": 1});
        let kind = status["kind"].as_str().unwrap().to_owned();
        let told = refused(&kind, patch_status(&careless, &status).await);
        assert!(
            told.contains("a status is what the operator has verified: it alone writes it"),
            "{kind}: {told}"
        );
    }
}

/// Somebody who looks after namespaces in the whole cluster, and is not asked about agencies.
async fn keeper(stage: &Installed) -> Client {
    let rules = json!({"rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["*"]}]});
    let platform = stage.platform();
    create(&platform, &of_cluster(RBAC, "ClusterRole", "namespaces", &rules))
        .await
        .unwrap();
    let binding = of_cluster(RBAC, "ClusterRoleBinding", "namespaces", &bound("namespaces", "keeper"));
    create(&platform, &binding).await.unwrap();
    stage.person("keeper")
}

fn namespace(name: &str, key: &str, value: &Value) -> Value {
    let mut namespace = of_cluster("v1", "Namespace", name, &json!({}));
    namespace["metadata"][if key.ends_with("block-new") {
        "annotations"
    } else {
        "labels"
    }] = json!({key: value});
    namespace
}

#[tokio::test]
async fn a_namespace_stays_whose_it_is_and_as_closed_as_it_was() {
    let stage = Installed::shared().await;
    let (careless, keeper) = (stage.person("red-careless"), keeper(stage).await);
    let red = |key: &str, value: Value| Try::Patch(namespace("red", key, &value));
    let open = "pod-security.kubernetes.io/enforce";
    let by_careless = vec![
        ("open to privileged pods", red(open, json!("privileged"))),
        ("another agency's", red("maru.dev/agency", json!("blue"))),
        ("nobody's", red("maru.dev/agency", Value::Null)),
        ("of another grade", red("maru.dev/grade", json!("High"))),
        ("not blocked", red("maru.dev/block-new", json!("no"))),
        ("deleted", Try::Remove(namespace("red", open, &Value::Null))),
    ];
    let by_keeper = vec![
        ("open", red(open, json!("privileged"))),
        ("deleted", Try::Remove(namespace("red", open, &Value::Null))),
        (
            "a new one, claimed",
            Try::Create(namespace("mine", "maru.dev/agency", &json!("red"))),
        ),
    ];
    let told = format!(
        "{}\nby whoever looks after namespaces:\n{}",
        told(&careless, by_careless).await,
        told(&keeper, by_keeper).await
    );
    insta::assert_snapshot!(told);
    let plain = namespace("plain", "team", &json!("one"));
    create(&keeper, &plain).await.unwrap();
    remove(&keeper, &plain).await.unwrap();
}
