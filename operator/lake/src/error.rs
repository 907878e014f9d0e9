//! What can go wrong with usage records at rest.

use std::path::{Path, PathBuf};

use maru_meter::record::RecordError;

/// Why records could not be stored or read. After an error nothing that was acknowledged is lost, and trying again is safe.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The disk said no.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A line that is not a record: somebody else wrote into the file.
    #[error("{}:{line}: not a usage record: {error}; move the file away to go on without it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// A record that says nothing sensible.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A record over more than a month.
    #[error("usage record `{id}` lasts longer than 31 days; allowed are records of at most 31 days, so cut it")]
    TooLong {
        /// Which record.
        id: String,
    },
    /// A record that JSON cannot say; none is known.
    #[error("usage record cannot be written: {0}")]
    Unwritable(serde_json::Error),
}

impl LakeError {
    pub(crate) fn io(path: &Path, error: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            error,
        }
    }
}
