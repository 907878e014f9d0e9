//! The kinds on a real API server: it takes them, takes every example, and says what the checker says without it.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

use std::{fs, path::Path};

use k8s_openapi::{
    api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use maru_crds::{Checker, manifests};
use maru_test_cluster::{Cluster, ClusterOptions, RealNode};
use serde_json::{Value, json};

/// An API server with the kinds and nothing that acts on them.
async fn kinds() -> (Cluster, Client) {
    let options = ClusterOptions {
        node: RealNode::Never,
        controllers: false,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client().unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for manifest in manifests().unwrap() {
        let definition: CustomResourceDefinition = serde_json::from_value(manifest.definition).unwrap();
        let name = definition.name_any();
        definitions.create(&PostParams::default(), &definition).await.unwrap();
        await_condition(definitions.clone(), &name, is_crd_established())
            .await
            .unwrap();
    }
    (cluster, client)
}

/// Where an object is written to; its namespace is made if need be.
async fn place(client: &Client, object: &Value) -> Api<DynamicObject> {
    let kind = object["kind"].as_str().unwrap();
    let definition = manifests()
        .unwrap()
        .into_iter()
        .find(|manifest| manifest.definition["spec"]["names"]["kind"] == kind);
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(maru_crds::GROUP, maru_crds::VERSION, kind),
        &definition.unwrap().plural,
    );
    let Some(namespace) = object["metadata"]["namespace"].as_str() else {
        return Api::all_with(client.clone(), &resource);
    };
    let wanted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .patch(namespace, &PatchParams::apply("test"), &Patch::Apply(wanted))
        .await
        .unwrap();
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Applies an object as `kubectl apply --server-side` does; an unknown field is an error.
async fn apply(client: &Client, object: &Value) -> Result<DynamicObject, kube::Error> {
    let name = object["metadata"]["name"].as_str().unwrap();
    let parameters = PatchParams {
        field_validation: Some(kube::api::ValidationDirective::Strict),
        ..PatchParams::apply("test")
    };
    place(client, object)
        .await
        .patch(name, &parameters, &Patch::Apply(object))
        .await
}

/// All documents of the files of a folder of the repository.
fn documents(folder: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(&path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        found.extend(documents.into_iter().map(|document| (name.clone(), document)));
    }
    found
}

#[tokio::test]
async fn every_kind_is_installed_and_takes_its_examples_as_they_are() {
    let (cluster, client) = kinds().await;
    for (file, object) in documents("crds/examples") {
        let first = apply(&client, &object)
            .await
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        let second = apply(&client, &object).await.unwrap();
        assert_eq!(
            first.metadata.resource_version, second.metadata.resource_version,
            "{file} changes when applied again"
        );
    }
    cluster.stop().await.unwrap();
}

/// Objects that are wrong in one way each, as people write them.
const WRONG: &str = include_str!("wrong.yaml");

#[tokio::test]
async fn the_api_server_refuses_what_the_checker_refuses_and_in_the_same_words() {
    let (cluster, client) = kinds().await;
    let checker = Checker::new().unwrap();
    for object in serde_saphyr::from_multiple::<Value>(WRONG).unwrap() {
        let problems = checker.check(&object);
        let answer = match apply(&client, &object).await {
            Err(kube::Error::Api(status)) => status.message,
            other => panic!("the API server took {object}: {other:?}"),
        };
        assert_eq!(problems.len(), 1, "{problems:?}, and the API server: {answer}");
        let problem = &problems[0];
        // Shapes have words of their own on the API server; rules and patterns have ours.
        let own = [
            "unknown field",
            "must be a string",
            "must be from",
            "must be one of",
            "must be a date",
        ];
        let is_shape = own.iter().any(|words| problem.message.starts_with(words));
        // Of a shape, server-side apply names an item of a list by its key, and we by its place.
        let field = if is_shape {
            problem.field.rsplit('.').next().unwrap()
        } else {
            problem.field.trim_start_matches('.')
        };
        assert!(answer.contains(field), "{problem}: {answer}");
        if !is_shape {
            assert!(answer.contains(&problem.message), "{problem}: {answer}");
        }
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_volume_does_not_shrink_and_a_price_book_keeps_its_currency() {
    let (cluster, client) = kinds().await;
    let mut system = json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "AgencySystem", "metadata": {"name": "docs", "namespace": "mois"},
        "spec": {"components": [{"name": "store", "image": "maru.dev/hello:1", "volumes": [
            {"name": "data", "mountPath": "/data", "persistent": {"size": "1Gi"}},
        ]}]},
    });
    apply(&client, &system).await.unwrap();
    let size = "/spec/components/0/volumes/0/persistent/size";
    *system.pointer_mut(size).unwrap() = json!("2Gi");
    apply(&client, &system).await.unwrap();
    *system.pointer_mut(size).unwrap() = json!("1Gi");
    let error = apply(&client, &system).await.unwrap_err().to_string();
    assert!(error.contains("can grow but not shrink"), "{error}");

    let mut card = json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "RateCard", "metadata": {"name": "platform"},
        "spec": {"currency": "KRW", "timeZone": "Asia/Seoul", "versions": [{"from": "2026-01-01T00:00:00+09:00"}]},
    });
    apply(&client, &card).await.unwrap();
    card["spec"]["currency"] = json!("USD");
    let error = apply(&client, &card).await.unwrap_err().to_string();
    assert!(
        error.contains("the currency of a price book cannot be changed"),
        "{error}"
    );
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn an_issued_bill_is_immutable_for_everyone_and_dates_and_zones_are_checked() {
    let (cluster, client) = kinds().await;
    let digest = format!("sha256:{}", "0".repeat(64));
    let mut bill = json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "Bill", "metadata": {"name": "2026-10", "namespace": "nts"},
        "spec": {"agency": "nts", "period": "2026-10", "currency": "KRW", "subtotal": "1", "tax": "0", "total": "1"},
    });
    apply(&client, &bill).await.unwrap();
    bill["spec"]["total"] = json!("2");
    apply(&client, &bill).await.unwrap();
    for (field, value) in [
        ("number", "2026-000001"),
        ("issuedAt", "2026-11-04T00:00:00Z"),
        ("digest", &digest),
    ] {
        bill["spec"][field] = json!(value);
    }
    apply(&client, &bill).await.unwrap();
    bill["spec"]["total"] = json!("3");
    let error = apply(&client, &bill).await.unwrap_err().to_string();
    assert!(error.contains("an issued bill cannot be changed"), "{error}");

    let card = |zone: &str, versions: Value| {
        json!({
            "apiVersion": "maru.dev/v1alpha1", "kind": "RateCard", "metadata": {"name": "wrong"},
            "spec": {"currency": "KRW", "timeZone": zone, "versions": versions},
        })
    };
    let (early, late) = (
        json!({"from": "2026-01-01T00:00:00+09:00"}),
        json!({"from": "2026-07-01T00:00:00+09:00"}),
    );
    let unordered = card("Asia/Seoul", json!([late, early]));
    let error = apply(&client, &unordered).await.unwrap_err().to_string();
    assert!(error.contains("in the order of their dates"), "{error}");
    let error = apply(&client, &card("Asia/Nowhere", json!([early])))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("spec.timeZone"), "{error}");
    apply(&client, &card("Asia/Seoul", json!([early, late]))).await.unwrap();
    cluster.stop().await.unwrap();
}
