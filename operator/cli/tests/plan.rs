//! `kubectl maru plan --offline` as a person at a terminal sees it. Against a cluster: `tests/stories/tests/plan.rs`.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::process::{Command, Output};

const AGENCY: &str = "apiVersion: maru.dev/v1alpha1
kind: Agency
metadata: {name: mois}
spec:
  displayNames: [{language: en, name: Interior}]
  tier: Central
  securityGrade: Moderate
  quota: {cpu: \"1\", memory: 2Gi, pods: 10}
";
const SYSTEM: &str = "apiVersion: maru.dev/v1alpha1
kind: AgencySystem
metadata: {name: docs, namespace: mois}
spec:
  components:
  - name: web
    image: registry.mois.example/docs:1
    replicas: {fixed: 2}
    ports: [{name: http, port: 8080}]
    resources: {cpu: 100m, memory: 64Mi}
";

fn plan(arguments: &[&str], files: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut maru = Command::new(env!("CARGO_BIN_EXE_kubectl-maru"));
    maru.current_dir(&folder).args(["plan", "--offline"]).args(arguments);
    for (index, text) in files.iter().enumerate() {
        let name = format!("{index}.yaml");
        std::fs::write(folder.path().join(&name), text).unwrap();
        maru.args(["-f", &name]);
    }
    maru.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn table(files: &[&str]) -> String {
    let output = plan(&[], files);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The one line that a wrong input gives: exit code 2, and nothing on the output.
fn refused(files: &[&str]) -> String {
    let output = plan(&[], files);
    let said = (output.status.code(), text(&output.stdout));
    assert_eq!(said, (Some(2), String::new()), "{}", text(&output.stderr));
    text(&output.stderr).trim_end().to_owned()
}

#[test]
fn everything_that_an_agency_and_its_system_become_in_any_order_of_files() {
    let there = table(&[AGENCY, SYSTEM]);
    let operators = |table: &str| -> Vec<String> {
        let lines = table.lines().filter(|line| line.ends_with("the operator"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(operators(&there), operators(&table(&[SYSTEM, AGENCY])));
    insta::assert_snapshot!(there);
}

#[test]
fn what_does_not_fit_and_what_has_no_agency_is_said() {
    let greedy = SYSTEM
        .replace("fixed: 2", "fixed: 20")
        .replace("cpu: 100m", "cpu: 500m");
    let said = table(&[AGENCY, &greedy]);
    assert!(said.contains("QuotaExceeded"), "{said}");
    let orphan = table(&[SYSTEM]);
    assert!(
        orphan.contains("AgencySystem mois/docs: ") && orphan.contains("AgencyMissing"),
        "{orphan}"
    );
    assert!(!orphan.contains("Deployment"), "{orphan}");
}

#[test]
fn programs_read_the_objects_that_are_made() {
    let output = plan(&["-o", "json"], &[AGENCY, SYSTEM]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = document["steps"].as_array().unwrap();
    let deployment = steps.iter().find(|step| step["kind"] == "Deployment").unwrap();
    assert_eq!(
        (&deployment["verb"], &deployment["by"]),
        (&"create".into(), &"Operator".into())
    );
    assert_eq!(deployment["object"]["spec"]["replicas"], 2);
    let yaml = plan(&["-o", "yaml"], &[AGENCY, SYSTEM]);
    let again: serde_json::Value = serde_saphyr::from_str(&text(&yaml.stdout)).unwrap();
    assert_eq!(again, document);
}

#[test]
fn a_wrong_input_is_named_by_file_line_and_what_is_allowed() {
    let unknown = SYSTEM.replace("    image:", "    imagePolicy: Always\n    image:");
    let wide = SYSTEM.replace("port: 8080", "port: 80800");
    let twice = format!("{AGENCY}---\n{AGENCY}");
    let nowhere = SYSTEM.replace(", namespace: mois", "");
    let strange = AGENCY.replace("kind: Agency", "kind: Ministry");
    let said = [unknown.as_str(), &wide, &twice, &nowhere, &strange].map(|file| refused(&[file]));
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_namespace_that_is_not_written_down_is_given_on_the_command_line() {
    let nowhere = SYSTEM.replace(", namespace: mois", "");
    let output = plan(&["--namespace", "mois"], &[AGENCY, &nowhere]);
    assert_eq!(text(&output.stdout), table(&[AGENCY, SYSTEM]));
}

#[test]
fn every_example_can_be_planned() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds/examples");
    let files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let said = table(&files);
    assert!(
        said.lines().last().unwrap().ends_with("0 to change, 0 to delete"),
        "{said}"
    );
}

const DATASET: &str = "apiVersion: maru.dev/v1alpha1
kind: Dataset
metadata: {name: businesses, namespace: nts}
spec:
  systems: [{name: registry}]
  schemas:
  - name: public
    tables:
    - name: business
      columns:
      - {name: name, type: text, classification: Open}
      - {name: region, type: text, classification: Open}
      - {name: owner, type: text, classification: Personal}
";

fn data_grant(columns: &str) -> String {
    let instant = |hours: i64| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
        at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    format!(
        "apiVersion: maru.dev/v1alpha1
kind: DataGrant
metadata: {{name: letters, namespace: nts}}
spec:
  datasetRef: {{name: businesses}}
  consumer: {{namespace: mois, name: docs}}
  classification: Open
  purpose: Letters
  notBefore: {}
  notAfter: {}
  tables: [{{name: business, columns: {columns}, filter: \"region = 'Seoul'\"}}]
",
        instant(-1),
        instant(24)
    )
}

#[test]
fn the_sql_of_a_new_dataset_and_its_grant_without_any_password() {
    let said = table(&[DATASET, &data_grant("[name]")]);
    for line in [
        "CREATE DATABASE \"nts_businesses\"",
        "CREATE TABLE \"public\".\"business\"",
        "security_barrier",
        "GRANT SELECT (\"name\")",
        "PASSWORD '…';",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("SCRAM-SHA-256"), "{said}");
    assert!(
        !said.contains("SELECT (\"owner\")"),
        "what is not granted is not read: {said}"
    );
    let json = plan(&["-o", "json"], &[DATASET, &data_grant("[name]")]);
    let document: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let sql = document["sql"].as_array().unwrap();
    assert_eq!(sql[0]["database"], "postgres");
    assert!(sql.iter().all(|one| one["dataset"] == "nts/businesses"), "{sql:?}");

    let refused = table(&[DATASET, &data_grant("[owner]")]);
    assert!(
        refused.contains("DataGrant nts/letters: Enforced False, ClassificationTooHigh"),
        "{refused}"
    );
    assert!(!refused.contains("CREATE VIEW"), "{refused}");
}
