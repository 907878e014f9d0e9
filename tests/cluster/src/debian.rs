//! What the cluster takes from Debian: installed when this process is root, named when it is not.

use std::path::Path;

use tokio::process::Command;

use crate::{command, error::ClusterError, places, progress::Reporter};

/// Commands for a network and process tree of its own, with the packages they come in.
pub(crate) const ISOLATION: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
];
/// What a node with real containers needs beside them.
pub(crate) const REAL_NODE: &[(&str, &str)] = &[("runc", "runc"), ("/usr/lib/cni/ptp", "containernetworking-plugins")];

/// What a node needs so that pods reach Services at their addresses.
pub(crate) const SERVICE_PROXY: &[(&str, &str)] = &[("nft", "nftables")];

/// Makes sure that the commands are there, or says in one line what is missing.
pub(crate) async fn ensure(commands: &[(&str, &str)], reporter: &Reporter) -> Result<(), ClusterError> {
    let mut packages = missing(commands);
    if packages.is_empty() {
        return Ok(());
    }
    if places::is_root() && command::installed("apt-get") {
        let names = packages.join(" ");
        let step = format!("installing {names} from Debian");
        reporter.long_step(&step, install(&packages)).await?;
        packages = missing(commands);
    }
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    Err(ClusterError::Missing {
        program: names.clone(),
        hint: format!("as root: apt-get install --no-install-recommends {names}"),
    })
}

fn missing<'a>(commands: &[(&str, &'a str)]) -> Vec<&'a str> {
    let mut packages: Vec<&str> = commands
        .iter()
        .filter(|(program, _)| !command::installed(program) && !Path::new(program).is_file())
        .map(|&(_, package)| package)
        .collect();
    packages.dedup();
    packages
}

async fn install(packages: &[&str]) -> Result<(), ClusterError> {
    let apt = |words: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
            .args(words);
        apt
    };
    let words = [&["install", "-y", "--no-install-recommends"], packages].concat();
    if command::finish(&mut apt(&words)).await.is_ok() {
        return Ok(());
    }
    // The list of packages may be missing or old.
    command::finish(&mut apt(&["update"])).await?;
    command::finish(&mut apt(&words)).await.map(drop)
}
