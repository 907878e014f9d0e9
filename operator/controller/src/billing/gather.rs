//! What a month is worked out from, besides usage: who there is, and the prices.

use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use maru_crds::{Agency, AgencySystem, CostPool, RateCard, SystemSubscription};
use maru_ledger::{LedgerError, Naming};
use maru_rate::{PriceBook, Refusal, World, card};
use std::collections::BTreeSet;

use super::report::Trouble;
use crate::listing;

/// Who there is, and the prices.
pub(super) struct Gathered {
    pub(super) agencies: Vec<Agency>,
    systems: Vec<AgencySystem>,
    subscriptions: Vec<SystemSubscription>,
    pools: Vec<CostPool>,
    card: RateCard,
}

impl Gathered {
    /// Reads everything from the API server.
    pub(super) async fn read(client: &Client, card: &str) -> Result<Self, Trouble> {
        let found = Api::<RateCard>::all(client.clone()).get_opt(card).await?;
        let card = found.ok_or_else(|| Trouble::NoRateCard(card.to_owned()))?;
        let every = ListParams::default();
        Ok(Self {
            agencies: listing::all(&Api::all(client.clone()), &every).await?,
            systems: listing::all(&Api::all(client.clone()), &every).await?,
            subscriptions: listing::all(&Api::all(client.clone()), &every).await?,
            pools: listing::all(&Api::all(client.clone()), &every).await?,
            card,
        })
    }

    /// The price book.
    pub(super) fn book(&self) -> Result<PriceBook, Trouble> {
        card::read(&self.card.spec).map_err(|refusal| refused("RateCard", &self.card.name_any(), &refusal))
    }

    /// Who there is. Agencies come first: they say whose the namespaces are.
    pub(super) fn world(&self) -> Result<World, Trouble> {
        let mut world = World::default();
        for agency in &self.agencies {
            world.add_agency(&agency.name_any(), agency.namespace_names());
        }
        for system in &self.systems {
            let (namespace, name) = (system.namespace().unwrap_or_default(), system.name_any());
            world
                .add_system(&namespace, &name, &system.spec)
                .map_err(|refusal| refused("AgencySystem", &format!("{namespace}/{name}"), &refusal))?;
        }
        for subscription in &self.subscriptions {
            let (namespace, name) = (subscription.namespace().unwrap_or_default(), subscription.name_any());
            world
                .add_subscription(&namespace, &subscription.spec)
                .map_err(|refusal| refused("SystemSubscription", &format!("{namespace}/{name}"), &refusal))?;
        }
        for pool in &self.pools {
            world
                .add_cost_pool(&pool.name_any(), &pool.spec)
                .map_err(|refusal| refused("CostPool", &pool.name_any(), &refusal))?;
        }
        Ok(world)
    }

    /// Names all that bills depend on, with the parts that `kubectl maru verify` names from files.
    pub(super) fn name(&self, naming: &mut Naming) -> Result<(), LedgerError> {
        for agency in &self.agencies {
            let names: BTreeSet<&str> = agency
                .spec
                .namespaces
                .iter()
                .map(|namespace| namespace.name.as_str())
                .collect();
            naming.object("Agency", "", &agency.name_any(), &names)?;
        }
        for system in &self.systems {
            let namespace = system.namespace().unwrap_or_default();
            naming.object("AgencySystem", &namespace, &system.name_any(), &system.spec)?;
        }
        for subscription in &self.subscriptions {
            let namespace = subscription.namespace().unwrap_or_default();
            naming.object(
                "SystemSubscription",
                &namespace,
                &subscription.name_any(),
                &subscription.spec,
            )?;
        }
        for pool in &self.pools {
            naming.object("CostPool", "", &pool.name_any(), &pool.spec)?;
        }
        naming.rate_card(&self.card.spec)
    }
}

fn refused(kind: &str, name: &str, refusal: &Refusal) -> Trouble {
    Trouble::Refused(format!("{kind} {name}: {refusal}"))
}
