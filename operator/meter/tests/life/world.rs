//! A simulated API server: pods that are made, bound, resized, ended, evicted and deleted, and what is said of that.

use std::collections::BTreeMap;

use jiff::Timestamp;
use maru_meter::{Amounts, Completeness, Exact, HeldMeter, Observed};

/// Splitmix64.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    pub(crate) fn seconds(&mut self, from: i64, until: i64) -> i64 {
        from + i64::try_from(self.roll(u64::try_from(until - from).unwrap())).unwrap()
    }
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A pod as it really is.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Of a `StatefulSet`: its successor has the same name.
    pub(crate) stateful: bool,
    pub(crate) finalizer: bool,
    pub(crate) created: i64,
    pub(crate) bound: Option<i64>,
    /// Since when it has how many thousandths of a core.
    pub(crate) sizes: Vec<(i64, i64)>,
    pub(crate) ended: Option<i64>,
    /// The API server has the end, as its containers said it.
    pub(crate) said: bool,
    /// Nobody will ever say it: the API server has the moment when it gave the pod up.
    pub(crate) unsaid: bool,
    pub(crate) deleting: Option<i64>,
    pub(crate) forced: bool,
    pub(crate) removed: bool,
    changed: i64,
    had_finalizer: bool,
    by_force: bool,
}

impl Pod {
    /// Whether it carried the finalizer from the beginning.
    pub(crate) fn finalizer_was(&self) -> bool {
        self.had_finalizer
    }

    /// When the API server last heard of it.
    pub(crate) fn last_written(&self) -> i64 {
        self.changed
    }

    /// When it ended, as far as the API server was ever told: what was never said ended when it was deleted by force.
    pub(crate) fn known_end(&self) -> Option<i64> {
        self.ended.filter(|_| self.said || self.unsaid).or(self.deleting)
    }

    /// Whether somebody deleted it without waiting for what it says.
    pub(crate) fn was_forced(&self) -> bool {
        self.by_force
    }

    fn observed(&self) -> Observed {
        let millis = self.sizes.last().map_or(0, |(_, millis)| *millis);
        let ended = self.ended.filter(|_| self.said || self.unsaid);
        let completeness = if self.said {
            Completeness::Complete
        } else {
            Completeness::Estimated
        };
        Observed {
            uid: self.uid.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            system: None,
            created: Some(at(self.created)),
            held: self.bound.map(at),
            ended: ended.map(|end| (at(end), completeness)),
            deleting: self.deleting.map(at),
            forced: self.forced,
            finalizer: self.finalizer,
            changed: Some(at(self.changed)),
            generation: i64::try_from(self.sizes.len()).unwrap().max(1),
            amounts: Amounts::of([(HeldMeter::Cpu, Exact::scaled(millis, 3))]),
        }
    }
}

pub(crate) enum Event {
    Applied(Observed),
    Deleted(Observed),
}

enum Later {
    Bind(String),
    Say(String),
    End(String),
    Remove(String),
    Successor(String),
    GiveUp(String),
}

pub(crate) struct World {
    pub(crate) now: i64,
    pub(crate) pods: BTreeMap<String, Pod>,
    /// All that happened, with when; the version of an event is its place.
    pub(crate) events: Vec<(i64, Event)>,
    later: Vec<(i64, Later)>,
    made: u64,
}

/// How long the API server remembers what happened.
const MEMORY: i64 = 300;

impl World {
    pub(crate) fn new(now: i64) -> Self {
        Self {
            now,
            pods: BTreeMap::new(),
            events: Vec::new(),
            later: Vec::new(),
            made: 0,
        }
    }

    /// Whether events from a version on can still be told.
    pub(crate) fn remembers(&self, version: usize) -> bool {
        self.events
            .get(version)
            .is_none_or(|(when, _)| *when >= self.now - MEMORY)
    }

    pub(crate) fn list(&self) -> Vec<Observed> {
        self.pods
            .values()
            .filter(|pod| !pod.removed)
            .map(Pod::observed)
            .collect()
    }

    fn applied(&mut self, uid: &str) {
        let pod = self.pods.get_mut(uid).unwrap();
        pod.changed = self.now;
        let observed = pod.observed();
        self.events.push((self.now, Event::Applied(observed)));
    }

    fn later(&mut self, seconds: i64, what: Later) {
        self.later.push((self.now + seconds, what));
    }

    /// Makes a pod, with a name or with one of its own.
    pub(crate) fn make(&mut self, dice: &mut Dice, namespace: &str, name: Option<String>, lives: Option<i64>) {
        self.made += 1;
        let uid = format!("u{}", self.made);
        let stateful = name.is_some();
        let finalizer = !stateful && dice.roll(8) > 0;
        let pod = Pod {
            uid: uid.clone(),
            namespace: namespace.to_owned(),
            name: name.unwrap_or_else(|| format!("pod-{uid}")),
            stateful,
            finalizer,
            had_finalizer: finalizer,
            by_force: false,
            created: self.now,
            bound: None,
            sizes: Vec::new(),
            ended: None,
            said: false,
            unsaid: false,
            deleting: None,
            forced: false,
            removed: false,
            changed: self.now,
        };
        self.pods.insert(uid.clone(), pod);
        self.applied(&uid);
        if dice.roll(20) > 0 {
            let seconds = dice.seconds(0, 40);
            self.later(seconds, Later::Bind(uid.clone()));
        }
        if let Some(lives) = lives {
            self.later(40 + lives, Later::End(uid));
        }
    }

