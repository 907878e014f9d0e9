//! A second, simple and slow way to work a month out, written from the billing rules alone. It shares no code with the engine: seconds
//! are whole numbers, money is a fraction of another crate, and everything is looked up again each time.
#![allow(clippy::unwrap_used, reason = "a model for tests")]

mod costs;

use std::collections::{BTreeMap, BTreeSet};

use num_bigint::BigInt;
use num_rational::BigRational as Q;

pub(crate) use costs::{End, Hall, NoUsage, Rules};

/// A month of seconds, `0..end`, and all that happens in it.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) end: i64,
    /// Start and items; the first one starts at 0 or before.
    pub(crate) versions: Vec<(i64, Vec<Item>)>,
    /// Start and worth of a dollar.
    pub(crate) dollars: Vec<(i64, Q)>,
    /// Start and rate.
    pub(crate) taxes: Vec<(i64, Q)>,
    /// In thousandths of the base: of `m0` and `m1`.
    pub(crate) support: i64,
    pub(crate) uses: Vec<Use>,
    /// Kind totals of the pool of `a/s0` without platform.
    pub(crate) pool: Vec<(&'static str, i64)>,
    /// In thousandths.
    pub(crate) fixed_share: i64,
    /// Agency, weight and the seconds from and until; of `a/s0`.
    pub(crate) joins: Vec<(&'static str, i64, i64, i64)>,
    pub(crate) rules: Rules,
}

/// The owner of `a/s0`, whose driver is the meter `d`.
pub(crate) const OWNER: &str = "a";
pub(crate) const SHARED: &str = "a/s0";
pub(crate) const DRIVER: &str = "d";

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) meter: &'static str,
    pub(crate) in_dollars: bool,
    pub(crate) price: Price,
}

#[derive(Clone, Debug)]
pub(crate) enum Price {
    PerUnit { price: Q, included: Q },
    Graduated(Vec<(Option<Q>, Q, Q)>),
    Volume(Vec<(Option<Q>, Q, Q)>),
    Package { size: Q, price: Q, included: Q },
}

#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) agency: &'static str,
    pub(crate) system: &'static str,
    pub(crate) meter: &'static str,
    pub(crate) quantity: Q,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// Agency, system, charge, name and start of a line, with its amount.
pub(crate) type Lines = BTreeMap<(String, String, String, String, i64), BigInt>;

pub(crate) fn q(numerator: i64, denominator: i64) -> Q {
    Q::new(numerator.into(), denominator.into())
}

/// Half away from zero.
fn won(amount: &Q) -> BigInt {
    amount.round().to_integer()
}

impl Scenario {
    fn changes(&self) -> Vec<i64> {
        let mut moments: BTreeSet<i64> = [0, self.end].into();
        let starts = self
            .versions
            .iter()
            .map(|v| v.0)
            .chain(self.dollars.iter().map(|d| d.0))
            .chain(self.taxes.iter().map(|t| t.0));
        moments.extend(starts.filter(|moment| (1..self.end).contains(moment)));
        moments.into_iter().collect()
    }

    fn version(&self, moment: i64) -> Option<usize> {
        (0..self.versions.len())
            .rev()
            .find(|index| self.versions[*index].0 <= moment)
    }

    fn dollar(&self, moment: i64) -> Q {
        self.dollars
            .iter()
            .rev()
            .find(|(from, _)| *from <= moment)
            .map_or(q(0, 1), |(_, worth)| worth.clone())
    }

    fn tax(&self, moment: i64) -> Q {
        self.taxes
            .iter()
            .rev()
            .find(|(from, _)| *from <= moment)
            .map_or(q(0, 1), |(_, rate)| rate.clone())
    }

    fn item(&self, moment: i64, meter: &str) -> Option<&Item> {
        self.versions[self.version(moment)?]
            .1
            .iter()
            .find(|item| item.meter == meter)
    }

    /// The pieces of the month in which nothing about a meter's line changes.
    fn pieces(&self, meter: &str) -> Vec<(i64, i64)> {
        let changes = self.changes();
        let same = |a: i64, b: i64| {
            let dollars = |m: i64| {
                self.item(m, meter)
                    .filter(|item| item.in_dollars)
                    .map(|_| self.dollar(m))
            };
            self.version(a) == self.version(b) && self.tax(a) == self.tax(b) && dollars(a) == dollars(b)
        };
        let mut pieces: Vec<(i64, i64)> = Vec::new();
        for pair in changes.windows(2) {
            match pieces.last_mut().filter(|last| same(last.0, pair[0])) {
                Some(last) => last.1 = pair[1],
                None => pieces.push((pair[0], pair[1])),
            }
        }
        pieces
    }

