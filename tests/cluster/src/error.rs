//! What can go wrong on the way to a cluster, said so that the reader knows what to do next.

use std::{io, path::PathBuf};

/// Why a cluster could not be built, started, reached or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A program that the harness cannot build itself is not installed.
    #[error("`{program}` is not installed: {hint}")]
    Missing {
        /// The command that was looked for.
        program: String,
        /// What to install, and how.
        hint: String,
    },
    /// The Go modules that the cluster is built from are nowhere to be found.
    #[error(
        "there is no tests/cluster/go in {} or above it, and {} is gone: run it inside a checkout of Maru",
        here.display(), compiled.display()
    )]
    NoSources {
        /// The working directory.
        here: PathBuf,
        /// The checkout that the program was compiled from.
        compiled: PathBuf,
    },
    /// A file, folder, pipe or socket refused.
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
        /// The command line.
        command: String,
        /// The exit status.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// The cluster did not come up; the text holds the last lines of the log that matters.
    #[error("the cluster did not start: {0}")]
    Start(String),
    /// The process that holds the cluster said this before it ended.
    #[error("{0}")]
    Reported(String),
    /// The node that runs real containers did not come up; a cluster without it still may.
    #[error("{0}")]
    RealNode(String),
    /// A part was asked for that this cluster does not have.
    #[error("this cluster has no {0}")]
    Without(&'static str),
    /// A key or a certificate could not be made.
    #[error("certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// The API server answered with an error.
    #[error("API server: {0}")]
    Kube(Box<kube::Error>),
    /// A kubeconfig could not be read or understood.
    #[error("kubeconfig {}: {message}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Settings could not be written or read as JSON or YAML.
    #[error("{what}: {message}")]
    Format {
        /// Which document.
        what: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

impl From<serde_json::Error> for ClusterError {
    fn from(error: serde_json::Error) -> Self {
        Self::Format {
            what: "JSON",
            message: error.to_string(),
        }
    }
}

/// Names what was being done when the system refused.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, ClusterError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, ClusterError> {
        self.map_err(|source| ClusterError::Io { doing: what(), source })
    }
}
