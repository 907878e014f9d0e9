//! Installing, upgrading, taking away and installing again.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, RoleBinding};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use maru_controller::Settings;
use maru_crds::{Agency, AgencySystem};
use maru_desire::{GRADE_LABEL, ObjectKind};
use maru_stories::{
    Helm, RELEASE_NAMESPACE, agency, agency_ready, apply, chart, delete, eventually, is_gone, ready_reason, snapshot,
    start_installed, system, system_ready, uid_of,
};
use maru_test_cluster::{Cluster, ClusterOptions, KwokPool, RealNode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const OPERATOR: &str = "system:serviceaccount:maru-system:maru-operator";

pub(crate) async fn empty_cluster() -> Cluster {
    let options = ClusterOptions {
        node: RealNode::Never,
        audit: true,
        gateway_api: true,
        kwok_pools: vec![KwokPool {
            nodes: 1,
            labels: BTreeMap::from([(GRADE_LABEL.to_owned(), "Moderate".to_owned())]),
            ..KwokPool::default()
        }],
        ..ClusterOptions::default()
    };
    Cluster::start(options).await.unwrap()
}

/// The documents that `helm template` renders, one after the other.
async fn rendered(helm: &Helm, chart_name: &str, values: &[&str]) -> String {
    let folder = chart(chart_name);
    let mut arguments = vec![
        "template",
        chart_name,
        folder.to_str().unwrap(),
        "--namespace",
        RELEASE_NAMESPACE,
    ];
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    helm.run(&arguments).await.unwrap()
}

#[tokio::test]
async fn the_charts_render_what_was_reviewed() {
    let helm = Helm::without_cluster().await;
    insta::assert_snapshot!("chart_with_default_values", rendered(&helm, "maru", &[]).await);
    let everything = [
        "metering.lake=s3://usage",
        "metering.secret=store",
        "metering.prometheus.url=https://prometheus.monitoring:9090",
        "metering.keptDays=400",
        "metering.prometheus.tokenSecret=prometheus-token",
        "events.enabled=true",
        "backups.place=s3://backups",
        "backups.keySecret=backup-key",
        "billing.ledgerSecret=ledger",
        "apiServer.host=10.0.0.1",
        "serviceMonitor.enabled=true",
        "prometheusRule.enabled=true",
        "log=debug",
        "image.tag=v1",
        "image.pullSecrets={registry}",
    ];
    let plain = rendered(&helm, "maru", &[]).await;
    let all = rendered(&helm, "maru", &everything).await;
    let lines: BTreeSet<&str> = plain.lines().collect();
    let added: Vec<&str> = all.lines().filter(|line| !lines.contains(line)).collect();
    insta::assert_snapshot!("chart_lines_that_values_add", added.join("\n"));
    // The definitions themselves are compared with the types elsewhere; here it is that Helm renders them unchanged.
    let kinds = rendered(&helm, "maru-crds", &[]).await;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&kinds).unwrap();
    assert_eq!(documents.len(), maru_crds::manifests().unwrap().len());
    for document in documents {
        assert_eq!(
            document["metadata"]["annotations"]["helm.sh/resource-policy"], "keep",
            "{}",
            document["metadata"]["name"]
        );
    }
}

#[tokio::test]
async fn a_value_that_does_not_exist_or_does_not_fit_is_refused_with_its_name() {
    let helm = Helm::without_cluster().await;
    let folder = chart("maru");
    for (value, named) in [
        ("replicsa=2", "replicsa"),
        ("replicas=-1", "replicas"),
        // What is on a volume has room for one.
        ("replicas=2", "metering.lake"),
        ("metering.lake=/somewhere", "metering/lake"),
        ("placement.enabled=perhaps", "placement/enabled"),
    ] {
        let error = helm
            .run(&["template", "maru", folder.to_str().unwrap(), "--set", value])
            .await
            .unwrap_err();
        assert!(error.contains(named), "{value}: {error}");
    }
}

