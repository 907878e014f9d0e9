//! What to sum: a period, where it is cut, and what counts one by one.

use std::num::NonZeroUsize;

use jiff::Timestamp;
use maru_meter::Interval;

/// What is summed.
#[derive(Clone, Debug)]
pub struct Summing {
    /// The time of it.
    pub period: Interval,
    /// Moments inside the period where prices, rates or participants change: nothing is summed across them.
    pub cuts: Vec<Timestamp>,
    /// Meters whose records count one by one, such as those with a price increment.
    pub alone: Vec<String>,
    /// Ends of billing periods in the order of time, each with the moment at which it was issued: what became known later counts one by
    /// one, for it is a correction.
    pub issued: Vec<(Timestamp, Timestamp)>,
    /// The table's version; none: as it is now.
    pub version: Option<u64>,
    /// How many files are read at a time.
    pub threads: NonZeroUsize,
}

impl Summing {
    /// The period, cut: nothing is summed across these.
    pub fn slots(&self) -> Vec<Interval> {
        let Interval { start, end } = self.period;
        let inside = self.cuts.iter().copied().filter(|cut| start < *cut && *cut < end);
        let mut borders: Vec<Timestamp> = inside.chain([start, end]).collect();
        borders.sort();
        borders.dedup();
        let slot = |pair: &[Timestamp]| Interval {
            start: pair[0],
            end: pair[1],
        };
        borders.windows(2).map(slot).collect()
    }

    /// When the billing period of a slot was issued, where it was.
    pub fn issued_of(&self, slot: Interval) -> Option<Timestamp> {
        let period = self.issued.iter().find(|(end, _)| slot.end <= *end);
        period.map(|(_, issued)| *issued)
    }
}
