//! One object that holds something, as the book knows it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::amounts::{Amounts, HeldMeter, Observed, kept, times_hours};
use crate::exact::Exact;
use crate::hours::{Interval, hour_after, hour_of};
use crate::record::{Completeness, UNASSIGNED, UsageRecord};

use super::Source;

/// One object that holds something.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thing {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Box<str>,
    pub(crate) system: Option<Arc<str>>,
    /// Whose it is, once that was known; it stays so.
    pub(crate) agency: Option<Arc<str>>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) held: Option<Timestamp>,
    pub(crate) generation: i64,
    /// How much from when on; the last one until it ends.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) end: Option<End>,
    pub(crate) deleting: Option<Timestamp>,
    pub(crate) forced: bool,
    pub(crate) finalizer: bool,
    /// The API server has forgotten it.
    pub(crate) gone: bool,
    /// Its records before this hour are in the lake.
    pub(crate) written: Timestamp,
    /// All its records up to its end are in the lake.
    pub(crate) settled: bool,
}

/// An amount from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) since: Timestamp,
    pub(crate) amounts: Arc<Amounts>,
    /// Where the change was not seen: it may have been as early as this.
    pub(crate) unsure_from: Option<Timestamp>,
}

/// When something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) at: Timestamp,
    /// Where nobody said so: it may have been as early as this.
    pub(crate) unsure_from: Option<Timestamp>,
}

/// What records say besides what a thing knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    pub(crate) source: Source,
    pub(crate) uid: &'a str,
    pub(crate) agency: &'a str,
    /// The hours before may have been written.
    pub(crate) closing: Timestamp,
}

