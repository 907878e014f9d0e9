//! Where things are kept: the cache of what was built, and the register of clusters that live on this machine.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::error::{ClusterError, Doing};

/// The folder for everything that is worth keeping between runs: `MARU_CACHE`, else `maru` in the user's cache.
pub fn cache_dir() -> PathBuf {
    let from = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty());
    if let Some(folder) = from("MARU_CACHE") {
        return folder.into();
    }
    if let Some(folder) = from("XDG_CACHE_HOME") {
        return PathBuf::from(folder).join("maru");
    }
    let home = from("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    home.join(".cache/maru")
}

/// Where the Go modules of this room are, with their pinned versions.
pub(crate) fn go_modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("go")
}

/// The register of this machine's clusters: one file a cluster, locked as long as its supervisor lives.
pub(crate) fn register_dir() -> Result<PathBuf, ClusterError> {
    let folder = if is_root() {
        PathBuf::from("/run/maru-cluster")
    } else if let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR") {
        PathBuf::from(runtime).join("maru-cluster")
    } else {
        let user = rustix::process::getuid().as_raw();
        std::env::temp_dir().join(format!("maru-cluster-register-{user}"))
    };
    create(&folder)?;
    Ok(folder)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Creates a folder and those above it.
pub(crate) fn create(folder: &Path) -> Result<(), ClusterError> {
    fs::create_dir_all(folder).doing(|| format!("creating {}", folder.display()))
}
