//! `kubectl maru verify` as an auditor at a terminal sees it.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use maru_ledger::{Issue, Ledger};
use maru_rate::Carry;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// October, issued from the example files.
fn issued(address: &str) {
    let (files, usage) = ([here().join("card.yaml")], [here().join("usage.jsonl")]);
    let month = "2026-10".parse().unwrap();
    let (rated, inputs) = maru_cli::verify::work_out(&files, &usage, &[(month, None)], &Carry::default()).unwrap();
    let issue = Issue {
        issuer: "maru",
        fiscal_year: 2026,
        at: "2026-11-04T00:00:00Z".parse().unwrap(),
        inputs: &inputs,
    };
    let pages = Ledger::at(address).unwrap().issue(&rated, &issue).unwrap();
    assert!(pages.len() > 1);
}

/// The exit code and everything that was said.
fn verify(arguments: &[&str]) -> (i32, String) {
    let mut maru = Command::new(env!("CARGO_BIN_EXE_kubectl-maru"));
    let output = maru.current_dir(here()).arg("verify").args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

const FILES: [&str; 4] = ["-f", "card.yaml", "--usage", "usage.jsonl"];

#[test]
fn a_bill_comes_out_as_it_was_issued() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.sqlite").display().to_string();
    issued(&ledger);
    for number in ["2026-000001", "2026-000002"] {
        let (code, text) = verify(&[&[number, "--ledger", &ledger], &FILES[..]].concat());
        assert_eq!(code, 0, "{text}");
        for words in [
            "entries agree",
            "are those that the bill names",
            "the totals come out as issued",
            "Everything agrees.",
        ] {
            assert!(text.contains(words), "{text}");
        }
    }
    let (code, text) = verify(&["2026-000001", "--ledger", &ledger]);
    assert!(code == 0 && text.contains("not worked out again"), "{text}");
}

#[test]
fn a_bill_on_a_server_comes_out_as_it_was_issued() {
    let address = maru_test_postgres::shared().create_database("verify").unwrap();
    issued(&address);
    let (code, text) = verify(&[&["2026-000001", "--ledger", &address], &FILES[..]].concat());
    assert!(code == 0 && text.ends_with("Everything agrees.\n"), "{text}");
}

#[test]
fn another_price_and_another_quantity_are_named_with_the_figures_that_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.sqlite").display().to_string();
    issued(&ledger);
    let card = std::fs::read_to_string(here().join("card.yaml")).unwrap();
    let dearer = folder.path().join("card.yaml");
    std::fs::write(&dearer, card.replace("42.5", "43.5")).unwrap();
    assert_ne!(card, std::fs::read_to_string(&dearer).unwrap());
    let dearer = dearer.display().to_string();
    let (code, text) = verify(&[
        "2026-000002",
        "--ledger",
        &ledger,
        "-f",
        &dearer,
        "--usage",
        "usage.jsonl",
    ]);
    assert_eq!(code, 1, "{text}");
    for words in [
        "DIFFERS rate card: the bill names sha256:",
        "its unit price was issued as 42.5 and comes to 43.5",
        "DIFFERS total:",
    ] {
        assert!(text.contains(words), "{text}");
    }
    assert!(
        !text.contains("DIFFERS usage") && !text.contains("Everything agrees"),
        "{text}"
    );

    let usage = std::fs::read_to_string(here().join("usage.jsonl")).unwrap();
    let less = folder.path().join("usage.jsonl");
    std::fs::write(&less, usage.lines().skip(1).collect::<Vec<_>>().join("\n")).unwrap();
    let less = less.display().to_string();
    let numbers = ["2026-000001", "2026-000002"];
    let said = numbers.map(|number| verify(&[number, "--ledger", &ledger, "-f", "card.yaml", "--usage", &less]));
    assert!(
        said.iter()
            .all(|(code, text)| *code == 1 && text.contains("DIFFERS usage")),
        "{said:?}"
    );
    assert!(
        said.iter()
            .any(|(_, text)| text.contains("DIFFERS total") || text.contains("gets no bill")),
        "{said:?}"
    );
}

#[test]
fn books_that_were_tampered_with_are_seen_without_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.sqlite").display().to_string();
    issued(&ledger);
    let stranger = rusqlite::Connection::open(&ledger).unwrap();
    stranger
        .execute_batch(
            "DROP TRIGGER entry_is_final; UPDATE entry SET units = units + 1 WHERE page = 1 AND position = 1",
        )
        .unwrap();
    let (code, text) = verify(&["2026-000001", "--ledger", &ledger]);
    assert_eq!(code, 1, "{text}");
    let (code, books) = verify(&["--ledger", &ledger]);
    assert!(
        code == 1 && books.contains("its debits and credits differ by 1"),
        "{books}"
    );
    assert!(
        text.contains("its debits and credits differ by 1") && text.contains("entries do not agree"),
        "{text}"
    );
}

