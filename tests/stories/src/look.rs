//! Looking at the cluster: until something is so, and at everything at once.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Client, ResourceExt};
use maru_desire::{AGENCY_LABEL, MANAGED_BY, MANAGED_BY_LABEL, ObjectKind};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How much longer than on a quiet machine a busy one may take. How fast things are is measured by `make bench`, not by the stories.
const PATIENCE: u64 = 4;

/// Looks again and again until it gives a value, for so many seconds of a quiet machine at most; then fails with what it said last.
pub async fn eventually<T>(what: &str, seconds: u64, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    let seconds = seconds * PATIENCE;
    loop {
        match look().await {
            Ok(seen) => return seen,
            Err(why) if began.elapsed() > Duration::from_secs(seconds) => {
                panic!("waited {seconds} s for {what}: {why}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// What Maru wrote for an agency, by kind, namespace and name: without what differs between two lives of the same object, and with
/// the agency's name replaced, so that the snapshots of two agencies can be compared.
pub type Snapshot = BTreeMap<String, Value>;

/// A snapshot of an agency's namespaces and of all that Maru wrote in them.
pub async fn snapshot(client: &Client, agency: &str) -> Snapshot {
    let labels = format!("{MANAGED_BY_LABEL}={MANAGED_BY},{AGENCY_LABEL}={agency}");
    let mut all = Snapshot::new();
    for object in list(client, &labels).await {
        let key = format!(
            "{} {}/{}",
            object
                .types
                .as_ref()
                .map(|types| types.kind.as_str())
                .unwrap_or_default(),
            object.namespace().unwrap_or_default(),
            object.name_any()
        );
        let text = serde_json::to_string(&bare(object)).unwrap();
        let bare = serde_json::from_str(&text.replace(agency, "AGENCY")).unwrap();
        all.insert(key.replace(agency, "AGENCY"), bare);
    }
    all
}

/// The resource version of every object that Maru wrote or that people gave it. Two equal answers mean that nothing was written.
pub async fn versions(client: &Client) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for object in list(client, &format!("{MANAGED_BY_LABEL}={MANAGED_BY}")).await {
        let kind = object
            .types
            .as_ref()
            .map(|types| types.kind.clone())
            .unwrap_or_default();
        let key = format!(
            "{kind} {}/{}",
            object.namespace().unwrap_or_default(),
            object.name_any()
        );
        all.insert(key, object.resource_version().unwrap_or_default());
    }
    for agency in Api::<maru_crds::Agency>::all(client.clone())
        .list(&ListParams::default())
        .await
        .unwrap()
    {
        all.insert(
            format!("Agency {}", agency.name_any()),
            agency.resource_version().unwrap_or_default(),
        );
    }
    let systems = Api::<maru_crds::AgencySystem>::all(client.clone());
    for system in systems.list(&ListParams::default()).await.unwrap() {
        let key = format!(
            "AgencySystem {}/{}",
            system.namespace().unwrap_or_default(),
            system.name_any()
        );
        all.insert(key, system.resource_version().unwrap_or_default());
    }
    all
}

/// The UID of a namespace; nothing if it is not there.
pub async fn uid_of(client: &Client, namespace: &str) -> Option<String> {
    let found = Api::<Namespace>::all(client.clone()).get_opt(namespace).await.unwrap();
    found.and_then(|found| found.uid())
}

async fn list(client: &Client, labels: &str) -> Vec<DynamicObject> {
    let mut all = Vec::new();
    for kind in ObjectKind::ALL {
        let resource = ApiResource {
            group: kind.group().to_owned(),
            version: kind.version().to_owned(),
            api_version: kind.api_version(),
            kind: kind.kind().to_owned(),
            plural: kind.plural().to_owned(),
        };
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        match api.list(&ListParams::default().labels(labels)).await {
            Ok(found) => all.extend(found.items.into_iter().map(|mut object| {
                object.types = Some(kube::api::TypeMeta {
                    api_version: kind.api_version(),
                    kind: kind.kind().to_owned(),
                });
                object
            })),
            Err(kube::Error::Api(status)) if status.code == 404 && kind == ObjectKind::HttpRoute => {}
            Err(error) => panic!("{kind:?}: {error}"),
        }
    }
    all
}

/// An object without its status, and without what the API server and others fill in differently each time.
fn bare(object: DynamicObject) -> Value {
    let mut bare = serde_json::to_value(object).unwrap();
    bare["status"].take();
    let metadata = bare["metadata"].as_object_mut().unwrap();
    metadata.retain(|name, _| {
        matches!(
            name.as_str(),
            "name" | "namespace" | "labels" | "annotations" | "finalizers"
        )
    });
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.retain(|name, _| name != "deployment.kubernetes.io/revision");
    }
    if let Some(Value::Object(spec)) = bare.get_mut("spec") {
        spec.retain(|name, _| !matches!(name.as_str(), "clusterIP" | "clusterIPs" | "volumeName"));
    }
    bare
}
