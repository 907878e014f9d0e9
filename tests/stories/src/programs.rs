//! The programs of this repository, for the stories that run them and not only their crates.

use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Where `maru-operator` and `kubectl-maru` are, built anew where they are older than their sources.
pub async fn programs() -> PathBuf {
    let me = std::env::current_exe().unwrap();
    let profile = me.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--locked", "--workspace", "--bins", "--target-dir"])
        .arg(profile.parent().unwrap())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    maru_test_cluster::as_from_a_shell(cargo.as_std_mut());
    let output = cargo.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    profile.to_owned()
}