#[test]
fn what_is_not_there_is_said_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.sqlite").display().to_string();
    let (code, text) = verify(&["2026-000001", "--ledger", &ledger]);
    assert!(
        code == 2 && text.contains("is not there") && text.lines().count() == 1,
        "{text}"
    );
    assert!(!Path::new(&ledger).exists());
    issued(&ledger);
    let (code, text) = verify(&["2026-000099", "--ledger", &ledger]);
    assert!(code == 2 && text.contains("has issued no bill 2026-000099"), "{text}");
}

#[test]
fn a_bill_that_corrects_an_earlier_one_is_worked_out_with_the_months_that_it_corrects() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.sqlite").display().to_string();
    let usage = folder.path().join("usage.jsonl");
    let line = |id: &str, month: u32, known: &str| {
        format!(
            "{{\"id\":\"{id}\",\"agency\":\"nts\",\"system\":\"hometax\",\"meter\":\"cpu.reserved\",\"quantity\":\"100\",\
             \"start\":\"2026-{month}-05T00:00:00Z\",\"end\":\"2026-{month}-05T01:00:00Z\"{known}}}\n"
        )
    };
    let late = line("2", 10, ",\"recordedAt\":\"2026-11-20T00:00:00Z\"");
    let (files, usages) = ([here().join("card.yaml")], [usage.clone()]);
    let (october, november) = ("2026-10".parse().unwrap(), "2026-11".parse().unwrap());
    // October was issued late, and took in what became known until then.
    let waited = line("4", 10, ",\"recordedAt\":\"2026-11-08T00:00:00Z\"");
    let october = (october, Some("2026-11-09T00:00:00Z".parse().unwrap()));
    for (months, at, lines) in [
        (&[october][..], "2026-11-09T00:00:00Z", line("1", 10, "") + &waited),
        (
            &[october, (november, None)],
            "2026-12-04T00:00:00Z",
            line("1", 10, "") + &waited + &late + &line("3", 11, ""),
        ),
    ] {
        std::fs::write(&usage, lines).unwrap();
        let (rated, inputs) = maru_cli::verify::work_out(&files, &usages, months, &Carry::default()).unwrap();
        let issue = Issue {
            issuer: "maru",
            fiscal_year: 2026,
            at: at.parse().unwrap(),
            inputs: &inputs,
        };
        Ledger::at(&ledger).unwrap().issue(&rated, &issue).unwrap();
    }
    let usage = usage.to_str().unwrap();
    for number in ["2026-000001", "2026-000002"] {
        let arguments = [number, "--ledger", &ledger, "-f", "card.yaml", "--usage", usage];
        let (code, text) = verify(&arguments);
        assert_eq!(code, 0, "{text}");
    }
}

#[test]
fn parts_of_a_whole_that_no_decimal_says_come_out_as_they_were_issued() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.sqlite").display().to_string();
    let usage = folder.path().join("usage.jsonl");
    // A third of the record is October's, and `moel` has 1200 parts of 1201 of the system.
    let line = "{\"id\":\"1\",\"agency\":\"nts\",\"system\":\"hometax\",\"meter\":\"cpu.reserved\",\"quantity\":\"1\",\
                \"start\":\"2026-09-30T13:00:00Z\",\"end\":\"2026-09-30T16:00:00Z\"}\n";
    std::fs::write(&usage, line).unwrap();
    let files = ["card.yaml", "systems.yaml"].map(|file| here().join(file));
    let month = "2026-10".parse().unwrap();
    let (rated, inputs) = maru_cli::verify::work_out(
        &files,
        std::slice::from_ref(&usage),
        &[(month, None)],
        &Carry::default(),
    )
    .unwrap();
    let issue = Issue {
        issuer: "maru",
        fiscal_year: 2026,
        at: "2026-11-04T00:00:00Z".parse().unwrap(),
        inputs: &inputs,
    };
    let pages = Ledger::at(&ledger).unwrap().issue(&rated, &issue).unwrap();
    assert_eq!(pages.len(), 3);
    let usage = usage.to_str().unwrap();
    for page in &pages {
        let files = ["-f", "card.yaml", "systems.yaml", "--usage", usage];
        let (code, text) = verify(&[&[page.number().unwrap(), "--ledger", &ledger], &files[..]].concat());
        assert_eq!(code, 0, "{text}");
    }
}
