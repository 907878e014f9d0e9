//! The work queue: each object at most once, agencies in turn.
//!
//! Objects wait in the line of their agency and the agencies take turns, so an agency with 500 broken systems delays
//! another one by one object, not by 500. No agency holds more than its part of the workers. An object that changes
//! while it is being worked on is queued again afterwards; one that failed waits longer each time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How the queue shares work out.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// How many objects of one group may be worked on at once, at least 1.
    pub running_per_group: usize,
    /// The wait after the first failure of an object; it doubles with each further one.
    pub first_retry: Duration,
    /// The longest wait after failures.
    pub last_retry: Duration,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            running_per_group: 4,
            first_retry: Duration::from_millis(200),
            last_retry: Duration::from_mins(5),
        }
    }
}

/// How an object's turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is as wanted; the next change brings it back.
    Done,
    /// It is to be looked at again after this time, though nothing failed.
    Again(Duration),
    /// It failed and is tried again, later each time.
    Failed,
}

/// A queue of keys `K` in groups `G`.
#[derive(Debug)]
pub struct FairQueue<K, G> {
    limits: QueueLimits,
    state: Mutex<State<K, G>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<K, G> {
    lines: HashMap<G, Line<K>>,
    /// Groups with something waiting, in the order of their next turn.
    turns: VecDeque<G>,
    keys: HashMap<K, KeyState>,
    delayed: BTreeMap<(Instant, u64), (K, G)>,
    sequence: u64,
}

#[derive(Debug)]
struct Line<K> {
    waiting: VecDeque<K>,
    running: usize,
    /// Whether the group stands in `turns`.
    in_turn: bool,
}

#[derive(Debug, Default)]
struct KeyState {
    waiting: bool,
    running: bool,
    changed_while_running: bool,
    failures: u32,
    due: Option<(Instant, u64)>,
}

impl<K, G> FairQueue<K, G>
where
    K: Clone + Eq + Hash,
    G: Clone + Eq + Hash,
{
    /// An empty queue.
    pub fn new(limits: QueueLimits) -> Self {
        let state = State {
            lines: HashMap::new(),
            turns: VecDeque::new(),
            keys: HashMap::new(),
            delayed: BTreeMap::new(),
            sequence: 0,
        };
        Self {
            limits,
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// Puts an object in its group's line; one that waits already stays where it is.
    pub fn add(&self, key: K, group: G) {
        self.state().add(key, group);
        self.changed.notify_one();
    }

    /// Puts an object in line after `delay`; an earlier appointment stays.
    pub fn add_after(&self, key: K, group: G, delay: Duration) {
        self.state().delay(key, group, Instant::now() + delay);
        self.changed.notify_one();
    }

    /// How many objects wait for their turn now, those with an appointment left out.
    pub fn waiting(&self) -> usize {
        self.state().lines.values().map(|line| line.waiting.len()).sum()
    }

    /// The next object, as soon as there is one. End its turn with [`FairQueue::end`].
    pub async fn next(&self) -> (K, G) {
        loop {
            let notified = self.changed.notified();
            let due = {
                let mut state = self.state();
                state.release_due(Instant::now());
                if let Some(next) = state.take(self.limits.running_per_group) {
                    if !state.turns.is_empty() {
                        self.changed.notify_one(); // another worker may find work, too
                    }
                    return next;
                }
                state.delayed.keys().next().map(|(due, _)| *due)
            };
            match due {
                Some(due) => {
                    tokio::select! {
                        () = notified => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
                None => notified.await,
            }
        }
    }

    /// Ends the turn of an object.
    pub fn end(&self, key: &K, group: &G, turn: Turn) {
        self.state().end(key, group, turn, &self.limits);
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State<K, G>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, G> State<K, G>
where
    K: Clone + Eq + Hash,
    G: Clone + Eq + Hash,
{
    fn add(&mut self, key: K, group: G) {
        let entry = self.keys.entry(key.clone()).or_default();
        if let Some(due) = entry.due.take() {
            self.delayed.remove(&due);
        }
        if entry.running {
            entry.changed_while_running = true;
            return;
        }
        if entry.waiting {
            return;
        }
        entry.waiting = true;
        let line = self.lines.entry(group.clone()).or_insert_with(Line::empty);
        line.waiting.push_back(key);
        if !line.in_turn {
            line.in_turn = true;
            self.turns.push_back(group);
        }
    }

    fn delay(&mut self, key: K, group: G, at: Instant) {
        let entry = self.keys.entry(key.clone()).or_default();
        if entry.waiting || entry.due.is_some_and(|(due, _)| due <= at) {
            return;
        }
        if let Some(due) = entry.due.take() {
            self.delayed.remove(&due);
        }
        self.sequence += 1;
        entry.due = Some((at, self.sequence));
        self.delayed.insert((at, self.sequence), (key, group));
    }

    fn release_due(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let (key, group) = entry.remove();
            if let Some(state) = self.keys.get_mut(&key) {
                state.due = None;
            }
            self.add(key, group);
        }
    }

    fn take(&mut self, running_per_group: usize) -> Option<(K, G)> {
        for _ in 0..self.turns.len() {
            let group = self.turns.pop_front()?;
            let Some(line) = self.lines.get_mut(&group) else {
                continue;
            };
            if line.running >= running_per_group {
                self.turns.push_back(group);
                continue;
            }
            let Some(key) = line.waiting.pop_front() else {
                line.in_turn = false;
                continue;
            };
            line.running += 1;
            line.in_turn = !line.waiting.is_empty();
            if line.in_turn {
                self.turns.push_back(group.clone());
            }
            let entry = self.keys.entry(key.clone()).or_default();
            entry.waiting = false;
            entry.running = true;
            return Some((key, group));
        }
        None
    }

    fn end(&mut self, key: &K, group: &G, turn: Turn, limits: &QueueLimits) {
        if let Some(line) = self.lines.get_mut(group) {
            line.running = line.running.saturating_sub(1);
            if line.running == 0 && line.waiting.is_empty() && !line.in_turn {
                self.lines.remove(group);
            }
        }
        let Some(entry) = self.keys.get_mut(key) else { return };
        entry.running = false;
        entry.failures = if turn == Turn::Failed {
            entry.failures.saturating_add(1)
        } else {
            0
        };
        if std::mem::take(&mut entry.changed_while_running) {
            if turn != Turn::Failed {
                self.add(key.clone(), group.clone());
                return;
            }
            // What changed may be what was amiss: it is not left for the long waits after many failures.
            entry.failures = 1;
        }
        let failures = entry.failures;
        match turn {
            Turn::Done => {
                self.keys.remove(key);
            }
            Turn::Again(delay) => self.delay(key.clone(), group.clone(), Instant::now() + delay),
            Turn::Failed => self.delay(
                key.clone(),
                group.clone(),
                Instant::now() + limits.retry_after(failures),
            ),
        }
    }
}

impl<K> Line<K> {
    const fn empty() -> Self {
        Self {
            waiting: VecDeque::new(),
            running: 0,
            in_turn: false,
        }
    }
}

impl QueueLimits {
    fn retry_after(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_retry.saturating_mul(factor).min(self.last_retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(running_per_group: usize) -> FairQueue<u32, &'static str> {
        FairQueue::new(QueueLimits {
            running_per_group,
            ..QueueLimits::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn an_agency_with_many_objects_lets_the_others_go_between() {
        let queue = queue(8);
        for key in 0..500 {
            queue.add(key, "broken");
        }
        queue.add(1000, "other");
        let mut until_other = 0;
        while queue.next().await.1 != "other" {
            until_other += 1;
        }
        assert!(until_other <= 1, "the other agency waited for {until_other} objects");
    }

    #[tokio::test(start_paused = true)]
    async fn no_agency_holds_more_than_its_part_of_the_workers() {
        let queue = queue(2);
        for key in 0..10 {
            queue.add(key, "a");
        }
        queue.next().await;
        queue.next().await;
        queue.add(100, "b");
        assert_eq!(queue.next().await, (100, "b"));
        assert!(
            tokio::time::timeout(Duration::from_secs(1), queue.next())
                .await
                .is_err()
        );
        queue.end(&0, &"a", Turn::Done);
        assert_eq!(queue.next().await, (2, "a"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_changes_during_its_turn_gets_another_one() {
        let queue = queue(4);
        queue.add(1, "a");
        queue.add(1, "a");
        queue.next().await;
        queue.add(1, "a");
        assert!(
            tokio::time::timeout(Duration::from_secs(1), queue.next())
                .await
                .is_err(),
            "never two turns at once"
        );
        queue.end(&1, &"a", Turn::Done);
        assert_eq!(queue.next().await, (1, "a"));
        queue.end(&1, &"a", Turn::Done);
        assert!(
            tokio::time::timeout(Duration::from_secs(1), queue.next())
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_object_waits_longer_each_time_and_a_change_resets_nothing_else() {
        let queue = queue(4);
        queue.add(1, "a");
        let mut waits = Vec::new();
        for _ in 0..4 {
            let before = Instant::now();
            queue.next().await;
            waits.push(before.elapsed().as_millis());
            queue.end(&1, &"a", Turn::Failed);
        }
        assert_eq!(
            waits.into_iter().map(|wait| wait / 100).collect::<Vec<_>>(),
            [0, 2, 4, 8]
        );
        queue.add(1, "a");
        let before = Instant::now();
        queue.next().await;
        assert_eq!(before.elapsed().as_millis(), 0, "a change is looked at at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_during_a_turn_that_fails_is_looked_at_after_the_shortest_wait() {
        let queue = queue(4);
        queue.add(1, "a");
        for _ in 0..8 {
            queue.next().await;
            queue.end(&1, &"a", Turn::Failed);
        }
        queue.next().await;
        queue.add(1, "a");
        queue.end(&1, &"a", Turn::Failed);
        let before = Instant::now();
        queue.next().await;
        assert_eq!(before.elapsed().as_millis(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn an_appointment_is_kept_and_an_earlier_one_stays() {
        let queue = queue(4);
        queue.add_after(1, "a", Duration::from_secs(5));
        queue.add_after(1, "a", Duration::from_secs(9));
        let before = Instant::now();
        queue.next().await;
        assert_eq!(before.elapsed().as_secs(), 5);
    }
}
