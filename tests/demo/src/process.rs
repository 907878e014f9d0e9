//! Processes of containers, as this machine sees them.

use crate::parts::Outcome;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// Ends the program `name` of a pod as `kill -9` does, from outside: nothing of it has a chance to finish anything.
pub(crate) fn kill(pod_uid: &str, name: &str) -> Outcome<()> {
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let groups = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        // The control groups of systemd write the UID with underscores.
        let of_pod = groups.contains(pod_uid) || groups.contains(&pod_uid.replace('-', "_"));
        let command = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if of_pod && command.trim() == name {
            let id = Pid::from_raw(id).ok_or("there is no such process")?;
            println!("   $ kill -9 {}   # {name}", id.as_raw_nonzero());
            return Ok(kill_process(id, Signal::KILL)?);
        }
    }
    Err(format!("no process {name} of pod {pod_uid} is seen").into())
}
