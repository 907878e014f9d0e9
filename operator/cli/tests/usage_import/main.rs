//! Records from files into a lake, as a person at a terminal does it, and bills from that lake.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod store;

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use maru_lake::Lake;
use maru_meter::{Interval, UsageRecord};
use parquet::arrow::ArrowWriter;

fn maru(arguments: &[&str]) -> Command {
    let mut maru = Command::new(env!("CARGO_BIN_EXE_kubectl-maru"));
    maru.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    maru.args(arguments);
    maru
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn import(file: &Path, lake: &Path, more: &[&str]) -> Output {
    let mut arguments = vec![
        "usage",
        "import",
        file.to_str().unwrap(),
        "--lake",
        lake.to_str().unwrap(),
    ];
    arguments.extend(more);
    maru(&arguments).output().unwrap()
}

/// What a good import says, after the name of the file.
fn said(file: &Path, lake: &Path, more: &[&str]) -> String {
    let output = import(file, lake, more);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
        .strip_prefix(&format!("{}: ", file.display()))
        .unwrap()
        .trim_end()
        .to_owned()
}

fn october() -> Interval {
    Interval {
        start: "2026-10-01T00:00:00Z".parse().unwrap(),
        end: "2026-11-01T00:00:00Z".parse().unwrap(),
    }
}

fn inside(lake: &Path) -> Vec<UsageRecord> {
    Lake::open(lake).unwrap().read(october()).unwrap()
}

/// Hours of use of two agencies, as JSON lines.
fn lines(count: usize) -> String {
    let mut lines = String::new();
    for number in 0..count {
        let (agency, day, hour) = (["nts", "mois"][number % 2], 1 + number / 24 % 30, number % 24);
        writeln!(
            lines,
            r#"{{"id":"r{number}","agency":"{agency}","system":"{agency}/web","meter":"cpu.reserved","quantity":"{}.25","start":"2026-10-{day:02}T{hour:02}:00:00Z","end":"2026-10-{day:02}T{hour:02}:30:00Z"}}"#,
            number % 7
        )
        .unwrap();
    }
    lines
}

fn file(folder: &Path, name: &str, content: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, content).unwrap();
    file
}

#[test]
fn importing_twice_is_importing_once() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let usage = file(folder.path(), "usage.jsonl", &lines(500));
    assert_eq!(
        said(&usage, &lake, &["--at-once", "150"]),
        "500 added, 0 bettered, 0 known, 0 refused"
    );
    assert_eq!(said(&usage, &lake, &[]), "0 added, 0 bettered, 500 known, 0 refused");
    assert_eq!(inside(&lake).len(), 500);
    let more = file(folder.path(), "more.jsonl", &lines(510));
    assert_eq!(said(&more, &lake, &[]), "10 added, 0 bettered, 500 known, 0 refused");
}

