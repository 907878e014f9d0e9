//! Periods rated one after the other, as they are issued: with what each carries into the next, and with corrections of what became known
//! after it was issued.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use maru_meter::{Interval, UsageRecord};

use crate::book::PriceBook;
use crate::carry::{Carry, Recovery};
use crate::charge::Rated;
use crate::correct::Standing;
use crate::period::Period;
use crate::rating::RateError;
use crate::recover::LinesByAgency;
use crate::usage::{Usage, UsageError};
use crate::worked::Worked;
use crate::world::World;

/// Periods that follow on each other, to which usage is added in any order and which are then rated.
#[derive(Debug)]
pub struct Course<'a> {
    book: &'a PriceBook,
    legs: Vec<Leg<'a>>,
    /// When the last period before the first was issued.
    before: Timestamp,
    /// Records of earlier periods that only a bill of this course could have taken in.
    earlier: u64,
}

/// A period on the way.
#[derive(Debug)]
struct Leg<'a> {
    period: Period,
    /// What was known when it was issued, and what was corrected since.
    usage: Usage<'a>,
    issued: Timestamp,
    /// What became known later, by the place of the period whose bill is the next to be issued.
    late: BTreeMap<usize, Vec<UsageRecord>>,
    /// What became known after the last period was issued.
    beyond: u64,
}

/// A period that was billed.
#[derive(Debug)]
struct Billed {
    standing: Standing,
    carry_in: Carry,
    carry_out: Carry,
    recoveries: Vec<Recovery>,
    warnings: Vec<String>,
}

/// What a bill says of earlier periods.
#[derive(Debug, Default)]
pub(crate) struct Corrections {
    lines: LinesByAgency,
    recoveries: Vec<Recovery>,
    warnings: Vec<String>,
}

impl<'a> Course<'a> {
    /// How long after its end a period is issued, where nothing else is said.
    pub const GRACE: SignedDuration = SignedDuration::from_hours(72);

    /// Periods in the order of time, each issued `grace` after its end.
    pub fn new(
        book: &'a PriceBook,
        world: &'a World,
        periods: impl IntoIterator<Item = Period>,
        grace: SignedDuration,
    ) -> Self {
        let issued = |period: Period| (period, after(period.interval.end, grace));
        Self::issued(book, world, periods.into_iter().map(issued))
    }

    /// Periods in the order of time, with the moment at which each was issued.
    pub fn issued(
        book: &'a PriceBook,
        world: &'a World,
        periods: impl IntoIterator<Item = (Period, Timestamp)>,
    ) -> Self {
        let legs: Vec<Leg<'a>> = periods
            .into_iter()
            .map(|(period, issued)| Leg {
                period,
                usage: Usage::new(book, world, period),
                issued,
                late: BTreeMap::new(),
                beyond: 0,
            })
            .collect();
        let first = legs.first().map(|leg| leg.period.interval.start);
        Self {
            book,
            legs,
            before: first.map_or(Timestamp::MIN, |start| after(start, Self::GRACE)),
            earlier: 0,
        }
    }

    /// The time from the first period's start to the last one's end; nothing where there are no periods.
    pub fn interval(&self) -> Option<Interval> {
        let (first, last) = (self.legs.first()?, self.legs.last()?);
        Some(Interval {
            start: first.period.interval.start,
            end: last.period.interval.end,
        })
    }

