//! Every input wrong in turn: each field, each place where a file may end, bytes that were changed, and lines that never end.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use clap::Parser;
use maru_cli::Cli;
use maru_meter::{Completeness, UsageRecord};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{here, text};

/// What `kubectl maru rate` would print or say, in this process.
fn rate(manifests: &[&Path], usage: &Path, more: &[&str]) -> Result<Vec<u8>, String> {
    let mut arguments = vec!["kubectl-maru", "rate", "--period", "2026-10", "-f"];
    arguments.extend(manifests.iter().map(|file| file.to_str().unwrap()));
    arguments.extend(["--usage", usage.to_str().unwrap()]);
    arguments.extend(more);
    let printed = Cli::try_parse_from(arguments).unwrap().run();
    printed
        .map(|printed| printed.bytes)
        .map_err(|problem| problem.to_string())
}

/// A usage file with the example's price book.
fn rate_usage(usage: &Path) -> Result<Vec<u8>, String> {
    rate(&[&here().join("card.yaml")], usage, &[])
}

/// Names the file and a line of it, and says what is allowed, on one line.
fn names_the_place(said: &str, file: &Path) -> bool {
    let rest = said.strip_prefix(&format!("{}:", file.display())).unwrap_or_default();
    let line = rest.split(':').next().unwrap_or_default();
    let helps = ["allowed", "expected", "missing field", "must be"];
    line.parse::<u64>().is_ok_and(|line| line > 0)
        && !said.contains('\n')
        && helps.iter().any(|word| said.contains(word))
}

/// A record with a value in every field: whoever adds a field is told so by the compiler, and the field is tried like the others.
fn full() -> UsageRecord {
    UsageRecord {
        id: "1".to_owned(),
        agency: "nts".to_owned(),
        system: "hometax".to_owned(),
        resource: "pod/nts/web".to_owned(),
        meter: "cpu.reserved".to_owned(),
        quantity: "23.5".parse().unwrap(),
        unit: "core-hour".to_owned(),
        start: "2026-10-05T00:00:00Z".parse().unwrap(),
        end: "2026-10-05T01:00:00Z".parse().unwrap(),
        source: "pods".to_owned(),
        completeness: Completeness::Estimated,
        recorded_at: Some("2026-10-05T01:00:00Z".parse().unwrap()),
    }
}

fn fields() -> serde_json::Map<String, Value> {
    let Value::Object(fields) = serde_json::to_value(full()).unwrap() else {
        unreachable!("a record is an object")
    };
    assert_eq!(fields.len(), 12);
    fields
}

const NEEDED: [&str; 7] = ["id", "agency", "system", "meter", "quantity", "start", "end"];
const FREE: [&str; 3] = ["resource", "unit", "source"];

#[test]
fn each_field_of_a_json_line_is_refused_when_it_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usage.jsonl");
    let said = |record: &serde_json::Map<String, Value>| {
        std::fs::write(&file, serde_json::to_string(record).unwrap()).unwrap();
        rate_usage(&file)
    };
    said(&fields()).unwrap();
    for field in fields().keys() {
        let mut wrong = vec![json!(1), json!(-1.5), json!(true), json!([]), json!({}), json!(["x"])];
        if field != "recordedAt" {
            wrong.push(Value::Null);
        }
        if !FREE.contains(&field.as_str()) {
            wrong.extend([json!(""), json!("x".repeat(600))]);
        }
        if ["quantity", "start", "end", "recordedAt", "completeness", "unit"].contains(&field.as_str()) {
            wrong.extend([
                json!("wrong"),
                json!("1e5"),
                json!("2026-13-01T00:00:00Z"),
                json!("2026-10-05T00:00:00"),
            ]);
        }
        for value in wrong {
            let mut record = fields();
            record.insert(field.clone(), value.clone());
            let refused = said(&record).expect_err(&format!("{field}: {value}"));
            assert!(names_the_place(&refused, &file), "{field}: {value}: {refused}");
        }
        let mut record = fields();
        record.remove(field);
        assert_eq!(
            said(&record).is_err(),
            NEEDED.contains(&field.as_str()),
            "without {field}"
        );
    }
    let mut record = fields();
    record.insert("colour".to_owned(), json!("red"));
    assert!(names_the_place(&said(&record).unwrap_err(), &file));
}

