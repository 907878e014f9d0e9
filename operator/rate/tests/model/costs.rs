//! What systems and the platform cost, and who pays it.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_rational::BigRational as Q;

use super::{DRIVER, Lines, OWNER, SHARED, Scenario, Use, q, split, won};

/// What else holds in the month.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) no_usage: NoUsage,
    /// The price of the driver, in place of the actual cost.
    pub(crate) standard_rate: Option<Q>,
    pub(crate) end: End,
    pub(crate) hall: Option<Hall>,
    /// Of the first version; each later one asks for once more.
    pub(crate) minimum: i64,
    /// What `b` and `c` would pay alone: a build since January, over so many months, and so much a month to run.
    pub(crate) alone: (i64, i64, i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoUsage {
    ByWeight,
    Owner,
    CarryForward,
}

/// Whether `a/s0` is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Never,
    /// Before this month.
    Before,
    /// In this month; whether its owner alone pays what is left.
    Now(bool),
}

/// A cost of the platform that is split by the use of `m1`; `c` is the platform.
#[derive(Clone, Debug)]
pub(crate) struct Hall {
    pub(crate) monthly: i64,
    /// Units an hour.
    pub(crate) capacity: Option<i64>,
    pub(crate) platform_pays_idle: bool,
}

/// Weight, and when it took part.
type Member = (Q, Vec<(i64, i64)>);

impl Scenario {
    pub(crate) fn has_pool(&self) -> bool {
        self.rules.end != End::Before
    }

