//! `kubectl maru grants` and `kubectl maru dataset describe` beside the operator, as both sides see them.

use clap::Parser;
use maru_cli::Cli;
use maru_stories::data::{accept, condition, grant, put, secret};
use maru_stories::{OWNERS, Scene, eventually};
use maru_test_cluster::Cluster;
use serde_json::{Value, json};

/// What the command prints with these words.
async fn said(cluster: &Cluster, words: &[&str]) -> Result<String, String> {
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let mut all = vec!["kubectl-maru".to_owned()];
    all.extend(words.iter().map(|word| (*word).to_owned()));
    all.extend(["--kubeconfig".to_owned(), kubeconfig]);
    let cli = Cli::parse_from(all);
    let printed = tokio::task::spawn_blocking(move || cli.run()).await.unwrap();
    printed
        .map(|printed| String::from_utf8(printed.bytes).unwrap())
        .map_err(|problem| problem.to_string())
}

async fn document(cluster: &Cluster, words: &[&str]) -> Value {
    let words: Vec<&str> = words.iter().copied().chain(["-o", "json"]).collect();
    serde_json::from_str(&said(cluster, &words).await.unwrap()).unwrap()
}

/// The server has made no estimate of so small a table yet.
async fn three_rows_are_counted(cluster: &Cluster) {
    eventually("the rows to be counted", 30, async || {
        let described = document(cluster, &["dataset", "describe", "businesses", "-n", "nts"]).await;
        if described["rows"] == 3 {
            Ok(())
        } else {
            Err(described["rows"].to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn both_sides_are_told_who_reads_what_until_when_and_whether_it_is_in_force() {
    let scene = Scene::set().await;
    let (client, cluster) = (&scene.client, &scene.cluster);
    let (letters, statistics) = (grant("letters", 3600), grant("statistics", 3600));
    put(client, &letters).await;
    put(client, &statistics).await;
    accept(client, &["letters"]).await;
    condition(client, &letters, "Ready", "True", "Ready").await;
    condition(client, &statistics, "Ready", "False", "NotAccepted").await;

    let owners = document(cluster, &["grants", "-n", "nts"]).await;
    assert_eq!(owners["received"], json!([]));
    let given = owners["given"].as_array().unwrap();
    let names: Vec<&Value> = given.iter().map(|line| &line["name"]).collect();
    assert_eq!(names, ["letters", "statistics"]);
    assert_eq!(
        (&given[0]["inForce"], &given[1]["inForce"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(given[1]["reason"], "NotAccepted");
    assert_eq!(given[0]["notAfter"], letters["spec"]["notAfter"]);
    assert_eq!(given[0]["consumer"], "mois/docs");
    assert_eq!(given[0]["tables"][0]["columns"], json!(["name"]));
    let consumers = document(cluster, &["grants", "-n", "mois"]).await;
    assert_eq!(consumers["given"], json!([]));
    assert_eq!(consumers["received"], owners["given"], "both see the same");
    assert_eq!(document(cluster, &["grants", "-A"]).await["given"], owners["given"]);

    let table = said(cluster, &["grants", "-n", "mois"]).await.unwrap();
    let line = table.lines().find(|line| line.contains("nts/letters")).unwrap();
    for word in [
        "businesses",
        "mois/docs",
        "public.business (name) where region = 'Seoul'",
        "Letters",
        "yes",
    ] {
        assert!(line.contains(word), "{word}: {table}");
    }
    assert!(table.contains("no: NotAccepted"), "{table}");

    let described = document(cluster, &["dataset", "describe", "businesses", "-n", "nts"]).await;
    assert_eq!(described["database"], "nts_businesses");
    assert_eq!(described["server"], "shared");
    assert_eq!(described["grants"], owners["given"]);
    let ready = described["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["type"] == "Ready");
    assert_eq!(ready.unwrap()["status"], "True");
    three_rows_are_counted(cluster).await;
    let text = said(cluster, &["dataset", "describe", "businesses", "-n", "nts"])
        .await
        .unwrap();
    let owner = text
        .lines()
        .find(|line| line.contains("public.business  owner"))
        .unwrap();
    assert!(owner.contains("Personal"), "{text}");
    let password = secret(client, "nts", OWNERS).await.unwrap()["password"].clone();
    assert!(!text.contains(&password) && !described.to_string().contains(&password));

    let missing = said(cluster, &["dataset", "describe", "nothing", "-n", "nts"])
        .await
        .unwrap_err();
    assert!(missing.contains("look at the name"), "{missing}");
    scene.end().await;
}
