//! What the platform's people install: a database server, the image, and the charts.

use crate::parts::{OPERATORS_NAMESPACE, Outcome, Parts, eventually, finish};
use maru_test_postgres::{Postgres, PostgresOptions, backup_programs};
use serde_json::json;
use std::time::Instant;
use tokio::process::Command;

/// What the chart asks for when nothing else is said.
const OPERATOR_IMAGE: &str = "maru.dev/operator:0.1.0";
const SERVICE_IMAGE: &str = "maru.dev/service:1";
/// The password of the role with which the operator makes databases and roles.
pub(crate) const ADMIN_PASSWORD: &str = "only-for-the-demonstration";

/// The ledger's address and the key of backups are in Secrets; backups are on the operator's volume, where one node is all there is.
const VALUES: &str = "billing.ledgerSecret=ledger,events.enabled=true,backups.place=file:///var/lib/maru/backups,backups.keySecret=backup-key";

/// A PostgreSQL beside the cluster, with the role of its administrator and a database for the ledger.
pub(crate) fn postgres(parts: &Parts) -> Outcome<Postgres> {
    parts.say("A real PostgreSQL starts beside it, for the ministries' data and for the ledger.");
    let outside = parts.cluster.outside();
    let server = Postgres::start(&PostgresOptions {
        outside,
        ..PostgresOptions::default()
    })?;
    let role = format!(
        "CREATE ROLE maru_admin LOGIN CREATEROLE CREATEDB PASSWORD '{ADMIN_PASSWORD}'; CREATE EXTENSION pg_stat_statements; GRANT pg_read_all_stats TO maru_admin"
    );
    server.sql("postgres", &role)?;
    server.create_database("ledger")?;
    println!("     PostgreSQL answers at {}:{}", server.host(), server.port());
    Ok(server)
}

/// The images, made of the programs that were built, without a container engine.
pub(crate) async fn images(parts: &Parts) -> Outcome<()> {
    parts.say(
        "The images are made and given to the node: the operator with the command line, and the ministries' service.",
    );
    let [operator, kubectl, service] =
        ["maru-operator", "kubectl-maru", "maru-service"].map(|name| parts.program(name));
    let [dump, restore] = backup_programs()?;
    parts
        .cluster
        .load_programs(OPERATOR_IMAGE, &[&operator, &kubectl, &dump, &restore])
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
    let ledger = secret("ledger", json!({"url": postgres.url("ledger")}));
    println!(
        "   $ kubectl maru dataset key   # into the Secret backup-key: backups of the ministries' data are encrypted with it"
    );
    let key = finish(Command::new(parts.program("kubectl-maru")).args(["dataset", "key"])).await?;
    let key = secret("backup-key", json!({"key": key}));
    let admin = secret(
        "shared-admin",
        json!({"username": "maru_admin", "password": ADMIN_PASSWORD}),
    );
    let file = parts.folder.path().join("secrets.yaml");
    std::fs::write(&file, format!("{namespace}\n---\n{ledger}\n---\n{admin}\n---\n{key}\n"))?;
    parts.asked(&["apply", "-f", &file.display().to_string()]).await?;
    helm(parts, &["maru-crds"]).await?;
    helm(parts, &["maru", "--set", VALUES]).await?;
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
