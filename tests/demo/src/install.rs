//! What the platform's people install: a database server, the image, and the charts.

use crate::parts::{OPERATORS_NAMESPACE, Outcome, Parts, eventually, finish};
use maru_test_postgres::{Postgres, PostgresOptions};
use serde_json::json;
use std::time::Instant;
use tokio::process::Command;

/// What the chart asks for when nothing else is said.
const OPERATOR_IMAGE: &str = "maru.dev/operator:0.1.0";
const SERVICE_IMAGE: &str = "maru.dev/service:1";
/// The password of the role with which the operator makes databases and roles.
const ADMIN_PASSWORD: &str = "only-for-the-demonstration";

/// A PostgreSQL beside the cluster, with the role of its administrator and a database for the ledger.
pub(crate) fn postgres(parts: &Parts) -> Outcome<Postgres> {
    parts.say("A real PostgreSQL starts beside it, for the ministries' data and for the ledger.");
    let host = host(parts)?;
    let hba = parts.folder.path().join("pg_hba.conf");
    std::fs::write(&hba, "local all all scram-sha-256\nhost all all all scram-sha-256\n")?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(parts.folder.path(), readable)?;
    let server = Postgres::start(&PostgresOptions {
        settings: vec![
            ("listen_addresses".to_owned(), format!("127.0.0.1,{host}")),
            ("hba_file".to_owned(), hba.display().to_string()),
        ],
        ..PostgresOptions::default()
    })?;
    let role = format!(
        "CREATE ROLE maru_admin LOGIN CREATEROLE CREATEDB PASSWORD '{ADMIN_PASSWORD}'; CREATE EXTENSION pg_stat_statements; GRANT pg_read_all_stats TO maru_admin"
    );
    server.sql("postgres", &role)?;
    server.create_database("ledger")?;
    println!("     PostgreSQL answers at {host}:{}", server.port());
    Ok(server)
}

/// Where pods reach what runs on this machine beside the cluster.
pub(crate) fn host(parts: &Parts) -> Outcome<String> {
    let outside = parts.cluster.outside().ok_or("the cluster has no network of its own")?;
    Ok(outside.to_string())
}

/// The address of the ledger, as pods reach it.
fn ledger(parts: &Parts, postgres: &Postgres) -> Outcome<String> {
    let url = postgres.url("ledger");
    Ok(url.replace("127.0.0.1", &host(parts)?))
}

/// The images, made of the programs that were built, without a container engine.
pub(crate) async fn images(parts: &Parts) -> Outcome<()> {
    parts.say(
        "The images are made and given to the node: the operator with the command line, and the ministries' service.",
    );
    let [operator, kubectl, service] =
        ["maru-operator", "kubectl-maru", "maru-service"].map(|name| parts.program(name));
    parts
        .cluster
        .load_programs(OPERATOR_IMAGE, &[&operator, &kubectl])
        .await?;
    parts.cluster.load_programs(SERVICE_IMAGE, &[&service]).await?;
    println!("     {OPERATOR_IMAGE} and {SERVICE_IMAGE}");
    Ok(())
}

/// Both charts, as users install them.
pub(crate) async fn charts(parts: &Parts, postgres: &Postgres) -> Outcome<()> {
    parts.say("The platform's people install Maru with Helm: its kinds, and the operator as a container on the node.");
    let began = Instant::now();
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": OPERATORS_NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    let secret = |name: &str, data: serde_json::Value| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": OPERATORS_NAMESPACE},
            "stringData": data,
        })
    };
    let ledger = secret("ledger", json!({"url": ledger(parts, postgres)?}));
    let admin = secret(
        "shared-admin",
        json!({"username": "maru_admin", "password": ADMIN_PASSWORD}),
    );
    let file = parts.folder.path().join("secrets.yaml");
    std::fs::write(&file, format!("{namespace}\n---\n{ledger}\n---\n{admin}\n"))?;
    parts.asked(&["apply", "-f", &file.display().to_string()]).await?;
    helm(parts, &["maru-crds"]).await?;
    helm(
        parts,
        &["maru", "--set", "billing.ledgerSecret=ledger,events.enabled=true"],
    )
    .await?;
    let rollout = [
        "rollout",
        "status",
        "-n",
        OPERATORS_NAMESPACE,
        "deployment/maru-operator",
        "--timeout=120s",
    ];
    parts.kubectl(&rollout).await?;
    parts.kubectl(&["get", "pods,pvc", "-n", OPERATORS_NAMESPACE]).await?;
    println!("     from `helm install` to Ready: {} s", began.elapsed().as_secs());
    Ok(())
}

async fn helm(parts: &Parts, words: &[&str]) -> Outcome<()> {
    let Some((chart, values)) = words.split_first() else {
        return Ok(());
    };
    println!(
        "   $ helm install {chart} charts/{chart} -n {OPERATORS_NAMESPACE} {}",
        values.join(" ")
    );
    let mut helm = Command::new(maru_test_cluster::helm().await?);
    helm.args(["install", chart])
        .arg(parts.repository.join("charts").join(chart))
        .args(["--namespace", OPERATORS_NAMESPACE])
        .args(values)
        .env("KUBECONFIG", parts.cluster.kubeconfig());
    for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        helm.env(home, parts.folder.path().join(home));
    }
    finish(&mut helm).await.map(drop)
}

/// The address under which pods and this machine reach the operator.
pub(crate) async fn events_address(parts: &Parts) -> Outcome<String> {
    let service = parts
        .json(&["service", "maru-operator", "-n", OPERATORS_NAMESPACE])
        .await?;
    let address = service["spec"]["clusterIP"]
        .as_str()
        .ok_or("the operator's Service has no address")?;
    Ok(address.to_owned())
}

/// The operator's pod: its UID and its address.
pub(crate) async fn operators_pod(parts: &Parts) -> Outcome<(String, String)> {
    eventually("the operator's pod", async || {
        let pods = parts
            .json(&["pods", "-n", OPERATORS_NAMESPACE, "-l", "app.kubernetes.io/name=maru"])
            .await?;
        let pod = &pods["items"][0];
        let found = pod["metadata"]["uid"].as_str().zip(pod["status"]["podIP"].as_str());
        Ok(found.map(|(uid, address)| (uid.to_owned(), address.to_owned())))
    })
    .await
}
