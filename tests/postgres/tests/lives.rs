//! What a server for tests promises: it is real, it survives a crash, and it leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::net::TcpStream;

use maru_test_postgres::{Postgres, PostgresOptions};

#[test]
fn a_server_keeps_what_was_committed_through_a_crash_and_leaves_nothing_behind() {
    let mut server = Postgres::start(&PostgresOptions::default()).unwrap();
    server.create_database("books").unwrap();
    server.sql("books", "CREATE TABLE t AS SELECT 42 AS answer").unwrap();
    server.crash().unwrap();
    assert!(server.sql("books", "SELECT 1").is_err());
    server.restart().unwrap();
    assert_eq!(server.sql("books", "SELECT answer FROM t").unwrap(), "42");

    let (port, folder) = (server.port(), server.authority().parent().unwrap().to_owned());
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(!folder.exists(), "{}", folder.display());
}

#[test]
fn a_server_with_tls_refuses_who_does_not_encrypt() {
    let options = PostgresOptions {
        tls: true,
        settings: vec![("max_connections".to_owned(), "7".to_owned())],
        ..PostgresOptions::default()
    };
    let server = Postgres::start(&options).unwrap();
    assert_eq!(
        server
            .sql("postgres", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            .unwrap(),
        "t"
    );
    assert_eq!(server.sql("postgres", "SHOW max_connections").unwrap(), "7");
    let plain = std::process::Command::new("psql")
        .args([
            "-X",
            "-c",
            "SELECT 1",
            &server.url("postgres").replace("require", "disable"),
        ])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&plain.stderr);
    assert!(!plain.status.success() && words.contains("no encryption"), "{words}");
}
