//! Price books, costs of the platform and subscriptions say whether billing can work with them.

use crate::stage::{Installed, create, patch, remove};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams, Request};
use kube::client::Body;
use maru_crds::RateCard;
use maru_stories::{eventually, system};
use serde_json::{Value, json};

/// The first example of a kind.
fn example(file: &str) -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../crds/examples/{file}.yaml"));
    let documents: Vec<Value> = serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap();
    documents.into_iter().next().unwrap()
}

/// Waits until an object's condition `Ready` is about its newest generation and has this reason, and gives its status and message.
async fn says(client: &Client, object: &Value, reason: &str) -> String {
    let kind = object["kind"].as_str().unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("maru.dev", "v1alpha1", kind));
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = object["metadata"]["name"].as_str().unwrap();
    eventually(&format!("{kind} {name} to say {reason}"), 30, async || {
        let found = api.get(name).await.unwrap();
        let conditions: Vec<Condition> =
            serde_json::from_value(found.data["status"]["conditions"].clone()).unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
        let ready = ready.filter(|ready| ready.observed_generation == found.metadata.generation);
        match ready {
            Some(ready) if ready.reason == reason => Ok(format!("{}: {}", ready.status, ready.message)),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn a_price_book_and_a_cost_of_the_platform_become_ready() {
    let stage = Installed::shared().await;
    let platform = stage.platform();
    for file in ["rate-card", "cost-pool"] {
        let object = example(file);
        create(&platform, &object).await.unwrap();
        assert!(says(&platform, &object, "Consistent").await.starts_with("True: "));
    }
    what_a_system_will_cost_is_told_when_it_is_applied(stage).await;
}

/// What the API server warns of when somebody creates this, without doing it.
async fn warned(client: &Client, system: &Value) -> Vec<String> {
    let namespace = system["metadata"]["namespace"].as_str().unwrap();
    let path = format!("/apis/maru.dev/v1alpha1/namespaces/{namespace}/agencysystems");
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let request = Request::new(path).create(&params, serde_json::to_vec(system).unwrap());
    let answer = client.send(request.unwrap().map(Body::from)).await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    let warnings = answer.headers().get_all("warning").iter();
    warnings.map(|warning| warning.to_str().unwrap().to_owned()).collect()
}

async fn what_a_system_will_cost_is_told_when_it_is_applied(stage: &Installed) {
    let (platform, admin) = (stage.platform(), stage.person("red-admin"));
    let card = Api::<RateCard>::all(platform).get("platform").await.unwrap();
    let in_force = card.status.unwrap().in_force_since.unwrap();
    // Two pods of one core and 2 GiB each, for 720 hours: by the price of the second half of 2026, or that of the first.
    let expected = if in_force.starts_with("2026-07") {
        "72576"
    } else {
        "76320"
    };
    let mut priced = system("red", "priced");
    priced["spec"]["components"][0]["resources"] = json!({"cpu": "1", "memory": "2Gi"});
    priced["spec"]["components"][0]["replicas"] = json!({"fixed": 2});
    eventually("the price to be told", 30, async || {
        let warnings = warned(&admin, &priced).await;
        let told = format!("what priced reserves costs about {expected} KRW in 30 days");
        match warnings.as_slice() {
            [one] if one.contains(&told) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    priced["spec"]["suspended"] = json!(true);
    assert_eq!(
        warned(&admin, &priced).await,
        Vec::<String>::new(),
        "what is suspended reserves nothing"
    );
}

#[tokio::test]
async fn a_subscription_is_ready_once_the_system_is_there_is_shared_and_accepts_the_agency() {
    let stage = Installed::shared().await;
    let (platform, owner, joining) = (stage.platform(), stage.person("blue-admin"), stage.person("red-admin"));
    let subscription = json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "SystemSubscription", "metadata": {"name": "joined", "namespace": "red"},
        "spec": {"systemRef": {"namespace": "blue", "name": "joined"}, "weight": "10", "from": "2026-03-01"},
    });
    create(&joining, &subscription).await.unwrap();
    says(&platform, &subscription, "SystemMissing").await;
    let mut shared = system("blue", "joined");
    create(&owner, &shared).await.unwrap();
    says(&platform, &subscription, "NotShared").await;
    shared["spec"] = json!({"sharing": {"accepts": []}});
    patch(&owner, &shared).await.unwrap();
    let said = says(&platform, &subscription, "NotAccepted").await;
    assert!(
        said.contains("ask its owner to list it under spec.sharing.accepts"),
        "{said}"
    );
    shared["spec"] = json!({"sharing": {"accepts": [{"agency": "red"}]}});
    patch(&owner, &shared).await.unwrap();
    let said = says(&platform, &subscription, "Accepted").await;
    assert_eq!(
        said,
        "True: system blue/joined accepts agency red, which shares its cost from 2026-03-01"
    );
    remove(&owner, &shared).await.unwrap();
    says(&platform, &subscription, "SystemMissing").await;
    remove(&joining, &subscription).await.unwrap();
}
