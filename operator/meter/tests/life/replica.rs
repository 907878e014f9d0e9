//! A replica of the operator and the store, as its own loop drives the book: with crashes between any two steps.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use maru_meter::{Batch, Book, Checkpoint, Heard, Merge, Source, UsageRecord, merge};

use crate::world::{Dice, Event, World, at};

const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// The lake: records by id, and what is kept.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) records: BTreeMap<String, UsageRecord>,
    pub(crate) kept: Option<Vec<u8>>,
    pub(crate) fails_until: i64,
    pub(crate) conflicts: Vec<String>,
}

impl Store {
    pub(crate) fn append(&mut self, records: &[UsageRecord]) {
        for record in records {
            record.check().unwrap();
            match self.records.get(&record.id) {
                Some(known) => match merge(known, record) {
                    Merge::Replaces => {
                        self.records.insert(record.id.clone(), record.clone());
                    }
                    Merge::Covered => {}
                    Merge::Conflict => self.conflicts.push(format!("{known:?} {record:?}")),
                },
                None => {
                    self.records.insert(record.id.clone(), record.clone());
                }
            }
        }
    }
}

/// A part of a look at everything. False where the replica ends in it.
type Step = fn(&mut Life, &mut World, &mut Store, &mut Dice, bool) -> bool;

/// One replica; what it knows is gone when it crashes.
#[derive(Default)]
pub(crate) struct Replica {
    life: Option<Life>,
    down_until: i64,
}

struct Life {
    book: Book,
    /// Events that were heard.
    version: Option<usize>,
    live: bool,
    fence: Option<(i64, usize)>,
    /// A batch on its way, and when it arrives.
    writing: Option<(Batch, Option<Checkpoint>, i64)>,
    /// Events of these last seconds have not arrived yet.
    lag: i64,
}

impl Replica {
    /// Dies, and is back after some seconds.
    pub(crate) fn crash(&mut self, now: i64, seconds: i64) {
        self.life = None;
        self.down_until = now + seconds;
    }

    /// One look at everything, which may end anywhere. Says from when to when nobody looked, where that was found.
    pub(crate) fn step(
        &mut self,
        world: &mut World,
        store: &mut Store,
        dice: &mut Dice,
        calm: bool,
    ) -> Option<(i64, i64)> {
        if world.now < self.down_until {
            return None;
        }
        if self.life.is_none() {
            if world.now < store.fails_until {
                return None;
            }
            self.life = Some(Life::begin(store, world.now));
        }
        let life = self.life.as_mut()?;
        if dice.roll(40) == 0 {
            life.lag = if calm { 0 } else { dice.seconds(0, 60) };
        }
        let hole = life.hear(world);
        // Each of these may be the last thing that it does.
        let steps: [Step; 4] = [Life::write, Life::arrive, Life::release, Life::keep];
        for step in steps {
            let survives = step(life, world, store, dice, calm) && (calm || dice.roll(4000) > 0);
            if !survives {
                let seconds = if dice.roll(3) == 0 {
                    dice.seconds(600, 5400)
                } else {
                    dice.seconds(1, 200)
                };
                self.crash(world.now, seconds);
                break;
            }
        }
        hole
    }

    /// Whether everything was heard and nothing is left to do.
    pub(crate) fn rests(&self, world: &World) -> bool {
        self.life.as_ref().is_some_and(|life| {
            let heard = life.version == Some(world.events.len());
            heard && life.writing.is_none() && life.book.waiting() == 0 && life.book.releases().is_empty()
        })
    }
}

impl Life {
    fn begin(store: &Store, now: i64) -> Self {
        let checkpoint: Option<Checkpoint> = store.kept.as_ref().map(|bytes| serde_json::from_slice(bytes).unwrap());
        let (mut book, version) = match &checkpoint {
            Some(kept) => (
                Book::restore(Source::Pods, kept, MARGIN),
                Some(kept.version.parse().unwrap()),
            ),
            None => (Book::new(Source::Pods, at(now), MARGIN), None),
        };
        for namespace in ["one", "two", "test-kube-system"] {
            book.namespace(namespace, Some(namespace));
        }
        book.namespace("nobody", None);
        Self {
            book,
            version,
            live: false,
            fence: None,
            writing: None,
            lag: 0,
        }
    }

    fn hear(&mut self, world: &World) -> Option<(i64, i64)> {
        let now = at(world.now);
        if let Some(version) = self.version.filter(|version| world.remembers(*version)) {
            let heard = if self.live { Heard::Live } else { Heard::Later };
            let arrived = world.now - self.lag;
            let mut next = version;
            while let Some((when, event)) = world.events.get(next) {
                if *when > arrived {
                    break;
                }
                // A watch that keeps up hears of what happens within a second.
                let heard_at = if self.live { at(*when) } else { now };
                match event {
                    Event::Applied(observed) => self.book.see(observed, heard_at, heard),
                    Event::Deleted(observed) => self.book.gone(observed, heard_at, heard),
                }
                next += 1;
            }
            self.version = Some(next);
            if self.fence.is_none() {
                self.fence = Some((world.now, world.events.len()));
            }
            if let Some((moment, _)) = self.fence.take_if(|(_, version)| next >= *version) {
                self.book.is_current(at(moment));
                self.live = true;
            }
            return None;
        }
        let first = self.version.is_none();
        let hole = self.book.known_until().as_second();
        self.book.begin_list();
        for observed in world.list() {
            self.book.see(&observed, now, Heard::Listed);
        }
        self.book.end_list();
        self.book.is_current(now);
        self.version = Some(world.events.len());
        self.live = true;
        self.fence = None;
        Some((if first { 0 } else { hole }, world.now))
    }

    fn write(&mut self, world: &mut World, _: &mut Store, dice: &mut Dice, calm: bool) -> bool {
        if self.writing.is_none() {
            let most = usize::try_from(dice.roll(20) + 1).unwrap();
            let batch = self.book.due(at(world.now), most);
            if !batch.is_empty() {
                let before = batch.closing.map(|_| self.checkpoint());
                let takes = if calm || dice.roll(5) > 0 {
                    0
                } else {
                    dice.seconds(1, 60)
                };
                self.writing = Some((batch, before, world.now + takes));
            }
        }
        true
    }

    fn arrive(&mut self, world: &mut World, store: &mut Store, dice: &mut Dice, _: bool) -> bool {
        let Some((batch, before, _)) = self.writing.take_if(|(_, _, when)| *when <= world.now) else {
            return true;
        };
        if world.now < store.fails_until {
            return true;
        }
        if let Some(before) = before {
            store.kept = Some(serde_json::to_vec(&before).unwrap());
        }
        store.append(&batch.records);
        match dice.roll(50) {
            0 => false, // it crashed before it saw the answer
            1 => true,  // the answer was an error, and the records are there
            _ => {
                self.book.written(&batch);
                true
            }
        }
    }

    fn release(&mut self, world: &mut World, _: &mut Store, dice: &mut Dice, _: bool) -> bool {
        for release in self.book.releases() {
            if dice.roll(10) > 0 {
                world.release(&release.uid, dice);
                self.book.released(&release);
            }
        }
        true
    }

    fn keep(&mut self, world: &mut World, store: &mut Store, dice: &mut Dice, _: bool) -> bool {
        if dice.roll(20) == 0 && world.now >= store.fails_until {
            store.kept = Some(serde_json::to_vec(&self.checkpoint()).unwrap());
        }
        true
    }

    fn checkpoint(&self) -> Checkpoint {
        self.book.checkpoint(&self.version.unwrap().to_string())
    }
}
