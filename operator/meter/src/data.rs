//! What datasets take and what is read of them, from readings of their databases.
//!
//! A database is read once an hour and when somebody's right to it ends, and each reading is kept in the database itself until the records
//! between it and the one before are durable. So the records follow from readings that do not change, and whoever makes them again makes the
//! same. What is between two readings further apart than they should be is spread evenly over the time and says `Estimated`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::amounts::{kept, times_hours};
use crate::exact::Exact;
use crate::hours::Interval;
use crate::pods::GIB;
use crate::record::{Completeness, UsageRecord};

/// The source name of these records.
pub const SOURCE: &str = "datasets";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataMeter {
    /// `dataset.stored`: what the database takes, for its owner's system.
    Stored,
    /// `dataset.queries`: statements of another system that read, for that system.
    Queries,
    /// `dataset.rows`: rows that those statements gave.
    Rows,
}

impl DataMeter {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stored, Self::Queries, Self::Rows];

    /// Its name in records and price books.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "dataset.stored",
            Self::Queries => "dataset.queries",
            Self::Rows => "dataset.rows",
        }
    }

    /// Its unit.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Stored => "GiB-hour",
            Self::Queries => "query",
            Self::Rows => "row",
        }
    }
}

/// Who is billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payer {
    /// The agency.
    pub agency: String,
    /// `namespace/name` of its system, or `unassigned`.
    pub system: String,
}

/// What one login did since its server began to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Statements.
    pub queries: u64,
    /// Rows that they gave.
    pub rows: u64,
}

/// What one system read of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBy {
    /// `grant/namespace/name`, or `dataset/namespace/name` where its statements name no grant.
    pub resource: String,
    /// The system that read.
    pub payer: Payer,
    /// Whether it is billed: what a system reads of its own data is counted too, so that it is known if the data is another's one day.
    pub billed: bool,
    /// By login: two take turns, and each counts for itself. One that is made again under its name is another one.
    pub logins: BTreeMap<String, Counts>,
}

/// The counters of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Since when it counts, as it says it.
    pub since: String,
    /// How often it gave up counts of statements that are seldom used.
    pub evictions: i64,
}

/// What a server counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Its counters.
    pub counters: Counters,
    /// The logins that are there.
    pub logins: BTreeSet<String>,
    /// Who read what, as [`Reading::reads`].
    pub reads: BTreeMap<String, ReadBy>,
}

/// A database at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The moment that it stands for, see [`moment_of`].
    pub at: Timestamp,
    /// The owner.
    pub payer: Payer,
    /// What the database takes.
    pub bytes: u64,
    /// Whether the server counted.
    pub counted: bool,
    /// The counters that `reads` are of: the last ones, where it did not count.
    pub counters: Option<Counters>,
    /// By what is read and who reads it, which no other reading ever calls the same.
    pub reads: BTreeMap<String, ReadBy>,
}

impl Reading {
    /// A reading that follows another one. What was counted before and is not seen now stays as it was: a grant that was withdrawn may be accepted
    /// again, and a server that was not allowed to tell may tell again, with counts that go on. Logins that are gone are forgotten, and so is
    /// everything where the server began anew.
    #[must_use]
    pub fn following(before: Option<&Self>, at: Timestamp, payer: Payer, bytes: u64, tally: Option<Tally>) -> Self {
        let carried = before.map(|before| before.reads.clone()).unwrap_or_default();
        let Some(tally) = tally else {
            return Self {
                at,
                payer,
                bytes,
                counted: false,
                counters: before.and_then(|before| before.counters.clone()),
                reads: carried,
            };
        };
        let mut reads = tally.reads;
        if before.is_some_and(|before| !before.began_anew(&tally.counters)) {
            for (key, mut known) in carried {
                known.logins.retain(|login, _| tally.logins.contains(login));
                if let Some(now) = reads.get_mut(&key) {
                    known.logins.append(&mut now.logins);
                    now.logins = known.logins;
                } else if !known.logins.is_empty() {
                    reads.insert(key, known);
                }
            }
        }
        Self {
            at,
            payer,
            bytes,
            counted: true,
            counters: Some(tally.counters),
            reads,
        }
    }

    fn began_anew(&self, now: &Counters) -> bool {
        self.counters.as_ref().is_some_and(|known| known.since != now.since)
    }
}

/// The moment that a reading at `now` stands for: the last full hour, if it follows that soon (within a twelfth of the time between readings)
/// and is the first since; else `now` itself. `every` is the time between readings, an hour or an even part of one.
pub fn moment_of(now: Timestamp, before: Option<Timestamp>, every: SignedDuration) -> Timestamp {
    let due = due_at(now, every);
    let soon = now.duration_since(due) <= every / 12;
    if soon && before.is_some_and(|before| before < due) {
        due
    } else {
        // As fine as the lake keeps moments.
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(due)
    }
}

