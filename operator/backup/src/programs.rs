//! PostgreSQL's own programs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::BackupError;

/// How much of what a program says is passed on.
const LONGEST: usize = 600;

/// A program: beside this one, where Debian has them (the newest), or on the path.
pub(crate) fn find(name: &'static str) -> Result<PathBuf, BackupError> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join(name)));
    let mut found: Vec<PathBuf> = beside.into_iter().collect();
    found.extend(of_debian(Path::new("/usr/lib/postgresql"), name));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    found.extend(std::env::split_paths(&paths).map(|folder| folder.join(name)));
    found
        .into_iter()
        .find(|program| program.is_file())
        .ok_or(BackupError::NoProgram(name))
}

/// `<folder>/<version>/bin/<name>`, the newest version first: a newer program reads older servers, and not the other way.
fn of_debian(folder: &Path, name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut versions: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    versions
        .into_iter()
        .map(|version| folder.join(version.to_string()).join("bin").join(name))
        .collect()
}

/// A program that ends with whoever waits for it.
pub(crate) struct Running(Child, &'static str);

impl Running {
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Result<Self, BackupError> {
        let child = command.spawn().map_err(BackupError::file(name))?;
        Ok(Self(child, name))
    }

    pub(crate) const fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Waits for its end. `said` is what it wrote to standard error.
    pub(crate) fn ended(mut self, said: &str) -> Result<(), BackupError> {
        let status = self.0.wait().map_err(BackupError::file(self.1))?;
        if status.success() {
            return Ok(());
        }
        let said = said.trim();
        let from = said.ceil_char_boundary(said.len().saturating_sub(LONGEST));
        let said = if said.is_empty() {
            status.to_string()
        } else {
            said[from..].to_owned()
        };
        Err(BackupError::Program { program: self.1, said })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
