//! Recovering what systems cost: from the owner alone, or from the pool of all who share them.

use std::collections::BTreeMap;

use maru_meter::{Completeness, Exact, Interval};

use crate::book::PriceBook;
use crate::carry::{Account, Booked, Carry, Recovery};
use crate::charge::{Charge, Line, Saving};
use crate::cost_pool::PoolUse;
use crate::currency::Currency;
use crate::period::{Month, Period};
use crate::pool::{Participant, Pool};
use crate::rating::RateError;
use crate::timeline::Timeline;
use crate::usage::DriverUse;
use crate::world::{Sharing, StandardRate, System, World};

/// Everything that the systems' costs are recovered by.
pub(crate) struct SystemCosts<'a> {
    pub(crate) book: &'a PriceBook,
    pub(crate) world: &'a World,
    pub(crate) period: Period,
    pub(crate) timeline: &'a Timeline,
    pub(crate) shared: &'a BTreeMap<String, Vec<Participant>>,
    /// System, then agency.
    pub(crate) driver_use: &'a BTreeMap<String, BTreeMap<String, DriverUse>>,
}

/// What is left over.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) carry: Carry,
    pub(crate) recoveries: Vec<Recovery>,
    pub(crate) savings: Vec<Saving>,
    /// What the period before carried here.
    pub(crate) carried_in: Carry,
}

pub(crate) type LinesByAgency = BTreeMap<String, Vec<Line>>;

