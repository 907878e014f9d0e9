//! The table: its versions, and commits on top of exactly the one that was read.

use std::sync::Arc;

use deltalake_core::kernel::Action;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TableReference, TransactionError};
use deltalake_core::logstore::{
    LogStoreFactory, LogStoreRef, ObjectStoreRef, StorageConfig, default_logstore, logstore_factories,
};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use crate::datafile::DataFile;
use crate::place::Place;
use crate::{LakeError, columns};

/// So many commits lie between two checkpoints of the table.
const CHECKPOINT_EVERY: u32 = 20;

/// A table in its place.
#[derive(Debug)]
pub(crate) struct Table {
    place: Place,
    log: LogStoreRef,
    /// What a table is made with.
    pub(crate) checkpoint_every: u32,
}

/// Commits by writing a version's file where there is none yet, which all stores do that `object_store` knows.
#[derive(Debug)]
struct ConditionalPut;

impl LogStoreFactory for ConditionalPut {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> Result<LogStoreRef, DeltaTableError> {
        Ok(default_logstore(prefixed_store, root_store, location, options))
    }
}

/// How a commit ended.
#[derive(Debug)]
pub(crate) enum Commit {
    /// It is the table's newest version.
    Done,
    /// Another writer came first; nothing was committed.
    Late,
}

impl Table {
    pub(crate) fn at(location: &str) -> Result<Self, LakeError> {
        let place = Place::of(location)?;
        let scheme = Url::parse(&format!("{}://", place.url.scheme())).map_err(|error| LakeError::Location {
            location: location.to_owned(),
            reason: error.to_string(),
        })?;
        logstore_factories()
            .entry(scheme)
            .or_insert_with(|| Arc::new(ConditionalPut));
        let log = builder(&place)
            .and_then(|builder| builder.build_storage())
            .map_err(|error| refused(&place, error))?;
        Ok(Self {
            place,
            log,
            checkpoint_every: CHECKPOINT_EVERY,
        })
    }

    /// The store, seen from the table.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        self.log.object_store(None)
    }

    /// Where in the store the log is.
    pub(crate) fn log_folder(&self) -> Path {
        self.log.log_path().clone()
    }

    /// A file of the table, as others name it.
    pub(crate) fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.place.url)
    }

    /// The table at a version, or as it is now; nothing where there is none yet.
    pub(crate) async fn load(&self, version: Option<u64>) -> Result<Option<DeltaTable>, LakeError> {
        let mut table = DeltaTable::new(Arc::clone(&self.log));
        let loaded = match version {
            Some(version) => table.load_version(version).await,
            None => table.load().await,
        };
        match loaded {
            Ok(()) => Ok(Some(table)),
            Err(DeltaTableError::NotATable(_)) if version.is_none() => Ok(None),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Brings a table up to date.
    pub(crate) async fn refresh(&self, table: &mut DeltaTable) -> Result<(), LakeError> {
        table.update_state().await.map_err(|error| self.refused(error))
    }

    /// Whether the log has a version after the one that is known: one look, where bringing the table up to date lists the log.
    pub(crate) async fn has_more(&self, table: &DeltaTable) -> Result<bool, LakeError> {
        let Some(version) = table.version() else {
            return Ok(true);
        };
        let next = self.log_folder().join(format!("{:020}.json", version + 1));
        match self.store().head(&next).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(LakeError::Store {
                file: next.to_string(),
                error: Box::new(error),
            }),
        }
    }

    /// The table as it is now; made where there is none.
    pub(crate) async fn load_or_create(&self) -> Result<DeltaTable, LakeError> {
        if let Some(table) = self.load(None).await? {
            return Ok(table);
        }
        // Writers do not cut the log off: each version that a bill names stays readable, and which those are they do not know.
        let properties = [
            ("delta.enableExpiredLogCleanup", Some("false".to_owned())),
            ("delta.checkpointInterval", Some(self.checkpoint_every.to_string())),
            // What was joined is in each checkpoint until then. Vacuum knows by their age how long files are left for those who read them.
            (
                "delta.deletedFileRetentionDuration",
                Some("interval 6 hours".to_owned()),
            ),
        ];
        let created = CreateBuilder::new()
            .with_log_store(Arc::clone(&self.log))
            .with_table_name("usage")
            .with_columns(columns::table_columns()?)
            .with_partition_columns([columns::DAY])
            .with_configuration(properties)
            .with_save_mode(SaveMode::ErrorIfExists)
            .with_commit_properties(CommitProperties::default().with_max_retries(0))
            .await;
        match (created, self.load(None).await?) {
            // This writer's, or one's that came first.
            (_, Some(table)) | (Ok(table), None) => Ok(table),
            (Err(error), None) => Err(self.refused(error)),
        }
    }

    /// The files of a version; of none where there is no table.
    pub(crate) async fn files(&self, version: Option<u64>) -> Result<Vec<DataFile>, LakeError> {
        match self.load(version).await? {
            Some(table) => self.files_of(&table),
            None => Ok(Vec::new()),
        }
    }

    pub(crate) fn files_of(&self, table: &DeltaTable) -> Result<Vec<DataFile>, LakeError> {
        let state = table.snapshot().map_err(|error| self.refused(error))?;
        Ok(state.log_data().iter().map(DataFile::of).collect())
    }

    /// Commits actions as the version after the one that `table` holds, which then holds that one, or not at all.
    pub(crate) async fn commit(
        &self,
        table: &mut DeltaTable,
        actions: Vec<Action>,
        operation: DeltaOperation,
    ) -> Result<Commit, LakeError> {
        let state = table.snapshot().map_err(|error| self.refused(error))?;
        let properties = CommitProperties::default()
            .with_max_retries(0)
            .with_cleanup_expired_logs(Some(false));
        let committed = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(state as &dyn TableReference), Arc::clone(&self.log), operation)
            .await;
        match committed {
            Ok(committed) => {
                table.state = Some(committed.snapshot());
                Ok(Commit::Done)
            }
            Err(error) if came_late(&error) => Ok(Commit::Late),
            Err(error) => Err(self.refused(error)),
        }
    }

    pub(crate) fn refused(&self, error: DeltaTableError) -> LakeError {
        refused(&self.place, error)
    }
}

fn came_late(error: &DeltaTableError) -> bool {
    matches!(
        error,
        DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction {
                source: TransactionError::MaxCommitAttempts(_)
                    | TransactionError::VersionAlreadyExists(_)
                    | TransactionError::CommitConflict(_),
            }
    )
}

fn refused(place: &Place, error: DeltaTableError) -> LakeError {
    LakeError::Table {
        location: place.url.to_string(),
        error: Box::new(error),
    }
}

fn builder(place: &Place) -> Result<DeltaTableBuilder, DeltaTableError> {
    Ok(DeltaTableBuilder::from_url(place.url.clone())?
        .with_storage_backend(Arc::clone(&place.store), place.url.clone()))
}
