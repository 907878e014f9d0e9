//! Keeping the table's log short: each append is a version, and only versions that somebody names need to be read later.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use object_store::ObjectStore as _;
use object_store::path::Path;

use crate::{Lake, LakeError};

/// A version is refused by the file of it that is there. So that files stay longer than any writer trusts what it read.
const LEAST: SignedDuration = SignedDuration::from_hours(24);

/// A file of the log. The names are those of the protocol, such as `00000000000000000042.json` and
/// `00000000000000000040.checkpoint.parquet`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    version: u64,
    checkpoint: bool,
    /// Whether it is too young to be deleted.
    young: bool,
    path: Path,
}

impl Lake {
    /// Deletes what neither the newest version, nor the versions in `keep`, nor those that are younger than `older_than` need of the log, and says how many
    /// files that were. Versions in between cannot be read any more. Give the versions that bills name, and more time than any reading or writing takes; less than
    /// a day counts as a day.
    pub fn trim_log(&self, keep: &[u64], older_than: SignedDuration) -> Result<usize, LakeError> {
        self.trim(keep, older_than.max(LEAST))
    }

    fn trim(&self, keep: &[u64], older_than: SignedDuration) -> Result<usize, LakeError> {
        self.wait(async {
            let store = self.table.store();
            let folder = self.table.log_folder();
            let failed = |error: object_store::Error| LakeError::Store {
                file: folder.to_string(),
                error: Box::new(error),
            };
            let limit = Timestamp::now() - older_than;
            let found: Vec<_> = store.list(Some(&folder)).try_collect().await.map_err(failed)?;
            let entries: Vec<Entry> = found
                .into_iter()
                .filter_map(|file| {
                    let young = file.last_modified.timestamp_millis() > limit.as_millisecond();
                    entry(file.location, young)
                })
                .collect();
            let paths: Vec<Path> = not_needed(&entries, keep).map(|entry| entry.path.clone()).collect();
            let deleted = store.delete_stream(futures::stream::iter(paths).map(Ok).boxed());
            let deleted: Vec<Path> = deleted.try_collect().await.map_err(failed)?;
            Ok(deleted.len())
        })
    }
}

/// None for a file that is of no version, such as the hint at the last checkpoint.
fn entry(path: Path, young: bool) -> Option<Entry> {
    let (number, rest) = path.filename()?.split_once('.')?;
    let version = number.parse().ok().filter(|_| number.len() == 20)?;
    let checkpoint = rest.starts_with("checkpoint.");
    (checkpoint || rest == "json").then_some(Entry {
        version,
        checkpoint,
        young,
        path,
    })
}

