//! Rating a period: from collected usage to a statement for each agency.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use maru_meter::{Completeness, Exact};

use crate::book::{Item, Price, PriceBook};
use crate::carry::Carry;
use crate::charge::{Charge, Line, Pricing, Rated};
use crate::currency::Currency;
use crate::period::Month;
use crate::price::Position;
use crate::recover::SystemCosts;
use crate::split::largest_remainder;
use crate::timeline::{Segment, Timeline};
use crate::total::Total;
use crate::usage::{Cell, MeterUse, Usage, UsageError};
use crate::worked::Worked;
use crate::world::World;

/// Why a period cannot be rated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// Prices are in a currency whose worth is not known.
    #[error(
        "spec.exchangeRates: nothing is said of {currency} at {moment}, and prices in it are needed there; allowed is a rate with an earlier `from`"
    )]
    NoExchangeRate {
        /// Which.
        currency: Currency,
        /// When.
        moment: Timestamp,
    },
    /// A record that became known late does not go with the price book.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// More was used than there was, so that one of the two figures is wrong.
    #[error(transparent)]
    NegativeIdle(Box<NegativeIdle>),
}

/// More of a cost pool's driver was used than its capacity offers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cost pool {pool}: {used} of `{meter}` were used and spec.capacity offers {provided}; allowed is a capacity that is at least what was used"
)]
pub struct NegativeIdle {
    /// Which pool.
    pub pool: String,
    /// Its driver.
    pub meter: String,
    /// What there was in the period.
    pub provided: Exact,
    /// What was used of it.
    pub used: Exact,
}

impl Usage<'_> {
    /// Works the period out, as the first one.
    pub fn rate(self) -> Result<Rated, RateError> {
        self.rate_after(&Carry::default())
    }

    /// Works the period out, with what the period before carried into it.
    pub fn rate_after(self, carry: &Carry) -> Result<Rated, RateError> {
        let (book, period) = (self.book, self.period);
        Ok(self.work_out(carry)?.rated(book, period))
    }

    /// The period's charges, before they become statements.
    pub(crate) fn work_out(self, carry: &Carry) -> Result<Worked, RateError> {
        let (book, world, period) = (self.book, self.world, self.period);
        let (timeline, shared) = (self.timeline.clone(), self.shared.clone());
        let collected = self.into_collected();
        let mut warnings = Vec::new();
        let mut lines: BTreeMap<String, Vec<Line>> = BTreeMap::new();
        let mut platform: BTreeMap<String, Exact> = BTreeMap::new();
        for agency in world.agencies.iter().chain(collected.cells.keys()) {
            lines.entry(agency.clone()).or_default();
        }
        for (agency, lines) in &mut lines {
            if !world.agencies.contains(agency) {
                warnings.push(format!(
                    "agency `{agency}` is named by usage only: no manifest describes it"
                ));
            }
            let rating = AgencyRating {
                book,
                timeline: &timeline,
                agency,
            };
            for used in collected.cells.get(agency).into_iter().flatten() {
                rating.meter_lines(used, lines, &mut warnings)?;
            }
            rating.percentage_lines(lines);
            take_platform(world, period.month, agency, lines, &mut platform);
            rating.minimum_line(lines);
        }
        let recovery = SystemCosts {
            book,
            world,
            period,
            timeline: &timeline,
            shared: &shared,
            driver_use: &collected.driver_use,
        };
        let recovered = recovery.recover(&platform, &collected.pool_use, carry, &mut lines, &mut warnings)?;

        Ok(Worked {
            lines,
            recovered,
            warnings,
        })
    }
}

/// Takes the owner's own use of its shared systems off its lines: it is paid out of the system's pool.
fn take_platform(
    world: &World,
    month: Month,
    agency: &str,
    lines: &mut Vec<Line>,
    platform: &mut BTreeMap<String, Exact>,
) {
    lines.retain(|line| {
        let Some(system) = &line.system else { return true };
        if !world.has_pool(system, month) || world.owner_of(system) != agency {
            return true;
        }
        *platform.entry(system.to_string()).or_default() += &line.amount;
        false
    });
}