/// What the charts installed in the cluster for everybody: the names of policies and roles.
async fn installed(client: &Client) -> Vec<String> {
    let labelled = ListParams::default().labels("app.kubernetes.io/instance=maru");
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let policies = policies.list(&labelled).await.unwrap().items;
    let roles = roles.list(&labelled).await.unwrap().items;
    let names = policies.iter().map(ResourceExt::name_any);
    names.chain(roles.iter().map(ResourceExt::name_any)).collect()
}

#[tokio::test]
async fn an_upgrade_an_uninstall_and_a_new_install_lose_no_agency_and_no_pod() {
    let cluster = empty_cluster().await;
    let client = cluster.client().unwrap();
    let helm = Helm::of(&cluster).await;
    helm.install(&["replicas=0", "metering.enabled=false"]).await;
    let operator = start_installed(&cluster, Settings::default()).await;
    // The worst case: these people did say that their data goes when they delete the objects themselves.
    let mut mois = agency("mois");
    mois["spec"]["deletionPolicy"] = json!("Delete");
    let mut docs = system("mois", "docs");
    docs["spec"]["deletionPolicy"] = json!("Delete");
    apply(&client, &mois).await;
    apply(&client, &docs).await;
    system_ready(&client, "mois", "docs", 60).await;
    let before = snapshot(&client, "mois").await;
    let uid = uid_of(&client, "mois").await;

    helm.install(&["replicas=0", "metering.enabled=false", "workers=8"])
        .await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), RELEASE_NAMESPACE);
    let upgraded = serde_json::to_string(&deployments.get("maru-operator").await.unwrap().spec).unwrap();
    assert!(
        upgraded.contains(r#"{"name":"MARU_WORKERS","value":"8"}"#),
        "{upgraded}"
    );
    assert_eq!(snapshot(&client, "mois").await, before, "after the upgrade");
    apply(&client, &system("mois", "second")).await;
    system_ready(&client, "mois", "second", 30).await;
    let before = snapshot(&client, "mois").await;

    operator.stop().await;
    for release in ["maru", "maru-crds"] {
        helm.run(&["uninstall", release, "--namespace", RELEASE_NAMESPACE])
            .await
            .unwrap();
    }
    assert_eq!(installed(&client).await, [""; 0], "policies and roles go");
    let agencies: Api<Agency> = Api::all(client.clone());
    let kept = agencies.get("mois").await.unwrap();
    assert!(kept.metadata.deletion_timestamp.is_none());
    assert_eq!(snapshot(&client, "mois").await, before, "while nothing is installed");

    helm.install(&["replicas=0", "metering.enabled=false"]).await;
    let operator = start_installed(&cluster, Settings::default()).await;
    apply(&client, &system("mois", "third")).await;
    system_ready(&client, "mois", "third", 30).await;
    agency_ready(&client, "mois", 10).await;
    assert_eq!(agencies.get("mois").await.unwrap().uid(), kept.uid());
    assert_eq!(uid_of(&client, "mois").await, uid);
    let after = snapshot(&client, "mois").await;
    let lost: Vec<&String> = before
        .keys()
        .filter(|key| after.get(*key) != before.get(*key))
        .collect();
    // A third system has its part of the quota.
    assert!(lost.iter().all(|key| key.starts_with("ResourceQuota")), "{lost:?}");
    operator.stop().await;
    cluster.stop().await.unwrap();
}

