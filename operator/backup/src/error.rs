//! Why a backup was not made or not restored, and what to do about it.

use maru_apply::sql::SqlError;

/// Why a backup was not made, kept or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The key is none.
    #[error(
        "the key of backups: {0}; allowed is an age identity, a line that begins with AGE-SECRET-KEY-1, as `kubectl maru dataset key` makes it"
    )]
    Key(String),
    /// The place of backups is none.
    #[error("backups at {place}: {reason}; allowed is a directory, or a URL such as s3://bucket/backups")]
    Place {
        /// What was given.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store did not do it.
    #[error("the store of backups: {0}")]
    Store(#[from] object_store::Error),
    /// A file of this machine.
    #[error("{what}: {error}")]
    File {
        /// What was to be done.
        what: &'static str,
        /// Why it was not.
        error: std::io::Error,
    },
    /// One of PostgreSQL's programs is not there.
    #[error(
        "{0} is not there: install PostgreSQL's client programs (postgresql-client), of the servers' version or a later one"
    )]
    NoProgram(&'static str),
    /// One of them failed.
    #[error("{program} failed: {said}")]
    Program {
        /// Which.
        program: &'static str,
        /// What it said last.
        said: String,
    },
    /// The server.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// What is stored is not what was written.
    #[error("the backup {name} is damaged: {reason}; take an earlier one, and look after the store")]
    Damaged {
        /// Which.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It cannot be opened with this key.
    #[error("the backup {name} cannot be decrypted with this key: it was made with another one")]
    WrongKey {
        /// Which.
        name: String,
    },
    /// There is none.
    #[error("there is no backup of {0}")]
    NoBackup(String),
    /// What was restored is not what was backed up.
    #[error("what was restored from {name} differs: {differences}")]
    Differs {
        /// Which backup.
        name: String,
        /// The tables and how.
        differences: String,
    },
    /// A task was ended.
    #[error("a task was ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl BackupError {
    pub(crate) fn file(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::File { what, error }
    }
}
