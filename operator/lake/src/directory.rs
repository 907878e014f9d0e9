//! A directory as an object store.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::commits;

/// The file system, where a write is on the disk when it is answered: file, name and directories. A commit appears
/// whole or not at all.
#[derive(Debug, Default)]
pub(crate) struct SyncedDirectory {
    files: LocalFileSystem,
}

impl std::fmt::Display for SyncedDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.files, f)
    }
}

/// A name beside the file that listings pass over: the store knows `#` and a number as unfinished.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("#{}", uuid::Uuid::new_v4().as_u128()));
    name.into()
}

fn write_synced(unfinished: &Path, path: &Path, payload: &PutPayload, create: bool) -> std::io::Result<()> {
    let parent = path.parent().unwrap_or(path);
    make_synced(parent)?;
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).open(unfinished)?;
    for part in payload {
        file.write_all(part)?;
    }
    file.sync_all()?;
    drop(file);
    if create {
        fs::hard_link(unfinished, path)?;
        fs::remove_file(unfinished)?;
    } else {
        fs::rename(unfinished, path)?;
    }
    File::open(parent)?.sync_all()
}

/// Makes a directory and those above it, each durable in the one above.
fn make_synced(directory: &Path) -> std::io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(above) = directory.parent() {
        make_synced(above)?;
        match fs::create_dir(directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => File::open(above)?.sync_all()?,
        }
    }
    Ok(())
}

#[async_trait]
impl ObjectStore for SyncedDirectory {
    async fn put_opts(&self, location: &StorePath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return self.files.put_opts(location, payload, options).await,
        };
        let path = self.files.path_to_filesystem(location)?;
        let unfinished = unfinished(&path);
        let shown = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || {
            let written = write_synced(&unfinished, &path, &payload, create);
            if written.is_err() {
                // What is left of it is of no use; that it cannot be removed either is no news.
                fs::remove_file(&unfinished).ok();
            }
            written
        });
        match written.await? {
            Ok(()) => Ok(PutResult {
                e_tag: None,
                version: None,
            }),
            Err(source) if create && source.kind() == ErrorKind::AlreadyExists => Err(Error::AlreadyExists {
                path: shown,
                source: source.into(),
            }),
            Err(source) => Err(Error::Generic {
                store: "directory",
                source: format!("{shown}: {source}").into(),
            }),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &StorePath,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &StorePath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<StorePath>>) -> BoxStream<'static, Result<StorePath>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&StorePath>,
        offset: &StorePath,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let log = prefix.and_then(|folder| {
            let directory = self.files.path_to_filesystem(folder).ok()?;
            commits::after(&directory, folder, offset)
        });
        match log {
            Some(found) => futures::stream::iter(found.into_iter().map(Ok)).boxed(),
            None => self.files.list_with_offset(prefix, offset),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &StorePath, to: &StorePath, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}
