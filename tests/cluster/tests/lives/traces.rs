//! What a cluster leaves on a machine while it lives, and must not leave afterwards.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use maru_test_cluster::{Cluster, State};

use crate::{folder, wait_until};

pub(crate) struct Traces {
    pub(crate) state: State,
    dir: PathBuf,
}

impl Traces {
    pub(crate) fn of(cluster: &Cluster) -> Self {
        Self {
            state: cluster.state().unwrap().clone(),
            dir: cluster.dir().unwrap().to_owned(),
        }
    }

    pub(crate) fn from_kubeconfig(kubeconfig: &Path) -> Self {
        let dir = folder(kubeconfig).to_owned();
        let state = fs::read(dir.join("state.json")).unwrap();
        Self {
            state: serde_json::from_slice(&state).unwrap(),
            dir,
        }
    }

    /// Processes, mounts, networks, control groups and files of the cluster, each named in a line.
    pub(crate) fn found(&self) -> Vec<String> {
        let mut found = self.processes();
        let dir = self.dir.display().to_string();
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        found.extend(mounts.lines().filter(|line| line.contains(&dir)).map(str::to_owned));
        let name = format!("maru-{}", self.state.number);
        let mut places = vec![
            self.dir.clone(),
            Path::new("/run/netns").join(&name),
            Path::new("/sys/class/net").join(&name),
        ];
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        places.extend(hierarchies.map(|hierarchy| hierarchy.path().join(&name)));
        let left = places.into_iter().filter(|place| place.exists());
        found.extend(left.map(|place| place.display().to_string()));
        found
    }

    pub(crate) fn wait_until_gone(&self, limit: Duration) {
        let gone = wait_until(limit, || self.found().is_empty());
        assert!(gone, "still there: {:#?}", self.found());
    }

    pub(crate) fn wait_until_processes_are_gone(&self, limit: Duration) {
        let gone = wait_until(limit, || self.processes().is_empty());
        assert!(gone, "still there: {:#?}", self.processes());
    }

    /// Processes that name the cluster's folder in their command line, or run in its control groups.
    fn processes(&self) -> Vec<String> {
        let dir = self.dir.display().to_string();
        let group = format!("/maru-{}/", self.state.number);
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|process| {
                let process = process.path();
                process.file_name()?.to_str()?.parse::<u32>().ok()?;
                let words = fs::read(process.join("cmdline")).ok()?;
                let words = String::from_utf8_lossy(&words).replace('\0', " ");
                let groups = fs::read_to_string(process.join("cgroup")).ok()?;
                (words.contains(&dir) || groups.contains(&group)).then_some(words)
            })
            .collect()
    }
}