/// The files that no version needs of those that are named, young or the newest. A version needs the last checkpoint before it and each commit since.
fn not_needed<'a>(entries: &'a [Entry], keep: &[u64]) -> impl Iterator<Item = &'a Entry> {
    let checkpoints: BTreeSet<u64> = entries
        .iter()
        .filter(|entry| entry.checkpoint)
        .map(|entry| entry.version)
        .collect();
    let base = move |version: u64| checkpoints.range(..=version).next_back().copied().unwrap_or(0);
    let newest = entries.iter().map(|entry| entry.version).max().unwrap_or(0);
    let young = entries.iter().filter(|entry| entry.young).map(|entry| entry.version);
    let whole_from = base(young.min().unwrap_or(newest));
    let mut spans: Vec<(u64, u64)> = keep.iter().map(|version| (base(*version), *version)).collect();
    spans.push((whole_from, u64::MAX));
    entries.iter().filter(move |entry| {
        !spans
            .iter()
            .any(|(from, until)| (*from..=*until).contains(&entry.version))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use maru_meter::{Interval, UsageRecord};

    fn log(commits: u64, checkpoints: &[u64], young_from: u64) -> Vec<Entry> {
        let commits = (0..commits).map(|version| (version, "json"));
        let checkpoints = checkpoints.iter().map(|version| (*version, "checkpoint.parquet"));
        let names = commits.chain(checkpoints);
        names
            .filter_map(|(version, kind)| {
                let path = Path::from(format!("_delta_log/{version:020}.{kind}"));
                entry(path, version >= young_from)
            })
            .collect()
    }

    fn left(entries: &[Entry], keep: &[u64]) -> Vec<(u64, bool)> {
        let gone: Vec<&Entry> = not_needed(entries, keep).collect();
        let kept = entries.iter().filter(|entry| !gone.contains(entry));
        kept.map(|entry| (entry.version, entry.checkpoint)).collect()
    }

    #[test]
    fn what_versions_that_are_named_and_young_ones_need_stays() {
        let entries = log(50, &[10, 20, 30, 40], 47);
        let commits = |from: u64, until: u64| (from..=until).map(|version| (version, false));
        let newest: Vec<_> = commits(40, 49).chain([(40, true)]).collect();
        assert_eq!(left(&entries, &[]), newest);
        let named: Vec<_> = commits(20, 23)
            .chain(commits(40, 49))
            .chain([(20, true), (40, true)])
            .collect();
        assert_eq!(left(&entries, &[23]), named);
        // Before the first checkpoint, all commits are needed.
        let first: Vec<_> = commits(0, 7).chain(commits(40, 49)).chain([(40, true)]).collect();
        assert_eq!(left(&entries, &[7]), first);
        assert_eq!(
            left(&entries, &[20]).len(),
            newest.len() + 2,
            "a checkpoint's own version"
        );
        assert_eq!(
            left(&log(50, &[], 60), &[3]).len(),
            50,
            "without a checkpoint nothing goes"
        );
        assert_eq!(
            left(&log(50, &[10], 5), &[]).len(),
            51,
            "young ones that need the first commits"
        );
        assert_eq!(entry(Path::from("_delta_log/_last_checkpoint"), false), None);
        assert_eq!(
            entry(Path::from("_delta_log/00000000000000000003.json.tmp"), false),
            None
        );
    }

    #[test]
    fn named_versions_and_the_newest_are_read_and_written_on_after_the_log_was_trimmed() {
        let folder = tempfile::tempdir().unwrap();
        let mut lake = Lake::open(folder.path()).unwrap();
        lake.table.checkpoint_every = 5;
        let record = |number: u32| -> UsageRecord {
            let (hour, minute) = (number / 60, number % 60);
            serde_json::from_value(serde_json::json!({
                "id": format!("events/r{number}"), "agency": "nts", "system": "nts/docs", "meter": "m", "quantity": "1",
                "start": format!("2026-11-03T{hour:02}:{minute:02}:00Z"), "end": format!("2026-11-03T{hour:02}:{minute:02}:00Z"),
            }))
            .unwrap()
        };
        let day = Interval {
            start: "2026-11-03T00:00:00Z".parse().unwrap(),
            end: "2026-11-04T00:00:00Z".parse().unwrap(),
        };
        let other = Lake::open(folder.path()).unwrap();
        for number in 0..24 {
            let writer = if number == 3 { &other } else { &lake };
            writer.append(&[record(number)]).unwrap();
        }
        let read = |lake: &Lake, version| lake.read_at(version, day).map(|records| records.len());
        let before: Vec<_> = (1..=24).map(|version| read(&lake, version).unwrap()).collect();
        assert_eq!(before, (1..=24).collect::<Vec<_>>());

        assert_eq!(
            lake.trim_log(&[8, 17], SignedDuration::ZERO).unwrap(),
            0,
            "all are young"
        );
        assert!(lake.trim(&[8, 17], SignedDuration::ZERO).unwrap() > 10);
        // It last looked when that was there; a day later it does not trust what it saw.
        other.writer().looked = Some(Timestamp::now() - LEAST);
        // Whoever opens it, one that went on writing, and one that last saw a version that is gone.
        for lake in [&Lake::open(folder.path()).unwrap(), &lake, &other] {
            assert_eq!(
                (read(lake, 8).unwrap(), read(lake, 17).unwrap(), read(lake, 24).unwrap()),
                (8, 17, 24)
            );
            assert!(read(lake, 12).is_err(), "its commits are gone");
            assert_eq!(lake.append(&[record(5)]).unwrap().known, 1);
        }
        assert_eq!(other.append(&[record(24)]).unwrap().added, 1);
        assert_eq!(lake.append(&[record(24), record(25)]).unwrap().added, 1);
        assert_eq!(lake.read(day).unwrap().len(), 26);
        lake.compact("2026-11-05T00:00:00Z".parse().unwrap()).unwrap();
        lake.vacuum(&[8, 17], SignedDuration::ZERO).unwrap();
        assert_eq!((read(&lake, 8).unwrap(), read(&lake, 17).unwrap()), (8, 17));
        assert_eq!(
            lake.trim_log(&[17], SignedDuration::ZERO).unwrap() > 0,
            read(&lake, 8).is_err()
        );
        assert_eq!(lake.read(day).unwrap().len(), 26);
    }
}
