//! The period, cut wherever a price, an exchange rate or a tax changes.

use jiff::Timestamp;
use maru_meter::{Exact, Interval};

use crate::book::{Item, PriceBook};
use crate::period::Period;

/// The period in slots, in each of which nothing in the price book changes.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    /// Starts of the slots, and the end of the last.
    bounds: Vec<Timestamp>,
}

/// Slots next to each other that are one line of an item: the same price version, taxes and exchange rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) interval: Interval,
    /// First slot, and the one after the last.
    pub(crate) slots: std::ops::Range<usize>,
    /// The price version; none before the first.
    pub(crate) version: Option<usize>,
}

/// The time of one line of a meter, and what each record's quantity in it is rounded up to.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) interval: Interval,
    /// Its first slot.
    pub(crate) slot: usize,
    pub(crate) increment: Option<Exact>,
}

impl Timeline {
    pub(crate) fn new(book: &PriceBook, period: Period) -> Self {
        let Interval { start, end } = period.interval;
        let versions = book.versions.iter().map(|version| version.from);
        let taxes = book.taxes.values().flatten().map(|(from, _)| *from);
        let rates = book.exchange.values().flatten().map(|(from, _)| *from);
        let inside = versions
            .chain(taxes)
            .chain(rates)
            .filter(|moment| start < *moment && *moment < end);
        let mut bounds: Vec<Timestamp> = inside.chain([start, end]).collect();
        bounds.sort_unstable();
        bounds.dedup();
        Self { bounds }
    }

    /// How many slots there are; at least one.
    pub(crate) fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// A slot's time.
    pub(crate) fn slot(&self, index: usize) -> Interval {
        Interval {
            start: self.bounds[index],
            end: self.bounds[index + 1],
        }
    }

    /// The slot that holds a moment of the period.
    pub(crate) fn slot_at(&self, moment: Timestamp) -> Option<usize> {
        let index = self.bounds.partition_point(|bound| *bound <= moment).checked_sub(1)?;
        (index < self.len()).then_some(index)
    }

    /// The pieces that records of a meter are cut into.
    pub(crate) fn pieces(&self, book: &PriceBook, meter: &str) -> Vec<Piece> {
        let item = |version: usize| book.versions[version].items.get(meter);
        let segments = self.segments(book, item).into_iter();
        let piece = |segment: Segment| Piece {
            interval: segment.interval,
            slot: segment.slots.start,
            increment: segment.version.and_then(item).and_then(|item| item.increment.clone()),
        };
        segments.map(piece).collect()
    }

    /// The segments of an item, which differs from version to version; `item` finds it in a version.
    pub(crate) fn segments<'b>(&self, book: &'b PriceBook, item: impl Fn(usize) -> Option<&'b Item>) -> Vec<Segment> {
        let terms = |slot: usize| {
            let start = self.slot(slot).start;
            let version = book.version_at(start);
            let currency = version.and_then(&item).and_then(|item| item.currency);
            let rate = currency.map(|currency| book.exchange_at(currency, start));
            (version, book.taxes_at(start), rate)
        };
        let mut segments: Vec<Segment> = Vec::new();
        for slot in 0..self.len() {
            match segments
                .last_mut()
                .filter(|last| terms(last.slots.start) == terms(slot))
            {
                Some(last) => {
                    last.slots.end = slot + 1;
                    last.interval.end = self.slot(slot).end;
                }
                None => segments.push(Segment {
                    interval: self.slot(slot),
                    slots: slot..slot + 1,
                    version: book.version_at(self.slot(slot).start),
                }),
            }
        }
        segments
    }
}
