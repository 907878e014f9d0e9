//! One long-running process of a cluster, described as data.

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::error::{ClusterError, Doing};

/// A process that is started when what it waits for is there, and again when it ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Service {
    /// Its log is `logs/<name>.log`.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) after: Vec<Condition>,
}

/// Something that must be there before a service is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Condition {
    /// Someone listens.
    Listening(SocketAddr),
    /// A file or a socket exists.
    Exists(PathBuf),
}

impl Condition {
    pub(crate) fn holds(&self) -> bool {
        match self {
            Self::Listening(address) => TcpStream::connect_timeout(address, Duration::from_millis(500)).is_ok(),
            Self::Exists(path) => path.exists(),
        }
    }
}

impl Service {
    pub(crate) fn new(name: &str, program: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            program,
            args: Vec::new(),
            env: BTreeMap::new(),
            after: Vec::new(),
        }
    }

    /// Adds `--name=value`.
    pub(crate) fn flag(mut self, name: &str, value: impl Display) -> Self {
        self.args.push(format!("--{name}={value}"));
        self
    }

    /// Adds `--name=path`.
    pub(crate) fn file(self, name: &str, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().display().to_string();
        self.flag(name, path)
    }

    /// Adds `--name=value` when there is a value.
    pub(crate) fn maybe(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.flag(name, value),
            None => self,
        }
    }

    pub(crate) fn after(mut self, condition: Condition) -> Self {
        self.after.push(condition);
        self
    }
}

/// What the innermost process is to do, handed to it as a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Household {
    /// Whether it is process 1 of its own namespaces and may mount as it likes.
    pub(crate) isolated: bool,
    pub(crate) services: Vec<Service>,
}

/// A service that will not run, written down in the cluster's folder for the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) service: String,
    /// What it said last.
    pub(crate) text: String,
}

impl Failure {
    const FILE: &str = "failed.json";

    pub(crate) fn write(&self, dir: &Path) -> Result<(), ClusterError> {
        // Under another name first, so that a reader finds all of it or nothing.
        let unfinished = dir.join("failed.unfinished");
        fs::write(&unfinished, serde_json::to_vec(self)?)
            .and_then(|()| fs::rename(&unfinished, dir.join(Self::FILE)))
            .doing(|| "writing down a failure".to_owned())
    }

    pub(crate) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join(Self::FILE)).ok()?).ok()
    }
}

/// The file in a cluster's folder with its [`Household`].
pub(crate) fn household_file(dir: &Path) -> PathBuf {
    dir.join("services.json")
}

/// The log of a service.
pub(crate) fn log_file(dir: &Path, name: &str) -> PathBuf {
    dir.join("logs").join(format!("{name}.log"))
}
