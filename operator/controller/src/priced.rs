//! Price books, costs of the platform and subscriptions: each is read as billing reads it, and its status says whether billing can.
//! Nothing else is written for them.

use crate::Shared;
use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::Store;
use kube::runtime::watcher;
use kube::{Client, Resource, ResourceExt};
use maru_crds::{CostPool, RateCard, SystemSubscription};
use maru_desire::{SubscriptionFacts, SystemKey, report_cost_pool, report_rate_card, report_subscription};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether the other side has changed, or a new version of prices has begun.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long after an error it is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What the three loops share.
struct Context {
    client: Client,
    shared: Arc<Shared>,
    subscriptions: Store<SystemSubscription>,
}

/// Reports on all three kinds until `ending`.
pub(crate) async fn run(client: Client, shared: Arc<Shared>, ending: CancellationToken) {
    let subscriptions = controller::<SystemSubscription>(&client);
    let context = Arc::new(Context {
        client: client.clone(),
        shared,
        subscriptions: subscriptions.store(),
    });
    let subscriptions = subscriptions.run(subscription, again, Arc::clone(&context));
    let cards = controller::<RateCard>(&client).run(rate_card, again, Arc::clone(&context));
    let pools = controller::<CostPool>(&client).run(cost_pool, again, context);
    let all = async {
        tokio::join!(
            subscriptions.for_each(|_| async {}),
            cards.for_each(|_| async {}),
            pools.for_each(|_| async {}),
        );
    };
    // A status that is not written now is written by the next leader.
    tokio::select! {
        () = ending.cancelled() => {}
        () = all => {}
    }
}

fn controller<K>(client: &Client) -> Controller<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    Controller::new(Api::all(client.clone()), watcher::Config::default().streaming_lists())
        .with_config(Config::default().concurrency(2))
}

async fn rate_card(card: Arc<RateCard>, context: Arc<Context>) -> Result<Action, kube::Error> {
    let status = report_rate_card(&card, &now());
    let api = Api::<RateCard>::all(context.client.clone());
    write(&api, &card.name_any(), card.status.as_ref(), &status).await
}

async fn cost_pool(pool: Arc<CostPool>, context: Arc<Context>) -> Result<Action, kube::Error> {
    let mut status = report_cost_pool(&pool, &now());
    let mut before = pool.status.clone();
    // These two are billing's, and no old reading of them is written over a newer one.
    for status in before.iter_mut().chain([&mut status]) {
        status.period = None;
        status.amount = None;
    }
    let api = Api::<CostPool>::all(context.client.clone());
    write(&api, &pool.name_any(), before.as_ref(), &status).await
}

async fn subscription(one: Arc<SystemSubscription>, context: Arc<Context>) -> Result<Action, kube::Error> {
    let world = &context.shared.world;
    let namespace = one.namespace().unwrap_or_default();
    let wanted = &one.spec.system_ref;
    let system = world.system(&SystemKey::new(wanted.namespace.clone(), wanted.name.clone()));
    let agency = world.agency_of(&namespace);
    let all = context.subscriptions.state();
    let older = all.iter().filter(|other| {
        other.spec.system_ref == *wanted
            && is_older(other, &one)
            && world.agency_of(&other.namespace().unwrap_or_default()) == agency
    });
    let facts = SubscriptionFacts {
        system: system.as_deref(),
        older: older.map(AsRef::as_ref).collect(),
        agency: agency.clone(),
    };
    let status = report_subscription(&one, &facts, &now());
    let api = of_namespace(&context.client, one.as_ref());
    write(&api, &one.name_any(), one.status.as_ref(), &status).await
}

fn of_namespace<K>(client: &Client, object: &K) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}

/// Who asked first, and where two asked in the same second the smaller name.
fn is_older(other: &SystemSubscription, than: &SystemSubscription) -> bool {
    let rank = |one: &SystemSubscription| {
        let created = one.creation_timestamp().map(|Time(at)| at);
        (created, one.namespace(), one.name_any())
    };
    rank(other) < rank(than)
}

/// Writes a status that differs from the one that was seen.
async fn write<K, S>(api: &Api<K>, name: &str, before: Option<&S>, status: &S) -> Result<Action, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
    S: Serialize + PartialEq,
{
    if before != Some(status) {
        let patch = Patch::Merge(serde_json::json!({ "status": status }));
        match api.patch_status(name, &PatchParams::default(), &patch).await {
            Ok(_) => {}
            // It was deleted meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Action::requeue(LOOK_AGAIN))
}

#[expect(clippy::needless_pass_by_value, reason = "the controller hands it over")]
fn again<K: Resource<DynamicType = ()>>(of: Arc<K>, error: &kube::Error, _context: Arc<Context>) -> Action {
    tracing::warn!(kind = %K::kind(&()), name = of.name_any(), %error, "the status was not taken and is tried again");
    Action::requeue(RETRY)
}

fn now() -> Time {
    Time(jiff::Timestamp::now())
}
