//! Debian's PostgreSQL: where its programs are, and how they get there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Doing, PostgresError};

const PACKAGES: [&str; 2] = ["postgresql-15", "postgresql-15-pgaudit"];
const VERSIONS: &str = "/usr/lib/postgresql";

/// The folder with `initdb` and `postgres`. As root the packages are installed when one is missing.
pub(crate) fn programs() -> Result<PathBuf, PostgresError> {
    if let Some(folder) = newest() {
        return Ok(folder);
    }
    if rustix::process::geteuid().is_root() {
        install()?;
    }
    newest().ok_or_else(|| PostgresError::Missing(PACKAGES.join(" ")))
}

/// The programs with which backups are made and restored.
///
/// # Errors
/// Where they are not there and cannot be installed.
pub fn backup_programs() -> Result<[PathBuf; 2], PostgresError> {
    let folder = programs()?;
    Ok(["pg_dump", "pg_restore"].map(|name| folder.join(name)))
}

fn newest() -> Option<PathBuf> {
    let version = |path: &Path| -> Option<u32> { path.file_name()?.to_str()?.parse().ok() };
    fs::read_dir(VERSIONS)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/postgres").is_file() && path.join("lib/pgaudit.so").is_file())
        .max_by_key(|path| version(path))
        .map(|path| path.join("bin"))
}

fn install() -> Result<(), PostgresError> {
    // The package would start a server of its own otherwise; the tests bring theirs.
    let settings = Path::new("/etc/postgresql-common/createcluster.conf");
    if !settings.exists() {
        let folder = settings.parent().unwrap_or(settings);
        fs::create_dir_all(folder).doing(|| format!("making {}", folder.display()))?;
        fs::write(settings, "create_main_cluster = false\n").doing(|| format!("writing {}", settings.display()))?;
    }
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(PACKAGES);
    if apt(&install).is_ok() {
        return Ok(());
    }
    // The list of packages may be missing or old.
    apt(&["update"])?;
    apt(&install)
}

fn apt(words: &[&str]) -> Result<(), PostgresError> {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .args([
            "-q",
            "-o",
            "DPkg::Lock::Timeout=300",
            "-o",
            "Dpkg::Options::=--force-confold",
        ])
        .args(words);
    finish(&mut apt).map(drop)
}

/// Runs a command to its end and gives what it printed.
pub(crate) fn finish(command: &mut Command) -> Result<String, PostgresError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .doing(|| format!("running `{name}`"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(PostgresError::Command {
        command: name,
        status: output.status.to_string(),
        output: text + &String::from_utf8_lossy(&output.stderr),
    })
}