    /// What of a use falls into a piece of time; none where not even an instant does.
    fn part(one: &Use, from: i64, until: i64) -> Option<Q> {
        if one.start == one.end {
            return (from..until).contains(&one.start).then(|| one.quantity.clone());
        }
        let seconds = one.end.min(until) - one.start.max(from);
        (seconds > 0).then(|| &one.quantity * q(seconds, one.end - one.start))
    }

    /// Everything that is billed.
    pub(crate) fn lines(&self) -> Lines {
        let mut lines = Lines::new();
        let mut platform = BigInt::from(0);
        for agency in ["a", "b", "c"] {
            let mut own = Lines::new();
            for meter in ["m0", "m1", "m2", "m3"] {
                self.meter(agency, meter, &mut own);
            }
            self.percentages(agency, &mut own);
            let mut charged = BigInt::from(0);
            for (key, amount) in own {
                if agency == OWNER && key.1 == SHARED && self.has_pool() {
                    platform += amount;
                } else {
                    charged += &amount;
                    lines.insert(key, amount);
                }
            }
            self.fill_up(agency, &charged, &mut lines);
        }
        self.shared_cost(platform, &mut lines);
        self.hall(&mut lines);
        lines
    }

    /// The last version's minimum is that of the month: each version asks for once more than the one before.
    fn fill_up(&self, agency: &str, charged: &BigInt, lines: &mut Lines) {
        let times = self.version(self.end - 1).unwrap() + 1;
        let missing = BigInt::from(self.rules.minimum) * BigInt::from(times) - charged;
        if missing > BigInt::from(0) {
            lines.insert((agency.into(), "-".into(), "Minimum".into(), "-".into(), 0), missing);
        }
    }

    fn meter(&self, agency: &str, meter: &str, lines: &mut Lines) {
        let uses: Vec<&Use> = self
            .uses
            .iter()
            .filter(|u| u.agency == agency && u.meter == meter)
            .collect();
        let whole: Q = uses
            .iter()
            .filter_map(|u| Self::part(u, 0, self.end))
            .fold(q(0, 1), |sum, part| sum + part);
        let mut before = Before {
            used: q(0, 1),
            free: q(0, 1),
            begun: false,
            packed: (usize::MAX, q(0, 1)),
        };
        for (from, until) in self.pieces(meter) {
            let mut by_system: BTreeMap<&str, Q> = BTreeMap::new();
            for one in &uses {
                if let Some(part) = Self::part(one, from, until) {
                    *by_system.entry(one.system).or_insert_with(|| q(0, 1)) += part;
                }
            }
            if by_system.is_empty() {
                continue;
            }
            let quantity = by_system.values().fold(q(0, 1), |sum, part| sum + part);
            let item = self.item(from, meter).unwrap();
            let exchange = if item.in_dollars { self.dollar(from) } else { q(1, 1) };
            let amount = before.charge(&item.price, self.version(from).unwrap(), &quantity, &whole) * exchange;
            let weights: Vec<(&str, Q)> = by_system.into_iter().collect();
            for (system, part) in split(&won(&amount), &weights) {
                lines.insert((agency.into(), system, "Usage".into(), meter.into(), from), part);
            }
        }
    }

    fn percentages(&self, agency: &str, lines: &mut Lines) {
        let mut pieces: Vec<(i64, i64)> = Vec::new();
        for pair in self.changes().windows(2) {
            let same = |a: i64| self.version(a) == self.version(pair[0]) && self.tax(a) == self.tax(pair[0]);
            match pieces.last_mut().filter(|last| same(last.0)) {
                Some(last) => last.1 = pair[1],
                None => pieces.push((pair[0], pair[1])),
            }
        }
        for (from, until) in pieces {
            let mut bases: BTreeMap<String, Q> = BTreeMap::new();
            for ((_, system, charge, meter, start), amount) in lines.iter() {
                if charge == "Usage" && (meter == "m0" || meter == "m1") && (from..until).contains(start) {
                    *bases.entry(system.clone()).or_insert_with(|| q(0, 1)) += Q::from_integer(amount.clone());
                }
            }
            let total = bases.values().fold(q(0, 1), |sum, base| sum + base);
            let weights: Vec<(&str, Q)> = bases
                .iter()
                .map(|(system, base)| (system.as_str(), base.clone()))
                .collect();
            for (system, part) in split(&won(&(total * q(self.support, 1000))), &weights) {
                lines.insert(
                    (agency.into(), system, "Percentage".into(), "support".into(), from),
                    part,
                );
            }
        }
    }