/// The last moment up to `now` at which a reading was due.
pub fn due_at(now: Timestamp, every: SignedDuration) -> Timestamp {
    let every = every.as_secs().max(1);
    let second = now.as_second().div_euclid(every) * every;
    Timestamp::from_second(second).unwrap_or(Timestamp::MIN)
}

/// The records between two readings of a dataset with this UID, called `namespace/name`; none where the second is not later. `every` is the time
/// between readings.
pub fn records(uid: &str, dataset: &str, before: &Reading, now: &Reading, every: SignedDuration) -> Vec<UsageRecord> {
    let whole = Interval {
        start: before.at,
        end: now.at,
    };
    let late = whole.length() > every;
    let mut all = Vec::new();
    if whole.end <= whole.start {
        return all;
    }
    for piece in whole.hours() {
        let size = Exact::from(before.bytes).over(GIB);
        let quantity = kept(&times_hours(&size, piece));
        let resource = format!("dataset/{dataset}");
        all.push(record(
            uid,
            resource,
            DataMeter::Stored,
            &before.payer,
            quantity,
            piece,
            late,
        ));
    }
    let Some(counters) = now.counters.as_ref().filter(|_| now.counted) else {
        return all;
    };
    let anew = before.began_anew(counters);
    let evicted = before
        .counters
        .as_ref()
        .is_some_and(|known| known.evictions != counters.evictions);
    for (key, reads) in &now.reads {
        let known = before.reads.get(key).filter(|_| !anew);
        if !reads.billed || known.is_some_and(|known| !known.billed) {
            continue;
        }
        let (read, fell) = since(known, reads, evicted);
        let guessed = late || fell || anew || evicted || !before.counted;
        for (meter, count) in [(DataMeter::Queries, read.queries), (DataMeter::Rows, read.rows)] {
            for (piece, part) in spread(count, whole) {
                let quantity = Exact::from(part);
                let resource = reads.resource.clone();
                all.push(record(key, resource, meter, &reads.payer, quantity, piece, guessed));
            }
        }
    }
    all
}

/// What was counted between two readings, and whether a count fell, so that some of it is lost. What is left of counts of which some were given up
/// was there before: it is not counted again, so that nobody pays twice.
fn since(before: Option<&ReadBy>, now: &ReadBy, evicted: bool) -> (Counts, bool) {
    let mut sum = Counts::default();
    let mut fell = false;
    for (login, counts) in &now.logins {
        let known = before.and_then(|before| before.logins.get(login));
        let known = known.copied().unwrap_or_default();
        if counts.queries >= known.queries && counts.rows >= known.rows {
            sum.queries += counts.queries - known.queries;
            sum.rows += counts.rows - known.rows;
            continue;
        }
        fell = true;
        if !evicted {
            sum.queries += counts.queries;
            sum.rows += counts.rows;
        }
    }
    (sum, fell)
}

/// A count spread over the hours of an interval, in whole numbers that add up to it; hours with nothing are left out.
fn spread(count: u64, whole: Interval) -> Vec<(Interval, u64)> {
    let length = whole.length().as_nanos().unsigned_abs();
    let mut given = 0;
    let mut parts = Vec::new();
    for piece in whole.hours() {
        let passed = piece.end.duration_since(whole.start).as_nanos().unsigned_abs();
        let until = (u128::from(count) * passed).checked_div(length).unwrap_or_default();
        let until = u64::try_from(until).unwrap_or(count);
        if until > given {
            parts.push((piece, until - given));
        }
        given = until;
    }
    assert_eq!(
        parts.iter().map(|(_, part)| part).sum::<u64>(),
        count,
        "the parts add up"
    );
    parts
}

fn record(
    uid: &str,
    resource: String,
    meter: DataMeter,
    payer: &Payer,
    quantity: Exact,
    piece: Interval,
    guessed: bool,
) -> UsageRecord {
    UsageRecord {
        id: UsageRecord::id_of(SOURCE, uid, meter.name(), piece.start),
        agency: payer.agency.clone(),
        system: payer.system.clone(),
        resource,
        meter: meter.name().to_owned(),
        quantity,
        unit: meter.unit().to_owned(),
        start: piece.start,
        end: piece.end,
        source: SOURCE.to_owned(),
        completeness: if guessed {
            Completeness::Estimated
        } else {
            Completeness::Complete
        },
        recorded_at: None,
    }
}

#[cfg(test)]
mod tests;