/// A table of texts, as Parquet.
fn parquet(folder: &Path, csv: &str) -> PathBuf {
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let rows: Vec<Vec<&str>> = lines.collect();
    let column = |place: usize| StringArray::from_iter_values(rows.iter().map(|row| row[place]));
    let columns = (0..header.len()).map(|place| (header[place], Arc::new(column(place)) as ArrayRef));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = folder.join("usage.parquet");
    let mut writer = ArrowWriter::try_new(File::create(&file).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

#[test]
fn csv_and_parquet_come_in_as_json_lines_do_and_so_does_what_a_mapping_makes_of_rows() {
    let folder = tempfile::tempdir().unwrap();
    let lakes = ["jsonl", "csv", "mapped", "parquet"].map(|name| folder.path().join(name));
    let json = r#"{"id":"a","agency":"nts","system":"nts/web","meter":"cpu.reserved","quantity":"1.5","start":"2026-10-01T00:00:00Z","end":"2026-10-01T01:00:00Z"}"#;
    let csv = "id,agency,system,meter,quantity,start,end\na,nts,nts/web,cpu.reserved,1.5,2026-10-01T00:00:00Z,2026-10-01T01:00:00Z\n";
    let rows = "number,seconds,at,who\na,5400,2026-10-01T00:00:00Z,nts\n";
    let mapping = "id: '{number}'\nagency: '{who}'\nsystem: '{who}/web'\nmeter: cpu.reserved\nquantity: {multiply: [seconds], divideBy: '3600'}\nstart: {column: at}\nend: {after: length, unit: Seconds}\n";
    let rows = rows.replace("who\n", "who,length\n").replace(",nts\n", ",nts,3600\n");
    let mapping = file(folder.path(), "mapping.yaml", mapping);
    said(&file(folder.path(), "usage.jsonl", json), &lakes[0], &[]);
    said(&file(folder.path(), "usage.csv", csv), &lakes[1], &[]);
    let mapping = ["--mapping", mapping.to_str().unwrap()];
    said(&file(folder.path(), "rows.csv", &rows), &lakes[2], &mapping);
    said(&parquet(folder.path(), csv), &lakes[3], &[]);
    let records = inside(&lakes[0]);
    assert_eq!(records.len(), 1);
    assert_eq!(records, inside(&lakes[3]));
    assert_eq!(records, inside(&lakes[1]));
    assert_eq!(records, inside(&lakes[2]));
    // A second is a fraction of an hour that has no end: it is kept to eighteen places, as metering keeps it.
    let second = file(folder.path(), "second.csv", &rows.replace("a,5400", "b,1"));
    said(&second, &lakes[2], &mapping);
    let found = inside(&lakes[2]).into_iter().find(|record| record.id == "b").unwrap();
    assert_eq!(found.quantity.to_string(), "0.000277777777777778");
}

#[test]
fn a_wrong_line_is_named_and_what_stands_before_it_is_in_the_lake_when_the_line_is_put_right() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let right = lines(5);
    let usage = file(folder.path(), "usage.jsonl", &right.replacen("\"3.25\"", "\"-3\"", 1));
    let output = import(&usage, &lake, &["--at-once", "2"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
    let error = text(&output.stderr);
    assert!(
        error.starts_with(&format!(
            "{}:4: usage record `r3`: quantity -3 is negative",
            usage.display()
        )),
        "{error}"
    );
    assert_eq!(inside(&lake).len(), 3);
    let usage = file(folder.path(), "usage.jsonl", &right);
    assert_eq!(said(&usage, &lake, &[]), "2 added, 0 bettered, 3 known, 0 refused");
}

#[test]
fn what_the_lake_cannot_hold_exactly_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let usage = file(
        folder.path(),
        "usage.jsonl",
        &lines(3).replacen("\"1.25\"", "\"1.0000000000000000001\"", 1),
    );
    let error = text(&import(&usage, &folder.path().join("lake"), &[]).stderr);
    assert!(
        error.contains("usage.jsonl:2: usage record `r1`: quantity 1.0000000000000000001 is not kept exactly"),
        "{error}"
    );
}

#[test]
fn other_content_for_a_known_id_is_refused_with_its_line_each_time_and_the_rest_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    said(&file(folder.path(), "usage.jsonl", &lines(4)), &lake, &[]);
    let changed = file(
        folder.path(),
        "changed.jsonl",
        &lines(8).replacen("\"2.25\"", "\"9\"", 1),
    );
    for (at_once, added) in [
        ("3", "4 added, 0 bettered, 3 known"),
        ("100", "0 added, 0 bettered, 7 known"),
    ] {
        let output = import(&changed, &lake, &["--at-once", at_once]);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("{added}, 1 refused")), "{said}");
        assert!(
            said.contains("changed.jsonl:3: usage record `r2` is in the lake with other content"),
            "{said}"
        );
    }
    assert_eq!(inside(&lake).len(), 8);
}

/// How many versions the table has.
fn versions(lake: &Path) -> usize {
    let log = std::fs::read_dir(lake.join("_delta_log"));
    let names = log.into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".json")).count()
}

/// Lets an import run until the table has so many versions, and kills it there.
fn kill_at(mut import: Child, lake: &Path, least: usize) {
    while versions(lake) < least && import.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    import.kill().unwrap();
    import.wait().unwrap();
}

