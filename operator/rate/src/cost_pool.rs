//! Costs of the platform itself, split over all agencies by their use of a meter.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use jiff::civil::Date;
use maru_crds::{Cost, CostPoolSpec, IdlePolicy};
use maru_meter::{Exact, Interval};

use crate::amortise::date;
use crate::card::amount;
use crate::charge::{Allocation, AllocationMethod, Basis, Charge, Line};
use crate::cost::CostPlan;
use crate::pool::window;
use crate::rating::{NegativeIdle, RateError};
use crate::recover::{LinesByAgency, Recovered, SystemCosts};
use crate::refusal::Refusal;
use crate::split::largest_remainder;
use crate::total::Total;

/// A cost of the platform and what splits it.
#[derive(Clone, Debug)]
pub(crate) struct CostPool {
    plan: CostPlan,
    pub(crate) driver: String,
    /// Whose use counts; none: everyone's.
    agencies: BTreeSet<String>,
    /// Use of which systems counts, by full name; none: of all.
    systems: BTreeSet<String>,
    idle: IdlePolicy,
    platform: Option<String>,
    /// Units of the driver an hour, from a day on, ascending.
    capacity: Vec<(Date, Exact)>,
}

/// What each agency used of the driver, by pool.
pub(crate) type PoolUse = BTreeMap<String, BTreeMap<String, Total>>;

impl CostPool {
    pub(crate) fn read(spec: &CostPoolSpec) -> Result<Self, Refusal> {
        let cost = Cost {
            currency: spec.currency.clone(),
            builds: spec.builds.clone(),
            operations: spec.operations.clone(),
        };
        let mut capacity: Vec<(Date, Exact)> = Vec::new();
        for (index, step) in spec.capacity.iter().enumerate() {
            let at = |name: &str| format!("spec.capacity[{index}].{name}");
            let from = date(&at("from"), &step.from)?;
            if capacity.last().is_some_and(|(before, _)| *before >= from) {
                return Err(Refusal::new(
                    at("from"),
                    "is not after the one before it: allowed are dates that rise",
                ));
            }
            capacity.push((from, amount(&at("perHour"), &step.per_hour)?));
        }
        let platform = spec.platform_agency_ref.as_ref().map(|agency| agency.name.clone());
        if spec.idle == IdlePolicy::Platform && !capacity.is_empty() && platform.is_none() {
            return Err(Refusal::new(
                "spec.platformAgencyRef",
                "is missing: idle Platform needs the agency that pays for what nobody used",
            ));
        }
        let scope = spec.scope.as_ref();
        let agencies = scope.into_iter().flat_map(|scope| &scope.agencies);
        let systems = scope.into_iter().flat_map(|scope| &scope.systems);
        Ok(Self {
            plan: CostPlan::read("spec", &cost)?,
            driver: spec.driver.clone(),
            agencies: agencies.map(|agency| agency.name.clone()).collect(),
            systems: systems
                .map(|system| format!("{}/{}", system.namespace, system.name))
                .collect(),
            idle: spec.idle,
            platform,
            capacity,
        })
    }

    /// Whether use by an agency of a system counts.
    pub(crate) fn counts(&self, agency: &str, system: &str) -> bool {
        (self.agencies.is_empty() || self.agencies.contains(agency))
            && (self.systems.is_empty() || self.systems.contains(system))
    }

    /// Units that could be used in a period; none where nothing is said of it.
    fn provided(&self, zone: &jiff::tz::TimeZone, period: Interval) -> Option<Exact> {
        let mut provided = None;
        for (index, (from, per_hour)) in self.capacity.iter().enumerate() {
            let until = self.capacity.get(index + 1).map(|(next, _)| *next);
            let Some(part) = window(zone, *from, until).and_then(|window| window.overlap(period)) else {
                continue;
            };
            let hours = Exact::ratio(part.length().as_nanos(), SignedDuration::from_hours(1).as_nanos());
            *provided.get_or_insert(Exact::ZERO) += per_hour * &hours.unwrap_or_default();
        }
        provided
    }
}

/// A pool in a period: who used how much.
struct Shares<'a> {
    name: &'a str,
    pool: &'a CostPool,
    agencies: Vec<&'a String>,
    used: Vec<Exact>,
}

