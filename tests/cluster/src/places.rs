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
pub(crate) fn go_modules() -> Result<PathBuf, ClusterError> {
    Ok(room()?.join("go"))
}

/// This room in the checkout that is worked in, else in the one that this was compiled from.
///
/// Checkouts may share a target folder, so the one that this was compiled from may be another one, or gone.
pub(crate) fn room() -> Result<PathBuf, ClusterError> {
    let here = std::env::current_dir().doing(|| "finding the working directory".to_owned())?;
    room_around(&here, Path::new(env!("CARGO_MANIFEST_DIR")))
}

fn room_around(here: &Path, compiled: &Path) -> Result<PathBuf, ClusterError> {
    let around = here.ancestors().map(|folder| folder.join("tests/cluster"));
    around
        .chain([compiled.to_owned()])
        .find(|room| room.join("go").is_dir())
        .ok_or_else(|| ClusterError::NoSources {
            here: here.to_owned(),
            compiled: compiled.to_owned(),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_those_of_the_checkout_worked_in_and_else_of_the_one_compiled_from() {
        let folder = std::env::temp_dir().join(format!("maru-places-{}", std::process::id()));
        let (mine, other) = (folder.join("mine"), folder.join("other/tests/cluster"));
        fs::create_dir_all(mine.join("tests/cluster/go")).unwrap();
        fs::create_dir_all(mine.join("tests/stories")).unwrap();
        fs::create_dir_all(other.join("go")).unwrap();
        let gone = folder.join("gone/tests/cluster");
        let mine_room = mine.join("tests/cluster");
        assert_eq!(room_around(&mine.join("tests/stories"), &other).unwrap(), mine_room);
        assert_eq!(room_around(&mine, &gone).unwrap(), mine_room);
        assert_eq!(room_around(&folder, &other).unwrap(), other);
        let error = room_around(&folder, &gone).unwrap_err().to_string();
        assert!(error.contains("run it inside a checkout"), "{error}");
        assert!(error.contains(gone.to_str().unwrap()), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