#[test]
fn an_import_that_is_killed_goes_on_where_it_was_and_everything_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let usage = file(folder.path(), "usage.jsonl", &lines(2000));
    let arguments = [
        "usage",
        "import",
        usage.to_str().unwrap(),
        "--lake",
        lake.to_str().unwrap(),
        "--at-once",
        "100",
    ];
    for least in [2, 4, 7, 11] {
        let import = maru(&arguments).stdout(Stdio::null()).spawn().unwrap();
        kill_at(import, &lake, least);
    }
    let said = said(&usage, &lake, &["--at-once", "100"]);
    assert!(said.contains("written before it was interrupted, 0 refused"), "{said}");
    let records = inside(&lake);
    let expected: Vec<UsageRecord> = lines(2000)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let sorted = |mut records: Vec<UsageRecord>| {
        records.sort_by(|a, b| a.id.cmp(&b.id));
        records
    };
    assert_eq!(sorted(records), sorted(expected));
    // Once it is through, nothing is kept of it.
    assert_eq!(std::fs::read_dir(lake.join("_kept")).unwrap().count(), 0);
}

#[test]
fn bills_from_a_lake_are_those_from_the_file_also_with_corrections_and_prices_by_record() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    // A record over the end of a month, one that became known after October was issued, and one that was known in time.
    let odd = r#"{"id":"over","agency":"nts","system":"nts/web","meter":"cpu.reserved","quantity":"4","start":"2026-10-31T13:00:00Z","end":"2026-10-31T17:00:00Z"}
{"id":"late","agency":"nts","system":"nts/web","meter":"cpu.reserved","quantity":"7.5","start":"2026-10-09T00:00:00Z","end":"2026-10-09T01:00:00Z","recordedAt":"2026-11-09T00:00:00Z"}
{"id":"known","agency":"mois","system":"mois/web","meter":"cpu.reserved","quantity":"2.5","start":"2026-10-09T00:00:00Z","end":"2026-10-09T01:00:00Z","recordedAt":"2026-10-09T03:00:00Z"}
{"id":"build1","agency":"mois","system":"mois/web","meter":"build.minutes","quantity":"0.1","start":"2026-10-09T00:00:00Z","end":"2026-10-09T01:00:00Z"}
{"id":"build2","agency":"mois","system":"mois/web","meter":"build.minutes","quantity":"0.1","start":"2026-10-09T01:00:00Z","end":"2026-10-09T02:00:00Z"}
"#;
    let usage = file(folder.path(), "usage.jsonl", &(lines(700) + odd));
    said(&usage, &lake, &[]);
    let rated = |usage: &Path, period: &str| {
        let usage = usage.to_str().unwrap();
        let arguments = [
            "rate",
            "-f",
            "card.yaml",
            "--usage",
            usage,
            "--period",
            period,
            "-o",
            "json",
        ];
        let output = maru(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    // A lake is asked for the months that are rated and for no earlier one, so it gives no warning of what came late for those.
    let bills = |usage: &Path, period: &str| -> serde_json::Value {
        let bills: serde_json::Value = serde_json::from_str(&rated(usage, period)).unwrap();
        bills["bills"].clone()
    };
    for period in ["2026-10", "2026-11", "2026-10..2026-12"] {
        let expected = bills(&usage, period);
        assert!(expected[0]["lines"].is_array(), "{expected}");
        assert_eq!(bills(&lake, period), expected, "{period}");
    }
    let three: serde_json::Value = serde_json::from_str(&rated(&lake, "2026-10..2026-12")).unwrap();
    let bills = three["bills"].as_array().unwrap().iter();
    let lines: Vec<&serde_json::Value> = bills.flat_map(|bill| bill["lines"].as_array().unwrap()).collect();
    assert!(
        lines.iter().any(|line| !line["corrects"].is_null()),
        "what came late corrects nothing"
    );
    assert!(lines.iter().any(|line| line["meter"] == "build.minutes"), "{lines:?}");
}
