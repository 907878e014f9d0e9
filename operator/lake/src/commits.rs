//! The last files of a table's log in a directory, found by their names: the log may have a hundred thousand, and a reader wants those after the last
//! checkpoint.

use std::fs;
use std::path::Path;

use object_store::ObjectMeta;
use object_store::path::Path as StorePath;
use serde::Deserialize;

/// So many versions are looked for one by one. Beyond, listing is quicker.
const MOST: u64 = 200;

/// The part of the hint at the last checkpoint that is read.
#[derive(Deserialize)]
struct Hint {
    version: u64,
}

/// The files of a log after one of them, by name. None where they are to be listed: it is no log, they are many, or versions are missing in between.
pub(crate) fn after(directory: &Path, folder: &StorePath, offset: &StorePath) -> Option<Vec<ObjectMeta>> {
    if folder.filename()? != "_delta_log" {
        return None;
    }
    let digits = offset.filename()?.get(..20)?;
    let first: u64 = digits.parse().ok()?;
    let mut found = Vec::new();
    let mut version = first;
    loop {
        let commit = look(directory, folder, &format!("{version:020}.json"));
        // The first may be gone where there is a checkpoint of it.
        if commit.is_none() && version > first {
            break;
        }
        if version - first > MOST {
            return None;
        }
        let checkpoint = look(directory, folder, &format!("{version:020}.checkpoint.parquet"));
        found.extend(checkpoint.into_iter().chain(commit));
        version += 1;
    }
    let hint: Hint = serde_json::from_slice(&fs::read(directory.join("_last_checkpoint")).ok()?).ok()?;
    if hint.version >= version {
        return None;
    }
    found.retain(|file| file.location > *offset);
    Some(found)
}

fn look(directory: &Path, folder: &StorePath, name: &str) -> Option<ObjectMeta> {
    let metadata = fs::metadata(directory.join(name)).ok()?;
    Some(ObjectMeta {
        location: folder.clone().join(name),
        last_modified: metadata.modified().ok()?.into(),
        size: metadata.len(),
        e_tag: None,
        version: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log with these commits and checkpoints, the last of which the hint names.
    fn log(commits: impl Iterator<Item = u64>, checkpoints: &[u64]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for version in commits {
            fs::write(folder.path().join(format!("{version:020}.json")), "{}").unwrap();
        }
        for version in checkpoints {
            let name = format!("{version:020}.checkpoint.parquet");
            fs::write(folder.path().join(name), "PAR1").unwrap();
        }
        if let Some(version) = checkpoints.last() {
            let hint = format!("{{\"version\":{version},\"size\":3}}");
            fs::write(folder.path().join("_last_checkpoint"), hint).unwrap();
        }
        folder
    }

    fn found(log: &tempfile::TempDir, offset: &str) -> Option<Vec<String>> {
        let folder = StorePath::from("lake/_delta_log");
        let found = after(log.path(), &folder, &folder.clone().join(offset))?;
        let names = found.iter().map(|file| file.location.filename().unwrap().to_owned());
        Some(names.collect())
    }

    /// The same by listing.
    fn listed(log: &tempfile::TempDir, offset: &str) -> Vec<String> {
        let names = fs::read_dir(log.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names
            .filter(|name| name.as_str() > offset && !name.starts_with('_'))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_found_by_name_is_what_a_listing_finds() {
        let log = log(0..50, &[20, 40]);
        for version in [0, 1, 19, 20, 21, 39, 40, 48, 49, 50, 60] {
            for rest in ["", ".checkpoint.parquet", ".json", ".zzz"] {
                let offset = format!("{version:020}{rest}");
                if let Some(names) = found(&log, &offset) {
                    assert_eq!(names, listed(&log, &offset), "{offset}");
                } else {
                    panic!("{offset} is listed");
                }
            }
        }
    }

    #[test]
    fn where_versions_are_missing_or_many_the_log_is_listed() {
        let name = |version: u64| format!("{version:020}");
        assert_eq!(found(&log((0..10).chain(40..50), &[40]), &name(5)), None, "a gap");
        assert_eq!(found(&log(40..50, &[40]), &name(5)), None, "the version is gone");
        assert_eq!(found(&log(0..50, &[]), &name(5)), None, "no checkpoint yet");
        assert_eq!(found(&log(0..300, &[20]), &name(5)), None, "many");
        assert!(
            found(&log(41..50, &[40]), &name(40)).is_some(),
            "only the checkpoint of it is left"
        );
        let strange = log(0..50, &[40]);
        assert_eq!(found(&strange, "_last_checkpoint"), None);
        let folder = StorePath::from("lake/day=2026-11-03");
        assert_eq!(after(strange.path(), &folder, &folder.clone().join(name(5))), None);
    }
}
