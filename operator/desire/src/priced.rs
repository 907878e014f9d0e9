//! The statuses of what bills are worked out from: price books, costs of the platform, and subscriptions to shared systems. Nothing is
//! written for them; what is verified is that billing can read them, and that both sides of a subscription agree.

use crate::reason::Reason;
use crate::status::{Finding, merge_conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube_core::ResourceExt;
use maru_crds::{
    AgencySystem, CostPool, CostPoolStatus, PriceVersion, RateCard, RateCardStatus, SystemSubscription,
    SystemSubscriptionStatus,
};
use maru_rate::{Refusal, World};

/// The only condition of these kinds.
const READY: &str = "Ready";

/// What was observed about a subscription.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionFacts<'a> {
    /// The agency whose namespace the subscription is in.
    pub agency: Option<String>,
    /// The system that it names, where there is one.
    pub system: Option<&'a AgencySystem>,
    /// Older subscriptions of the same agency to the same system.
    pub older: Vec<&'a SystemSubscription>,
}

/// A price book's status: whether billing can read it, and which of its versions is in force `now`.
pub fn report_rate_card(card: &RateCard, now: &Time) -> RateCardStatus {
    let previous = card.status.as_ref().map(|status| status.conditions.as_slice());
    let in_force = in_force(&card.spec.versions, now);
    let finding = match (maru_rate::card::read(&card.spec), in_force) {
        (Err(refusal), _) => inconsistent(&refusal),
        (Ok(_), Some(version)) => {
            let message = format!(
                "bills can be worked out with it; in force are the prices from {}",
                version.from
            );
            Finding::yes(READY, Reason::Consistent, message)
        }
        (Ok(_), None) => {
            let message = "it can be read, and its first version is not in force yet";
            Finding::yes(READY, Reason::Consistent, message)
        }
    };
    let generation = card.metadata.generation;
    RateCardStatus {
        observed_generation: generation,
        conditions: merge_conditions(previous.unwrap_or_default(), vec![finding], generation, now),
        in_force_since: in_force.map(|version| version.from.clone()),
        items: in_force.and_then(|version| i32::try_from(version.items.len()).ok()),
    }
}

/// The latest version that has begun.
fn in_force<'a>(versions: &'a [PriceVersion], now: &Time) -> Option<&'a PriceVersion> {
    let begun = versions.iter().filter_map(|version| Some((begins(version)?, version)));
    let begun = begun.filter(|(from, _)| from.0 <= now.0);
    begun.max_by_key(|(from, _)| from.0).map(|(_, version)| version)
}

fn begins(version: &PriceVersion) -> Option<Time> {
    serde_json::from_value(version.from.as_str().into()).ok()
}

/// A cost's status: whether billing can split it. What it came to in a period is billing's to say and handed on.
pub fn report_cost_pool(pool: &CostPool, now: &Time) -> CostPoolStatus {
    let previous = pool.status.clone().unwrap_or_default();
    let read = World::default().add_cost_pool(&pool.name_any(), &pool.spec);
    let finding = read.map_or_else(
        |refusal| inconsistent(&refusal),
        |()| {
            let message = format!("its cost can be split by the use of {}", pool.spec.driver);
            Finding::yes(READY, Reason::Consistent, message)
        },
    );
    let generation = pool.metadata.generation;
    CostPoolStatus {
        observed_generation: generation,
        conditions: merge_conditions(&previous.conditions, vec![finding], generation, now),
        ..previous
    }
}

/// A subscription's status: whether the system is there, is shared, and accepts the agency.
pub fn report_subscription(
    subscription: &SystemSubscription,
    facts: &SubscriptionFacts<'_>,
    now: &Time,
) -> SystemSubscriptionStatus {
    let previous = subscription.status.as_ref().map(|status| status.conditions.as_slice());
    let generation = subscription.metadata.generation;
    let finding = agreed(subscription, facts);
    SystemSubscriptionStatus {
        observed_generation: generation,
        conditions: merge_conditions(previous.unwrap_or_default(), vec![finding], generation, now),
    }
}

fn agreed(subscription: &SystemSubscription, facts: &SubscriptionFacts<'_>) -> Finding {
    let spec = &subscription.spec;
    let name = format!("{}/{}", spec.system_ref.namespace, spec.system_ref.name);
    let namespace = subscription.namespace().unwrap_or_default();
    let Some(agency) = &facts.agency else {
        let message =
            format!("namespace {namespace} belongs to no agency: subscribe from a namespace of the agency that joins");
        return Finding::no(READY, Reason::AgencyMissing, message);
    };
    if let Err(refusal) = read(&namespace, agency, subscription, facts) {
        return inconsistent(&refusal);
    }
    let Some(system) = facts.system else {
        let message = format!("there is no system {name}: check spec.systemRef, or wait until its owner describes it");
        return Finding::no(READY, Reason::SystemMissing, message);
    };
    let Some(sharing) = &system.spec.sharing else {
        let message = format!("system {name} is not shared: ask its owner to describe spec.sharing");
        return Finding::no(READY, Reason::NotShared, message);
    };
    if !sharing.accepts_all && !sharing.accepts.iter().any(|accepted| accepted.agency == *agency) {
        let message = format!(
            "system {name} does not accept agency {agency}: ask its owner to list it under spec.sharing.accepts"
        );
        return Finding::no(READY, Reason::NotAccepted, message);
    }
    let until = spec
        .until
        .as_ref()
        .map_or_else(String::new, |until| format!(" until {until}"));
    let message = format!(
        "system {name} accepts agency {agency}, which shares its cost from {}{until}",
        spec.from
    );
    Finding::yes(READY, Reason::Accepted, message)
}

/// Reads it as billing does, after those that are older.
fn read(
    namespace: &str,
    agency: &str,
    subscription: &SystemSubscription,
    facts: &SubscriptionFacts<'_>,
) -> Result<(), Refusal> {
    let mut world = World::default();
    world.add_agency(agency, [namespace.to_owned()]);
    for older in &facts.older {
        // What an older one has wrong is told there.
        let _ = world.add_subscription(namespace, &older.spec);
    }
    world.add_subscription(namespace, &subscription.spec)
}

fn inconsistent(refusal: &Refusal) -> Finding {
    Finding::no(READY, Reason::Inconsistent, refusal.to_string())
}
