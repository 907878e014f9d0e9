//! Which server takes a dataset, and what is seen of it.

use kube::Client;
use kube::api::Api;
use maru_controller::Settings;
use maru_crds::{DatabaseServer, Dataset};
use maru_stories::data::{condition, dataset, put};
use maru_stories::{
    Acting, Faults, Scene, agency, agency_ready, apply, cluster_with_kinds, delete, eventually, system,
};
use maru_test_postgres::{Postgres, PostgresOptions};
use serde_json::{Value, json};
use std::time::Duration;

const SERVERS: [&str; 2] = ["another", "shared"];

fn server(name: &str, at: &Postgres) -> Value {
    json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": name},
        "spec": {
            "host": at.host(), "port": at.port(), "tls": {"mode": "Disable"}, "adminSecretRef": {"name": "shared-admin"},
        },
    })
}

/// A dataset that may be on any server.
fn anywhere(name: &str) -> Value {
    let mut dataset = dataset();
    dataset["metadata"]["name"] = json!(name);
    dataset["spec"].as_object_mut().unwrap().remove("serverRef");
    dataset
}

/// Soon: the servers are looked at again in an hour.
async fn servers_have(client: &Client, expected: [i32; 2]) {
    let servers: Api<DatabaseServer> = Api::all(client.clone());
    eventually(&format!("the servers to have {expected:?} datasets"), 15, async || {
        let mut counts = Vec::new();
        for name in SERVERS {
            let status = servers.get(name).await.unwrap().status;
            counts.extend(status.and_then(|status| status.datasets));
        }
        if counts == expected {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn the_server_with_the_fewest_datasets_takes_the_next_one_and_how_many_it_has_is_seen_soon() {
    let cluster = cluster_with_kinds().await;
    let settings = Settings {
        verify_data_every: Duration::from_hours(1),
        ..Settings::default()
    };
    let operator = Acting::here(&cluster, settings, &Faults::none()).await;
    let scene = Scene::empty((cluster, operator), PostgresOptions::default());
    let client = &scene.client;
    scene.registered().await;
    put(client, &server("another", &scene.server)).await;
    for name in SERVERS {
        condition(client, &server(name, &scene.server), "Ready", "True", "Ready").await;
    }
    apply(client, &agency("nts")).await;
    agency_ready(client, "nts", 30).await;
    apply(client, &system("nts", "registry")).await;

    let datasets: Api<Dataset> = Api::namespaced(client.clone(), "nts");
    let mut takers = Vec::new();
    for name in ["one", "two", "three", "four"] {
        put(client, &anywhere(name)).await;
        condition(client, &anywhere(name), "Ready", "True", "Ready").await;
        let status = datasets.get(name).await.unwrap().status;
        takers.extend(status.and_then(|status| status.server));
    }
    assert_eq!(takers, ["another", "shared", "another", "shared"]);
    servers_have(client, [2, 2]).await;
    delete(&datasets, "three").await;
    servers_have(client, [1, 2]).await;
    scene.end().await;
}