/// The rating of one agency.
struct AgencyRating<'a> {
    book: &'a PriceBook,
    timeline: &'a Timeline,
    agency: &'a str,
}

impl AgencyRating<'_> {
    /// The lines of one meter: priced over all systems of the agency, then split to them.
    fn meter_lines(&self, used: &MeterUse, lines: &mut Vec<Line>, warnings: &mut Vec<String>) -> Result<(), RateError> {
        let meter = &used.meter;
        let item = |version: usize| self.book.versions[version].items.get(&**meter);
        let segments = self.timeline.segments(self.book, item);
        let sums: Vec<Vec<Sum>> = segments
            .iter()
            .map(|segment| in_segment(&used.systems, segment))
            .collect();
        let whole: Exact = sums.iter().flatten().map(|sum| &sum.quantity).sum();
        let mut position = Position::default();
        for (segment, sums) in segments.iter().zip(sums) {
            if sums.is_empty() {
                continue;
            }
            let Some((version, item)) = segment.version.and_then(|version| Some((version, item(version)?))) else {
                warnings.push(format!(
                    "agency `{}`: meter `{meter}` has use and no price from {}: its amount is 0",
                    self.agency, segment.interval.start
                ));
                lines.extend(sums.into_iter().map(|sum| unpriced(meter, sum, segment)));
                continue;
            };
            let quantities: Vec<Exact> = sums.iter().map(|sum| sum.quantity.clone()).collect();
            let amount = position.charge(&item.price, version, &quantities.iter().sum(), &whole);
            let exchange = self.exchange(item, segment.interval.start)?;
            let amount = self.book.line_amount(&(&amount * &exchange));
            let parts = largest_remainder(&amount, self.book.line_places(), &quantities);
            let pricing = Arc::new(self.pricing(item, version, exchange));
            lines.extend(sums.into_iter().zip(parts).map(|(sum, part)| Line {
                unit: Some(item.unit.clone()),
                unit_price: unit_price(&item.price),
                amount: part,
                pricing: Some(Arc::clone(&pricing)),
                ..usage_line(meter, sum, segment)
            }));
        }
        Ok(())
    }

    fn pricing(&self, item: &Item, version: usize, exchange_rate: Exact) -> Pricing {
        let (list_price, package_size) = match &item.price {
            Price::PerUnit { unit_price, .. } => (Some(unit_price.clone()), None),
            Price::Package { size, price, .. } => (Some(price.clone()), Some(size.clone())),
            Price::Graduated(_) | Price::Volume(_) => (None, None),
        };
        Pricing {
            version_from: self.book.versions[version].from,
            currency: item.currency.unwrap_or(self.book.currency).code().into(),
            exchange_rate,
            list_price,
            package_size,
        }
    }

    /// What one unit of an item's currency is worth in the card's.
    fn exchange(&self, item: &Item, moment: Timestamp) -> Result<Exact, RateError> {
        let Some(currency) = item.currency else {
            return Ok(Exact::ONE);
        };
        self.book
            .exchange_at(currency, moment)
            .cloned()
            .ok_or(RateError::NoExchangeRate { currency, moment })
    }

    /// Percentages of the amounts of the same version, cut where a tax changes.
    fn percentage_lines(&self, lines: &mut Vec<Line>) {
        let mut more = Vec::new();
        for segment in self.timeline.segments(self.book, |_| None) {
            let Some(version) = segment.version else { continue };
            for percentage in &self.book.versions[version].percentages {
                let mut bases: BTreeMap<&Option<Arc<str>>, (Exact, Completeness)> = BTreeMap::new();
                for line in lines
                    .iter()
                    .filter(|line| line.charge == Charge::Usage && line.interval.overlap(segment.interval).is_some())
                {
                    if line
                        .meter
                        .as_ref()
                        .is_some_and(|meter| percentage.of.iter().any(|of| **of == **meter))
                    {
                        let (base, completeness) = bases.entry(&line.system).or_default();
                        *base += &line.amount;
                        *completeness = (*completeness).max(line.completeness);
                    }
                }
                let weights: Vec<Exact> = bases.values().map(|(base, _)| base.clone()).collect();
                let amount = self
                    .book
                    .line_amount(&(&weights.iter().sum::<Exact>() * &percentage.rate));
                let parts = largest_remainder(&amount, self.book.line_places(), &weights);
                for ((system, (_, completeness)), part) in bases.into_iter().zip(parts) {
                    more.push(Line {
                        system: system.clone(),
                        item: Some(percentage.name.clone()),
                        amount: part,
                        completeness,
                        ..blank(Charge::Percentage, &segment)
                    });
                }
            }
        }
        lines.extend(more);
    }

    /// What is missing to the minimum charge of the version in force when the period ends.
    fn minimum_line(&self, lines: &mut Vec<Line>) {
        let last = self.timeline.slot(self.timeline.len() - 1);
        let Some(version) = self.book.version_at(last.start) else {
            return;
        };
        let charged: Exact = lines.iter().map(|line| &line.amount).sum();
        let missing = self
            .book
            .line_amount(&(&self.book.versions[version].minimum_charge - &charged));
        if missing.is_zero() || missing.is_negative() {
            return;
        }
        let period = Segment {
            interval: maru_meter::Interval {
                start: self.timeline.slot(0).start,
                end: last.end,
            },
            slots: 0..self.timeline.len(),
            version: Some(version),
        };
        lines.push(Line {
            amount: missing,
            taxed_at: last.start,
            ..blank(Charge::Minimum, &period)
        });
    }
}

