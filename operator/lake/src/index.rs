//! What the files hold, as fingerprints: whether a record is known is found without reading a file twice.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashMapExt, HashSet};
use maru_meter::{Rounding, UsageRecord};

use crate::columns;

/// Fingerprints that are kept: at 32 bytes each, some hundred megabytes at most.
const MOST: usize = 4_000_000;
/// Ids of other days that are kept beside them, at 16 bytes each.
const MOST_ELSEWHERE: usize = 2_000_000;

/// Two independent hashes as one number. With random keys, nobody can make two ids meet.
#[derive(Debug, Default)]
pub(crate) struct Fingerprints {
    keys: [RandomState; 2],
}

impl Fingerprints {
    pub(crate) fn of(&self, value: &impl Hash) -> u128 {
        let [one, other] = &self.keys;
        (u128::from(one.hash_one(value)) << 64) | u128::from(other.hash_one(value))
    }

    /// One hash of a text that many records share.
    pub(crate) fn word(&self, text: &str) -> u64 {
        self.keys[0].hash_one(text)
    }

    /// Everything that makes two records with the same id the same, so without when they became known: agency, system, resource, meter, unit and
    /// source, the quantity in units of its last place, start and end in microseconds, and the completeness.
    pub(crate) fn content(&self, texts: [u64; 6], units: i128, start: i64, end: i64, completeness: u64) -> u128 {
        self.of(&(texts, units, start, end, completeness))
    }

    pub(crate) fn of_content(&self, record: &UsageRecord) -> u128 {
        let texts = [
            &record.agency,
            &record.system,
            &record.resource,
            &record.meter,
            &record.unit,
            &record.source,
        ];
        let units = record.quantity.units(columns::PLACES, Rounding::Down);
        self.content(
            texts.map(|text| self.word(text)),
            i128::try_from(units).unwrap_or(i128::MAX),
            record.start.as_microsecond(),
            record.end.as_microsecond(),
            self.word(record.completeness.name()),
        )
    }
}

/// The ids of the files that were looked into. A file never changes, so what is known of it stays true.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) fingerprints: Fingerprints,
    /// By path: the id's fingerprint and its content's.
    files: HashMap<String, HashMap<u128, u128>>,
    /// By path: the ids of which the day does not follow from the id, of files of which nothing else is known.
    elsewhere: HashMap<String, HashSet<u128>>,
    /// Paths, the longest not used first.
    order: std::collections::VecDeque<String>,
    size: usize,
}

impl Index {
    pub(crate) fn knows(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Remembers the records of a file.
    pub(crate) fn learn(&mut self, path: &str, records: &[UsageRecord]) {
        let prints = records.iter().map(|record| {
            (
                self.fingerprints.of(&record.id.as_str()),
                self.fingerprints.of_content(record),
            )
        });
        let prints: Vec<(u128, u128)> = prints.collect();
        self.remember(path, prints.into_iter());
    }

    /// Remembers the fingerprints of a file's records: of the ids and of the contents.
    pub(crate) fn remember(&mut self, path: &str, prints: impl ExactSizeIterator<Item = (u128, u128)>) {
        let mut ids = HashMap::with_capacity(prints.len());
        ids.extend(prints);
        self.size += ids.len();
        self.order.push_back(path.to_owned());
        self.files.insert(path.to_owned(), ids);
    }

    /// Whether it can be told which free ids a file holds.
    pub(crate) fn knows_free(&self, path: &str) -> bool {
        self.knows(path) || self.elsewhere.contains_key(path)
    }

    /// Remembers the free ids of a file.
    pub(crate) fn learn_free(&mut self, path: &str, ids: HashSet<u128>) {
        self.elsewhere.insert(path.to_owned(), ids);
    }

    /// Whether there is room for the free ids of one more file. Files that are not in use any longer make room.
    pub(crate) fn has_room(&mut self, in_use: impl Fn(&str) -> bool) -> bool {
        let size = |elsewhere: &HashMap<String, HashSet<u128>>| elsewhere.values().map(HashSet::len).sum::<usize>();
        if size(&self.elsewhere) >= MOST_ELSEWHERE {
            self.elsewhere.retain(|path, _| in_use(path));
        }
        size(&self.elsewhere) < MOST_ELSEWHERE
    }

    /// Whether one of the files is known to hold a free id.
    pub(crate) fn holds_free<'a>(&self, id: u128, mut paths: impl Iterator<Item = &'a str>) -> bool {
        paths.any(|path| {
            let known = self.files.get(path).is_some_and(|ids| ids.contains_key(&id));
            known || self.elsewhere.get(path).is_some_and(|ids| ids.contains(&id))
        })
    }

    /// Which of the files holds an id, and its content's fingerprint.
    pub(crate) fn find<'a>(&self, id: u128, mut paths: impl Iterator<Item = &'a str>) -> Option<(&'a str, u128)> {
        paths.find_map(|path| Some((path, *self.files.get(path)?.get(&id)?)))
    }

    /// Forgets the files that are not in use and, where there are too many, the oldest of the others.
    pub(crate) fn shrink(&mut self, in_use: impl Fn(&str) -> bool) {
        self.elsewhere.retain(|path, _| in_use(path));
        let mut kept = std::collections::VecDeque::new();
        while let Some(path) = self.order.pop_front() {
            if self.size > MOST || !in_use(&path) {
                self.size -= self.files.remove(&path).map_or(0, |ids| ids.len());
            } else {
                kept.push_back(path);
            }
        }
        self.order = kept;
    }
}