impl SystemCosts<'_> {
    /// Adds the lines of every system's cost to the agencies that pay them.
    pub(crate) fn recover(
        &self,
        platform: &BTreeMap<String, Exact>,
        pool_use: &PoolUse,
        carry: &Carry,
        lines: &mut LinesByAgency,
        warnings: &mut Vec<String>,
    ) -> Result<Recovered, RateError> {
        let mut recovered = Recovered {
            carried_in: carry.clone(),
            ..Recovered::default()
        };
        recovered.carry.accounts.clone_from(&carry.accounts);
        for (name, system) in &self.world.systems {
            if let Some(sharing) = &system.sharing {
                self.warn_of_strangers(name, sharing, warnings);
            }
            match system.pool(self.period.month) {
                None => self.owner_lines(name, system, lines)?,
                Some(sharing) => {
                    let totals = self.totals(name, system, platform, carry)?;
                    self.pool_lines(name, (system, sharing), totals, lines, &mut recovered, warnings)?;
                }
            }
        }
        self.carried_without_pool(carry, lines, &mut recovered, warnings);
        recovered.savings = self.savings(lines);
        self.cost_pools(pool_use, lines, &mut recovered, warnings)?;
        self.warn_of_subscriptions(warnings);
        Ok(recovered)
    }

    /// What was carried into a pool that is no longer there: a system's owner pays it. Nothing that was carried is ever dropped.
    fn carried_without_pool(
        &self,
        carry: &Carry,
        lines: &mut LinesByAgency,
        recovered: &mut Recovered,
        warnings: &mut Vec<String>,
    ) {
        for (name, amount) in &carry.pools {
            if self.world.has_pool(name, self.period.month) || self.world.cost_pools.contains_key(name) {
                continue;
            }
            let who = if name.contains('/') {
                let owner = self.world.owner_of(name);
                let line = self.line(name, Charge::CarryForward, amount.clone());
                lines.entry(owner.to_owned()).or_default().push(line);
                format!("its owner, `{owner}`, pays it")
            } else {
                recovered.carry.pools.insert(name.clone(), amount.clone());
                "it is carried on until there is such a cost pool again".to_owned()
            };
            warnings.push(format!(
                "{amount} were carried into the pool of {name}, which has none now: {who}"
            ));
        }
    }

    /// What the subscribers of shared systems pay for them beside what they would pay alone.
    fn savings(&self, lines: &LinesByAgency) -> Vec<Saving> {
        let mut savings = Vec::new();
        for (name, participants) in self.shared {
            for participant in participants {
                let subscriptions = self.world.subscriptions.get(name).into_iter().flatten();
                let plans: Vec<_> = subscriptions
                    .filter(|subscription| subscription.agency == participant.agency)
                    .filter(|subscription| subscription.holds_in(&self.book.zone, self.period.interval))
                    .filter_map(|subscription| subscription.standalone.as_ref())
                    .map(|plan| plan.in_currency(self.book.currency))
                    .collect();
                if plans.is_empty() || self.world.owner_of(name) == participant.agency {
                    continue;
                }
                let alone = plans
                    .iter()
                    .flat_map(|plan| plan.in_month(self.period.month, None, self.book.mode));
                let standalone = self.book.line_amount(&alone.map(|item| item.amount).sum());
                let own = lines.get(&participant.agency).into_iter().flatten();
                let shared = own.filter(|line| {
                    line.system.as_deref() == Some(name) && !matches!(line.charge, Charge::Usage | Charge::Percentage)
                });
                let fee: Exact = shared.map(|line| &line.amount).sum();
                savings.push(Saving {
                    agency: participant.agency.clone(),
                    system: name.clone(),
                    saving: &standalone - &fee,
                    fee,
                    standalone,
                });
            }
        }
        savings
    }

    /// Without sharing the owner pays each build and each operation as a line of its own.
    fn owner_lines(&self, name: &str, system: &System, lines: &mut LinesByAgency) -> Result<(), RateError> {
        let Some(cost) = &system.cost else { return Ok(()) };
        let owner = self.world.owner_of(name);
        for item in cost.in_month(self.period.month, system.retirement.as_ref(), self.book.mode) {
            let amount = self.book.line_amount(&(&item.amount * &self.exchange(cost.currency)?));
            let line = Line {
                item: Some(item.name.into()),
                ..self.line(name, item.charge, amount)
            };
            lines.entry(owner.to_owned()).or_default().push(line);
        }
        Ok(())
    }

    /// The total of each kind of a pool, in the card's currency and a line's precision.
    fn totals(
        &self,
        name: &str,
        system: &System,
        platform: &BTreeMap<String, Exact>,
        carry: &Carry,
    ) -> Result<BTreeMap<Charge, Exact>, RateError> {
        let mut totals: BTreeMap<Charge, Exact> = BTreeMap::new();
        if let Some(cost) = &system.cost {
            for item in cost.in_month(self.period.month, system.retirement.as_ref(), self.book.mode) {
                *totals.entry(item.charge).or_default() += item.amount;
            }
            if !totals.is_empty() {
                let exchange = self.exchange(cost.currency)?;
                for total in totals.values_mut() {
                    *total = self.book.line_amount(&(&*total * &exchange));
                }
            }
        }
        let others = [
            (Charge::Platform, platform.get(name)),
            (Charge::CarryForward, carry.pools.get(name)),
        ];
        for (charge, amount) in others {
            if let Some(amount) = amount.filter(|amount| !amount.is_zero()) {
                totals.insert(charge, amount.clone());
            }
        }
        Ok(totals)
    }

    fn pool_lines(
        &self,
        name: &str,
        (system, sharing): (&System, &Sharing),
        mut totals: BTreeMap<Charge, Exact>,
        lines: &mut LinesByAgency,
        recovered: &mut Recovered,
        warnings: &mut Vec<String>,
    ) -> Result<(), RateError> {
        let participants = self.shared.get(name).map_or(&[][..], Vec::as_slice);
        let used = self.driver_use.get(name);
        let own = |participant: &Participant| {
            used.and_then(|used| used.get(&participant.agency))
                .map(|used| used.inside.value())
        };
        let driver_use: Vec<Exact> = participants
            .iter()
            .map(|participant| own(participant).unwrap_or_default())
            .collect();
        if let Some(rate) = &sharing.standard_rate {
            let retirement = totals.remove_entry(&Charge::Retirement);
            let cost: Exact = totals.values().sum();
            totals = retirement.into_iter().collect();
            let charged = self.standard_lines(name, (system, sharing), rate, (participants, &driver_use), lines)?;
            let booked = Booked {
                month: self.period.month,
                cost: &cost,
                charged: &charged,
                quantity: &driver_use.iter().sum(),
            };
            self.book_recovery(name, system, rate, &booked, recovered, warnings)?;
            self.warn_of_year(name, rate, warnings);
        }
        let owner = self.world.owner_of(name);
        let pool = Pool {
            book: self.book,
            owner,
            system,
            sharing,
            month: self.period.month,
            participants,
            driver_use,
            totals,
        };
        let split = pool.split();
        if !split.carried.is_zero() {
            recovered.carry.pools.insert(name.to_owned(), split.carried);
        }
        for part in split.parts {
            let line = Line {
                allocation: Some(Box::new(part.allocation)),
                ..self.line(name, part.charge, part.amount)
            };
            lines.entry(part.agency).or_default().push(line);
        }
        Ok(())
    }

    /// Each participant's driver use at the year's price. Returns what was charged in all.
    fn standard_lines(
        &self,
        name: &str,
        (system, sharing): (&System, &Sharing),
        rate: &StandardRate,
        (participants, driver_use): (&[Participant], &[Exact]),
        lines: &mut LinesByAgency,
    ) -> Result<Exact, RateError> {
        let exchange = self.cost_exchange(system)?;
        let mut charged = Exact::ZERO;
        for (participant, quantity) in participants.iter().zip(driver_use) {
            let amount = self.book.line_amount(&(&(quantity * &rate.unit_price) * &exchange));
            charged += &amount;
            lines.entry(participant.agency.clone()).or_default().push(Line {
                meter: sharing.driver.as_deref().map(Into::into),
                quantity: Some(quantity.clone()),
                unit_price: Some(rate.unit_price.clone()),
                ..self.line(name, Charge::StandardRate, amount)
            });
        }
        Ok(charged)
    }

    /// Adds a month to the account of a standard rate, and says where it has gone too far or has nowhere to go.
    fn book_recovery(
        &self,
        name: &str,
        system: &System,
        rate: &StandardRate,
        booked: &Booked<'_>,
        recovered: &mut Recovered,
        warnings: &mut Vec<String>,
    ) -> Result<(), RateError> {
        let account = Account::after(recovered.carried_in.accounts.get(name), booked);
        let limit = rate.carry_forward_limit.as_ref();
        let recovery = account.recovery(name, booked, limit, &self.cost_exchange(system)?);
        let balance = &recovery.balance;
        if let (true, Some(limit)) = (recovery.is_past_limit(), limit) {
            warnings.push(format!(
                "the standard rate of {name} has recovered {balance} more than the system cost: carryForwardLimit allows {limit} either way"
            ));
        }
        let ends = system
            .retirement
            .as_ref()
            .is_some_and(|end| Month::of(end.date) == self.period.month);
        if ends && !balance.is_zero() {
            warnings.push(format!(
                "{name} is retired and its standard rate has recovered {balance} more than it cost: no later rate can settle that"
            ));
        }
        if ends {
            recovered.carry.accounts.remove(name);
        } else {
            recovered.carry.accounts.insert(name.to_owned(), account);
        }
        recovered.recoveries.push(recovery);
        Ok(())
    }

    /// What a unit of a system's cost is worth in the card's currency.
    fn cost_exchange(&self, system: &System) -> Result<Exact, RateError> {
        let cost = system.cost.as_ref();
        cost.map_or(Ok(Exact::ONE), |cost| self.exchange(cost.currency))
    }

    /// A line for the whole period. Taxes and exchange rates of such lines are those in force when the period ends.
    pub(crate) fn line(&self, system: &str, charge: Charge, amount: Exact) -> Line {
        Line {
            system: Some(system.into()),
            charge,
            meter: None,
            item: None,
            quantity: None,
            unit: None,
            unit_price: None,
            amount,
            tax: Exact::ZERO,
            interval: self.period.interval,
            taxed_at: self.last_slot().start,
            completeness: self.completeness(system),
            corrects: None,
            correction: None,
            reason: None,
            pricing: None,
            allocation: None,
        }
    }

    /// A pool's lines are as complete as the driver use that splits it.
    fn completeness(&self, system: &str) -> Completeness {
        let used = self.driver_use.get(system).into_iter().flat_map(BTreeMap::values);
        used.map(|used| used.inside.completeness).max().unwrap_or_default()
    }

    fn last_slot(&self) -> Interval {
        self.timeline.slot(self.timeline.len() - 1)
    }

    pub(crate) fn exchange(&self, currency: Currency) -> Result<Exact, RateError> {
        if currency == self.book.currency {
            return Ok(Exact::ONE);
        }
        let moment = self.last_slot().start;
        self.book
            .exchange_at(currency, moment)
            .cloned()
            .ok_or(RateError::NoExchangeRate { currency, moment })
    }

    fn warn_of_strangers(&self, name: &str, sharing: &Sharing, warnings: &mut Vec<String>) {
        let driver = sharing.driver.as_deref().unwrap_or_default();
        for (agency, used) in self.driver_use.get(name).into_iter().flatten() {
            let outside = used.outside.value();
            if !outside.is_zero() {
                let message = "while it took no part: that weighs nothing";
                warnings.push(format!(
                    "agency `{agency}` used {outside} of driver `{driver}` of {name} {message}"
                ));
            }
        }
    }

    fn warn_of_subscriptions(&self, warnings: &mut Vec<String>) {
        for (name, subscriptions) in &self.world.subscriptions {
            let sharing = self.world.sharing(name);
            for subscription in subscriptions {
                let agency = &subscription.agency;
                let reason = match sharing {
                    None => "no manifest describes that system as shared",
                    Some(_) if self.world.owner_of(name) == agency => "the owner takes part without one",
                    Some(sharing) if !sharing.accepts(agency) => "the owner does not accept it",
                    Some(_) => continue,
                };
                warnings.push(format!(
                    "subscription of agency `{agency}` to {name} does not count: {reason}"
                ));
            }
        }
    }

    fn warn_of_year(&self, name: &str, rate: &StandardRate, warnings: &mut Vec<String>) {
        let year = self.period.month.first_day().year();
        if i32::from(year) != rate.fiscal_year {
            warnings.push(format!(
                "the standard rate of {name} is for {} and is charged in {year}",
                rate.fiscal_year
            ));
        }
    }
}
