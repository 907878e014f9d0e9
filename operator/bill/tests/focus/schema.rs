//! The JSON of bills, held against its schema by a validator that others made.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{validator, year};

/// Prints what of the document breaks the schema, one a line.
const SCRIPT: &str = "import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
for error in jsonschema.Draft202012Validator(schema).iter_errors(json.load(sys.stdin)):
    print(error.json_path, error.message[:200])";

fn broken(document: &str) -> String {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bills.schema.json");
    let mut python = Command::new(validator::environment());
    python
        .args(["-c", SCRIPT])
        .arg(schema)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    python.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_json_of_a_year_of_bills_keeps_to_its_schema() {
    let (mut bills, _) = year::bills();
    bills[0].number = None;
    let document = maru_bill::json(&bills, &[], &["a warning".to_owned()]).unwrap();
    assert_eq!(broken(&document), "");
}

#[test]
fn the_schema_notices_a_number_and_a_field_that_is_not_there() {
    let (bills, _) = year::bills();
    let document = maru_bill::json(&bills[..1], &[], &[]).unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&document).unwrap();
    document["bills"][0]["total"] = 5.into();
    document["bills"][0]["lines"][0]
        .as_object_mut()
        .unwrap()
        .remove("corrects");
    let broken = broken(&document.to_string());
    assert_eq!(broken.lines().count(), 2, "{broken}");
    assert!(
        broken.contains("$.bills[0].total") && broken.contains("'corrects' is a required property"),
        "{broken}"
    );
}
