//! The book of what is held: it takes in what a watch says of objects, in order, and says which records are due.
//!
//! It knows no clock and no client. Whoever drives it tells it what was heard and until when it is known to be complete, makes the
//! records of a [`Batch`] durable, tells that with [`Book::written`], and only then takes finalizers off. If it is lost at any moment, what the API server
//! holds and the last [`Checkpoint`] give the same records again, with the same ids.

mod checkpoint;
mod due;
mod thing;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::amounts::{Amounts, Observed};
use crate::hours::hour_of;
use crate::record::Completeness;

pub use checkpoint::Checkpoint;
pub use due::{Batch, Release};
use thing::{End, Thing};

/// How far back records are made for what was never heard of before: the longest that rating looks back.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(31 * 24);
/// How long something that was deleted by force may still say when it ended.
const FORCED_WAITS: SignedDuration = SignedDuration::from_secs(30);

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Pods and what they reserve.
    Pods,
    /// Volume claims and what is provisioned for them.
    Volumes,
}

impl Source {
    /// Its name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Volumes => "volumes",
        }
    }

    pub(crate) fn resource(self) -> &'static str {
        match self {
            Self::Pods => "pod",
            Self::Volumes => "volume",
        }
    }

    /// How well the end is known of something that is gone and did not say when it ended, where its going was seen at once.
    /// A pod's containers may have ended before; a volume is there until its claim goes.
    fn gone_unsaid(self) -> Completeness {
        match self {
            Self::Pods => Completeness::Estimated,
            Self::Volumes => Completeness::Complete,
        }
    }
}

/// How something was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// From a watch that follows what happens.
    Live,
    /// From a watch that was taken up again and tells, without a gap, what happened before now.
    Later,
    /// From a list: what was between it and the last knowledge is not known.
    Listed,
}

/// By UID. The order in which it is gone through follows from what was put in and from nothing else, so that the same life gives the same batches.
type ByUid<V> = HashMap<Arc<str>, V, BuildHasherDefault<DefaultHasher>>;

/// What is held, by whom, since when, and what of it is recorded.
#[derive(Clone, Debug)]
pub struct Book {
    source: Source,
    /// How long after an hour its end may still be reported.
    margin: SignedDuration,
    /// Nothing is recorded before.
    floor: Timestamp,
    /// The hours before are recorded.
    closed: Timestamp,
    /// The hours before may be recorded.
    closing: Timestamp,
    /// Everything that happened before was heard of.
    current: Timestamp,
    agencies: HashMap<Arc<str>, Option<Arc<str>>>,
    things: ByUid<Thing>,
    /// What is over and not all recorded.
    over: BTreeSet<Arc<str>>,
    /// What was deleted by force and did not say when it ended.
    forced: BTreeSet<Arc<str>>,
    listed: Option<HashSet<Arc<str>>>,
    words: HashSet<Arc<str>>,
    amounts: HashSet<Arc<Amounts>>,
}