impl SystemCosts<'_> {
    /// Adds each agency's part of every cost pool.
    pub(crate) fn cost_pools(
        &self,
        used: &PoolUse,
        lines: &mut LinesByAgency,
        recovered: &mut Recovered,
        warnings: &mut Vec<String>,
    ) -> Result<(), RateError> {
        for (name, pool) in &self.world.cost_pools {
            let own = used.get(name);
            let shares = Shares {
                name,
                pool,
                agencies: own.into_iter().flat_map(BTreeMap::keys).collect(),
                used: own.into_iter().flatten().map(|(_, total)| total.value()).collect(),
            };
            let complete = own.into_iter().flatten().map(|(_, total)| total.completeness).max();
            let mut found = Vec::new();
            self.cost_pool(&shares, &mut found, recovered, warnings)?;
            for (agency, mut line) in found {
                line.completeness = complete.unwrap_or_default();
                lines.entry(agency).or_default().push(line);
            }
        }
        Ok(())
    }

    fn cost_pool(
        &self,
        shares: &Shares<'_>,
        found: &mut Vec<(String, Line)>,
        recovered: &mut Recovered,
        warnings: &mut Vec<String>,
    ) -> Result<(), RateError> {
        let used: Exact = shares.used.iter().sum();
        let provided = shares.pool.provided(&self.book.zone, self.period.interval);
        if let Some(provided) = provided.as_ref().filter(|provided| **provided < used) {
            return Err(RateError::NegativeIdle(Box::new(NegativeIdle {
                pool: shares.name.to_owned(),
                meter: shares.pool.driver.clone(),
                provided: provided.clone(),
                used,
            })));
        }
        // What of the capacity was used; without a capacity all of it.
        let part = provided
            .as_ref()
            .and_then(|provided| used.checked_div(provided))
            .unwrap_or(Exact::ONE);
        let mut idle = Exact::ZERO;
        let mut kinds = Vec::new();
        for (charge, total) in self.pool_totals(shares, recovered)? {
            let busy = self.book.line_amount(&(&total * &part));
            idle += &total - &busy;
            kinds.push((charge, busy));
        }
        kinds.push((Charge::Idle, idle));
        for (charge, amount) in kinds.into_iter().filter(|(_, amount)| !amount.is_zero()) {
            let platform = shares.pool.platform.as_ref();
            let alone = used.is_zero() || (charge == Charge::Idle && shares.pool.idle == IdlePolicy::Platform);
            match (alone, platform) {
                (true, Some(agency)) => {
                    let allocation = Allocation {
                        method: AllocationMethod::Whole,
                        ratio: Exact::ONE,
                        total: amount.clone(),
                        basis: None,
                    };
                    found.push((agency.clone(), self.pool_line(shares.name, charge, amount, allocation)));
                }
                (true, None) => {
                    warnings.push(format!(
                        "cost pool {}: nobody used `{}`; {amount} join the next period",
                        shares.name, shares.pool.driver
                    ));
                    *recovered.carry.pools.entry(shares.name.to_owned()).or_default() += amount;
                }
                (false, _) => {
                    let parts = largest_remainder(&amount, self.book.line_places(), &shares.used);
                    let lines = parts.into_iter().zip(&shares.used).map(|(part, own)| {
                        let allocation = Allocation {
                            method: AllocationMethod::Use,
                            ratio: own.checked_div(&used).unwrap_or_default(),
                            total: amount.clone(),
                            basis: Some(Box::new(Basis {
                                fixed: Exact::ZERO,
                                weight: Exact::ZERO,
                                weights: Exact::ZERO,
                                used: own.clone(),
                                all_used: used.clone(),
                            })),
                        };
                        self.pool_line(shares.name, charge, part, allocation)
                    });
                    found.extend(shares.agencies.iter().map(|agency| (*agency).clone()).zip(lines));
                }
            }
        }
        Ok(())
    }

    /// The total of each kind, in the card's currency and a line's precision, with what the period before could not split.
    fn pool_totals(&self, shares: &Shares<'_>, recovered: &Recovered) -> Result<BTreeMap<Charge, Exact>, RateError> {
        let mut totals: BTreeMap<Charge, Exact> = BTreeMap::new();
        for item in shares.pool.plan.in_month(self.period.month, None, self.book.mode) {
            *totals.entry(item.charge).or_default() += item.amount;
        }
        if !totals.is_empty() {
            let exchange = self.exchange(shares.pool.plan.currency)?;
            for total in totals.values_mut() {
                *total = self.book.line_amount(&(&*total * &exchange));
            }
        }
        if let Some(carried) = recovered.carried_in.pools.get(shares.name) {
            totals.insert(Charge::CarryForward, carried.clone());
        }
        Ok(totals)
    }

    fn pool_line(&self, name: &str, charge: Charge, amount: Exact, allocation: Allocation) -> Line {
        Line {
            system: None,
            allocation: Some(Box::new(allocation)),
            item: Some(name.into()),
            ..self.line(name, charge, amount)
        }
    }
}
