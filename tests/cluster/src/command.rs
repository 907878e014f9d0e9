//! Short commands that are run to their end.

use std::{path::Path, process::Stdio};

use tokio::process::Command;

use crate::error::{ClusterError, Doing};

/// Takes from a command that runs cargo what cargo told this process of its own package: build scripts read it, so that `ring` and all that needs it
/// would be built again, and once more for the next build from a shell.
pub fn as_from_a_shell(command: &mut std::process::Command) -> &mut std::process::Command {
    for (name, _) in std::env::vars_os() {
        let of_package = name.to_string_lossy();
        if of_package.starts_with("CARGO_MANIFEST_") || of_package.starts_with("CARGO_PKG_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs `program` to its end and gives what it wrote to standard output. It is killed when the caller gives up.
pub(crate) async fn run(program: impl AsRef<Path>, args: &[&str]) -> Result<String, ClusterError> {
    let mut command = Command::new(program.as_ref());
    command.args(args);
    finish(&mut command).await
}

/// Runs a prepared command to its end and gives what it wrote to standard output.
pub(crate) async fn finish(command: &mut Command) -> Result<String, ClusterError> {
    let line = words(command);
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .doing(|| format!("running `{line}`"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(ClusterError::Command {
        command: line,
        status: output.status.to_string(),
        output: last_lines(&text, 20),
    })
}

/// Whether a program of this name is found in `PATH` or in the folders that only root's `PATH` has.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

/// The last `count` lines of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The first line of a text and its last, in one.
pub(crate) fn one_line(text: &str) -> String {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    match (lines.next(), lines.next_back()) {
        (Some(first), Some(last)) => format!("{first} … {last}"),
        (first, _) => first.unwrap_or_default().to_owned(),
    }
}

fn words(command: &Command) -> String {
    let command = command.as_std();
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