/// A system that asks for one of everything that Maru writes.
fn everything(namespace: &str) -> Value {
    let mut all = system(namespace, "all");
    all["spec"]["deletionPolicy"] = json!("Delete");
    all["spec"]["components"][0]["replicas"] = json!({"min": 2, "max": 3, "targetCPUUtilizationPercent": 70});
    all["spec"]["components"].as_array_mut().unwrap().push(json!({
        "name": "store", "image": maru_stories::HELLO, "runAsUser": 10001,
        "resources": {"cpu": "20m", "memory": "16Mi"},
        "volumes": [{"name": "data", "mountPath": "/data", "persistent": {"size": "1Mi"}}],
    }));
    all["spec"]["jobs"] = json!([{
        "name": "nightly", "schedule": "0 3 * * *", "image": maru_stories::HELLO, "runAsUser": 10001,
        "resources": {"cpu": "20m", "memory": "16Mi"},
    }]);
    all["spec"]["hosts"] = json!([{"host": format!("all.{namespace}.example"), "component": "web"}]);
    all
}

/// An agency with everything, from its first apply until all of it is gone.
async fn a_whole_life(client: &Client, name: &str) {
    let mut going = agency(name);
    going["spec"]["deletionPolicy"] = json!("Delete");
    going["spec"]["administrators"] = json!([{"kind": "Group", "name": "platform"}]);
    going["spec"]["billReaders"] = json!([{"kind": "Group", "name": "finance"}]);
    apply(client, &going).await;
    apply(client, &everything(name)).await;
    agency_ready(client, name, 30).await;
    system_ready(client, name, "all", 60).await;
    // Somebody is no longer asked to read the bills, somebody changes a label, and a pod does not start.
    going["spec"]["billReaders"] = json!([]);
    apply(client, &going).await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let other_grade = Patch::Merge(json!({"metadata": {"labels": {GRADE_LABEL: "Low"}}}));
    namespaces
        .patch(name, &PatchParams::default(), &other_grade)
        .await
        .unwrap();
    let mut greedy = system(name, "greedy");
    greedy["spec"]["components"][0]["resources"]["cpu"] = json!("2000");
    apply(client, &greedy).await;
    eventually("all of it to be seen", 20, async || {
        let grade = namespaces.get(name).await.unwrap().labels()[GRADE_LABEL].clone();
        let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), name);
        let readers = bindings.get_opt("maru-bill-readers").await.unwrap();
        let reason = ready_reason(client, name, "greedy").await;
        if grade == "Moderate" && readers.is_none() && reason == "PodsRefused" {
            Ok(())
        } else {
            Err(format!("{grade} {reason} {readers:?}"))
        }
    })
    .await;
    let mut selecting = system(name, "selecting");
    selecting["spec"] = json!({"selector": {"matchLabels": {"app": "own"}}});
    apply(client, &selecting).await;
    let systems: Api<AgencySystem> = Api::namespaced(client.clone(), name);
    for system in ["all", "greedy", "selecting"] {
        eventually("the system to be known", 20, async || {
            let found = systems.get(system).await.unwrap();
            found
                .status
                .and_then(|status| status.deletion_policy)
                .map(drop)
                .ok_or_else(String::new)
        })
        .await;
        delete(&systems, system).await;
        is_gone(&systems, system, 60).await;
    }
    let agencies: Api<Agency> = Api::all(client.clone());
    agencies.delete(name, &DeleteParams::default()).await.unwrap();
    is_gone(&agencies, name, 60).await;
}

/// A right: API group, resource and verb.
pub(crate) type Right = (String, String, String);

fn right(group: &str, resource: &str, verb: &str) -> Right {
    // Whoever may list may read each, and may watch.
    let verb = if ["get", "list", "watch"].contains(&verb) {
        "read"
    } else {
        verb
    };
    (group.to_owned(), resource.to_owned(), verb.to_owned())
}

pub(crate) fn rights(rules: &[PolicyRule]) -> BTreeSet<Right> {
    let mut all = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                all.extend(rule.verbs.iter().map(|verb| right(group, resource, verb)));
            }
        }
    }
    all
}

