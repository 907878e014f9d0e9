//! Which ids that senders made up are somewhere in the table, whatever their day, in a few bytes each.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashSet, HashSetExt};
use xorf::{BinaryFuse32, Filter};

use crate::LakeError;
use crate::append::Writer;
use crate::datafile::{self, DataFile};
use crate::table::Table;

/// Ids that are known: of the newest days, where there are more. At 4.5 bytes each, a quarter of a gigabyte at most.
const MOST: usize = 50_000_000;
/// Ids of one group: what is read at most, where it may hold one.
const GROUP: usize = 1_000_000;

/// Enough of the ids of some days to say that an id is none of them. Of four billion others it takes one for its own.
#[derive(Debug)]
struct Group {
    ids: BinaryFuse32,
    size: usize,
    days: BTreeSet<String>,
}

impl Group {
    /// The newest of its days.
    fn newest(&self) -> &str {
        self.days.last().map_or("", String::as_str)
    }
}

/// The ids of the files that were looked into, by half of their fingerprints.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    seen: HashSet<String>,
    groups: Vec<Group>,
    /// What is too little for a group yet.
    latest: HashSet<u64>,
    latest_days: BTreeSet<String>,
    most: usize,
    group: usize,
}

impl Default for Elsewhere {
    fn default() -> Self {
        Self::with_bounds(MOST, GROUP)
    }
}

/// The part of a fingerprint that filters are made of.
#[expect(clippy::cast_possible_truncation, reason = "half of its bits are wanted")]
pub(crate) fn half(print: u128) -> u64 {
    print as u64
}

impl Elsewhere {
    pub(crate) fn with_bounds(most: usize, group: usize) -> Self {
        Self {
            seen: HashSet::new(),
            groups: Vec::new(),
            latest: HashSet::new(),
            latest_days: BTreeSet::new(),
            most,
            group,
        }
    }

    /// Whether a file is to be looked into: it was not, and there is room, or its day is newer than what can make room.
    pub(crate) fn wants(&self, path: &str, day: &str) -> bool {
        if self.seen.contains(path) {
            return false;
        }
        let oldest = self.groups.iter().map(Group::newest).min();
        self.size() < self.most || oldest.is_none_or(|oldest| day > oldest)
    }

    /// Remembers the ids of a file.
    pub(crate) fn learn(&mut self, path: &str, day: &str, prints: impl Iterator<Item = u128>) {
        self.seen.insert(path.to_owned());
        // An id for which a group of this day answers leads to this day already.
        let of_day: Vec<&Group> = self.groups.iter().filter(|group| group.days.contains(day)).collect();
        let new = prints
            .map(half)
            .filter(|id| !of_day.iter().any(|group| group.ids.contains(id)));
        let mut any = false;
        for id in new {
            any = true;
            self.latest.insert(id);
        }
        if any {
            self.latest_days.insert(day.to_owned());
        }
        if self.latest.len() >= self.group {
            self.close_group();
        }
    }

    /// A file holds what others did, and nothing else.
    pub(crate) fn join(&mut self, paths: &[&str], joined: &str) {
        if paths.iter().all(|path| self.seen.contains(*path)) {
            self.seen.insert(joined.to_owned());
        }
    }

    /// The days that may have an id.
    pub(crate) fn days_of(&self, print: u128) -> impl Iterator<Item = &str> {
        let id = half(print);
        let groups = self.groups.iter().filter(move |group| group.ids.contains(&id));
        let latest = Some(&self.latest_days).filter(|_| self.latest.contains(&id));
        groups
            .map(|group| &group.days)
            .chain(latest)
            .flatten()
            .map(String::as_str)
    }

    /// Forgets what the table no longer has.
    pub(crate) fn shrink(&mut self, oldest_day: &str, in_use: impl Fn(&str) -> bool) {
        self.seen.retain(|path| in_use(path));
        self.groups.retain(|group| group.newest() >= oldest_day);
    }

    fn size(&self) -> usize {
        self.latest.len() + self.groups.iter().map(|group| group.size).sum::<usize>()
    }

    /// Where chance makes no filter of these ids, it is tried again with more.
    fn close_group(&mut self) {
        let ids: Vec<u64> = self.latest.iter().copied().collect();
        let Ok(filter) = BinaryFuse32::try_from(&ids) else {
            return;
        };
        self.latest = HashSet::new();
        self.groups.push(Group {
            ids: filter,
            size: ids.len(),
            days: std::mem::take(&mut self.latest_days),
        });
        while self.size() > self.most && self.groups.len() > 1 {
            let oldest = (0..self.groups.len()).min_by(|one, other| {
                let newest = |place: &usize| self.groups[*place].newest();
                newest(one).cmp(newest(other))
            });
            self.groups.swap_remove(oldest.unwrap_or(0));
        }
    }
}

