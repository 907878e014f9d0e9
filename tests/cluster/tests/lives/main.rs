//! A cluster starts, runs what it is given, stands beside others, and leaves nothing behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod traces;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Node, PersistentVolumeClaim, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, ObjectMeta, PostParams},
    runtime::wait::{await_condition, conditions},
};
use maru_test_cluster::{Cluster, ClusterOptions, HELLO_IMAGE, Isolation, cache_dir};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use traces::Traces;

const SOON: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_deployment_runs_as_real_containers_and_answers_on_its_pod_address() {
    let options = ClusterOptions {
        gateway_api: true,
        audit: true,
        kwok_nodes: 1,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client().unwrap();
    kubectl_names_its_version(&cluster);
    routes_can_be_stored(&client).await;
    if !cluster.has_real_node() {
        eprintln!("skipped: there is no real node here");
        return;
    }

    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    claim_storage(&client).await;
    let hello = hello_deployment();
    deployments.create(&PostParams::default(), &hello).await.unwrap();
    let complete = await_condition(deployments, "hello", conditions::is_deployment_completed());
    tokio::time::timeout(SOON, complete).await.unwrap().unwrap();

    let pods: Api<Pod> = Api::default_namespaced(client);
    let pods = pods.list(&ListParams::default().labels("app=hello")).await.unwrap();
    let pod = &pods.items[0];
    let address = pod.status.as_ref().unwrap().pod_ip.clone().unwrap();
    let answer = get(&format!("{address}:8080"), "/where");
    assert!(answer.contains(&format!("{} /where", pod.name_any())), "{answer}");

    let log = std::fs::read_to_string(cluster.audit_log().unwrap()).unwrap();
    assert!(log.contains(r#""resource":"deployments""#));
    let traces = Traces::of(&cluster);
    assert!(!traces.found().is_empty(), "there is something to look for");
    cluster.stop().await.unwrap();
    assert_eq!(traces.found(), Vec::<String>::new());
}

#[tokio::test]
async fn clusters_stand_side_by_side_and_end_one_by_one() {
    let own_network = ClusterOptions::simulated(2);
    let loopback = ClusterOptions {
        isolation: Isolation::Never,
        ..ClusterOptions::simulated(1)
    };
    let (one, other) = tokio::join!(Cluster::start(own_network), Cluster::start(loopback));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_ne!(one.state().unwrap().server, other.state().unwrap().server);
    assert_eq!(node_names(&one).await, ["kwok-0", "kwok-1"]);
    assert_eq!(node_names(&other).await, ["kwok-0"]);

    let name = "only-here".to_owned();
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let here: Api<Namespace> = Api::all(one.client().unwrap());
    here.create(&PostParams::default(), &namespace).await.unwrap();
    let there: Api<Namespace> = Api::all(other.client().unwrap());
    assert!(there.get_opt(&name).await.unwrap().is_none());

    let traces = Traces::of(&one);
    one.stop().await.unwrap();
    assert_eq!(traces.found(), Vec::<String>::new());
    assert!(there.get_opt("default").await.unwrap().is_some());
    let traces = Traces::of(&other);
    drop(other);
    assert_eq!(traces.found(), Vec::<String>::new());
}

#[tokio::test]
async fn someone_without_rights_is_refused_and_an_existing_cluster_is_left_alone() {
    let cluster = Cluster::start(ClusterOptions::simulated(0)).await.unwrap();
    let stranger = cluster.client_as("kim", &["system:authenticated"]).unwrap();
    let namespaces: Api<Namespace> = Api::all(stranger);
    let refused = namespaces.list(&ListParams::default()).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403));

    let visitor = Cluster::existing(cluster.kubeconfig()).await.unwrap();
    assert!(!visitor.has_real_node());
    assert_eq!(visitor.state(), cluster.state());
    visitor.stop().await.unwrap();
    cluster.client().unwrap().apiserver_version().await.unwrap();
}

#[test]
fn nothing_is_left_when_whoever_asked_for_a_cluster_is_killed() {
    let mut holder = hold_a_cluster();
    let traces = Traces::from_kubeconfig(&holder.kubeconfig);
    assert!(!traces.found().is_empty(), "there is something to look for");
    holder.process.kill().unwrap();
    holder.process.wait().unwrap();
    traces.wait_until_gone(SOON);
}

#[test]
fn nothing_is_left_when_the_supervisor_is_killed_and_the_next_command_runs() {
    let mut holder = hold_a_cluster();
    let traces = Traces::from_kubeconfig(&holder.kubeconfig);
    let supervisor = Pid::from_raw(traces.state.supervisor).unwrap();
    kill_process(supervisor, Signal::KILL).unwrap();
    // The kernel ends the processes; network and files wait for the next command of any cluster.
    traces.wait_until_processes_are_gone(SOON);
    let elsewhere = std::env::temp_dir().join("maru-cluster-that-is-not-there");
    let program = env!("CARGO_BIN_EXE_maru-cluster");
    let down = Command::new(program).arg("down").arg("--dir").arg(elsewhere).output();
    assert!(down.unwrap().status.success());
    traces.wait_until_gone(SOON);
    holder.process.kill().unwrap();
    holder.process.wait().unwrap();
}

/// A process that holds a cluster and runs a command beside it.
struct Holder {
    process: Child,
    kubeconfig: PathBuf,
}

fn hold_a_cluster() -> Holder {
    let mut process = Command::new(env!("CARGO_BIN_EXE_maru-cluster"))
        .args(["run", "--", "sh", "-c", "echo $KUBECONFIG; exec sleep 1000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    Holder {
        process,
        kubeconfig: line.trim().into(),
    }
}

fn kubectl_names_its_version(cluster: &Cluster) {
    let output = Command::new(cache_dir().join("bin/kubectl-v1.37.2"))
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .arg("version")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Server Version: v1.37.2"), "{text}");
}

async fn routes_can_be_stored(client: &Client) {
    let path = "/apis/gateway.networking.k8s.io/v1";
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let resources = client.request_text(request).await.unwrap();
    assert!(resources.contains("httproutes"), "{resources}");
}

async fn node_names(cluster: &Cluster) -> Vec<String> {
    let nodes: Api<Node> = Api::all(cluster.client().unwrap());
    let nodes = nodes.list(&ListParams::default()).await.unwrap();
    nodes.iter().map(ResourceExt::name_any).collect()
}

async fn claim_storage(client: &Client) {
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "metadata": {"name": "notes"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }))
    .unwrap();
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client.clone());
    claims.create(&PostParams::default(), &claim).await.unwrap();
}

/// The example image under the rules of Pod Security `restricted`, with a volume.
fn hello_deployment() -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "hello"},
        "spec": {
            "selector": {"matchLabels": {"app": "hello"}},
            "template": {
                "metadata": {"labels": {"app": "hello"}},
                "spec": {
                    "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "hello",
                        "image": HELLO_IMAGE,
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
                        "volumeMounts": [{"name": "notes", "mountPath": "/notes"}],
                    }],
                    "volumes": [{"name": "notes", "persistentVolumeClaim": {"claimName": "notes"}}],
                },
            },
        },
    }))
    .unwrap()
}

/// The answer to a plain HTTP request.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Asks again and again until `done` holds.
fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while !done() {
        if begin.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// The folder of a cluster, from the path of its kubeconfig.
fn folder(kubeconfig: &Path) -> &Path {
    kubeconfig.parent().unwrap()
}
