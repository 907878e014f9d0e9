//! What a version of the table knows that an earlier one did not.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::datafile::{self, DataFile};
use crate::index::Fingerprints;
use crate::{Lake, LakeError, columns};

/// The files of a day.
type Files = Vec<DataFile>;

impl Lake {
    /// The start of the earliest day (in UTC) of which a version knows more or better than an earlier one; nothing where it does of none. `None`
    /// is the table before there was one. Days that were retired in between, and those before them, are left out. Only the log is read, and
    /// of days that have as many records in other files, those files.
    pub fn more_since(&self, before: Option<u64>, now: Option<u64>) -> Result<Option<Timestamp>, LakeError> {
        let (before, now) = (self.files_by_day(before)?, self.files_by_day(now)?);
        let none = Files::new();
        let retired = before
            .keys()
            .rfind(|day| rows(now.get(*day).unwrap_or(&none)) < rows(&before[*day]));
        for (day, files) in now.iter().filter(|(day, _)| Some(*day) > retired) {
            if self.says_more(before.get(day).unwrap_or(&none), files)? {
                return Ok(Some(columns::start_of_day(day).unwrap_or(Timestamp::MIN)));
            }
        }
        Ok(None)
    }

    fn files_by_day(&self, version: Option<u64>) -> Result<BTreeMap<String, Files>, LakeError> {
        let mut days: BTreeMap<String, Files> = BTreeMap::new();
        if version.is_some() {
            for file in self.wait(self.table.files(version))? {
                days.entry(file.day.clone()).or_default().push(file);
            }
        }
        Ok(days)
    }

    /// Whether files of a day that are not fewer records say more than others: there are more, or some were measured that were holes or estimates.
    /// Compaction puts the same records into other files.
    fn says_more(&self, before: &[DataFile], now: &[DataFile]) -> Result<bool, LakeError> {
        if rows(now) > rows(before) {
            return Ok(true);
        }
        let without = |files: &[DataFile], others: &[DataFile]| -> Files {
            let other = |file: &&DataFile| others.iter().all(|other| other.path != file.path);
            files.iter().filter(other).cloned().collect()
        };
        let fingerprints = Fingerprints::default();
        let left = self.content(&without(before, now), &fingerprints)?;
        Ok(left != self.content(&without(now, before), &fingerprints)?)
    }

    /// What files say, in whatever order: the sum of the fingerprints of their records. One batch of records is held at a time, and one file.
    fn content(&self, files: &[DataFile], fingerprints: &Fingerprints) -> Result<u128, LakeError> {
        let mut content = 0u128;
        for file in files {
            let bytes = self.wait(datafile::fetch(&*self.table.store(), file))?;
            for batch in datafile::batches(&file.path, bytes)? {
                let records = columns::decode(&batch?).map_err(|reason| LakeError::Damaged {
                    file: file.path.clone(),
                    reason,
                })?;
                for record in records {
                    let one = fingerprints.of(&(record.id.as_str(), fingerprints.of_content(&record)));
                    content = content.wrapping_add(one);
                }
            }
        }
        Ok(content)
    }
}

fn rows(files: &[DataFile]) -> u64 {
    files.iter().map(|file| file.rows).sum()
}
