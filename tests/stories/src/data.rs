//! What the stories of data need: a server with an administrator who is no superuser, and what two ministries write down.

use crate::{agency, agency_ready, apply, eventually, system};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use maru_test_postgres::Postgres;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The administrator's password, which is to be found nowhere but in its Secret.
pub const ADMIN_PASSWORD: &str = "administrators-secret-word";

/// How many rows a query gives, in a session of its own; or what the server says.
pub async fn ask(uri: String, sql: String) -> Result<usize, String> {
    let asked = tokio::task::spawn_blocking(move || {
        let mut session = postgres::Client::connect(&uri, postgres::NoTls).map_err(|error| format!("{error:?}"))?;
        let rows = session.query(&sql, &[]).map_err(|error| format!("{error:?}"))?;
        Ok(rows.len())
    });
    asked.await.unwrap()
}

/// An administrator who may make roles and databases on a server.
pub fn make_admin(server: &Postgres) {
    let sql = format!("CREATE ROLE maru_admin LOGIN CREATEROLE CREATEDB PASSWORD '{ADMIN_PASSWORD}'");
    server.sql("postgres", &sql).unwrap();
}

/// The operator's namespace with the administrator's Secret, and the server's object.
pub async fn register_server(client: &Client, server: &Postgres, password: &str, tls: Value) {
    put(
        client,
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "maru-system"}}),
    )
    .await;
    put_admin(client, password).await;
    put(
        client,
        &json!({
            "apiVersion": "maru.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "shared"},
            "spec": {"host": server.host(), "port": server.port(), "tls": tls, "adminSecretRef": {"name": "shared-admin"}},
        }),
    )
    .await;
}

/// The administrator's Secret.
pub async fn put_admin(client: &Client, password: &str) {
    put(
        client,
        &json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shared-admin", "namespace": "maru-system"},
            "stringData": {"username": "maru_admin", "password": password},
        }),
    )
    .await;
}

/// Two ministries, each with a system, and a dataset of the first one's that is ready.
pub async fn two_ministries(client: &Client) {
    for name in ["nts", "mois"] {
        apply(client, &agency(name)).await;
        agency_ready(client, name, 30).await;
    }
    apply(client, &system("nts", "registry")).await;
    apply(client, &system("mois", "docs")).await;
    put(client, &dataset()).await;
}

/// A dataset of one table.
pub fn dataset() -> Value {
    let column = |name: &str, class: &str| json!({"name": name, "type": "text", "classification": class});
    json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "businesses", "namespace": "nts"},
        "spec": {
            "serverRef": {"name": "shared"}, "systems": [{"name": "registry"}],
            "schemas": [{"name": "public", "tables": [{"name": "business", "columns": [
                column("name", "Open"), column("region", "Open"), column("owner", "Personal"),
            ]}]}],
        },
    })
}

/// A grant of the names of businesses of Seoul to the other ministry, for so many seconds from now.
pub fn grant(name: &str, seconds: i64) -> Value {
    let at = |offset: i64| {
        (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(offset))
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    };
    json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "DataGrant", "metadata": {"name": name, "namespace": "nts"},
        "spec": {
            "datasetRef": {"name": "businesses"}, "consumer": {"namespace": "mois", "name": "docs"},
            "classification": "Open", "purpose": "Letters", "notBefore": at(-3600), "notAfter": at(seconds),
            "tables": [{"name": "business", "columns": ["name"], "filter": "region = 'Seoul'"}],
        },
    })
}

/// The consumer's side accepts these grants, and no others.
pub async fn accept(client: &Client, names: &[&str]) {
    let mut docs = system("mois", "docs");
    docs["spec"]["acceptedGrants"] = names
        .iter()
        .map(|name| json!({"namespace": "nts", "name": name}))
        .collect();
    apply(client, &docs).await;
}

/// `kubectl apply --server-side` of an object of any kind.
pub async fn put(client: &Client, object: &Value) {
    let name = object["metadata"]["name"].as_str().unwrap();
    let params = PatchParams::apply("people").force();
    data_api(client, object)
        .patch(name, &params, &Patch::Apply(object))
        .await
        .unwrap();
}

fn data_api(client: &Client, object: &Value) -> Api<DynamicObject> {
    let (group, version) = object["apiVersion"]
        .as_str()
        .unwrap()
        .rsplit_once('/')
        .unwrap_or(("", "v1"));
    let kind = object["kind"].as_str().unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Waits until a condition of an object has this status and reason; gives the condition.
pub async fn condition(client: &Client, object: &Value, kind: &str, status: &str, reason: &str) -> Condition {
    let api = data_api(client, object);
    let name = object["metadata"]["name"].as_str().unwrap();
    eventually(&format!("{name} to be {kind}={status} {reason}"), 40, async || {
        let Some(found) = api.get_opt(name).await.unwrap() else {
            return Err("it is not there".to_owned());
        };
        let generation = found.metadata.generation;
        let all: Vec<Condition> =
            serde_json::from_value(found.data["status"]["conditions"].clone()).unwrap_or_default();
        let one = all
            .iter()
            .find(|one| one.type_ == kind)
            .filter(|one| one.status == status && one.reason == reason && one.observed_generation == generation);
        one.cloned().ok_or_else(|| serde_json::to_string(&all).unwrap())
    })
    .await
}

/// The keys and values of a Secret; nothing if it is not there.
pub async fn secret(client: &Client, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
    let found = Api::<Secret>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await
        .unwrap()?;
    let data = found.data.unwrap_or_default().into_iter();
    Some(
        data.map(|(key, value)| (key, String::from_utf8(value.0).unwrap()))
            .collect(),
    )
}

/// Everything that the API server tells of objects that are no Secrets, to look for what must not be in there.
pub async fn everything(client: &Client) -> String {
    let mut all = String::new();
    for (group, version, kind) in [
        ("maru.dev", "v1alpha1", "DatabaseServer"),
        ("maru.dev", "v1alpha1", "Dataset"),
        ("maru.dev", "v1alpha1", "DataGrant"),
        ("maru.dev", "v1alpha1", "AgencySystem"),
        ("events.k8s.io", "v1", "Event"),
        ("apps", "v1", "Deployment"),
        ("", "v1", "ConfigMap"),
    ] {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        for object in api.list(&kube::api::ListParams::default()).await.unwrap() {
            all.push_str(&serde_json::to_string(&object).unwrap());
        }
    }
    all
}

/// The names of all namespaces' Secrets that Maru wrote.
pub async fn secrets_of_maru(client: &Client) -> Vec<String> {
    let params = kube::api::ListParams::default().labels("app.kubernetes.io/managed-by=maru");
    let found = Api::<Secret>::all(client.clone()).list(&params).await.unwrap();
    let mut names: Vec<String> = found
        .iter()
        .map(|one| format!("{}/{}", one.namespace().unwrap_or_default(), one.name_any()))
        .collect();
    names.sort();
    names
}
