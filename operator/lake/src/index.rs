//! What the files hold, as fingerprints: whether a record is known is found without reading a file twice.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use foldhash::{HashMap, HashMapExt};
use maru_meter::{Rounding, UsageRecord};
use xorf::{BinaryFuse32, Filter};

use crate::columns;
use crate::datafile;
use crate::elsewhere::{Elsewhere, half};

/// Ids that are kept with what their records say: at 32 bytes each, some hundred megabytes at most.
const MOST: usize = 4_000_000;
/// Ids beyond those, of which only so much is kept that a file need not be read to know that it does not hold one: at 4.5 bytes each, a quarter
/// of a gigabyte at most.
const MOST_OUTLINED: usize = 50_000_000;
/// Up to this many ids are an outline as they are.
const FEW: usize = 64;

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

/// Enough of a file's ids to say that it does not hold one. Of four billion others it takes one for its own, and then the file is read.
#[derive(Debug)]
struct Outline {
    ids: Ids,
    /// How many there are.
    size: usize,
}

#[derive(Debug)]
enum Ids {
    Few(Box<[u64]>),
    Many(BinaryFuse32),
}

impl Outline {
    /// None where a filter cannot be made of these ids, which chance makes so rare that the file is then simply read again.
    fn of(prints: impl Iterator<Item = u128>) -> Option<Self> {
        let mut ids: Vec<u64> = prints.map(half).collect();
        ids.sort_unstable();
        ids.dedup();
        let size = ids.len();
        let ids = if size <= FEW {
            Ids::Few(ids.into_boxed_slice())
        } else {
            Ids::Many(BinaryFuse32::try_from(&ids).ok()?)
        };
        Some(Self { ids, size })
    }

    fn may_hold(&self, print: u128) -> bool {
        match &self.ids {
            Ids::Few(ids) => ids.binary_search(&half(print)).is_ok(),
            Ids::Many(filter) => filter.contains(&half(print)),
        }
    }
}

/// Files in the order in which they were learned, and how many ids they have together.
#[derive(Debug, Default)]
struct Order {
    paths: VecDeque<String>,
    size: usize,
}

/// The ids of the files that were looked into. A file never changes, so what is known of it stays true.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) fingerprints: Fingerprints,
    /// By path: the id's fingerprint and its content's.
    files: HashMap<String, HashMap<u128, u128>>,
    order: Order,
    /// By path, of other files.
    outlines: HashMap<String, Outline>,
    outlined: Order,
    pub(crate) most: usize,
    pub(crate) most_outlined: usize,
    /// What senders made up, of any day.
    pub(crate) elsewhere: Elsewhere,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            fingerprints: Fingerprints::default(),
            files: HashMap::new(),
            order: Order::default(),
            outlines: HashMap::new(),
            outlined: Order::default(),
            most: MOST,
            most_outlined: MOST_OUTLINED,
            elsewhere: Elsewhere::default(),
        }
    }
}

impl Index {
    /// Whether of each id it can be said that the file does not hold it, or may.
    pub(crate) fn knows(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.outlines.contains_key(path)
    }

    /// Remembers the records of a file, whose day this is.
    pub(crate) fn learn(&mut self, path: &str, day: &str, records: &[UsageRecord]) {
        let prints = records.iter().map(|record| {
            (
                self.fingerprints.of(&record.id.as_str()),
                self.fingerprints.of_content(record),
            )
        });
        let prints: Vec<(u128, u128)> = prints.collect();
        if records.iter().any(|record| datafile::is_event(&record.id)) {
            let events = (records.iter().zip(&prints)).filter(|(record, _)| datafile::is_event(&record.id));
            self.elsewhere.learn(path, day, events.map(|(_, (id, _))| *id));
        }
        self.remember(path, prints.into_iter());
    }

    /// Remembers the fingerprints of a file's records: of the ids and of the contents. Nothing else is forgotten for it: that is for
    /// [`Index::tighten`].
    pub(crate) fn remember(&mut self, path: &str, prints: impl ExactSizeIterator<Item = (u128, u128)>) {
        let mut ids = HashMap::with_capacity(prints.len());
        ids.extend(prints);
        self.forget_outline(path);
        self.order.size += ids.len();
        match self.files.insert(path.to_owned(), ids) {
            None => self.order.paths.push_back(path.to_owned()),
            Some(before) => self.order.size -= before.len(),
        }
    }