impl Book {
    /// An empty book. `margin` is how long after an hour its end may still be reported before the hour is recorded.
    pub fn new(source: Source, now: Timestamp, margin: SignedDuration) -> Self {
        let floor = hour_of(now.checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN));
        Self {
            source,
            margin,
            floor,
            closed: floor,
            closing: floor,
            current: floor,
            agencies: HashMap::new(),
            things: ByUid::default(),
            over: BTreeSet::new(),
            forced: BTreeSet::new(),
            listed: None,
            words: HashSet::new(),
            amounts: HashSet::new(),
        }
    }

    /// A namespace is an agency's, or nobody's.
    pub fn namespace(&mut self, name: &str, agency: Option<&str>) {
        let name = self.word(name);
        let agency = agency
            .filter(|agency| !agency.is_empty())
            .map(|agency| self.word(agency));
        self.agencies.insert(name, agency);
    }

    /// How many objects it knows.
    pub fn len(&self) -> usize {
        self.things.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    /// How many are over and not all recorded.
    pub fn waiting(&self) -> usize {
        self.over.len() + self.forced.len()
    }

    /// The hours before are recorded.
    pub fn closed(&self) -> Timestamp {
        self.closed
    }

    /// Everything that happened before this moment was heard of.
    pub fn known_until(&self) -> Timestamp {
        self.current
    }

    /// Everything that happened before a moment was heard of.
    pub fn is_current(&mut self, moment: Timestamp) {
        self.current = self.current.max(moment);
    }

    /// An object is there.
    pub fn see(&mut self, seen: &Observed, now: Timestamp, heard: Heard) {
        let (uid, amounts) = (self.word_of_uid(&seen.uid), self.amounts(&seen.amounts));
        if let Some(listed) = &mut self.listed {
            listed.insert(Arc::clone(&uid));
        }
        let hole = (heard == Heard::Listed).then_some(self.current);
        let (namespace, system) = (
            self.word(&seen.namespace),
            seen.system.as_deref().map(|text| self.word(text)),
        );
        let agency = self.agencies.get(&namespace).cloned().flatten();
        let closed = self.closed;
        let thing = self.things.entry(Arc::clone(&uid)).or_insert_with(|| Thing {
            namespace,
            name: seen.name.as_str().into(),
            system,
            agency: None,
            created: seen.created,
            held: None,
            generation: seen.generation,
            pieces: Vec::new(),
            end: None,
            deleting: None,
            forced: false,
            finalizer: false,
            gone: false,
            written: closed,
            settled: false,
        });
        thing.agency = thing.agency.take().or(agency);
        thing.update(seen, &amounts, now, hole);
        if thing.is_over() && !thing.settled {
            self.over.insert(Arc::clone(&uid));
        }
        if thing.forced && thing.end.is_none() {
            self.forced.insert(uid);
        } else {
            self.forced.remove(&uid);
        }
    }

    /// An object is gone; `seen` is the last that it said.
    pub fn gone(&mut self, seen: &Observed, now: Timestamp, heard: Heard) {
        self.see(seen, now, heard);
        let uid = self.word_of_uid(&seen.uid);
        self.forced.remove(&uid);
        let (current, unsaid) = (self.current, self.source.gone_unsaid());
        let Some(thing) = self.things.get_mut(&uid) else { return };
        thing.gone = true;
        if thing.end.is_none() {
            thing.ends(match heard {
                Heard::Live if unsaid == Completeness::Complete => End {
                    at: now,
                    unsure_from: None,
                },
                // Where it was deleted by force, that was the moment. It was there when it was last written.
                Heard::Live => {
                    let at = thing.deleting.filter(|_| thing.forced).unwrap_or(now).min(now);
                    End {
                        at,
                        unsure_from: Some(seen.changed.unwrap_or(at).min(at)),
                    }
                }
                // It was there when it was last written, and at the time up to which all is known.
                Heard::Later | Heard::Listed => {
                    let least = seen.changed.map_or(current, |changed| changed.max(current));
                    let at = thing.deleting.map_or(least, |deleting| deleting.max(least)).min(now);
                    End {
                        at,
                        unsure_from: Some(current.min(at)),
                    }
                }
            });
        }
        self.leave_or_wait(&uid);
    }

    /// A list begins: what was known before may be gone.
    pub fn begin_list(&mut self) {
        self.listed = Some(HashSet::new());
    }

    /// The list is complete. What it did not name went at a moment that nobody saw: not before the book's knowledge ended, and not after
    /// its successor of the same name was made.
    pub fn end_list(&mut self) {
        let Some(listed) = self.listed.take() else { return };
        let vanished: Vec<Arc<str>> = self
            .things
            .iter()
            .filter(|(uid, thing)| !thing.gone && !listed.contains(*uid))
            .map(|(uid, _)| Arc::clone(uid))
            .collect();
        if vanished.is_empty() {
            return;
        }
        let mut successors: HashMap<(Arc<str>, Box<str>), Timestamp> = HashMap::new();
        for thing in listed.iter().filter_map(|uid| self.things.get(uid)) {
            if let Some(created) = thing.created {
                successors.insert((Arc::clone(&thing.namespace), thing.name.clone()), created);
            }
        }
        let current = self.current;
        for uid in vanished {
            self.forced.remove(&uid);
            if let Some(thing) = self.things.get_mut(&uid) {
                thing.gone = true;
                if thing.end.is_none() {
                    let successor = successors.get(&(Arc::clone(&thing.namespace), thing.name.clone()));
                    let at = successor.map_or(current, |created| current.max(*created));
                    thing.ends(End {
                        at,
                        unsure_from: Some(current),
                    });
                }
            }
            self.leave_or_wait(&uid);
        }
    }

    /// What is gone is forgotten once it is recorded.
    fn leave_or_wait(&mut self, uid: &Arc<str>) {
        if self.things.get(uid).is_some_and(|thing| thing.settled) {
            self.things.remove(uid);
            self.over.remove(uid);
        } else {
            self.over.insert(Arc::clone(uid));
        }
    }

    fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.words.get(text) {
            return Arc::clone(known);
        }
        let word: Arc<str> = text.into();
        self.words.insert(Arc::clone(&word));
        word
    }

    fn word_of_uid(&self, uid: &str) -> Arc<str> {
        self.things
            .get_key_value(uid)
            .map_or_else(|| uid.into(), |(known, _)| Arc::clone(known))
    }

    fn amounts(&mut self, amounts: &Amounts) -> Arc<Amounts> {
        if let Some(known) = self.amounts.get(amounts) {
            return Arc::clone(known);
        }
        let amounts = Arc::new(amounts.clone());
        self.amounts.insert(Arc::clone(&amounts));
        amounts
    }
}
