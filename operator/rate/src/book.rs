//! The price book: what a rate card says, read and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maru_meter::{Exact, Rounding};

use crate::currency::Currency;

/// Decimal places of a line where a card rounds at the bill.
const LINE_PLACES_AT_BILL: u32 = 6;

/// A rate card, checked. Read from its manifest by [`crate::card::read`].
#[derive(Clone, Debug)]
pub struct PriceBook {
    /// What bills are in.
    pub currency: Currency,
    /// Whose months are the periods.
    pub zone: TimeZone,
    /// Which figure is rounded to the currency's minor unit.
    pub rounded: Rounded,
    /// Which way.
    pub mode: Rounding,
    /// By `from`, ascending; at least one.
    pub(crate) versions: Vec<Version>,
    /// What one unit of another currency is worth, from when on, ascending.
    pub(crate) exchange: BTreeMap<Currency, Vec<(Timestamp, Exact)>>,
    /// The rate of each tax, from when on, ascending.
    pub(crate) taxes: BTreeMap<String, Vec<(Timestamp, Exact)>>,
}

/// Which figure becomes money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounded {
    /// Each line.
    Line,
    /// The total; lines keep six decimals.
    Bill,
}

/// The prices from a moment on.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) from: Timestamp,
    /// One for each meter.
    pub(crate) items: BTreeMap<String, Item>,
    pub(crate) percentages: Vec<Percentage>,
    pub(crate) minimum_charge: Exact,
}

/// What the use of a meter costs.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) unit: Arc<str>,
    pub(crate) price: Price,
    /// Where prices are in another currency than the card's.
    pub(crate) currency: Option<Currency>,
    /// Each record's quantity is rounded up to a multiple of it.
    pub(crate) increment: Option<Exact>,
}

/// A part of other items' amounts.
#[derive(Clone, Debug)]
pub(crate) struct Percentage {
    pub(crate) name: Arc<str>,
    pub(crate) of: Vec<String>,
    pub(crate) rate: Exact,
}

/// How a quantity becomes an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Price {
    /// Quantity × price, after the included units.
    PerUnit {
        /// Of one unit.
        unit_price: Exact,
        /// Free units of an agency's period.
        included: Exact,
    },
    /// Each unit at the price of the tier it falls in.
    Graduated(Vec<Tier>),
    /// All units at the price of the tier that holds the period's quantity.
    Volume(Vec<Tier>),
    /// Whole packages, after the included units.
    Package {
        /// Units in one.
        size: Exact,
        /// Of one.
        price: Exact,
        /// Free units of an agency's period.
        included: Exact,
    },
}

/// A range of quantities. The last tier of a price has no end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// The last quantity in it.
    pub up_to: Option<Exact>,
    /// Of one unit.
    pub unit_price: Exact,
    /// Added when the quantity enters the tier.
    pub flat_fee: Exact,
}

impl PriceBook {
    /// Decimal places of a line's amount.
    pub fn line_places(&self) -> u32 {
        match self.rounded {
            Rounded::Line => self.currency.places(),
            Rounded::Bill => LINE_PLACES_AT_BILL,
        }
    }

    /// An amount as a line says it.
    pub(crate) fn line_amount(&self, amount: &Exact) -> Exact {
        amount.round(self.line_places(), self.mode)
    }

    /// The version in force at a moment; none before the first.
    pub(crate) fn version_at(&self, moment: Timestamp) -> Option<usize> {
        self.versions
            .partition_point(|version| version.from <= moment)
            .checked_sub(1)
    }

    /// The meters whose records are rounded up to an increment in some version.
    pub(crate) fn metered_in_increments(&self) -> BTreeSet<&str> {
        let items = self.versions.iter().flat_map(|version| &version.items);
        let rounded = items.filter(|(_, item)| item.increment.is_some());
        rounded.map(|(meter, _)| meter.as_str()).collect()
    }

    /// What one unit of a currency is worth in the card's at a moment; none where nothing is said of it.
    pub fn exchange_at(&self, currency: Currency, moment: Timestamp) -> Option<&Exact> {
        in_force(self.exchange.get(&currency)?, moment)
    }

    /// Each tax in force at a moment, by name, with its rate; a rate of zero is no tax.
    pub(crate) fn taxes_at(&self, moment: Timestamp) -> Vec<(&str, &Exact)> {
        let taxes = self
            .taxes
            .iter()
            .filter_map(|(name, rates)| Some((name.as_str(), in_force(rates, moment)?)));
        taxes.filter(|(_, rate)| !rate.is_zero()).collect()
    }
}

fn in_force(rates: &[(Timestamp, Exact)], moment: Timestamp) -> Option<&Exact> {
    let count = rates.partition_point(|(from, _)| *from <= moment);
    rates[..count].last().map(|(_, rate)| rate)
}
