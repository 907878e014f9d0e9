//! A lake in an object store: a real server that speaks S3.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use maru_test_cluster::ObjectStore;

use super::{file, lines, maru, text};

fn start(folder: &Path) -> ObjectStore {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime
        .block_on(ObjectStore::start(folder, Ipv4Addr::LOCALHOST.into(), &["usage"]))
        .unwrap()
}

/// The command with what it needs to know of the store.
fn with(server: &ObjectStore, arguments: &[&str]) -> Command {
    let mut command = maru(arguments);
    command.envs(server.environment());
    command
}

const LAKE: &str = "s3://usage/lake";

#[test]
fn two_writers_put_the_same_records_into_an_object_store_once_and_bills_come_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let all = lines(600);
    let middle = all.match_indices('\n').map(|(place, _)| place + 1).collect::<Vec<_>>();
    // 100 records are in both files, and both writers are at work at once.
    let one = file(folder.path(), "one.jsonl", &all[..middle[349]]);
    let other = file(folder.path(), "other.jsonl", &all[middle[249]..]);
    let write = |file: &Path| {
        let arguments = [
            "usage",
            "import",
            file.to_str().unwrap(),
            "--lake",
            LAKE,
            "--at-once",
            "40",
        ];
        with(&server, &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let writers = [write(&one), write(&other)];
    let mut added = 0;
    for writer in writers {
        let output = writer.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        let (_, counts) = said.split_once(": ").unwrap();
        added += counts.split(' ').next().unwrap().parse::<usize>().unwrap();
    }
    assert_eq!(added, 600);
    let bills = |usage: &str| {
        let arguments = [
            "rate",
            "-f",
            "card.yaml",
            "--usage",
            usage,
            "--period",
            "2026-10",
            "-o",
            "json",
        ];
        let output = with(&server, &arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let whole = file(folder.path(), "whole.jsonl", &all);
    assert_eq!(bills(LAKE), bills(whole.to_str().unwrap()));
}

#[test]
fn a_store_that_does_not_answer_is_named_and_the_same_command_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let usage = file(folder.path(), "usage.jsonl", &lines(20));
    let arguments = ["usage", "import", usage.to_str().unwrap(), "--lake", LAKE];
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = with(&server, &arguments)
        .env("AWS_ENDPOINT_URL", format!("http://{nobody}"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("can be tried again"), "{error}");
    let output = with(&server, &arguments).output().unwrap();
    assert!(text(&output.stdout).contains("20 added"), "{}", text(&output.stderr));
}
