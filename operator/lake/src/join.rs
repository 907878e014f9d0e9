//! Files that take the place of others which hold the same records, while writers go on.

use std::collections::BTreeMap;

use deltalake_core::kernel::{Action, Add};
use deltalake_core::protocol::DeltaOperation;
use foldhash::HashSet;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::append::{Pauses, Writer};
use crate::datafile::DataFile;
use crate::table::{Commit, Table};
use crate::{Compacted, Lake, LakeError};

/// So many files of about the same size are joined; also how much larger the next size is.
const MANY: usize = 16;
/// Files with so many records are joined only when their day is over.
const LARGE: u64 = 1 << 20;

/// What became of a file that was to take the place of others.
#[derive(Debug)]
pub(crate) enum Replaced {
    Done,
    /// Another writer came first.
    Late,
    /// Some of the others are no longer in the table.
    Gone,
}

impl Lake {
    /// Makes one file of those of a day that are of about the same size, where there are many ([`MANY`]), whether the day is over or not: so a day
    /// has some dozens of files, however often something is appended. Only files of which this process knows all ids are joined, so that
    /// what it appends next is compared without reading. The records stay what they are, and writers go on meanwhile.
    pub fn join(&self) -> Result<Compacted, LakeError> {
        let mut sizes: BTreeMap<(String, bool, u32), Vec<DataFile>> = BTreeMap::new();
        let known = self.wait(self.writer().known_files(&self.table))?;
        for file in known.into_iter().filter(|file| file.rows < LARGE) {
            let size = file.rows.max(1).ilog2() / MANY.ilog2();
            let kind = (file.day.clone(), file.may_hold_events(), size);
            sizes.entry(kind).or_default().push(file);
        }
        sizes.retain(|_, files| files.len() >= MANY);
        self.join_each(sizes.into_iter().map(|((day, ..), files)| (day, files)))
    }

    pub(crate) fn join_each(
        &self,
        lots: impl Iterator<Item = (String, Vec<DataFile>)>,
    ) -> Result<Compacted, LakeError> {
        let mut compacted = Compacted::default();
        for (day, files) in lots {
            let add = self.merge_files(&day, &files)?;
            if self.replace(&files, &add)? {
                compacted.before += files.len();
                compacted.after += 1;
            }
        }
        Ok(compacted)
    }

    /// Puts a file in the place of others. Not where another writer replaced one of those.
    fn replace(&self, files: &[DataFile], add: &Add) -> Result<bool, LakeError> {
        let mut pauses = Pauses::default();
        loop {
            match self.wait(self.writer().replace(&self.table, files, add.clone()))? {
                Replaced::Done => return Ok(true),
                Replaced::Gone => break,
                Replaced::Late => self.wait(pauses.pause())?,
            }
        }
        // No version names it; where it cannot be removed now, vacuum does it.
        self.wait(async {
            self.table.store().delete(&Path::from(add.path.as_str())).await.ok();
            Ok(false)
        })
    }
}

impl Writer {
    /// Puts a file in the place of others that hold the same records.
    pub(crate) async fn replace(
        &mut self,
        table: &Table,
        files: &[DataFile],
        file: Add,
    ) -> Result<Replaced, LakeError> {
        let mut current = self.current(table).await?;
        let there: HashSet<String> = table.files_of(&current)?.into_iter().map(|file| file.path).collect();
        if !files.iter().all(|file| there.contains(&file.path)) {
            self.keep_table(current);
            return Ok(Replaced::Gone);
        }
        let joined = file.path.clone();
        let mut actions: Vec<Action> = files.iter().map(|file| Action::Remove(file.remove(false))).collect();
        actions.push(Action::Add(file));
        let operation = DeltaOperation::Optimize {
            predicate: None,
            target_size: i64::MAX,
        };
        let committed = self.commit(table, &mut current, actions, operation).await?;
        self.keep_table(current);
        Ok(match committed {
            Commit::Late => Replaced::Late,
            Commit::Done => {
                let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
                self.index.join(&paths, &joined);
                Replaced::Done
            }
        })
    }

    /// The files of the newest version of which all ids are known; of none where nothing was appended yet.
    pub(crate) async fn known_files(&mut self, table: &Table) -> Result<Vec<DataFile>, LakeError> {
        if self.table.is_none() {
            return Ok(Vec::new());
        }
        let current = self.current(table).await?;
        let mut files = table.files_of(&current)?;
        self.keep_table(current);
        files.retain(|file| self.index.ids_of(&file.path).is_some());
        Ok(files)
    }
}
