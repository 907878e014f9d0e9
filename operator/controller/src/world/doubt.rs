//! Which agencies and systems are as they are said to be.
//!
//! A list may be old, and the news after it: an API server that has fallen behind answers with objects that are gone by now. What
//! is made for one of them would stay for ever, for nobody is left to take it away. So an owner is in doubt from when it is
//! first heard of, or when another replica led, until the API server answers to a read or a write of it. It is asked before
//! anything is made for the owner; where the owner is written to anyway, as a new one is to be held, that is the question.

use super::World;
use maru_desire::Owner;
use std::collections::HashSet;

/// The owners in doubt.
#[derive(Debug, Default)]
pub(crate) struct Doubts(HashSet<Owner>);

impl Doubts {
    /// It is heard of for the first time.
    pub(super) fn begin(&mut self, owner: Owner) {
        self.0.insert(owner);
    }

    /// The API server answered, or it is gone.
    pub(super) fn end(&mut self, owner: &Owner) {
        self.0.remove(owner);
    }
}

impl World {
    /// Whether an owner must be read again before something is written for it.
    pub(crate) fn doubts(&self, owner: &Owner) -> bool {
        self.read().doubts.0.contains(owner)
    }

    /// The owner was read and is as it is known.
    pub(crate) fn confirm(&self, owner: &Owner) {
        self.write().doubts.end(owner);
    }

    /// Somebody else may have acted since the last news came: every owner is in doubt.
    pub(crate) fn doubt_all(&self) {
        let owners = self.owners();
        self.write().doubts.0.extend(owners);
    }
}