    /// Moments across which use must not be summed before it is added: those of each period, and where one begins.
    pub fn cuts(&self) -> Vec<Timestamp> {
        let inside = self.legs.iter().flat_map(|leg| leg.usage.cuts());
        let borders = self.legs.iter().map(|leg| leg.period.interval.start);
        let mut cuts: Vec<Timestamp> = inside.chain(borders).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// Meters whose records must be added one by one.
    pub fn one_by_one(&self) -> Vec<String> {
        self.legs.first().map(|leg| leg.usage.one_by_one()).unwrap_or_default()
    }

    /// The end of each period, and when it was issued: what became known later must be added one by one.
    pub fn issues(&self) -> Vec<(Timestamp, Timestamp)> {
        let of = |leg: &Leg| (leg.period.interval.end, leg.issued);
        self.legs.iter().map(of).collect()
    }

    /// Adds what of a record falls into the periods: to the bill of its own period where it was known in time, else to the first one that
    /// was issued after. Each record is added once.
    pub fn add(&mut self, record: &UsageRecord) -> Result<(), UsageError> {
        let Some(known) = record.recorded_at else {
            return self.legs.iter_mut().try_for_each(|leg| leg.usage.add(record));
        };
        let next = self.legs.iter().position(|leg| known <= leg.issued);
        for leg in &mut self.legs {
            if known <= leg.issued {
                leg.usage.add(record)?;
            } else if leg.usage.admits(record)? {
                match next {
                    Some(next) => leg.late.entry(next).or_default().push(record.clone()),
                    None => leg.beyond += 1,
                }
            }
        }
        let first = self.legs.first().map(|leg| leg.period.interval.start);
        let missed = self.before < known && next.is_some();
        self.earlier += u64::from(missed && first.is_some_and(|first| record.start < first));
        Ok(())
    }

    /// Works all periods out, the first with what the one before it carries.
    pub fn rate(self, carry: &Carry) -> Result<Vec<Rated>, RateError> {
        let beyond: Vec<u64> = self.legs.iter().map(|leg| leg.beyond).collect();
        let earlier = self.earlier;
        let mut all = if self.legs.iter().all(|leg| leg.late.is_empty()) {
            self.rate_in_time(carry)?
        } else {
            self.rate_and_correct(carry)?
        };
        note(&mut all, &beyond, earlier);
        Ok(all)
    }

    fn rate_in_time(self, carry: &Carry) -> Result<Vec<Rated>, RateError> {
        let mut carry = carry.clone();
        let mut all = Vec::new();
        for leg in self.legs {
            let rated = leg.usage.rate_after(&carry)?;
            carry = rated.carry().clone();
            all.push(rated);
        }
        Ok(all)
    }

    fn rate_and_correct(mut self, carry: &Carry) -> Result<Vec<Rated>, RateError> {
        let mut billed: Vec<Billed> = Vec::new();
        let mut all = Vec::new();
        for place in 0..self.legs.len() {
            let (carry_in, corrections) = self.correct(place, carry, &mut billed)?;
            let leg = &self.legs[place];
            let worked = leg.usage.clone().work_out(&carry_in)?;
            billed.push(Billed {
                standing: Standing::default(),
                carry_in,
                carry_out: worked.recovered.carry.clone(),
                recoveries: worked.recovered.recoveries.clone(),
                warnings: worked.warnings.clone(),
            });
            let rated = corrections.on(worked).rated(self.book, leg.period);
            for (billed, of) in billed.iter_mut().zip(&self.legs) {
                for statement in rated.statements() {
                    billed.standing.enter(statement, rated.month(), of.period.interval);
                }
            }
            all.push(rated);
        }
        Ok(all)
    }

    /// Works the periods before a place out again where anything that became known since changes them, and says what the next one begins with.
    fn correct(
        &mut self,
        place: usize,
        carry: &Carry,
        billed: &mut [Billed],
    ) -> Result<(Carry, Corrections), RateError> {
        let mut carry = carry.clone();
        let mut corrections = Corrections::default();
        for (leg, billed) in self.legs.iter_mut().zip(billed) {
            let late = leg.late.remove(&place).unwrap_or_default();
            for record in &late {
                leg.usage.add(record)?;
            }
            if !late.is_empty() || carry != billed.carry_in {
                let worked = leg.usage.clone().work_out(&carry)?;
                billed.carry_in = carry;
                billed.replace(worked, leg.period, &mut corrections);
            }
            carry = billed.carry_out.clone();
        }
        Ok((carry, corrections))
    }
}

fn after(moment: Timestamp, grace: SignedDuration) -> Timestamp {
    moment.checked_add(grace).unwrap_or(Timestamp::MAX)
}

impl Billed {
    fn replace(&mut self, worked: Worked, period: Period, corrections: &mut Corrections) {
        let Worked {
            lines,
            recovered,
            warnings,
        } = worked;
        corrections.lines(self.standing.correct(lines));
        corrections.recoveries(&self.recoveries, &recovered.recoveries);
        corrections.news(&self.warnings, &warnings, period);
        self.carry_out = recovered.carry;
        self.recoveries = recovered.recoveries;
        self.warnings = warnings;
    }
}

impl Corrections {
    /// Adds lines.
    pub(crate) fn lines(&mut self, found: LinesByAgency) {
        for (agency, lines) in found {
            self.lines.entry(agency).or_default().extend(lines);
        }
    }

    /// Adds by how much the recoveries of a period are others.
    pub(crate) fn recoveries(&mut self, before: &[Recovery], now: &[Recovery]) {
        for now in now {
            let before = before.iter().find(|before| before.system == now.system);
            let (cost, charged) = before.map_or((now.cost.clone(), now.charged.clone()), |before| {
                (&now.cost - &before.cost, &now.charged - &before.charged)
            });
            if !cost.is_zero() || !charged.is_zero() {
                self.recoveries.push(Recovery {
                    cost,
                    charged,
                    ..now.clone()
                });
            }
        }
    }

    /// Adds what was not said of a period before.
    pub(crate) fn news(&mut self, before: &[String], now: &[String], period: Period) {
        let news = now.iter().filter(|warning| !before.contains(warning));
        let news = news.map(|warning| format!("{} as it is corrected: {warning}", period.month));
        self.warnings.extend(news);
    }

    /// Puts them on the bills of a period.
    pub(crate) fn on(self, mut worked: Worked) -> Worked {
        for (agency, lines) in self.lines {
            worked.lines.entry(agency).or_default().extend(lines);
        }
        let own = std::mem::take(&mut worked.recovered.recoveries);
        worked.recovered.recoveries = self.recoveries.into_iter().chain(own).collect();
        worked.warnings.extend(self.warnings);
        worked
    }
}

/// Says which records are on no bill.
fn note(all: &mut [Rated], beyond: &[u64], earlier: u64) {
    for (rated, count) in all.iter_mut().zip(beyond).filter(|(_, count)| **count > 0) {
        rated.warnings.push(format!(
            "usage records that became known after the bills were issued, and are left to a later period's: {count}"
        ));
    }
    if let Some(first) = all.first_mut().filter(|_| earlier > 0) {
        first.warnings.push(format!(
            "usage records of earlier periods that became known after those were issued: {earlier}; they are corrected by a run that begins with the \
             earliest of these periods"
        ));
    }
}
