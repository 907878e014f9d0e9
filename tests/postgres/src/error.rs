//! What can go wrong on the way to a server.

use std::io;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// PostgreSQL is not installed and cannot be installed from here.
    #[error("PostgreSQL is not installed: as root, apt-get install --no-install-recommends {0}")]
    Missing(String),
    /// A file, folder or process refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system answered.
        source: io::Error,
    },
    /// A command ended with an error.
    #[error("`{command}` failed ({status}): {output}")]
    Command {
        /// Its name.
        command: String,
        /// How it ended.
        status: String,
        /// What it printed.
        output: String,
    },
    /// The server ended before it took connections.
    #[error("PostgreSQL did not start: {0}")]
    Start(String),
    /// A certificate could not be made.
    #[error("certificates: {0}")]
    Certificates(#[from] rcgen::Error),
}

/// Names what was being done when the system refused.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, PostgresError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, PostgresError> {
        self.map_err(|source| PostgresError::Io { doing: what(), source })
    }
}
