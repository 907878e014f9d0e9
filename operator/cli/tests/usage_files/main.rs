//! Usage files as a person at a terminal gives them to `kubectl maru rate`: what is read, and what is said of what is wrong.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod mapping;
mod parquet;
mod wrong;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where the example files are.
fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn rate(arguments: &[&str]) -> Output {
    let mut maru = Command::new(env!("CARGO_BIN_EXE_kubectl-maru"));
    maru.current_dir(here()).arg("rate").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What was printed; the command was content.
fn printed(arguments: &[&str]) -> String {
    let output = rate(arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The one line that a wrong input gives: exit code 2, and nothing on the output.
fn refused(arguments: &[&str]) -> String {
    let output = rate(arguments);
    let said = (output.status.code(), text(&output.stdout));
    assert_eq!(said, (Some(2), String::new()), "{}", text(&output.stderr));
    let error = text(&output.stderr).trim_end().to_owned();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// The bills of a usage file in October, as JSON.
fn october(usage: &Path) -> String {
    printed(&[
        "-f",
        "card.yaml",
        "--usage",
        usage.to_str().unwrap(),
        "--period",
        "2026-10",
        "-o",
        "json",
    ])
}

/// What is said of a wrong usage file, after its name.
fn refused_file(usage: &Path) -> String {
    let name = usage.to_str().unwrap();
    let message = refused(&["-f", "card.yaml", "--usage", name, "--period", "2026-10"]);
    assert!(message.starts_with(name), "{message}");
    message[name.len()..].to_owned()
}
