//! What the files hold, as fingerprints: whether a record is known is found without reading a file twice.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashMapExt};
use maru_meter::UsageRecord;

/// Fingerprints that are kept: at 32 bytes each, some hundred megabytes at most.
const MOST: usize = 4_000_000;

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

    pub(crate) fn of_content(&self, record: &UsageRecord) -> u128 {
        self.of(&Content(record))
    }
}

/// Everything that makes two records with the same id the same, so without when they became known.
struct Content<'a>(&'a UsageRecord);

impl Hash for Content<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let record = self.0;
        (&record.id, &record.agency, &record.system, &record.resource).hash(state);
        (&record.meter, &record.quantity, &record.unit, &record.source).hash(state);
        (record.start, record.end, record.completeness).hash(state);
    }
}

/// The ids of the files that were looked into. A file never changes, so what is known of it stays true.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) fingerprints: Fingerprints,
    /// By path: the id's fingerprint and its content's.
    files: HashMap<String, HashMap<u128, u128>>,
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
        let mut ids = HashMap::with_capacity(records.len());
        for record in records {
            ids.insert(self.fingerprints.of(&record.id), self.fingerprints.of_content(record));
        }
        self.size += ids.len();
        self.order.push_back(path.to_owned());
        self.files.insert(path.to_owned(), ids);
    }

    /// Which of the files holds an id, and its content's fingerprint.
    pub(crate) fn find<'a>(&self, id: u128, mut paths: impl Iterator<Item = &'a str>) -> Option<(&'a str, u128)> {
        paths.find_map(|path| Some((path, *self.files.get(path)?.get(&id)?)))
    }

    /// Forgets the files that are not in use and, where there are too many, the oldest of the others.
    pub(crate) fn shrink(&mut self, in_use: impl Fn(&str) -> bool) {
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
