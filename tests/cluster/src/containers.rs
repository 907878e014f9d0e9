//! The processes of pods on the real node: they are processes of this machine.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// Ends every process of a pod with SIGKILL, wherever it is in what it does, and says how many there were. The node starts the
/// containers again unless the pod is gone from the API server; and one that is gone from there may run on for a moment.
pub fn kill_pod(uid: &str) -> usize {
    let group = format!("/pod{uid}");
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let theirs = numbers.filter(|number| {
        let groups = fs::read_to_string(format!("/proc/{number}/cgroup"));
        groups.is_ok_and(|groups| groups.contains(&group))
    });
    theirs
        .filter_map(Pid::from_raw)
        .filter(|process| kill_process(*process, Signal::KILL).is_ok())
        .count()
}