    /// Whether one of the files is known to hold an id.
    pub(crate) fn holds<'a>(&self, id: u128, paths: impl Iterator<Item = &'a str>) -> bool {
        self.find(id, paths).is_some()
    }

    /// Which of the files holds an id, and its content's fingerprint, among those of which more than an outline is known.
    pub(crate) fn find<'a>(&self, id: u128, mut paths: impl Iterator<Item = &'a str>) -> Option<(&'a str, u128)> {
        paths.find_map(|path| Some((path, *self.files.get(path)?.get(&id)?)))
    }

    /// Those of the ids that a file may hold, where only reading it tells: by its outline, or all where nothing is known of it any more.
    pub(crate) fn in_doubt(&self, path: &str, ids: &[u128]) -> Vec<u128> {
        if self.files.contains_key(path) {
            return Vec::new();
        }
        let outline = self.outlines.get(path);
        let may_hold = |id: &&u128| outline.is_none_or(|outline| outline.may_hold(**id));
        ids.iter().filter(may_hold).copied().collect()
    }

    /// The ids of a file of which more than an outline is known.
    pub(crate) fn ids_of(&self, path: &str) -> Option<impl Iterator<Item = u128>> {
        self.files.get(path).map(|ids| ids.keys().copied())
    }

    /// A file holds what others did, and nothing else. Where not all of those are known, nothing is known of it either.
    pub(crate) fn join(&mut self, paths: &[&str], joined: &str) {
        self.elsewhere.join(paths, joined);
        if !paths.iter().all(|path| self.files.contains_key(*path)) {
            return;
        }
        let mut ids = HashMap::new();
        for path in paths {
            ids.extend(self.files.remove(*path).unwrap_or_default());
        }
        self.order.paths.retain(|path| !paths.contains(&path.as_str()));
        // They were counted already.
        self.order.paths.push_back(joined.to_owned());
        self.files.insert(joined.to_owned(), ids);
        self.tighten();
    }

    /// Whether a file has so many ids that only an outline of it is kept.
    pub(crate) fn is_large(&self, ids: u64) -> bool {
        usize::try_from(ids).is_ok_and(|ids| ids > self.most / 2)
    }

    /// Remembers all ids of a file by their outline.
    pub(crate) fn learn_outline(&mut self, path: &str, prints: impl Iterator<Item = u128>) {
        self.outline(path, Outline::of(prints));
    }

    /// Forgets the files that are not in use, and what is from days before the oldest.
    pub(crate) fn shrink(&mut self, oldest_day: &str, in_use: impl Fn(&str) -> bool) {
        self.elsewhere.shrink(oldest_day, &in_use);
        self.files.retain(|path, _| in_use(path));
        self.order.paths.retain(|path| in_use(path));
        self.order.size = self.files.values().map(HashMap::len).sum();
        self.outlines.retain(|path, _| in_use(path));
        self.outlined.paths.retain(|path| in_use(path));
        self.outlined.size = self.outlines.values().map(|outline| outline.size).sum();
        self.tighten();
    }

    /// Keeps only outlines of what was learned first, where there are too many ids, and forgets the first of those where there are too many of
    /// them too. What was learned last stays.
    pub(crate) fn tighten(&mut self) {
        while self.order.size > self.most && self.order.paths.len() > 1 {
            let Some(path) = self.order.paths.pop_front() else {
                break;
            };
            if let Some(ids) = self.files.remove(&path) {
                self.order.size -= ids.len();
                self.outline(&path, Outline::of(ids.into_keys()));
            }
        }
        while self.outlined.size > self.most_outlined && self.outlined.paths.len() > 1 {
            let Some(path) = self.outlined.paths.pop_front() else {
                break;
            };
            if let Some(outline) = self.outlines.remove(&path) {
                self.outlined.size -= outline.size;
            }
        }
    }

    fn outline(&mut self, path: &str, outline: Option<Outline>) {
        self.forget_outline(path);
        if let Some(outline) = outline {
            self.outlined.size += outline.size;
            self.outlined.paths.push_back(path.to_owned());
            self.outlines.insert(path.to_owned(), outline);
        }
    }

    fn forget_outline(&mut self, path: &str) {
        if let Some(outline) = self.outlines.remove(path) {
            self.outlined.size -= outline.size;
            self.outlined.paths.retain(|known| known != path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Index, Outline};

    #[test]
    fn an_outline_holds_every_id_that_it_was_made_of_and_hardly_another() {
        let id = |number: u64| u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        for size in [0, 1, 2, 63, 64, 65, 66, 100, 1_000, 50_000] {
            let outline = Outline::of((0..size).map(id)).unwrap();
            assert!((0..size).all(|number| outline.may_hold(id(number))), "{size}");
            let others = (size..size + 50_000)
                .filter(|number| outline.may_hold(id(*number)))
                .count();
            assert!(others <= 1, "{others} beside {size}");
        }
    }

    #[test]
    fn of_what_was_learned_first_an_outline_is_kept_and_then_nothing() {
        let mut index = Index {
            most: 4,
            most_outlined: 4,
            ..Index::default()
        };
        for (number, file) in ["a", "b", "c", "d"].iter().enumerate() {
            let first = u128::try_from(number * 3).unwrap();
            index.remember(file, [(first, 7), (first + 1, 7), (first + 2, 7)].into_iter());
            index.tighten();
        }
        // Three of d's are kept whole, c's as an outline: a's and b's would be too many.
        assert_eq!(
            ["a", "b", "c", "d"].map(|file| index.knows(file)),
            [false, false, true, true]
        );
        assert_eq!(index.in_doubt("c", &[5, 6, 8, 9]), [6, 8]);
        assert_eq!(index.find(10, ["c", "d"].into_iter()), Some(("d", 7)));
        assert_eq!(index.in_doubt("d", &[9, 12]), []);
        assert_eq!(index.in_doubt("b", &[3, 12]), [3, 12], "nothing is known of it");
        index.shrink("", |file| file == "c");
        assert_eq!(["c", "d"].map(|file| index.knows(file)), [true, false]);
        assert_eq!((index.order.size, index.outlined.size), (0, 3));
    }
}