impl Writer {
    /// Looks into each file that may hold events and was not looked into, the newest day first.
    pub(crate) async fn learn_events(&mut self, table: &Table, files: &[DataFile]) -> Result<(), LakeError> {
        let mut wanted: Vec<&DataFile> = files.iter().filter(|file| file.may_hold_events()).collect();
        wanted.retain(|file| self.index.elsewhere.wants(&file.path, &file.day));
        wanted.sort_by(|one, other| other.day.cmp(&one.day));
        for file in wanted {
            // The ones before may have taken the room.
            if self.index.elsewhere.wants(&file.path, &file.day) {
                let ids = self.events_of(table, file).await?;
                self.index.elsewhere.learn(&file.path, &file.day, ids.into_iter());
            }
        }
        Ok(())
    }

    /// Those of the ids that another day has.
    pub(crate) async fn elsewhere(
        &self,
        table: &Table,
        files: &[DataFile],
        day: &str,
        ids: &[u128],
    ) -> Result<HashSet<u128>, LakeError> {
        let mut by_day: BTreeMap<&str, HashSet<u128>> = BTreeMap::new();
        for id in ids {
            for other in self.index.elsewhere.days_of(*id).filter(|other| *other != day) {
                by_day.entry(other).or_default().insert(*id);
            }
        }
        let mut taken = HashSet::new();
        for (day, ids) in by_day {
            for file in files.iter().filter(|file| file.day == day && file.may_hold_events()) {
                let here = self.events_of(table, file).await?;
                taken.extend(here.into_iter().filter(|id| ids.contains(id)));
            }
        }
        Ok(taken)
    }

    /// Fingerprints of the ids of a file's events, and perhaps of others.
    async fn events_of(&self, table: &Table, file: &DataFile) -> Result<Vec<u128>, LakeError> {
        if let Some(ids) = self.index.ids_of(&file.path) {
            return Ok(ids.collect());
        }
        let mut ids = Vec::new();
        let bytes = datafile::fetch(&*table.store(), file).await?;
        datafile::each_event(&file.path, bytes, |id| ids.push(self.index.fingerprints.of(&id)))?;
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::Elsewhere;

    fn id(number: u64) -> u128 {
        u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    fn days(known: &Elsewhere, number: u64) -> Vec<&str> {
        known.days_of(id(number)).collect()
    }

    #[test]
    fn an_id_leads_to_the_days_of_its_group_and_a_strange_one_to_none() {
        let mut known = Elsewhere::with_bounds(10_000, 1000);
        for (day, name) in [(0, "2026-11-01"), (1, "2026-11-02"), (2, "2026-11-03")] {
            assert!(known.wants(name, name));
            known.learn(name, name, (day * 600..(day + 1) * 600).map(id));
            assert!(!known.wants(name, name));
        }
        // Two days make a group; the third is too little for one.
        assert!((0..1200).all(|number| days(&known, number) == ["2026-11-01", "2026-11-02"]));
        assert!((1200..1800).all(|number| days(&known, number) == ["2026-11-03"]));
        assert!(
            (1800..20_000)
                .filter(|number| !days(&known, *number).is_empty())
                .count()
                <= 1
        );
    }

    #[test]
    fn what_is_learned_of_a_day_again_takes_no_room_and_what_comes_to_it_is_known() {
        let mut known = Elsewhere::with_bounds(10_000, 1000);
        known.learn("a", "2026-11-01", (0..1000).map(id));
        known.learn("b", "2026-11-01", (0..1001).map(id));
        assert_eq!(known.size(), 1001);
        assert_eq!(days(&known, 1000), ["2026-11-01"]);
        known.join(&["a", "b"], "c");
        known.join(&["a", "strange"], "d");
        assert_eq!(["c", "d"].map(|path| known.wants(path, "2026-11-01")), [false, true]);
    }

    #[test]
    fn of_more_than_there_is_room_for_the_newest_days_are_known_in_whatever_order_they_come() {
        let mut known = Elsewhere::with_bounds(3000, 1000);
        let name = |day: u64| format!("2026-11-{day:02}");
        let learn = |known: &mut Elsewhere, day: u64| {
            if known.wants(&name(day), &name(day)) {
                known.learn(&name(day), &name(day), (day * 1000..(day + 1) * 1000).map(id));
            }
        };
        for day in [5, 4, 3, 2, 1, 6, 7] {
            learn(&mut known, day);
        }
        let found = |known: &Elsewhere| {
            (1..=7)
                .filter(|day| !days(known, day * 1000).is_empty())
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&known), [5, 6, 7]);
        assert_eq!(known.size(), 3000);
        known.shrink(&name(6), |path| path != name(7));
        assert_eq!(found(&known), [6, 7], "days that left the table");
        assert!(known.wants(&name(7), &name(7)), "its file was replaced by another");
    }
}
