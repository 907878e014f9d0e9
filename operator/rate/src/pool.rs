//! The pool of a shared system: who takes part, with what ratio, and what each pays.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use maru_crds::{OnNoUsage, RetirementPolicy};
use maru_meter::{Exact, Interval};

use crate::book::PriceBook;
use crate::charge::{Allocation, AllocationMethod, Basis, Charge};
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
    pub(crate) parts: Vec<Part>,
    /// What joins the next period's pool.
    pub(crate) carried: Exact,
}

/// What a participant pays of a kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) agency: String,
    pub(crate) charge: Charge,
    pub(crate) amount: Exact,
    pub(crate) allocation: Allocation,
}

/// By what a pool is split.
struct Ratios {
    method: AllocationMethod,
    /// Of each participant, in their order; they sum to 1.
    each: Vec<Exact>,
    /// The part of the pool that is billed in this period.
    billed: Exact,
}

impl Pool<'_> {
    /// Splits the total of each kind by the participants' ratios.
    pub(crate) fn split(&self) -> Split {
        let ratios = self.ratios();
        let mut split = Split::default();
        for (charge, total) in &self.totals {
            if *charge == Charge::Retirement && self.owner_pays_retirement() {
                let allocation = Allocation {
                    method: AllocationMethod::Whole,
                    ratio: Exact::ONE,
                    total: total.clone(),
                    basis: None,
                };
                split.parts.push(Part {
                    agency: self.owner.to_owned(),
                    charge: *charge,
                    amount: total.clone(),
                    allocation,
                });
                continue;
            }
            let now = if *charge == Charge::Retirement {
                total.clone()
            } else {
                self.book.line_amount(&(total * &ratios.billed))
            };
            split.carried += total - &now;
            let amounts = largest_remainder(&now, self.book.line_places(), &ratios.each);
            let shares = self.participants.iter().zip(&ratios.each).zip(amounts);
            let parts = shares.enumerate().map(|(place, ((participant, ratio), amount))| Part {
                agency: participant.agency.clone(),
                charge: *charge,
                amount,
                allocation: Allocation {
                    method: ratios.method,
                    ratio: ratio.clone(),
                    total: now.clone(),
                    basis: self.basis(place, ratios.method).map(Box::new),
                },
            });
            split.parts.extend(parts);
        }
        split
    }

    /// The ratio of each participant, and the part of the pool that is billed in this period.
    fn ratios(&self) -> Ratios {
        let by_weight = self.by_weight();
        let fixed = &self.sharing.fixed_share;
        let rest = &Exact::ONE - fixed;
        let used: Exact = self.driver_use.iter().sum();
        let ratios = |method: AllocationMethod, each: Vec<Exact>, billed: &Exact| Ratios {
            method,
            each,
            billed: billed.clone(),
        };
        if rest.is_zero() {
            return ratios(AllocationMethod::Weight, by_weight, &Exact::ONE);
        }
        let mixed = |others: Vec<Exact>| -> Vec<Exact> {
            let both = by_weight.iter().zip(others);
            both.map(|(weight, other)| weight * fixed + &other * &rest).collect()
        };
        if !used.is_zero() {
            let method = if fixed.is_zero() {
                AllocationMethod::Use
            } else {
                AllocationMethod::WeightAndUse
            };
            let part = |own: &Exact| own.checked_div(&used).unwrap_or_default();
            return ratios(method, mixed(self.driver_use.iter().map(part).collect()), &Exact::ONE);
        }
        match self.sharing.on_no_usage {
            OnNoUsage::Owner if fixed.is_zero() => {
                ratios(AllocationMethod::Whole, mixed(self.owner_only()), &Exact::ONE)
            }
            OnNoUsage::Owner => ratios(AllocationMethod::WeightAndUse, mixed(self.owner_only()), &Exact::ONE),
            // After the last period there is none that could take it.
            OnNoUsage::CarryForward if !self.ends() => ratios(AllocationMethod::Weight, by_weight, fixed),
            OnNoUsage::CarryForward | OnNoUsage::ByWeight => ratios(AllocationMethod::Weight, by_weight, &Exact::ONE),
        }
    }

    /// What the ratio of the participant at a place comes from, where it follows from weights and use alone.
    fn basis(&self, place: usize, method: AllocationMethod) -> Option<Basis> {
        let weights: Exact = self.participants.iter().map(|participant| &participant.weight).sum();
        let all_used: Exact = self.driver_use.iter().sum();
        let fixed = match method {
            AllocationMethod::Whole => return None,
            AllocationMethod::Weight => Exact::ONE,
            AllocationMethod::WeightAndUse | AllocationMethod::Use => self.sharing.fixed_share.clone(),
        };
        let by_use = fixed != Exact::ONE;
        if (by_use && all_used.is_zero()) || (!fixed.is_zero() && weights.is_zero()) {
            return None;
        }
        Some(Basis {
            fixed,
            weight: self.participants.get(place)?.weight.clone(),
            weights,
            used: self.driver_use.get(place)?.clone(),
            all_used,
        })
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