#[test]
fn each_field_of_a_csv_row_is_refused_when_it_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usage.csv");
    let said = |fields: &serde_json::Map<String, Value>| {
        let columns: Vec<&str> = fields.keys().map(String::as_str).collect();
        let cells: Vec<&str> = fields.values().map(|value| value.as_str().unwrap()).collect();
        std::fs::write(&file, format!("{}\n{}\n", columns.join(","), cells.join(","))).unwrap();
        rate_usage(&file)
    };
    said(&fields()).unwrap();
    for field in fields().keys() {
        let optional = FREE.contains(&field.as_str()) || ["completeness", "recordedAt"].contains(&field.as_str());
        let mut wrong = vec!["a,b".to_owned()];
        if !FREE.contains(&field.as_str()) {
            wrong.push("x".repeat(600));
        }
        if !optional {
            wrong.push(String::new());
        }
        if !["id", "agency", "system", "meter", "resource", "source"].contains(&field.as_str()) {
            wrong.extend(["wrong", "1e5", "2026-13-01T00:00:00Z"].map(str::to_owned));
        }
        for value in wrong {
            let mut record = fields();
            record.insert(field.clone(), json!(value));
            let refused = said(&record).expect_err(&format!("{field}: {value}"));
            assert!(names_the_place(&refused, &file), "{field}: {value}: {refused}");
        }
        let mut record = fields();
        record.remove(field);
        assert_eq!(
            said(&record).is_err(),
            NEEDED.contains(&field.as_str()),
            "without {field}"
        );
    }
}

/// Every leaf of a document, by the steps to it.
fn leaves(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                leaves(value, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (place, value) in items.iter().enumerate() {
                leaves(value, &format!("{path}/{place}"), found);
            }
        }
        leaf => found.push((path.to_owned(), leaf.clone())),
    }
}

/// Whether a leaf is more than a name: a number, a date, a moment, a choice.
fn is_typed(path: &str, leaf: &Value) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    let choices = [
        "model",
        "method",
        "mode",
        "at",
        "onNoUsage",
        "currency",
        "timeZone",
        "idle",
        "policy",
    ];
    let Value::String(text) = leaf else { return true };
    choices.contains(&last) || text.parse::<maru_meter::Exact>().is_ok() || text.parse::<jiff::civil::Date>().is_ok()
}

#[test]
fn each_field_of_each_manifest_is_refused_when_it_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let usage = here().join("usage.jsonl");
    let card = here().join("card.yaml");
    for (name, source) in [("card", card.clone()), ("systems", here().join("systems.yaml"))] {
        let written = std::fs::read_to_string(source).unwrap();
        for document in written
            .split("\n---\n")
            .filter(|document| !document.contains("kind: Agency\n"))
        {
            let good: Value = serde_saphyr::from_str(document).unwrap();
            let file = folder.path().join(format!("{name}.yaml"));
            // JSON is YAML, with a line for each field.
            let said = |document: &Value| {
                std::fs::write(&file, serde_json::to_string_pretty(document).unwrap()).unwrap();
                let manifests = if name == "card" {
                    vec![&*file]
                } else {
                    vec![&*card, &*file]
                };
                rate(&manifests, &usage, &[])
            };
            said(&good).unwrap();
            let mut found = Vec::new();
            leaves(&good, "", &mut found);
            assert!(found.len() > 5, "{document}");
            for (path, leaf) in found {
                let mut wrong = vec![json!({"wrong": "wrong"}), json!(["wrong"])];
                if is_typed(&path, &leaf) {
                    wrong.extend([json!("wrong"), json!("-1"), json!("")]);
                }
                for value in wrong {
                    let mut document = good.clone();
                    *document.pointer_mut(&path).unwrap() = value.clone();
                    let refused = said(&document).expect_err(&format!("{path}: {value}"));
                    assert!(names_the_place(&refused, &file), "{path}: {value}: {refused}");
                }
            }
        }
    }
}

#[test]
fn a_text_file_that_ends_at_any_byte_is_read_to_a_line_end_or_refused_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let lines = std::fs::read_to_string(here().join("usage.jsonl")).unwrap();
    let csv = "id,agency,system,meter,quantity,start,end\n\
        1,nts,hometax,cpu.reserved,23.5,2026-10-05T00:00:00Z,2026-10-05T01:00:00Z\n\
        2,nts,hometax,memory.reserved,160.5,2026-10-05T00:00:00Z,2026-10-05T01:00:00Z\n";
    for (name, whole) in [("usage.jsonl", lines.as_str()), ("usage.csv", csv)] {
        let file = folder.path().join(name);
        for length in 0..whole.len() {
            std::fs::write(&file, &whole[..length]).unwrap();
            let at_an_end = whole[..length].ends_with('\n') || whole[length..].starts_with('\n');
            match rate_usage(&file) {
                Ok(_) => assert!(at_an_end || length == 0, "{name}: {length} bytes"),
                Err(refused) => assert!(
                    names_the_place(&refused, &file) && (!at_an_end || length == 0),
                    "{name}: {refused}"
                ),
            }
        }
    }
}

