//! The processes of pods on the real node: they are processes of this machine.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// Stops every process of a pod wherever it is in what it does, as SIGSTOP does, and says how many there were. Nothing of it runs on, and
/// the node, for which it runs, does not start it again.
pub fn freeze_pod(uid: &str) -> usize {
    signal(uid, Signal::STOP)
}

/// Ends every process of a pod with SIGKILL, wherever it is in what it does, and says how many there were. The node starts the
/// containers again unless it knows that the pod is to end ([`node_ends_pod`]).
pub fn kill_pod(uid: &str) -> usize {
    signal(uid, Signal::KILL)
}

/// Whether the node has told a frozen pod to end: SIGTERM waits for one of its processes. From then on it starts nothing of it again.
pub fn node_ends_pod(uid: &str) -> bool {
    processes(uid).any(|process| {
        let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()));
        status.is_ok_and(|status| waits_for(&status, Signal::TERM))
    })
}

fn signal(uid: &str, signal: Signal) -> usize {
    processes(uid)
        .filter(|process| kill_process(*process, signal).is_ok())
        .count()
}

fn processes(uid: &str) -> impl Iterator<Item = Pid> {
    let group = format!("/pod{uid}");
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let theirs = numbers.filter(move |number| {
        let groups = fs::read_to_string(format!("/proc/{number}/cgroup"));
        groups.is_ok_and(|groups| groups.contains(&group))
    });
    theirs.filter_map(Pid::from_raw)
}

/// Whether a signal that a process got has not reached it yet; `proc_pid_status(5)`, `ShdPnd`.
fn waits_for(status: &str, signal: Signal) -> bool {
    let waiting = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let waiting = waiting.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    waiting.is_some_and(|bits| (bits >> (signal.as_raw() - 1)) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::{Duration, Instant};

    #[test]
    fn a_stopped_process_has_a_signal_waiting_for_it_only_after_it_was_sent() {
        let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Pid::from_child(&sleeper);
        let path = format!("/proc/{}/status", process.as_raw_nonzero());
        let status = || fs::read_to_string(&path).unwrap();
        kill_process(process, Signal::STOP).unwrap();
        let since = Instant::now();
        while !status().contains("T (stopped)") {
            assert!(since.elapsed() < Duration::from_secs(30), "{}", status());
            std::thread::yield_now();
        }
        assert!(!waits_for(&status(), Signal::TERM), "{}", status());
        kill_process(process, Signal::TERM).unwrap();
        assert!(waits_for(&status(), Signal::TERM), "{}", status());
        assert!(!waits_for(&status(), Signal::HUP), "{}", status());
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
