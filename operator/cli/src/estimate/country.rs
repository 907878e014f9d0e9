//! Everything that a month's bills depend on, besides use.

use std::collections::BTreeMap;
use std::fmt::Debug;

use kube::api::Api;
use kube::{Client, Resource, ResourceExt};
use maru_crds::{Agency, AgencySystem, CostPool, RateCard, SystemSubscription};
use maru_rate::{PriceBook, Refusal, World, card};
use serde::de::DeserializeOwned;

use crate::connect::list;
use crate::plan::files::Manifest;
use crate::problem::Problem;

/// Namespace and name.
type Key = (String, String);

/// Agencies, systems, subscriptions, costs of the platform and price books.
#[derive(Clone, Debug, Default)]
pub(super) struct Country {
    agencies: BTreeMap<Key, Agency>,
    pub(super) systems: BTreeMap<Key, AgencySystem>,
    subscriptions: BTreeMap<Key, SystemSubscription>,
    pools: BTreeMap<Key, CostPool>,
    cards: BTreeMap<Key, RateCard>,
}

impl Country {
    /// What a cluster has.
    pub(super) async fn read(client: &Client) -> Result<Self, Problem> {
        Ok(Self {
            agencies: all(client).await?,
            systems: all(client).await?,
            subscriptions: all(client).await?,
            pools: all(client).await?,
            cards: all(client).await?,
        })
    }

    /// Puts an object in its place, where bills depend on its kind.
    pub(super) fn apply(&mut self, manifest: &Manifest) -> Result<(), Problem> {
        let key = (manifest.namespace.clone(), manifest.name.clone());
        match manifest.kind.as_str() {
            "Agency" => self.agencies.insert(key, manifest.read(&manifest.value)?).map(drop),
            "AgencySystem" => self.systems.insert(key, manifest.read(&manifest.value)?).map(drop),
            "SystemSubscription" => self
                .subscriptions
                .insert(key, manifest.read(&manifest.value)?)
                .map(drop),
            "CostPool" => self.pools.insert(key, manifest.read(&manifest.value)?).map(drop),
            "RateCard" => self.cards.insert(key, manifest.read(&manifest.value)?).map(drop),
            _ => None,
        };
        Ok(())
    }

    /// The name of the price book that is meant.
    pub(super) fn card(&self, wanted: Option<&str>) -> Result<String, Problem> {
        let names: Vec<&str> = self.cards.keys().map(|(_, name)| name.as_str()).collect();
        match (wanted, names.as_slice()) {
            (Some(wanted), names) if names.contains(&wanted) => Ok(wanted.to_owned()),
            (None, [one]) => Ok((*one).to_owned()),
            (_, []) => Err(Problem::new(
                "there is no RateCard, in the files or in the cluster: add one with -f, as prices come from it",
            )),
            (Some(wanted), names) => Err(Problem::new(format!(
                "there is no RateCard `{wanted}`: allowed are {}",
                names.join(", ")
            ))),
            (None, names) => Err(Problem::new(format!(
                "there are several RateCards: name one with --rate-card: {}",
                names.join(", ")
            ))),
        }
    }

    /// Whether it has this price book: what has none has no bills.
    pub(super) fn has(&self, card: &str) -> bool {
        self.cards.contains_key(&(String::new(), card.to_owned()))
    }

    /// The prices.
    pub(super) fn book(&self, name: &str) -> Result<PriceBook, Problem> {
        let found = self.cards.get(&(String::new(), name.to_owned()));
        let found = found.ok_or_else(|| Problem::new(format!("there is no RateCard `{name}`")))?;
        card::read(&found.spec).map_err(|refusal| refused("RateCard", name, &refusal))
    }

    /// Who there is. Agencies come first: they say whose the namespaces are.
    pub(super) fn world(&self) -> Result<World, Problem> {
        let mut world = World::default();
        for agency in self.agencies.values() {
            world.add_agency(&agency.name_any(), agency.namespace_names());
        }
        for ((namespace, name), system) in &self.systems {
            let added = world.add_system(namespace, name, &system.spec);
            added.map_err(|refusal| refused("AgencySystem", &format!("{namespace}/{name}"), &refusal))?;
        }
        for ((namespace, name), subscription) in &self.subscriptions {
            let added = world.add_subscription(namespace, &subscription.spec);
            added.map_err(|refusal| refused("SystemSubscription", &format!("{namespace}/{name}"), &refusal))?;
        }
        for ((_, name), pool) in &self.pools {
            let added = world.add_cost_pool(name, &pool.spec);
            added.map_err(|refusal| refused("CostPool", name, &refusal))?;
        }
        Ok(world)
    }
}

fn refused(kind: &str, name: &str, refusal: &Refusal) -> Problem {
    Problem::new(format!("{kind} {name}: {refusal}"))
}

async fn all<K>(client: &Client) -> Result<BTreeMap<Key, K>, Problem>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api = Api::<K>::all(client.clone());
    let all = list(&api).await.map_err(|error| trouble::<K>(error))?;
    let named = all.into_iter();
    Ok(named
        .map(|one| ((one.namespace().unwrap_or_default(), one.name_any()), one))
        .collect())
}

/// What is wrong, and what to do.
fn trouble<K: Resource<DynamicType = ()>>(error: kube::Error) -> Problem {
    let kind = K::kind(&());
    match error {
        kube::Error::Api(status) if status.code == 403 => Problem::new(format!(
            "an estimate against the cluster reads every {kind}, and that is not allowed ({}): ask whoever runs the platform, or estimate from \
             files alone with --offline, the RateCard among them",
            status.message
        )),
        kube::Error::Api(status) if status.code == 404 => Problem::new(format!(
            "the cluster does not know {kind}: install the chart maru-crds first, or estimate from files alone with --offline"
        )),
        error => Problem::new(format!(
            "the cluster does not answer as it should: {error}; does kubectl reach it?"
        )),
    }
}