#[test]
fn a_manifest_that_ends_at_any_byte_is_read_or_refused_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let (file, usage) = (folder.path().join("card.yaml"), here().join("usage.jsonl"));
    let whole = std::fs::read(here().join("card.yaml")).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&file, &whole[..length]).unwrap();
        if let Err(refused) = rate(&[&file], &usage, &[]) {
            // What is left may be whole, and lack what another part needs: then no line is wrong.
            let together = refused.contains("allowed is") && !refused.contains('\n');
            assert!(names_the_place(&refused, &file) || together, "{length}: {refused}");
        }
    }
}

#[test]
fn a_line_of_a_gigabyte_is_refused_after_its_first_megabyte() {
    let folder = tempfile::tempdir().unwrap();
    let header = "id,agency,system,meter,quantity,start,end\n\"";
    for (name, first, line) in [("endless.jsonl", "{\"id\":\"", 1), ("endless.csv", header, 2)] {
        // A pipe with a file's name: the gigabyte is made while it is read and stored nowhere.
        let pipe = folder.path().join(name);
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let writer = {
            let (pipe, first) = (pipe.clone(), first.to_owned());
            std::thread::spawn(move || {
                let mut pipe = std::fs::OpenOptions::new().write(true).open(pipe).unwrap();
                let mut written = pipe.write(first.as_bytes()).unwrap();
                let block = [b'x'; 1 << 12];
                while written < 1 << 30 {
                    match pipe.write(&block) {
                        Ok(length) => written += length,
                        Err(_) => break, // nobody reads any more
                    }
                }
                written
            })
        };
        // A quarter of a gigabyte would be too little for the line.
        let script = "ulimit -v 262144; exec \"$0\" rate -f card.yaml --period 2026-10 --usage \"$1\"";
        let mut limited = Command::new("sh");
        limited
            .current_dir(here())
            .args(["-c", script, env!("CARGO_BIN_EXE_kubectl-maru")])
            .arg(&pipe);
        let output = limited.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
        let expected = format!(
            "{}:{line}: is longer than 1048576 bytes: allowed is one usage record a line",
            pipe.display()
        );
        assert_eq!(said.trim_end(), expected);
        assert!(writer.join().unwrap() < 4 << 20);
    }
}

/// A file with some of its bytes changed, taken away or put in.
fn changed(whole: &[u8], changes: &[(u16, u8, u8)]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for (place, kind, byte) in changes {
        if bytes.is_empty() {
            break;
        }
        let place = usize::from(*place) % bytes.len();
        match kind % 4 {
            0 => bytes[place] = *byte,
            1 => bytes[place] ^= 1 << (byte % 8),
            2 => bytes.insert(place, *byte),
            _ => drop(bytes.drain(place..(place + usize::from(*byte)).min(bytes.len()))),
        }
    }
    bytes
}

#[test]
fn a_parquet_file_that_contradicts_itself_is_refused_where_its_library_gives_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = super::parquet::example(folder.path());
    // The width of the bits of a page, which no number of it has.
    std::fs::write(&file, changed(&std::fs::read(&file).unwrap(), &[(26_560, 236, 33)])).unwrap();
    let refused = rate_usage(&file).unwrap_err();
    let named = refused.starts_with(&file.display().to_string()) && !refused.contains('\n');
    assert!(
        named && refused.contains("allowed is a Parquet file that is not damaged"),
        "{refused}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_bytes_a_file_holds_the_command_prints_or_refuses_and_never_ends_otherwise(
        changes in prop::collection::vec(any::<(u16, u8, u8)>(), 1..6)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let card = here().join("card.yaml");
        let parquet = super::parquet::example(folder.path());
        let mapping = here().join("usage_files/surf.yaml");
        let sources = [here().join("usage.jsonl"), parquet, here().join("usage_files/usage.csv"), card.clone(), mapping];
        for source in sources {
            let file = folder.path().join(format!("changed-{}", source.file_name().unwrap().to_str().unwrap()));
            std::fs::write(&file, changed(&std::fs::read(&source).unwrap(), &changes)).unwrap();
            let example = here().join("usage_files/usage.csv");
            let printed = match source.file_name().unwrap().to_str().unwrap() {
                "card.yaml" => rate(&[&file], &here().join("usage.jsonl"), &[]),
                "surf.yaml" => rate(&[&card], &example, &["--mapping", file.to_str().unwrap()]),
                _ => rate_usage(&file),
            };
            if let Err(refused) = printed {
                prop_assert!(!refused.is_empty() && !refused.contains('\n'), "{}", refused);
            }
        }
    }
}
