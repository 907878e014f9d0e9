//! What a period leaves for the next one: parts of pools that nobody could be billed for, and the accounts of standard rates.

use std::collections::BTreeMap;

use maru_meter::{Exact, Rounding};
use serde::{Deserialize, Serialize};

use crate::period::Month;

/// Decimal places of a rate that is proposed.
const RATE_PLACES: u32 = 6;

/// What a period carries into the next one, in the card's currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Carry {
    /// What joins the next period's pool, by system or cost pool.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) pools: BTreeMap<String, Exact>,
    /// What standard rates recovered so far, by system.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) accounts: BTreeMap<String, Account>,
}

/// The over- and under-recovery of a system with a standard rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Account {
    /// What was charged less what it cost, over all periods so far.
    balance: Exact,
    /// The year that the rest is of.
    year: i16,
    cost: Exact,
    /// Driver use that was charged.
    quantity: Exact,
}

/// What a system with a standard rate cost and what the rate brought in, in the card's currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// `namespace/name`.
    pub system: String,
    /// The period that it is of, such as `2026-10`. An earlier one than that which was rated is a correction, with the differences.
    pub period: String,
    /// What the period cost.
    pub cost: Exact,
    /// What was charged. More than the cost is over-recovery.
    pub charged: Exact,
    /// What was charged less what it cost, over all periods up to this one: owed to those who paid it, or below zero still to be recovered.
    pub balance: Exact,
    /// How far the balance may be from zero, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Exact>,
    /// The price of a unit, in the cost's currency, that would recover a year like this one so far and bring the balance to zero; none without use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_unit_price: Option<Exact>,
}

impl Carry {
    /// What the books have, with what is another one in `is` than in `was`.
    pub(crate) fn changed_as(&self, was: &Self, is: &Self) -> Self {
        Self {
            pools: changed(&self.pools, &was.pools, &is.pools),
            accounts: changed(&self.accounts, &was.accounts, &is.accounts),
        }
    }
}

fn changed<T: Clone + PartialEq>(
    booked: &BTreeMap<String, T>,
    was: &BTreeMap<String, T>,
    is: &BTreeMap<String, T>,
) -> BTreeMap<String, T> {
    let mut all = booked.clone();
    for key in was.keys().chain(is.keys()).filter(|key| was.get(*key) != is.get(*key)) {
        match is.get(key) {
            Some(now) => all.insert(key.clone(), now.clone()),
            None => all.remove(key),
        };
    }
    all
}

/// What a month adds to an account.
pub(crate) struct Booked<'a> {
    pub(crate) month: Month,
    pub(crate) cost: &'a Exact,
    pub(crate) charged: &'a Exact,
    /// Driver use that was charged.
    pub(crate) quantity: &'a Exact,
}

impl Account {
    /// The account after a month. The balance goes on from year to year; what the next rate is worked out from begins anew.
    pub(crate) fn after(before: Option<&Self>, booked: &Booked<'_>) -> Self {
        let year = booked.month.first_day().year();
        let zero = Exact::ZERO;
        let (cost, quantity) = before
            .filter(|account| account.year == year)
            .map_or((&zero, &zero), |account| (&account.cost, &account.quantity));
        let balance = before.map_or(&zero, |account| &account.balance);
        Self {
            balance: balance + &(booked.charged - booked.cost),
            year,
            cost: cost + booked.cost,
            quantity: quantity + booked.quantity,
        }
    }

    /// What it says beside a month's figures. `exchange` is what a unit of the cost's currency is worth.
    pub(crate) fn recovery(
        &self,
        system: &str,
        booked: &Booked<'_>,
        limit: Option<&Exact>,
        exchange: &Exact,
    ) -> Recovery {
        let open = (&self.cost - &self.balance).max(Exact::ZERO);
        let price = open.checked_div(&(&self.quantity * exchange));
        Recovery {
            system: system.to_owned(),
            period: booked.month.to_string(),
            cost: booked.cost.clone(),
            charged: booked.charged.clone(),
            balance: self.balance.clone(),
            limit: limit.cloned(),
            next_unit_price: price.map(|price| price.round(RATE_PLACES, Rounding::HalfUp)),
        }
    }
}

impl Recovery {
    /// Whether the balance is farther from zero than it may be.
    pub fn is_past_limit(&self) -> bool {
        let size = if self.balance.is_negative() {
            -&self.balance
        } else {
            self.balance.clone()
        };
        self.limit.as_ref().is_some_and(|limit| size > *limit)
    }
}