impl Thing {
    /// What is over will hold nothing any more, or never held anything.
    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some() || self.gone || (self.held.is_none() && self.deleting.is_some())
    }

    /// Takes in what the object says now. `hole` is where the book's knowledge ended, if it did not follow the object all the time.
    pub(crate) fn update(&mut self, seen: &Observed, amounts: &Arc<Amounts>, now: Timestamp, hole: Option<Timestamp>) {
        self.finalizer = seen.finalizer;
        self.deleting = seen.deleting;
        self.forced = seen.forced;
        let changed = seen.changed.unwrap_or(now);
        if self.held.is_none() {
            self.held = seen.held;
            self.pieces = vec![Piece {
                since: seen.held.unwrap_or(Timestamp::MIN),
                amounts: Arc::clone(amounts),
                unsure_from: None,
            }];
            // It was resized before it was ever heard of: what it had then is not known.
            if let (Some(held), Some(_), true) = (seen.held, hole, seen.generation > 1) {
                self.pieces.push(Piece {
                    since: changed.max(held),
                    amounts: Arc::clone(amounts),
                    unsure_from: Some(held),
                });
            }
        } else if let Some(last) = self.pieces.last()
            // There and back while nobody looked is a change, too. And what ended no longer says what it had, only what it was to have.
            && ((last.amounts != *amounts && seen.ended.is_none())
                || (hole.is_some() && seen.generation != self.generation))
        {
            let changed = seen.ended.map_or(changed, |(end, _)| changed.min(end));
            self.pieces.push(Piece {
                since: changed.max(last.since),
                amounts: Arc::clone(amounts),
                unsure_from: hole,
            });
        }
        self.generation = seen.generation;
        if let Some((at, completeness)) = seen.ended {
            let unsure_from = (completeness != Completeness::Complete).then_some(at);
            self.ends(End { at, unsure_from });
        }
    }

    /// Remembers its end; another one than before is to be written again.
    pub(crate) fn ends(&mut self, end: End) {
        let end = End {
            at: self.held.map_or(end.at, |held| end.at.max(held)),
            ..end
        };
        if self.end != Some(end) {
            self.end = Some(end);
            self.settled = false;
        }
    }

    /// The hours whose records are due: of what ended all up to its end, and those after it that may have been written while nobody knew, which are
    /// those before `closing`; of the rest those before `close`. Nothing before `floor`.
    pub(crate) fn due(&self, close: Timestamp, closing: Timestamp, floor: Timestamp) -> Option<Interval> {
        let held = hour_of(self.held?).max(floor);
        let interval = match self.end {
            Some(end) => {
                let last = hour_of(end.at);
                let until = if last == end.at { last } else { hour_after(end.at) };
                Interval {
                    start: self.written.min(last).max(held),
                    end: until.max(closing),
                }
            }
            None => Interval {
                start: self.written.max(held),
                end: close,
            },
        };
        (interval.start < interval.end).then_some(interval)
    }

    /// Its records for some whole hours. A record of nothing is only needed where one of something may have been written before.
    pub(crate) fn records(&self, whose: &Whose<'_>, hours: Interval, records: &mut Vec<UsageRecord>) {
        let Some(held) = self.held else { return };
        let source = whose.source;
        let system = self.system.as_ref().map_or_else(
            || UNASSIGNED.to_owned(),
            |system| format!("{}/{system}", self.namespace),
        );
        for hour in hours.hours() {
            let start = hour.start.max(held);
            let end = self.end.map_or(hour.end, |end| end.at.min(hour.end)).max(start);
            if start == end && hour.start >= whose.closing {
                continue;
            }
            let window = Interval { start, end: hour.end };
            // How far a record reaches: where nobody said when it ended, as far as it may have lasted. So a record that ends before its hour does was
            // written by somebody who was told of the end.
            let told = self.end.is_none_or(|end| end.unsure_from.is_none());
            let reach = if told { end } else { hour.end };
            for meter in self.meters_within(window) {
                records.push(UsageRecord {
                    id: UsageRecord::id_of(source.name(), whose.uid, meter.name(), hour.start),
                    agency: whose.agency.to_owned(),
                    system: system.clone(),
                    resource: format!("{}/{}/{}", source.resource(), self.namespace, self.name),
                    meter: meter.name().to_owned(),
                    quantity: kept(&self.quantity(meter, Interval { start, end })),
                    unit: meter.unit().to_owned(),
                    start,
                    end: reach,
                    source: source.name().to_owned(),
                    completeness: self.completeness(hour),
                    recorded_at: None,
                });
            }
        }
    }

    /// The pieces with the time of each, as if the last one never ended.
    fn spans(&self) -> impl Iterator<Item = (&Piece, Interval)> {
        let ends = self.pieces.iter().skip(1).map(|piece| piece.since);
        let ends = ends.chain(std::iter::once(Timestamp::MAX));
        self.pieces.iter().zip(ends).map(|(piece, end)| {
            let start = piece.since;
            (piece, Interval { start, end })
        })
    }

    fn meters_within(&self, window: Interval) -> Vec<HeldMeter> {
        let inside = self.spans().filter(|(_, span)| span.overlap(window).is_some());
        let mut meters: Vec<HeldMeter> = inside.flat_map(|(piece, _)| piece.amounts.meters()).collect();
        meters.sort();
        meters.dedup();
        meters
    }

    fn quantity(&self, meter: HeldMeter, interval: Interval) -> Exact {
        let parts = self.spans().filter_map(|(piece, span)| {
            let part = span.overlap(interval)?;
            Some(times_hours(&piece.amounts.get(meter), part))
        });
        parts.sum()
    }

    /// Whether anything of an hour was not seen.
    fn completeness(&self, hour: Interval) -> Completeness {
        let touches = |from: Timestamp, until: Timestamp| from <= hour.end && until >= hour.start;
        let unsure_piece = self
            .pieces
            .iter()
            .any(|piece| piece.unsure_from.is_some_and(|from| touches(from, piece.since)));
        let unsure_end = self
            .end
            .is_some_and(|end| end.unsure_from.is_some_and(|from| touches(from, end.at)));
        if unsure_piece || unsure_end {
            Completeness::Estimated
        } else {
            Completeness::Complete
        }
    }
}
