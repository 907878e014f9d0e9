//! Who there is: agencies, their namespaces, their systems, and who shares them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use maru_crds::{AgencySystemSpec, Cost, CostPoolSpec, OnNoUsage, SharingMode, SystemSubscriptionSpec};
use maru_meter::{Exact, UNASSIGNED};

use crate::amortise::{Tranche, date};
use crate::card::{amount, share};
use crate::cost::{CostPlan, Retirement};
use crate::cost_pool::CostPool;
use crate::currency::Currency;
use crate::period::Month;
use crate::refusal::Refusal;

/// The agencies and systems that usage is rated for.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub(crate) agencies: BTreeSet<String>,
    /// Which agency a namespace belongs to.
    namespaces: BTreeMap<String, String>,
    pub(crate) systems: BTreeMap<String, System>,
    /// By system; those of one by agency and time, so that it does not matter in which order they were written down.
    pub(crate) subscriptions: BTreeMap<String, Vec<Subscription>>,
    /// Costs of the platform, by name.
    pub(crate) cost_pools: BTreeMap<String, CostPool>,
}

/// An information system, as far as money goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct System {
    pub(crate) cost: Option<CostPlan>,
    /// Without it the owner pays alone.
    pub(crate) sharing: Option<Sharing>,
    pub(crate) retirement: Option<Retirement>,
}

/// How a system's cost is split.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    /// Whose subscriptions count; none: everyone's.
    accepts: Option<BTreeSet<String>>,
    /// The part that is split by weight.
    pub(crate) fixed_share: Exact,
    /// The meter that splits the rest.
    pub(crate) driver: Option<String>,
    pub(crate) on_no_usage: OnNoUsage,
    /// The price of a unit of the driver, in place of the actual cost.
    pub(crate) standard_rate: Option<StandardRate>,
    pub(crate) owner_weight: Exact,
}

/// A price that is fixed for a fiscal year.
#[derive(Clone, Debug)]
pub(crate) struct StandardRate {
    pub(crate) fiscal_year: i32,
    /// In the cost's currency.
    pub(crate) unit_price: Exact,
    /// How far the account may be from zero, in the card's currency.
    pub(crate) carry_forward_limit: Option<Exact>,
}

/// An agency's part in a shared system.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) agency: String,
    pub(crate) weight: Exact,
    pub(crate) from: Date,
    /// Exclusive.
    pub(crate) until: Option<Date>,
    /// What the agency would pay alone, to the card's minor unit.
    pub(crate) standalone: Option<CostPlan>,
}

impl World {
    /// An agency and its namespaces. Agencies come before systems and subscriptions.
    pub fn add_agency(&mut self, name: &str, namespaces: impl IntoIterator<Item = String>) {
        self.agencies.insert(name.to_owned());
        for namespace in namespaces {
            self.namespaces.insert(namespace, name.to_owned());
        }
    }

    /// A system in a namespace.
    pub fn add_system(&mut self, namespace: &str, name: &str, spec: &AgencySystemSpec) -> Result<(), Refusal> {
        let system = System {
            cost: spec
                .cost
                .as_ref()
                .map(|cost| CostPlan::read("spec.cost", cost))
                .transpose()?,
            sharing: spec
                .sharing
                .as_ref()
                .map(|sharing| Sharing::read("spec.sharing", sharing))
                .transpose()?,
            retirement: spec
                .retirement
                .as_ref()
                .map(|end| Retirement::read("spec.retirement", end))
                .transpose()?,
        };
        self.systems.insert(format!("{namespace}/{name}"), system);
        Ok(())
    }

    /// A subscription in a namespace of the agency that joins.
    pub fn add_subscription(&mut self, namespace: &str, spec: &SystemSubscriptionSpec) -> Result<(), Refusal> {
        let subscription = Subscription {
            agency: self.owner(namespace).to_owned(),
            weight: amount("spec.weight", &spec.weight)?,
            from: date("spec.from", &spec.from)?,
            until: spec.until.as_ref().map(|text| date("spec.until", text)).transpose()?,
            standalone: spec.standalone.as_ref().map(read_standalone).transpose()?,
        };
        if subscription.until.is_some_and(|until| until <= subscription.from) {
            return Err(Refusal::new(
                "spec.until",
                "is not after from: allowed is a later day, or none",
            ));
        }
        let system = format!("{}/{}", spec.system_ref.namespace, spec.system_ref.name);
        let known = self.subscriptions.entry(system.clone()).or_default();
        if known
            .iter()
            .any(|other| other.agency == subscription.agency && other.overlaps(&subscription))
        {
            let message = format!(
                "agency `{}` has another subscription to {system} at the same time: allowed is one at a time",
                subscription.agency
            );
            return Err(Refusal::new("spec.from", message));
        }
        let key = |one: &Subscription| (one.agency.clone(), one.from);
        let place = known.partition_point(|other| key(other) < key(&subscription));
        known.insert(place, subscription);
        Ok(())
    }

    /// A cost of the platform that all agencies pay by their use of a meter.
    pub fn add_cost_pool(&mut self, name: &str, spec: &CostPoolSpec) -> Result<(), Refusal> {
        self.cost_pools.insert(name.to_owned(), CostPool::read(spec)?);
        Ok(())
    }

    /// The agency of a namespace. One that no agency names is taken for that of the agency of the same name.
    pub fn owner<'a>(&'a self, namespace: &'a str) -> &'a str {
        self.namespaces.get(namespace).map_or(namespace, String::as_str)
    }

    /// The agency whose namespace a system, by its full name, is in.
    pub(crate) fn owner_of<'a>(&'a self, system: &'a str) -> &'a str {
        self.owner(system.split_once('/').map_or(system, |(namespace, _)| namespace))
    }

