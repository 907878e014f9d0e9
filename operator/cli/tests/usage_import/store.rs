//! A lake in an object store: a real server that speaks S3.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{file, lines, maru, text};

const KEYS: (&str, &str) = ("maru", "maru-secret");

/// A server over a folder. It ends with this.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let program = tokio::runtime::Runtime::new()
            .unwrap()
            .block_on(maru_test_cluster::s3_server())
            .unwrap();
        let [objects, about] = ["objects", "about"].map(|name| folder.join(name));
        std::fs::create_dir_all(objects.join("usage")).unwrap();
        std::fs::create_dir_all(&about).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut process = Command::new(program)
            .args([
                "--access",
                KEYS.0,
                "--secret",
                KEYS.1,
                "--port",
                &format!("127.0.0.1:{port}"),
            ])
            .args(["posix", "--sidecar", about.to_str().unwrap(), objects.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "the server ended: {ended:?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self { process, port }
    }

    /// The command with what it needs to know of the store.
    fn maru(&self, arguments: &[&str]) -> Command {
        let mut command = maru(arguments);
        command
            .env("AWS_ACCESS_KEY_ID", KEYS.0)
            .env("AWS_SECRET_ACCESS_KEY", KEYS.1)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port));
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

const LAKE: &str = "s3://usage/lake";

#[test]
fn two_writers_put_the_same_records_into_an_object_store_once_and_bills_come_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let all = lines(600);
    let middle = all.match_indices('\n').map(|(place, _)| place + 1).collect::<Vec<_>>();
    // 100 records are in both files, and both writers are at work at once.
    let one = file(folder.path(), "one.jsonl", &all[..middle[349]]);
    let other = file(folder.path(), "other.jsonl", &all[middle[249]..]);
    let start = |file: &Path| {
        let arguments = [
            "usage",
            "import",
            file.to_str().unwrap(),
            "--lake",
            LAKE,
            "--at-once",
            "40",
        ];
        server
            .maru(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let writers = [start(&one), start(&other)];
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
        let output = server
            .maru(&[
                "rate",
                "-f",
                "card.yaml",
                "--usage",
                usage,
                "--period",
                "2026-10",
                "-o",
                "json",
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let whole = file(folder.path(), "whole.jsonl", &all);
    assert_eq!(bills(LAKE), bills(whole.to_str().unwrap()));
}

#[test]
fn a_store_that_does_not_answer_is_named_and_the_same_command_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let usage = file(folder.path(), "usage.jsonl", &lines(20));
    let arguments = ["usage", "import", usage.to_str().unwrap(), "--lake", LAKE];
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = server
        .maru(&arguments)
        .env("AWS_ENDPOINT_URL", format!("http://{nobody}"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("can be tried again"), "{error}");
    let output = server.maru(&arguments).output().unwrap();
    assert!(text(&output.stdout).contains("20 added"), "{}", text(&output.stderr));
}
