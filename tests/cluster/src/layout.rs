//! The folder of one cluster: who reads and writes what in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{ClusterError, Doing},
    places,
};

/// The folder of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
}

/// What others may know of a running cluster, kept in `state.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The number of the cluster on this machine; its networks are `10.200.N.0/24` and `10.201.N.0/24`.
    pub number: u8,
    /// The process that holds the cluster.
    pub supervisor: i32,
    /// The process whose end ends all others.
    pub inner: u32,
    /// Where the API server answers.
    pub server: String,
    /// The name of the node that runs real containers, if there is one.
    pub real_node: Option<String>,
    /// How many simulated nodes it was started with.
    pub kwok_nodes: u32,
}

impl Layout {
    /// Prepares the folder. What an earlier cluster left in it is removed.
    pub(crate) fn create(dir: &Path) -> Result<Self, ClusterError> {
        Self::at(dir).clear()?;
        let dir = dir.canonicalize().doing(|| format!("looking at {}", dir.display()))?;
        Ok(Self { dir })
    }

    /// Empties the folder, but for the supervisor's log, which is open.
    pub(crate) fn clear(&self) -> Result<(), ClusterError> {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let removed = match entry.file_type() {
                Ok(kind) if kind.is_dir() && !path.ends_with("logs") => fs::remove_dir_all(&path),
                Ok(kind) if !kind.is_dir() => fs::remove_file(&path),
                _ => Ok(()),
            };
            removed.doing(|| format!("removing {}", path.display()))?;
        }
        for folder in ["pki", "logs", "config"] {
            places::create(&self.dir.join(folder))?;
        }
        Ok(())
    }

    /// The folder of a cluster that is there.
    pub(crate) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn read_state(&self) -> Result<State, ClusterError> {
        let path = self.state();
        let text = fs::read(&path).doing(|| format!("reading {}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.dir.join("pki").join(file)
    }

    pub(crate) fn config(&self, file: &str) -> PathBuf {
        self.dir.join("config").join(file)
    }

    /// The kubeconfig of one part of the cluster.
    pub(crate) fn kubeconfig_of(&self, part: &str) -> PathBuf {
        self.config(&format!("{part}.kubeconfig"))
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The audit log, when the options ask for one.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.dir.join("logs/audit.log")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("state.json")
    }
}
