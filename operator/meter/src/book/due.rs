//! What is due: records to write, and finalizers to take off once they are written.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::hours::hour_of;
use crate::record::UsageRecord;

use super::thing::{End, Thing, Whose};
use super::{Book, FORCED_WAITS};

/// Records that belong together, and what is so when they are durable.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// What is to be made durable.
    pub records: Vec<UsageRecord>,
    /// Namespaces of which is not known whose they are: what is in them waits.
    pub unknown: BTreeSet<String>,
    /// Hours before this one are being recorded: before the records are written, a checkpoint is to be kept, so that whoever goes on from it
    /// knows that they may be there.
    pub closing: Option<Timestamp>,
    done: Vec<Done>,
    /// Every hour before is recorded with it.
    closes: Option<Timestamp>,
}

impl Batch {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.closes.is_none()
    }
}

#[derive(Clone, Debug)]
struct Done {
    uid: Arc<str>,
    written: Timestamp,
    end: Option<End>,
}

/// An object that need not stay any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Which.
    pub uid: String,
    /// Where.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Book {
    /// What is due at a moment, in about `most` records: all of what is over, and the hours that are over for what goes on. With
    /// less than was due, there is more after [`Book::written`].
    pub fn due(&mut self, now: Timestamp, most: usize) -> Batch {
        self.give_up_on_forced(now);
        let mut batch = Batch::default();
        let known = self.current.checked_sub(self.margin).unwrap_or(Timestamp::MIN);
        let close = hour_of(known).max(self.closed);
        for uid in &self.over {
            if batch.records.len() >= most {
                return batch;
            }
            self.add(uid, close, &mut batch);
        }
        if close == self.closed {
            return batch;
        }
        batch.closing = Some(close);
        self.closing = self.closing.max(close);
        for (uid, thing) in &self.things {
            if thing.is_over() || thing.written >= close {
                continue;
            }
            if batch.records.len() >= most {
                return batch;
            }
            self.add(uid, close, &mut batch);
        }
        if batch.unknown.is_empty() {
            batch.closes = Some(close);
        }
        batch
    }

    fn add(&self, uid: &Arc<str>, close: Timestamp, batch: &mut Batch) {
        let Some(thing) = self.things.get(uid) else { return };
        let due = thing.due(close, self.closing, self.floor);
        let whose = match (&thing.agency, self.agencies.get(&thing.namespace)) {
            (Some(agency), _) | (None, Some(Some(agency))) => Some(agency),
            (None, Some(None)) => None,
            (None, None) if due.is_none() => None,
            (None, None) => {
                batch.unknown.insert(thing.namespace.to_string());
                return;
            }
        };
        if let (Some(agency), Some(hours)) = (whose, due) {
            let whose = Whose {
                source: self.source,
                uid,
                agency,
                closing: self.closing,
            };
            thing.records(&whose, hours, &mut batch.records);
        }
        batch.done.push(Done {
            uid: Arc::clone(uid),
            written: due.map_or(thing.written, |due| due.end),
            end: thing.end,
        });
    }

    /// A batch is durable.
    pub fn written(&mut self, batch: &Batch) {
        for done in &batch.done {
            let Some(thing) = self.things.get_mut(&done.uid) else {
                continue;
            };
            thing.written = thing.written.max(done.written);
            // Its end may have become known while the batch was on its way.
            if !thing.is_over() || thing.end != done.end {
                continue;
            }
            thing.settled = true;
            self.over.remove(&done.uid);
            if thing.gone {
                self.things.remove(&done.uid);
            }
        }
        if let Some(closes) = batch.closes {
            self.closed = self.closed.max(closes);
        }
    }

    /// What is recorded up to its end and still has the finalizer.
    pub fn releases(&self) -> Vec<Release> {
        let recorded = self
            .things
            .iter()
            .filter(|(_, thing)| thing.settled && thing.finalizer && !thing.gone);
        let release = |(uid, thing): (&Arc<str>, &Thing)| Release {
            uid: uid.to_string(),
            namespace: thing.namespace.to_string(),
            name: thing.name.to_string(),
        };
        recorded.map(release).collect()
    }

    /// The finalizer of an object is off.
    pub fn released(&mut self, release: &Release) {
        if let Some(thing) = self.things.get_mut(release.uid.as_str()) {
            thing.finalizer = false;
        }
    }

    /// What was deleted by force has had its time to say when it ended.
    fn give_up_on_forced(&mut self, now: Timestamp) {
        for uid in std::mem::take(&mut self.forced) {
            let Some(thing) = self.things.get_mut(&uid) else {
                continue;
            };
            match thing.deleting {
                Some(deleting) if deleting + FORCED_WAITS <= now => {
                    thing.ends(End {
                        at: deleting,
                        unsure_from: Some(deleting),
                    });
                    self.over.insert(uid);
                }
                _ => {
                    self.forced.insert(uid);
                }
            }
        }
    }
}
