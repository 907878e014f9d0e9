//! What a book must remember to go on where it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::amounts::Amounts;

use super::thing::{End, Piece, Thing};
use super::{Book, Source};

/// A book as it is kept, with the place in the watch that it goes on from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// The `resourceVersion` up to which the book knows everything.
    pub version: String,
    floor: Timestamp,
    closed: Timestamp,
    closing: Timestamp,
    current: Timestamp,
    amounts: Vec<Amounts>,
    things: Vec<Kept>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    uid: String,
    namespace: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agency: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<Timestamp>,
    generation: i64,
    /// Since when, which of the amounts, and from when on that is not sure.
    pieces: Vec<(Timestamp, usize, Option<Timestamp>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<(Timestamp, Option<Timestamp>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleting: Option<Timestamp>,
    /// Forced, with a finalizer, gone, settled.
    flags: [bool; 4],
    written: Timestamp,
}

impl Checkpoint {
    /// The hours before are recorded.
    pub fn closed(&self) -> Timestamp {
        self.closed
    }
}

impl Book {
    /// The book as it is now, to go on from a place in the watch.
    pub fn checkpoint(&self, version: &str) -> Checkpoint {
        let mut numbers: BTreeMap<&Amounts, usize> = BTreeMap::new();
        let mut amounts = Vec::new();
        let mut things = Vec::with_capacity(self.things.len());
        for (uid, thing) in &self.things {
            let pieces = thing.pieces.iter().map(|piece| {
                let number = *numbers.entry(&piece.amounts).or_insert_with(|| {
                    amounts.push((*piece.amounts).clone());
                    amounts.len() - 1
                });
                (piece.since, number, piece.unsure_from)
            });
            things.push(Kept {
                uid: uid.to_string(),
                namespace: thing.namespace.to_string(),
                name: thing.name.to_string(),
                system: thing.system.as_ref().map(ToString::to_string),
                agency: thing.agency.as_ref().map(ToString::to_string),
                created: thing.created,
                held: thing.held,
                generation: thing.generation,
                pieces: pieces.collect(),
                end: thing.end.map(|end| (end.at, end.unsure_from)),
                deleting: thing.deleting,
                flags: [thing.forced, thing.finalizer, thing.gone, thing.settled],
                written: thing.written,
            });
        }
        Checkpoint {
            version: version.to_owned(),
            floor: self.floor,
            closed: self.closed,
            closing: self.closing,
            current: self.current,
            amounts,
            things,
        }
    }

    /// A book as it was.
    pub fn restore(source: Source, checkpoint: &Checkpoint, margin: SignedDuration) -> Self {
        let mut book = Self {
            floor: checkpoint.floor,
            closed: checkpoint.closed,
            closing: checkpoint.closing,
            current: checkpoint.current,
            ..Self::new(source, checkpoint.current, margin)
        };
        for kept in &checkpoint.things {
            let uid: Arc<str> = kept.uid.as_str().into();
            let thing = book.thing_of(kept, &checkpoint.amounts);
            if thing.is_over() && !thing.settled {
                book.over.insert(Arc::clone(&uid));
            }
            if thing.forced && thing.end.is_none() {
                book.forced.insert(Arc::clone(&uid));
            }
            book.things.insert(uid, thing);
        }
        book
    }

    fn thing_of(&mut self, kept: &Kept, amounts: &[Amounts]) -> Thing {
        let pieces = kept.pieces.iter().map(|(since, number, unsure_from)| Piece {
            since: *since,
            amounts: self.amounts(amounts.get(*number).unwrap_or(&Amounts::default())),
            unsure_from: *unsure_from,
        });
        let pieces = pieces.collect();
        let [forced, finalizer, gone, settled] = kept.flags;
        Thing {
            namespace: self.word(&kept.namespace),
            name: kept.name.as_str().into(),
            system: kept.system.as_deref().map(|text| self.word(text)),
            agency: kept.agency.as_deref().map(|text| self.word(text)),
            created: kept.created,
            held: kept.held,
            generation: kept.generation,
            pieces,
            end: kept.end.map(|(at, unsure_from)| End { at, unsure_from }),
            deleting: kept.deleting,
            forced,
            finalizer,
            gone,
            written: kept.written,
            settled,
        }
    }
}