    /// The tranches of every system, by its full name.
    pub fn tranches(&self) -> impl Iterator<Item = (&str, &Tranche)> {
        self.systems.iter().flat_map(|(name, system)| {
            let tranches = system.cost.iter().flat_map(|cost| &cost.tranches);
            tranches.map(|tranche| (name.as_str(), tranche))
        })
    }

    /// A system's sharing, where its cost is shared.
    pub(crate) fn sharing(&self, system: &str) -> Option<&Sharing> {
        self.systems.get(system)?.sharing.as_ref()
    }

    /// Whether a system has a pool in a month.
    pub(crate) fn has_pool(&self, system: &str, month: Month) -> bool {
        let pool = self.systems.get(system).and_then(|system| system.pool(month));
        pool.is_some()
    }

    /// The full name of a system that a usage record of an agency names: `namespace/name` and `unassigned` are full already.
    /// A bare name is a system of the agency's own namespaces, else the only system of that name anywhere, else one that no
    /// manifest describes, in the namespace that is named after the agency.
    pub fn full_name(&self, agency: &str, system: &str) -> String {
        if system.contains('/') || system == UNASSIGNED {
            return system.to_owned();
        }
        let named = || {
            self.systems
                .keys()
                .filter(|key| key.rsplit_once('/').is_some_and(|(_, name)| name == system))
        };
        if let Some(own) = named().find(|key| self.owner_of(key) == agency) {
            return own.clone();
        }
        let mut others = named();
        match (others.next(), others.next()) {
            (Some(only), None) => only.clone(),
            _ => format!("{agency}/{system}"),
        }
    }
}

impl System {
    /// What its cost is shared by in a month. After that of its retirement there is nothing left to share.
    pub(crate) fn pool(&self, month: Month) -> Option<&Sharing> {
        let ended = self.retirement.as_ref().is_some_and(|end| Month::of(end.date) < month);
        self.sharing.as_ref().filter(|_| !ended)
    }
}

impl Sharing {
    fn read(field: &str, sharing: &maru_crds::Sharing) -> Result<Self, Refusal> {
        let at = |name: &str| format!("{field}.{name}");
        let fixed_share = sharing
            .fixed_share
            .as_ref()
            .map(|text| share(&at("fixedShare"), text))
            .transpose()?;
        let standard_rate = match (sharing.mode, &sharing.standard_rate) {
            (SharingMode::Actual, _) => None,
            (SharingMode::StandardRate, None) => {
                return Err(Refusal::new(
                    at("standardRate"),
                    "is missing: mode StandardRate needs it",
                ));
            }
            (SharingMode::StandardRate, Some(_)) if sharing.driver.is_none() => {
                return Err(Refusal::new(
                    at("driver"),
                    "is missing: mode StandardRate prices its use",
                ));
            }
            (SharingMode::StandardRate, Some(rate)) => Some(StandardRate {
                fiscal_year: rate.fiscal_year,
                unit_price: amount(&at("standardRate.unitPrice"), &rate.unit_price)?,
                carry_forward_limit: rate
                    .carry_forward_limit
                    .as_ref()
                    .map(|text| amount(&at("standardRate.carryForwardLimit"), text))
                    .transpose()?,
            }),
        };
        Ok(Self {
            accepts: (!sharing.accepts_all)
                .then(|| sharing.accepts.iter().map(|accepted| accepted.agency.clone()).collect()),
            fixed_share: match sharing.driver {
                Some(_) => fixed_share.unwrap_or_default(),
                None => Exact::ONE,
            },
            driver: sharing.driver.clone(),
            on_no_usage: sharing.on_no_usage,
            standard_rate,
            owner_weight: amount(&at("ownerWeight"), &sharing.owner_weight)?,
        })
    }

    /// Whether the owner accepts an agency's subscription.
    pub(crate) fn accepts(&self, agency: &str) -> bool {
        self.accepts.as_ref().is_none_or(|accepted| accepted.contains(agency))
    }
}

/// Its amounts are in the card's currency, which is not known here; the widest minor unit lets all of them through.
fn read_standalone(standalone: &maru_crds::Standalone) -> Result<CostPlan, Refusal> {
    let cost = Cost {
        currency: Currency::WIDEST.to_owned(),
        builds: standalone.builds.clone(),
        operations: standalone.operations.clone(),
    };
    CostPlan::read("spec.standalone", &cost)
}

impl Subscription {
    /// Whether it holds in some part of a period.
    pub(crate) fn holds_in(&self, zone: &jiff::tz::TimeZone, period: maru_meter::Interval) -> bool {
        crate::pool::window(zone, self.from, self.until).is_some_and(|window| window.overlap(period).is_some())
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.until.is_none_or(|until| other.from < until) && other.until.is_none_or(|until| self.from < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_ones_own_system_before_anybody_elses() {
        let mut world = World::default();
        world.add_agency("nts", ["nts-prod".to_owned()]);
        for (namespace, name) in [("nts-prod", "tax"), ("mois", "tax"), ("mois", "docs")] {
            world.add_system(namespace, name, &AgencySystemSpec::default()).unwrap();
        }
        let table = [
            ("nts", "tax", "nts-prod/tax"),
            ("mois", "tax", "mois/tax"),
            ("nts", "docs", "mois/docs"),
            ("moel", "tax", "moel/tax"),
            ("nts", "unheard", "nts/unheard"),
            ("nts", "unassigned", "unassigned"),
            ("nts", "mois/tax", "mois/tax"),
        ];
        for (agency, system, full) in table {
            assert_eq!(world.full_name(agency, system), full);
        }
    }
}
