//! Where backups are kept.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload};
use url::Url;

use crate::BackupError;
use crate::manifest::{Manifest, Whose};

const DUMP: &str = "dump.age";
const MANIFEST: &str = "json";

/// A directory or an object store with backups in it.
#[derive(Clone)]
pub struct Place {
    name: String,
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Where it is a directory.
    folder: Option<PathBuf>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Place {
    /// A directory, which is made where there is none, or a URL such as `s3://bucket/backups`. A store's keys and endpoint come from the
    /// environment, in the names that its own tools use.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn at(place: &str) -> Result<Self, BackupError> {
        let refused = |reason: String| BackupError::Place {
            place: place.to_owned(),
            reason,
        };
        if place.contains("://") {
            let url = Url::parse(place).map_err(|error| refused(error.to_string()))?;
            let settings = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
            let (store, prefix) =
                object_store::parse_url_opts(&url, settings).map_err(|error| refused(error.to_string()))?;
            return Ok(Self {
                name: place.to_owned(),
                store: Arc::new(PrefixStore::new(store, prefix)),
                folder: None,
            });
        }
        std::fs::create_dir_all(place).map_err(|error| refused(error.to_string()))?;
        let folder = std::fs::canonicalize(place).map_err(|error| refused(error.to_string()))?;
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            name: place.to_owned(),
            store: Arc::new(store),
            folder: Some(folder),
        })
    }

    pub(crate) fn dump_of(name: &str) -> Path {
        Path::from(format!("{name}.{DUMP}"))
    }

    fn manifest_of(name: &str) -> Path {
        Path::from(format!("{name}.{MANIFEST}"))
    }

    /// Says that a backup is there. Its dump must be.
    pub(crate) async fn put(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let text = serde_json::to_vec_pretty(manifest).map_err(|error| BackupError::Damaged {
            name: manifest.name.clone(),
            reason: error.to_string(),
        })?;
        self.sync(&Self::dump_of(&manifest.name)).await?;
        let path = Self::manifest_of(&manifest.name);
        self.store.put(&path, PutPayload::from(text)).await?;
        self.sync(&path).await
    }

    /// In a directory: what was written survives a loss of power.
    async fn sync(&self, path: &Path) -> Result<(), BackupError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let file = folder.join(path.as_ref());
        let synced = tokio::task::spawn_blocking(move || {
            std::fs::File::open(&file)?.sync_all()?;
            file.parent()
                .map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
        });
        synced.await?.map_err(BackupError::file("keeping a backup"))
    }

    /// A backup by its name.
    ///
    /// # Errors
    /// Where there is none, or the store does not answer.
    pub async fn manifest(&self, name: &str) -> Result<Manifest, BackupError> {
        let got = match self.store.get(&Self::manifest_of(name)).await {
            Err(Error::NotFound { .. }) => return Err(BackupError::NoBackup(name.to_owned())),
            got => got?,
        };
        serde_json::from_slice(&got.bytes().await?).map_err(|error| BackupError::Damaged {
            name: name.to_owned(),
            reason: format!("its manifest: {error}"),
        })
    }

    /// The backups of a dataset, or of all, the oldest first.
    ///
    /// # Errors
    /// Where the store does not answer, or a manifest is damaged.
    pub async fn list(&self, of: Option<(&str, &str)>) -> Result<Vec<Manifest>, BackupError> {
        let prefix = of.map(|(namespace, name)| Path::from(format!("{namespace}/{name}")));
        let listed: Vec<_> = self.store.list(prefix.as_ref()).try_collect().await?;
        let mut found = Vec::new();
        for object in listed {
            if let Some(name) = object.location.as_ref().strip_suffix(&format!(".{MANIFEST}")) {
                found.push(self.manifest(name).await?);
            }
        }
        found.sort_by(|one, other| (one.time, &one.name).cmp(&(other.time, &other.name)));
        Ok(found)
    }

    /// Deletes backups whose time to be kept is over; of a dataset that is there, the newest stays. Says which are gone.
    ///
    /// # Errors
    /// Where the store does not do it.
    pub async fn forget_old(&self, now: Timestamp, lives: impl Fn(&Whose) -> bool) -> Result<Vec<String>, BackupError> {
        let all = self.list(None).await?;
        let mut gone = Vec::new();
        for (place, backup) in all.iter().enumerate() {
            let newest = !all[place + 1..].iter().any(|later| later.dataset == backup.dataset);
            if backup.keep_until > now || (newest && lives(&backup.dataset)) {
                continue;
            }
            // The manifest goes first: what has none is no backup.
            for path in [Self::manifest_of(&backup.name), Self::dump_of(&backup.name)] {
                match self.store.delete(&path).await {
                    Ok(()) | Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            gone.push(backup.name.clone());
        }
        Ok(gone)
    }
}