/// What a system used in a segment.
struct Sum {
    system: Arc<str>,
    quantity: Exact,
    /// The unit that records name.
    unit: Option<Arc<str>>,
    completeness: Completeness,
}

/// What each system used in a segment; systems without a record in it are left out.
fn in_segment(systems: &[(Arc<str>, Cell)], segment: &Segment) -> Vec<Sum> {
    let sum = |(system, cell): &(Arc<str>, Cell)| {
        let mut inside = cell
            .slots
            .iter()
            .filter(|(slot, _)| segment.slots.contains(slot))
            .map(|(_, total)| total);
        let first = inside.next()?;
        let rest: Vec<&Total> = inside.collect();
        let total = if rest.is_empty() {
            None
        } else {
            Some(rest.into_iter().fold(first.clone(), Total::merged))
        };
        let total = total.as_ref().unwrap_or(first);
        let (quantity, completeness) = (total.value(), total.completeness);
        Some(Sum {
            system: system.clone(),
            quantity,
            unit: cell.unit.clone(),
            completeness,
        })
    };
    systems.iter().filter_map(sum).collect()
}

/// A line that says nothing but why it is charged and for what time.
fn blank(charge: Charge, segment: &Segment) -> Line {
    Line {
        system: None,
        charge,
        meter: None,
        item: None,
        quantity: None,
        unit: None,
        unit_price: None,
        amount: Exact::ZERO,
        tax: Exact::ZERO,
        interval: segment.interval,
        taxed_at: segment.interval.start,
        completeness: Completeness::Complete,
        corrects: None,
        correction: None,
        reason: None,
        pricing: None,
        allocation: None,
    }
}

fn usage_line(meter: &Arc<str>, sum: Sum, segment: &Segment) -> Line {
    Line {
        system: Some(sum.system),
        meter: Some(meter.clone()),
        quantity: Some(sum.quantity),
        completeness: sum.completeness,
        ..blank(Charge::Usage, segment)
    }
}

/// Use that nothing prices is on the bill all the same, with the reason.
fn unpriced(meter: &Arc<str>, sum: Sum, segment: &Segment) -> Line {
    Line {
        unit: sum.unit.clone(),
        reason: Some(format!("no item of the rate card prices `{meter}`")),
        ..usage_line(meter, sum, segment)
    }
}

fn unit_price(price: &Price) -> Option<Exact> {
    match price {
        Price::PerUnit { unit_price, .. } => Some(unit_price.clone()),
        _ => None,
    }
}
