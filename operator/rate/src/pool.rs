//! The pool of a shared system: who takes part, with what ratio, and what each pays.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use maru_crds::{OnNoUsage, RetirementPolicy};
use maru_meter::{Exact, Interval};

use crate::book::PriceBook;
use crate::charge::Charge;
use crate::period::{Month, Period};
use crate::split::largest_remainder;
use crate::world::{Sharing, System, World};

/// An agency that takes part in a shared system in some part of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Participant {
    pub(crate) agency: String,
    /// Its weight × the part of the period in which it took part.
    pub(crate) weight: Exact,
    /// When it took part.
    pub(crate) windows: Vec<Interval>,
}

/// The owner and every agency with an accepted subscription in the period, by name.
pub(crate) fn participants(
    world: &World,
    zone: &TimeZone,
    period: Period,
    system: &str,
    sharing: &Sharing,
) -> Vec<Participant> {
    let owner = world.owner_of(system);
    let mut found: BTreeMap<&str, Participant> = BTreeMap::new();
    let whole = Participant {
        agency: owner.to_owned(),
        weight: sharing.owner_weight.clone(),
        windows: vec![period.interval],
    };
    found.insert(owner, whole);
    for subscription in world.subscriptions.get(system).into_iter().flatten() {
        let window =
            window(zone, subscription.from, subscription.until).and_then(|window| window.overlap(period.interval));
        let Some(window) = window.filter(|_| subscription.agency != owner && sharing.accepts(&subscription.agency))
        else {
            continue;
        };
        let part = Exact::ratio(window.length().as_nanos(), period.interval.length().as_nanos()).unwrap_or_default();
        let participant = found.entry(&subscription.agency).or_insert_with(|| Participant {
            agency: subscription.agency.clone(),
            weight: Exact::ZERO,
            windows: Vec::new(),
        });
        participant.weight += &subscription.weight * &part;
        participant.windows.push(window);
    }
    found.into_values().collect()
}

/// The time from the beginning of a day to that of another, in a zone.
pub(crate) fn window(zone: &TimeZone, from: Date, until: Option<Date>) -> Option<Interval> {
    let begin = |day: Date| day.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp());
    let end = until.map_or(Some(jiff::Timestamp::MAX), begin)?;
    Some(Interval {
        start: begin(from)?,
        end,
    })
}

/// What a pool is made of and by what it is split.
#[derive(Debug)]
pub(crate) struct Pool<'a> {
    pub(crate) book: &'a PriceBook,
    pub(crate) owner: &'a str,
    pub(crate) system: &'a System,
    pub(crate) sharing: &'a Sharing,
    pub(crate) month: Month,
    pub(crate) participants: &'a [Participant],
    /// The driver use of each participant while it took part, in their order.
    pub(crate) driver_use: Vec<Exact>,
    /// The total of each kind, in the card's currency and a line's precision.
    pub(crate) totals: BTreeMap<Charge, Exact>,
}

/// How a pool was split.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// What each participant pays of each kind.
    pub(crate) parts: Vec<(String, Charge, Exact)>,
    /// What joins the next period's pool.
    pub(crate) carried: Exact,
}

impl Pool<'_> {
    /// Splits the total of each kind by the participants' ratios.
    pub(crate) fn split(&self) -> Split {
        let (ratios, billed) = self.ratios();
        let mut split = Split::default();
        for (charge, total) in &self.totals {
            if *charge == Charge::Retirement && self.owner_pays_retirement() {
                split.parts.push((self.owner.to_owned(), *charge, total.clone()));
                continue;
            }
            let now = if *charge == Charge::Retirement {
                total.clone()
            } else {
                self.book.line_amount(&(total * &billed))
            };
            split.carried += total - &now;
            let parts = largest_remainder(&now, self.book.line_places(), &ratios);
            let agencies = self.participants.iter().map(|participant| participant.agency.clone());
            split
                .parts
                .extend(agencies.zip(parts).map(|(agency, part)| (agency, *charge, part)));
        }
        split
    }

    /// The ratio of each participant, and the part of the pool that is billed in this period.
    fn ratios(&self) -> (Vec<Exact>, Exact) {
        let by_weight = self.by_weight();
        let fixed = &self.sharing.fixed_share;
        let rest = &Exact::ONE - fixed;
        let used: Exact = self.driver_use.iter().sum();
        if rest.is_zero() {
            return (by_weight, Exact::ONE);
        }
        let scaled = |ratios: &[Exact], part: &Exact| ratios.iter().map(|ratio| ratio * part).collect::<Vec<_>>();
        let fixed_part = scaled(&by_weight, fixed);
        if !used.is_zero() {
            let by_use = self
                .driver_use
                .iter()
                .map(|own| own.checked_div(&used).unwrap_or_default());
            let ratios = fixed_part
                .iter()
                .zip(by_use)
                .map(|(weight, own)| weight + &(&own * &rest))
                .collect();
            return (ratios, Exact::ONE);
        }
        match self.sharing.on_no_usage {
            OnNoUsage::Owner => (
                fixed_part
                    .iter()
                    .zip(self.owner_only())
                    .map(|(weight, own)| weight + &(&own * &rest))
                    .collect(),
                Exact::ONE,
            ),
            // After the last period there is none that could take it.
            OnNoUsage::CarryForward if !self.ends() => (by_weight, fixed.clone()),
            OnNoUsage::CarryForward | OnNoUsage::ByWeight => (by_weight, Exact::ONE),
        }
    }

    /// Weights over their sum; where all are zero, the owner.
    fn by_weight(&self) -> Vec<Exact> {
        let total: Exact = self.participants.iter().map(|participant| &participant.weight).sum();
        if total.is_zero() {
            return self.owner_only();
        }
        self.participants
            .iter()
            .map(|participant| participant.weight.checked_div(&total).unwrap_or_default())
            .collect()
    }

    fn owner_only(&self) -> Vec<Exact> {
        let ratio = |participant: &Participant| {
            if participant.agency == self.owner {
                Exact::ONE
            } else {
                Exact::ZERO
            }
        };
        self.participants.iter().map(ratio).collect()
    }

    fn ends(&self) -> bool {
        self.system
            .retirement
            .as_ref()
            .is_some_and(|retirement| Month::of(retirement.date) <= self.month)
    }

    fn owner_pays_retirement(&self) -> bool {
        self.system
            .retirement
            .as_ref()
            .is_some_and(|retirement| retirement.policy == RetirementPolicy::Owner)
    }
}
