//! The same bills from a Ballista cluster of one scheduler and two executors. `make distributed` builds their program.
#![cfg(feature = "distributed")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A scheduler and two executors, until the end of the test.
struct Running(Child, String);

impl Running {
    fn start() -> Self {
        let beside = Path::new(env!("CARGO_BIN_EXE_kubectl-maru")).with_file_name("maru-ballista");
        let mut child = Command::new(&beside)
            .args(["local", "--executors", "2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; `make distributed` builds it", beside.display()));
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self(child, address.trim().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn maru(arguments: &[&str]) -> Output {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    Command::new(env!("CARGO_BIN_EXE_kubectl-maru"))
        .current_dir(here)
        .args(arguments)
        .output()
        .unwrap()
}

fn bills(usage: &[PathBuf], more: &[&str]) -> Output {
    let mut arguments = vec![
        "rate",
        "-f",
        "card.yaml",
        "--period",
        "2026-10",
        "-o",
        "json",
        "--usage",
    ];
    arguments.extend(usage.iter().map(|path| path.to_str().unwrap()));
    arguments.extend(more);
    maru(&arguments)
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn two_executors_and_one_process_and_the_records_by_themselves_give_the_same_bills() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let records = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/usage.jsonl");
    succeeded(&maru(&[
        "usage",
        "import",
        records.to_str().unwrap(),
        "--lake",
        lake.to_str().unwrap(),
    ]));
    let running = Running::start();

    let by_record = succeeded(&bills(&[records.clone()], &[]));
    let here = succeeded(&bills(&[lake.clone()], &[]));
    let there = succeeded(&bills(&[lake.clone()], &["--ballista", &running.1]));
    assert_eq!(there, here);
    assert_eq!(here, by_record);
    assert!(here.contains("\"total\""), "they are bills: {here}");
}

#[test]
fn a_cluster_sums_one_lake_and_nothing_beside_it() {
    let refused = bills(
        &["usage.jsonl".into(), "usage.jsonl".into()],
        &["--ballista", "df://127.0.0.1:1"],
    );
    assert_eq!(refused.status.code(), Some(2));
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(
        message.contains("--ballista") && message.contains("one lake"),
        "{message}"
    );
}
