//! Where the `maru-cluster` program is: built beside the tests that use it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use crate::{
    error::{ClusterError, Doing},
    places,
};

const NAME: &str = "maru-cluster";

/// Finds the program: this process itself, the one `MARU_CLUSTER` names, or the one in cargo's target folder, which
/// is built when it is missing or older than its source.
pub(crate) fn find() -> Result<PathBuf, ClusterError> {
    if let Some(path) = std::env::var_os("MARU_CLUSTER") {
        return Ok(path.into());
    }
    let me = std::env::current_exe().doing(|| "finding this program".to_owned())?;
    if me.file_name().is_some_and(|name| name == NAME) {
        return Ok(me);
    }
    // A test is in `debug/deps`, a program in `debug`.
    let profile = me
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps") && !folder.ends_with("examples"));
    let profile = profile.unwrap_or(Path::new("."));
    let program = profile.join(NAME);
    let built = fs::metadata(&program).and_then(|data| data.modified());
    let room = places::room()?;
    if built.is_ok_and(|built| built >= newest_source(&room)) {
        return Ok(program);
    }
    build(profile, &room)?;
    Ok(program)
}

/// When the newest file was written that the program is made of.
fn newest_source(room: &Path) -> SystemTime {
    let sources = fs::read_dir(room.join("src")).into_iter().flatten().flatten();
    sources
        .map(|file| file.path())
        .chain([room.join("Cargo.toml")])
        .filter_map(|path| fs::metadata(path).and_then(|data| data.modified()).ok())
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn build(profile: &Path, room: &Path) -> Result<(), ClusterError> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--bin", NAME])
        .current_dir(room);
    if let Some(target) = profile.parent() {
        cargo.arg("--target-dir").arg(target);
    }
    match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(name) => {
            cargo.args(["--profile", name]);
        }
    }
    let output = crate::command::as_from_a_shell(&mut cargo)
        .output()
        .doing(|| "running cargo".to_owned())?;
    if output.status.success() {
        return Ok(());
    }
    Err(ClusterError::Command {
        command: format!("cargo build --bin {NAME}"),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