/// What the audit log says that the operator did and what it was refused.
pub(crate) fn done(log: &str) -> (BTreeSet<Right>, Vec<String>) {
    let (mut used, mut refused) = (BTreeSet::new(), Vec::new());
    for line in log.lines().filter(|line| line.contains(OPERATOR)) {
        let event: Value = serde_json::from_str(line).unwrap();
        let object = &event["objectRef"];
        let Some(resource) = object["resource"].as_str() else {
            continue;
        };
        if event["annotations"]["authorization.k8s.io/decision"] == "forbid" || event["responseStatus"]["code"] == 403 {
            refused.push(format!(
                "{} {}: {}",
                event["verb"], event["requestURI"], event["responseStatus"]["message"]
            ));
            continue;
        }
        let resource = match object["subresource"].as_str() {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => resource.to_owned(),
        };
        let group = object["apiGroup"].as_str().unwrap_or_default();
        used.insert(right(group, &resource, event["verb"].as_str().unwrap()));
        // An apply that makes an object needs the right to create it too.
        if event["responseStatus"]["code"] == 201 {
            used.insert(right(group, &resource, "create"));
        }
    }
    (used, refused)
}

/// Whether a right is about what this story makes, changes and takes away.
fn is_of_this_story((_, resource, _): &Right) -> bool {
    let whole = resource.split('/').next().unwrap_or_default();
    let beside = [
        "agencies",
        "agencysystems",
        "clusterroles",
        "events",
        "customresourcedefinitions",
        "leases",
    ];
    beside.contains(&whole) || ObjectKind::ALL.iter().any(|kind| kind.plural() == whole)
}

/// Rights that this story does not need.
const SEEN_ELSEWHERE: [&str; 3] = [
    // Asked for by the API server when a binding is written, and not logged as a request.
    "bind rbac.authorization.k8s.io/clusterroles",
    // An event that comes again within minutes is counted up.
    "patch events.k8s.io/events",
    // Billing writes `status.budget`.
    "patch maru.dev/agencies/status",
];

#[tokio::test]
async fn the_operator_has_the_rights_that_it_needs_and_no_others() {
    let cluster = empty_cluster().await;
    let client = cluster.client().unwrap();
    Helm::of(&cluster)
        .await
        .install(&["replicas=0", "metering.enabled=false"])
        .await;
    let lease = maru_controller::Lease {
        namespace: RELEASE_NAMESPACE.to_owned(),
        name: "maru-operator".to_owned(),
        identity: "one".to_owned(),
        duration_seconds: 10,
    };
    let with = |platform| Settings {
        platform,
        lease: Some(lease.clone()),
        ..Settings::default()
    };
    let operator = start_installed(&cluster, with(maru_desire::Platform::default())).await;
    a_whole_life(&client, "ingress").await;
    operator.stop().await;
    let gateway = maru_desire::GatewayRef {
        namespace: "edge".to_owned(),
        name: "public".to_owned(),
        section: None,
        tls: false,
    };
    let platform = maru_desire::Platform {
        route_api: maru_desire::RouteApi::HttpRoute,
        gateway: Some(gateway),
        ..maru_desire::Platform::default()
    };
    let operator = start_installed(&cluster, with(platform)).await;
    a_whole_life(&client, "gateway").await;
    operator.stop().await;

    let log = std::fs::read_to_string(cluster.audit_log().unwrap()).unwrap();
    let (used, refused) = done(&log);
    assert_eq!(refused, [""; 0], "the operator was refused what it tried");
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let given = rights(&roles.get("maru-operator").await.unwrap().rules.unwrap());
    let unused: Vec<&Right> = given
        .difference(&used)
        .filter(|right| is_of_this_story(right))
        .collect();
    let unused: Vec<String> = unused
        .into_iter()
        .map(|(group, resource, verb)| format!("{verb} {group}/{resource}"))
        .collect();
    let left_over: Vec<&String> = unused
        .iter()
        .filter(|right| !SEEN_ELSEWHERE.contains(&right.as_str()))
        .collect();
    assert!(left_over.is_empty(), "the operator never needed to {left_over:?}");
    cluster.stop().await.unwrap();
}