    pub(crate) fn resize(&mut self, dice: &mut Dice, uid: &str) {
        let (now, millis) = (self.now, dice.seconds(1, 4000));
        let pod = self.pods.get_mut(uid).unwrap();
        if pod.bound.is_some_and(|bound| bound < now) && pod.ended.is_none() {
            pod.sizes.push((now, millis));
            self.applied(uid);
        }
    }

    /// `kubectl delete`, and with `force` without waiting for anything.
    pub(crate) fn delete(&mut self, dice: &mut Dice, uid: &str, force: bool) {
        let now = self.now;
        let pod = self.pods.get_mut(uid).unwrap();
        if pod.removed || pod.deleting.is_some() {
            return;
        }
        pod.forced = force || pod.bound.is_none() || pod.said;
        pod.by_force = force;
        pod.deleting = Some(if pod.forced { now } else { now + 30 });
        let runs = pod.bound.is_some() && pod.ended.is_none();
        if runs && force && !pod.finalizer {
            pod.ended = Some(now);
        } else if runs {
            let seconds = dice.seconds(1, 30);
            self.later(seconds, Later::End(uid.to_owned()));
        }
        self.applied(uid);
        self.remove_if_free(uid, dice);
    }

    /// Its node is lost: it says nothing any more, and in the end the API server gives it up.
    pub(crate) fn lose(&mut self, uid: &str) {
        if self.pods[uid].ended.is_none() && self.pods[uid].bound.is_some() {
            self.later(60, Later::GiveUp(uid.to_owned()));
        }
    }

    pub(crate) fn release(&mut self, uid: &str, dice: &mut Dice) {
        if self.pods[uid].finalizer {
            self.pods.get_mut(uid).unwrap().finalizer = false;
            if self.pods[uid].removed {
                return;
            }
            self.applied(uid);
            self.remove_if_free(uid, dice);
        }
    }

    /// Gone is what was deleted, holds nothing that will be said, and has no finalizer.
    fn remove_if_free(&mut self, uid: &str, dice: &mut Dice) {
        let pod = &self.pods[uid];
        let over =
            pod.bound.is_none() || pod.said || pod.unsaid || (pod.forced && !pod.finalizer && pod.ended.is_some());
        if pod.deleting.is_some() && over && !pod.finalizer && !pod.removed {
            let seconds = if pod.forced { 0 } else { dice.seconds(0, 3) };
            self.later(seconds, Later::Remove(uid.to_owned()));
        }
    }

    pub(crate) fn pass(&mut self, dice: &mut Dice, seconds: i64) {
        let until = self.now + seconds;
        while self.now < until {
            self.now += 1;
            let now = self.now;
            let (due, rest) = std::mem::take(&mut self.later)
                .into_iter()
                .partition(|(when, _)| *when <= now);
            self.later = rest;
            let due: Vec<(i64, Later)> = due;
            for (_, what) in due {
                self.happens(dice, what);
            }
        }
    }

    fn happens(&mut self, dice: &mut Dice, what: Later) {
        let now = self.now;
        match what {
            Later::Bind(uid) => {
                let millis = dice.seconds(1, 4000);
                let pod = self.pods.get_mut(&uid).unwrap();
                if pod.deleting.is_none() && !pod.removed {
                    pod.bound = Some(now);
                    pod.sizes.push((now, millis));
                    self.applied(&uid);
                }
            }
            Later::End(uid) => {
                let pod = self.pods.get_mut(&uid).unwrap();
                if pod.bound.is_some() && pod.ended.is_none() {
                    pod.ended = Some(now);
                    // Mostly it is said at once; sometimes the node is cut off for a while.
                    let seconds = if dice.roll(50) == 0 {
                        dice.seconds(60, 5000)
                    } else {
                        dice.seconds(0, 10)
                    };
                    self.later(seconds, Later::Say(uid));
                }
            }
            Later::Say(uid) => {
                let pod = self.pods.get_mut(&uid).unwrap();
                if !pod.unsaid && !pod.removed {
                    pod.said = true;
                    self.applied(&uid);
                    self.remove_if_free(&uid, dice);
                }
            }
            Later::GiveUp(uid) => {
                let pod = self.pods.get_mut(&uid).unwrap();
                if pod.ended.is_none() && !pod.removed {
                    pod.ended = Some(now);
                    pod.unsaid = true;
                    pod.forced = true;
                    pod.deleting = Some(pod.deleting.unwrap_or(now));
                    self.applied(&uid);
                    self.remove_if_free(&uid, dice);
                }
            }
            Later::Remove(uid) => {
                let pod = self.pods.get_mut(&uid).unwrap();
                if !pod.removed {
                    pod.removed = true;
                    let (observed, stateful) = (pod.observed(), pod.stateful);
                    self.events.push((now, Event::Deleted(observed)));
                    if stateful {
                        let seconds = dice.seconds(0, 20);
                        self.later(seconds, Later::Successor(uid));
                    }
                }
            }
            Later::Successor(uid) => {
                let (namespace, name) = (self.pods[&uid].namespace.clone(), self.pods[&uid].name.clone());
                self.make(dice, &namespace, Some(name), None);
            }
        }
    }
}