    fn members(&self) -> BTreeMap<&'static str, Member> {
        let mut members: BTreeMap<&str, Member> = BTreeMap::new();
        members.insert(OWNER, (q(1, 1), vec![(0, self.end)]));
        for (agency, weight, from, until) in &self.joins {
            let (from, until) = ((*from).max(0), (*until).min(self.end));
            if from < until {
                members.insert(agency, (q(weight * (until - from), self.end), vec![(from, until)]));
            }
        }
        members
    }

    fn sum<'a>(uses: impl Iterator<Item = &'a Use>, windows: &[(i64, i64)]) -> Q {
        let parts = uses.flat_map(|one| {
            windows
                .iter()
                .filter_map(|(from, until)| Self::part(one, *from, *until))
        });
        parts.fold(q(0, 1), |sum, part| sum + part)
    }

    fn driven(&self) -> BTreeMap<&'static str, Q> {
        let members = self.members().into_iter();
        let used = |(agency, (_, windows)): (&'static str, Member)| {
            let own = self.uses.iter();
            let own = own.filter(|one| one.agency == agency && one.system == SHARED && one.meter == DRIVER);
            (agency, Self::sum(own, &windows))
        };
        members.map(used).collect()
    }

    fn by_weight(&self) -> Vec<(&'static str, Q)> {
        let members = self.members();
        let weights = members.values().fold(q(0, 1), |sum, (weight, _)| sum + weight);
        members
            .into_iter()
            .map(|(agency, (weight, _))| (agency, weight / &weights))
            .collect()
    }

    /// Each participant's ratio, and the part of the pool that is billed now.
    fn ratios(&self) -> (Vec<(&'static str, Q)>, Q) {
        let (weights, used) = (self.by_weight(), self.driven());
        let all = used.values().fold(q(0, 1), |sum, part| sum + part);
        let fixed = q(self.fixed_share, 1000);
        let rest = q(1, 1) - &fixed;
        if all != q(0, 1) {
            let ratio = |(agency, weight): (&'static str, Q)| (agency, &fixed * weight + &rest * &used[agency] / &all);
            return (weights.into_iter().map(ratio).collect(), q(1, 1));
        }
        let nobody_is_left = self.rules.end != End::Never;
        match self.rules.no_usage {
            NoUsage::Owner => {
                let own = |agency: &str| if agency == OWNER { rest.clone() } else { q(0, 1) };
                let ratio = |(agency, weight): (&'static str, Q)| (agency, &fixed * weight + own(agency));
                (weights.into_iter().map(ratio).collect(), q(1, 1))
            }
            NoUsage::CarryForward if !nobody_is_left && rest != q(0, 1) => (weights, fixed),
            NoUsage::CarryForward | NoUsage::ByWeight => (weights, q(1, 1)),
        }
    }

    fn totals(&self, platform: BigInt) -> Vec<(&'static str, BigInt)> {
        let own = self.pool.iter().map(|(kind, amount)| (*kind, BigInt::from(*amount)));
        let mut totals: Vec<_> = own.chain([("Platform", platform)]).collect();
        totals.retain(|(_, total)| *total != BigInt::from(0));
        totals
    }

    /// Two of the build's twelve months are left after October.
    fn left(&self) -> BigInt {
        let build = self.pool.iter().find(|(kind, _)| *kind == "Amortisation");
        build.map_or_else(|| BigInt::from(0), |(_, amount)| BigInt::from(*amount) * 2)
    }

    pub(super) fn shared_cost(&self, platform: BigInt, lines: &mut Lines) {
        if !self.has_pool() {
            return;
        }
        let mut add = |agency: &str, kind: &str, name: &str, amount: BigInt| {
            lines.insert((agency.into(), SHARED.into(), kind.into(), name.into(), 0), amount);
        };
        let (ratios, now) = self.ratios();
        if let Some(price) = &self.rules.standard_rate {
            for (agency, used) in self.driven() {
                add(agency, "StandardRate", DRIVER, won(&(used * price)));
            }
        } else {
            for (kind, total) in self.totals(platform) {
                let billed = won(&(Q::from_integer(total) * &now));
                for (agency, part) in split(&billed, &ratios) {
                    add(&agency, kind, "-", part);
                }
            }
        }
        match self.rules.end {
            End::Now(owner_alone) if self.left() != BigInt::from(0) => {
                let own = vec![(OWNER, q(1, 1))];
                for (agency, part) in split(&self.left(), if owner_alone { &own } else { &ratios }) {
                    add(&agency, "Retirement", "-", part);
                }
            }
            _ => {}
        }
    }

    /// What joins the next month's pool.
    pub(crate) fn carried(&self, platform: BigInt) -> BigInt {
        let (_, now) = self.ratios();
        if self.rules.standard_rate.is_some() || !self.has_pool() {
            return BigInt::from(0);
        }
        let totals = self.totals(platform).into_iter();
        totals
            .map(|(_, total)| &total - won(&(Q::from_integer(total.clone()) * &now)))
            .sum()
    }

    /// What the standard rate brought in, and what the system cost.
    pub(crate) fn recovered(&self, platform: BigInt) -> Option<(BigInt, BigInt)> {
        let price = self.rules.standard_rate.as_ref().filter(|_| self.has_pool())?;
        let charged = self.driven().into_values().map(|used| won(&(used * price))).sum();
        let cost = self.totals(platform).into_iter().map(|(_, total)| total).sum();
        Some((charged, cost))
    }

    /// The owner's own use of the shared system, priced.
    pub(crate) fn platform(&self) -> BigInt {
        let mut apart = self.clone();
        apart.rules.end = End::Before;
        apart.rules.minimum = 0;
        let priced = apart.lines().into_iter();
        let own = priced.filter(|((agency, system, charge, _, _), _)| {
            agency == OWNER && system == SHARED && (charge == "Usage" || charge == "Percentage")
        });
        own.map(|(_, amount)| amount).sum()
    }

    /// Whether more of `m1` was used than there is.
    pub(crate) fn hall_is_too_small(&self) -> bool {
        let capacity = self.rules.hall.as_ref().and_then(|hall| hall.capacity);
        capacity.is_some_and(|capacity| self.hall_use().into_values().sum::<Q>() > q(capacity * self.end, 3600))
    }

    fn hall_use(&self) -> BTreeMap<&'static str, Q> {
        let mut used: BTreeMap<&str, Q> = BTreeMap::new();
        for one in self.uses.iter().filter(|one| one.meter == "m1") {
            if let Some(part) = Self::part(one, 0, self.end) {
                *used.entry(one.agency).or_insert_with(|| q(0, 1)) += part;
            }
        }
        used
    }

    pub(super) fn hall(&self, lines: &mut Lines) {
        let Some(hall) = &self.rules.hall else { return };
        let used: Vec<(&str, Q)> = self.hall_use().into_iter().collect();
        let all = used.iter().fold(q(0, 1), |sum, (_, part)| sum + part);
        let platform = vec![("c", q(1, 1))];
        let busy = match hall.capacity {
            Some(capacity) if capacity > 0 => won(&(q(hall.monthly, 1) * &all / q(capacity * self.end, 3600))),
            _ => BigInt::from(hall.monthly),
        };
        let idle = BigInt::from(hall.monthly) - &busy;
        for (kind, amount, platform_pays) in [("Operations", busy, false), ("Idle", idle, hall.platform_pays_idle)] {
            if amount == BigInt::from(0) {
                continue;
            }
            let payers = if platform_pays || all == q(0, 1) {
                &platform
            } else {
                &used
            };
            for (agency, part) in split(&amount, payers) {
                lines.insert((agency, "-".into(), kind.into(), "hall".into(), 0), part);
            }
        }
    }

    /// Fee, stand-alone cost and saving of each subscriber that takes part.
    pub(crate) fn savings(&self, lines: &Lines) -> BTreeMap<String, [BigInt; 3]> {
        let (build, months, monthly) = self.rules.alone;
        let upto = |month: i64| BigInt::from(build * month.min(months) / months);
        let alone = upto(10) - upto(9) + BigInt::from(monthly);
        let members = self
            .members()
            .into_keys()
            .filter(|agency| *agency != OWNER && self.has_pool());
        let saving = |agency: &'static str| {
            let own = lines.iter().filter(|((whose, system, charge, _, _), _)| {
                whose == agency && system == SHARED && charge != "Usage" && charge != "Percentage"
            });
            let fee: BigInt = own.map(|(_, amount)| amount).sum();
            (agency.to_owned(), [fee.clone(), alone.clone(), &alone - fee])
        };
        members.map(saving).collect()
    }
}
