//! Which clusters live on this machine, and the removal of what a dead one left behind.
//!
//! Each cluster has a number. Its supervisor holds a lock on the number's file for as long as it lives; the kernel
//! lets go of the lock however the supervisor ends. The files themselves are never removed, so that a number always
//! means the same file.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{ClusterError, Doing},
    network, places,
};

/// One number for each `10.200.N.0/24`.
const NUMBERS: std::ops::RangeInclusive<u8> = 1..=250;

/// What must be known of a cluster to remove it when its supervisor can no longer do so.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) supervisor: i32,
    pub(crate) dir: PathBuf,
    pub(crate) keep_files: bool,
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// A number that belongs to this process until it ends.
pub(crate) struct Claim {
    pub(crate) number: u8,
    file: File,
}

/// Takes a free number and writes down who has it.
pub(crate) fn claim(record: &Record) -> Result<Claim, ClusterError> {
    let register = places::register_dir()?;
    for number in NUMBERS {
        let mut file = open(&register.join(number.to_string()))?;
        if file.try_lock().is_ok() && read(&mut file).is_none() {
            write(&mut file, &serde_json::to_string(record)?)?;
            return Ok(Claim { number, file });
        }
    }
    Err(ClusterError::Start(format!(
        "all {} numbers are taken, see {}",
        NUMBERS.len(),
        register.display()
    )))
}

impl Claim {
    /// Gives the number back after everything of the cluster is gone.
    pub(crate) fn release(mut self) -> Result<(), ClusterError> {
        write(&mut self.file, "")
    }
}

/// Removes what clusters left behind whose supervisor is dead. Living ones are not touched.
pub(crate) async fn sweep() -> Result<(), ClusterError> {
    for (number, path) in entries()? {
        let mut file = open(&path)?;
        if file.try_lock().is_err() {
            continue;
        }
        if let Some(record) = read(&mut file) {
            remove(number, &record).await;
            write(&mut file, "")?;
        }
    }
    Ok(())
}

/// Removes network, control groups and files of a cluster whose processes are gone. What is not there is no error.
pub(crate) async fn remove(number: u8, record: &Record) {
    network::remove(number).await;
    remove_control_groups(number);
    if let Some(kubeconfig) = &record.kubeconfig {
        let _ = fs::remove_file(kubeconfig);
    }
    if record.keep_files {
        return;
    }
    // A process that is being killed may still write; a few more tries outlast it.
    for _ in 0..50 {
        match fs::remove_dir_all(&record.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            _ => return,
        }
    }
}

/// The living cluster that keeps its files in `dir`.
pub(crate) fn find(dir: &Path) -> Result<Option<Record>, ClusterError> {
    for (_, path) in entries()? {
        let mut file = open(&path)?;
        if let Some(record) = read(&mut file)
            && record.dir == dir
            && file.try_lock().is_err()
        {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

fn entries() -> Result<Vec<(u8, PathBuf)>, ClusterError> {
    let register = places::register_dir()?;
    let files = fs::read_dir(&register).doing(|| format!("reading {}", register.display()))?;
    Ok(files
        .flatten()
        .filter_map(|file| Some((file.file_name().to_str()?.parse().ok()?, file.path())))
        .collect())
}

fn open(path: &Path) -> Result<File, ClusterError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .doing(|| format!("opening {}", path.display()))
}

fn read(file: &mut File) -> Option<Record> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write(file: &mut File, text: &str) -> Result<(), ClusterError> {
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(text.as_bytes()))
        .doing(|| "writing the register of clusters".to_owned())
}

/// The name of a cluster's control group, the same in every hierarchy.
pub(crate) fn control_group(number: u8) -> String {
    format!("maru-{number}")
}

/// The folders in which control groups are made: one for each hierarchy (v1), or the one (v2).
pub(crate) fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.join("cgroup.procs").exists())
        .collect()
}

fn remove_control_groups(number: u8) {
    for hierarchy in hierarchies() {
        remove_tree(&hierarchy.join(control_group(number)));
    }
}

/// A control group is removed with `rmdir`, the innermost first; the files in it are the kernel's.
fn remove_tree(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
