//! The program itself: what it says before it does anything.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::process::Command;

fn answer(arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_maru-operator"));
    for variable in ["MARU_LAKE", "MARU_LEDGER", "MARU_EVENTS_LISTEN"] {
        program.env_remove(variable);
    }
    let output = program.args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

#[test]
fn bills_and_events_without_a_lake_are_refused_with_what_is_missing() {
    for arguments in [["--ledger", "ledger.sqlite"], ["--events-listen", "127.0.0.1:0"]] {
        let (code, said) = answer(&arguments);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("--lake"), "{said}");
    }
}

#[test]
fn a_time_between_readings_that_does_not_make_an_hour_is_refused_with_some_that_do() {
    for seconds in ["0", "7", "7200", "an hour"] {
        let (code, said) = answer(&["--data-usage-seconds", seconds]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("even part of an hour") && said.contains("900"), "{said}");
    }
}

#[test]
fn it_says_its_version() {
    assert_eq!(
        answer(&["--version"]),
        (Some(0), format!("maru-operator {}\n", env!("CARGO_PKG_VERSION")))
    );
}
