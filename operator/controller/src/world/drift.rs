//! What others changed of objects that Maru wrote, until it is put right.
//!
//! An object was put right when a write brings its fields back to what they were before somebody else changed or deleted it.
//! What a new spec changes is no drift.

use maru_apply::Fingerprint;
use maru_desire::{ObjectKey, ObjectKind, Owner};
use std::collections::HashMap;

/// Changes of others, by owner.
#[derive(Debug, Default)]
pub(crate) struct Drift {
    owners: HashMap<Owner, OwnerDrift>,
    ticks: u64,
}

#[derive(Debug, Default)]
struct OwnerDrift {
    before: HashMap<ObjectKey, (Fingerprint, u64)>,
    healed: Vec<ObjectKind>,
}

impl Drift {
    /// How many changes were noted so far. Given to [`Drift::settle`] by whoever began a turn here.
    pub(crate) const fn ticks(&self) -> u64 {
        self.ticks
    }

    /// A watch told that an object changed or went; this is how it was.
    pub(crate) fn note(&mut self, owner: &Owner, key: &ObjectKey, before: Fingerprint) {
        self.ticks += 1;
        let ticks = self.ticks;
        let drift = self.owners.entry(owner.clone()).or_default();
        drift.before.entry(key.clone()).or_insert((before, ticks));
    }

    /// A write made this of an object.
    pub(crate) fn wrote(&mut self, owner: &Owner, key: &ObjectKey, now: Fingerprint) {
        let Some(drift) = self.owners.get_mut(owner) else {
            return;
        };
        if drift.before.remove(key).is_some_and(|(before, _)| before == now) {
            drift.healed.push(key.kind);
        }
    }

    /// A turn that began at `ticks` has ended well: what was noted before it and not put right was no drift. Gives the kinds of
    /// those that were.
    pub(crate) fn settle(&mut self, owner: &Owner, ticks: u64) -> Vec<ObjectKind> {
        let Some(drift) = self.owners.get_mut(owner) else {
            return Vec::new();
        };
        drift.before.retain(|_, (_, noted)| *noted > ticks);
        let healed = std::mem::take(&mut drift.healed);
        if drift.before.is_empty() {
            self.owners.remove(owner);
        }
        healed
    }
}