    /// The tax of an agency: for each rate, on the sum of the lines that it holds for.
    pub(crate) fn tax_of(&self, agency: &str, lines: &Lines) -> BigInt {
        let mut bases: BTreeMap<Q, BigInt> = BTreeMap::new();
        for ((whose, _, charge, _, start), amount) in lines {
            if whose == agency {
                let moment = if charge == "Usage" || charge == "Percentage" {
                    *start
                } else {
                    self.end - 1
                };
                *bases.entry(self.tax(moment)).or_default() += amount;
            }
        }
        bases
            .into_iter()
            .map(|(rate, base)| won(&(rate * Q::from_integer(base))))
            .sum()
    }
}

/// Largest remainder, by giving one unit at a time.
fn split(amount: &BigInt, weights: &[(&str, Q)]) -> Vec<(String, BigInt)> {
    let total = weights.iter().fold(q(0, 1), |sum, (_, weight)| sum + weight);
    let mut parts: Vec<(String, BigInt)> = weights
        .iter()
        .map(|(key, _)| ((*key).to_owned(), BigInt::from(0)))
        .collect();
    if total == q(0, 1) {
        if let Some(first) = parts.first_mut() {
            first.1.clone_from(amount);
        }
        return parts;
    }
    let exact: Vec<Q> = weights
        .iter()
        .map(|(_, weight)| Q::from_integer(amount.clone()) * weight / &total)
        .collect();
    let mut left = amount.clone();
    for (part, share) in parts.iter_mut().zip(&exact) {
        part.1 = share.floor().to_integer();
        left -= &part.1;
    }
    let mut taken: BTreeSet<usize> = BTreeSet::new();
    while left > BigInt::from(0) {
        let mut best: Option<usize> = None;
        for index in (0..exact.len()).filter(|index| !taken.contains(index)) {
            let rest = |i: usize| &exact[i] - exact[i].floor();
            if best.is_none_or(|best| rest(index) > rest(best)) {
                best = Some(index);
            }
        }
        let best = best.unwrap();
        taken.insert(best);
        parts[best].1 += 1;
        left -= 1;
    }
    parts
}

/// What came before in the month.
struct Before {
    used: Q,
    free: Q,
    begun: bool,
    /// Version and units in packages.
    packed: (usize, Q),
}

impl Before {
    fn charge(&mut self, price: &Price, version: usize, quantity: &Q, whole: &Q) -> Q {
        let (low, high) = (self.used.clone(), &self.used + quantity);
        let begun = std::mem::replace(&mut self.begun, true);
        self.used = high.clone();
        match price {
            Price::PerUnit { price, included } => self.paid(quantity, included) * price,
            Price::Graduated(tiers) => {
                let mut amount = q(0, 1);
                let mut floor = q(0, 1);
                for (index, (bound, price, fee)) in tiers.iter().enumerate() {
                    let top = bound.clone().unwrap_or_else(|| &high + q(1, 1));
                    let units = high.clone().min(top.clone()) - low.clone().max(floor.clone());
                    if units > q(0, 1) {
                        amount += units * price;
                    }
                    let enters = if index == 0 {
                        !begun
                    } else {
                        low <= floor && high > floor
                    };
                    if enters {
                        amount += fee;
                    }
                    floor = top;
                }
                amount
            }
            Price::Volume(tiers) => {
                let (_, price, fee) = tiers
                    .iter()
                    .find(|(bound, _, _)| bound.as_ref().is_none_or(|bound| whole <= bound))
                    .unwrap();
                quantity * price + if begun { q(0, 1) } else { fee.clone() }
            }
            Price::Package { size, price, included } => {
                let paid = self.paid(quantity, included);
                if self.packed.0 != version {
                    self.packed = (version, q(0, 1));
                }
                let before = (&self.packed.1 / size).ceil();
                self.packed.1 += paid;
                ((&self.packed.1 / size).ceil() - before) * price
            }
        }
    }

    fn paid(&mut self, quantity: &Q, included: &Q) -> Q {
        let mut free = (included - &self.free).min(quantity.clone());
        if free < q(0, 1) {
            free = q(0, 1);
        }
        self.free += &free;
        quantity - free
    }
}
