//! What cannot be meant of servers, datasets and grants is refused, with words that say what is allowed.
#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

use maru_crds::{Checker, Placement, Problem, SecurityGrade};
use serde_json::{Value, json};

fn object(kind: &str, spec: &str) -> Value {
    let spec: Value = serde_saphyr::from_str(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
    json!({"apiVersion": "maru.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec})
}

fn server(more: &str) -> Value {
    object(
        "DatabaseServer",
        &format!("{{host: db.svc, adminSecretRef: {{name: admin}}, {more}}}"),
    )
}

/// A dataset with one table, whose columns these are.
fn columns(columns: &str) -> Value {
    object(
        "Dataset",
        &format!("{{schemas: [{{name: public, tables: [{{name: t, columns: [{columns}]}}]}}]}}"),
    )
}

/// A grant of one column, with these terms in place of the ordinary ones.
fn grant(terms: &[(&str, Value)]) -> Value {
    let mut object = object(
        "DataGrant",
        "{datasetRef: {name: d}, consumer: {namespace: mois, name: docs}, tables: [{name: t, columns: [a]}], \
         classification: Open, purpose: p, notBefore: 2026-01-01T00:00:00Z, notAfter: 2026-02-01T00:00:00Z}",
    );
    for (field, value) in terms {
        object["spec"][field] = value.clone();
    }
    object
}

thread_local! {
    static CHECKER: Checker = Checker::new().unwrap();
}

fn problems(object: &Value) -> Vec<Problem> {
    CHECKER.with(|checker| checker.check(object))
}

/// Expects that the checker complains of `field`, and that the words hold `words`.
#[track_caller]
fn refused(object: &Value, field: &str, words: &str) {
    let problems = problems(object);
    let fits = problems
        .iter()
        .any(|problem| problem.field == field && problem.message.contains(words));
    assert!(fits, "expected {field}: …{words}…, got {problems:#?}");
}

#[track_caller]
fn accepted(object: &Value) {
    assert_eq!(problems(object), []);
}

#[test]
fn a_server_is_a_host_and_not_a_url_and_verifies_what_it_has_an_authority_for() {
    accepted(&server("port: 6432"));
    refused(&server("port: 0"), "spec.port", "must be from 1 to 65535");
    let url = object(
        "DatabaseServer",
        "{host: 'postgres://db', adminSecretRef: {name: admin}}",
    );
    refused(&url, "spec.host", "without scheme, port or path");
    accepted(&server("tls: {mode: VerifyCa, caSecretRef: {name: ca}}"));
    refused(
        &server("tls: {mode: Require, caSecretRef: {name: ca}}"),
        "spec.tls",
        "goes together with the modes VerifyFull and VerifyCa",
    );
    refused(&server("tls: {mode: verify-full}"), "spec.tls.mode", "must be one of");
}

#[test]
fn a_placement_that_lets_nobody_in_is_refused() {
    accepted(&server("placement: {grades: [Low]}"));
    refused(&server("placement: {}"), "spec.placement", "would let nobody in");
    refused(
        &server("placement: {grades: []}"),
        "spec.placement",
        "would let nobody in",
    );
    let placement = Placement {
        agencies: vec!["nts".to_owned()],
        grades: vec![SecurityGrade::Low],
    };
    assert!(placement.admits("nts", SecurityGrade::High) && placement.admits("mois", SecurityGrade::Low));
    assert!(!placement.admits("mois", SecurityGrade::High));
}

#[test]
fn extensions_are_names_and_not_sql() {
    accepted(&server("allowedExtensions: [pgcrypto, uuid-ossp]"));
    refused(
        &server("allowedExtensions: ['pgcrypto; DROP ROLE x']"),
        "spec.allowedExtensions[0]",
        "an extension has a name of lower case letters",
    );
}

#[test]
fn columns_have_a_type_and_a_class_and_names_that_may_be_strange() {
    accepted(&columns(
        "{name: 'Größe \"in\" m', type: 'numeric(6,2)', classification: Open}",
    ));
    accepted(&columns(
        "{name: select, type: 'text[]', classification: Secret, role: None}",
    ));
    refused(
        &columns("{name: a, type: integer}"),
        "spec.schemas[0].tables[0].columns[0]",
        "classification",
    );
    refused(
        &columns("{name: a, type: 'text); DROP TABLE t; --', classification: Open}"),
        "spec.schemas[0].tables[0].columns[0].type",
        "must match",
    );
    refused(
        &columns("{name: '', type: text, classification: Open}"),
        "spec.schemas[0].tables[0].columns[0].name",
        "at least 1",
    );
    refused(
        &columns("{name: a, classification: Open}"),
        "spec",
        "each column needs a type",
    );
    refused(
        &object("Dataset", "{schemas: [{name: pg_toast}]}"),
        "spec.schemas[0]",
        "not a dataset's own",
    );
}

#[test]
fn an_adopted_database_has_a_server_and_need_not_repeat_types() {
    let adopted = |more: &str| {
        object(
            "Dataset",
            &format!(
                "{{adopt: {{database: Old Register}}, {more} schemas: [{{name: public, tables: [{{name: t, columns: [{{name: a, classification: Open}}]}}]}}]}}"
            ),
        )
    };
    accepted(&adopted("serverRef: {name: shared},"));
    refused(&adopted(""), "spec", "adopt needs serverRef");
}

#[test]
fn personal_data_without_a_legal_basis_is_refused() {
    accepted(&grant(&[("classification", json!("Internal"))]));
    for class in ["Personal", "Sensitive", "Secret"] {
        refused(&grant(&[("classification", json!(class))]), "spec", "need a legalBasis");
        let basis = json!({"law": "Statistics Act", "article": "24"});
        accepted(&grant(&[("classification", json!(class)), ("legalBasis", basis)]));
    }
}

#[test]
fn a_grant_of_more_than_a_year_or_that_ends_before_it_begins_is_refused() {
    accepted(&grant(&[("notAfter", json!("2027-01-02T00:00:00Z"))]));
    refused(
        &grant(&[("notAfter", json!("2027-01-02T00:00:01Z"))]),
        "spec",
        "lives at most 366 days",
    );
    refused(
        &grant(&[("notAfter", json!("2026-01-01T00:00:00Z"))]),
        "spec",
        "must be after notBefore",
    );
    // The same instant, written in another time zone.
    refused(
        &grant(&[("notAfter", json!("2026-01-01T09:00:00+09:00"))]),
        "spec",
        "must be after notBefore",
    );
    refused(&grant(&[("notAfter", json!("2026-02-01"))]), "spec.notAfter", "must be");
}

#[test]
fn rows_and_aggregates_are_not_mixed() {
    let sums = json!([{"name": "t", "columns": ["a"], "sums": ["b"]}]);
    refused(
        &grant(&[("tables", sums.clone())]),
        "spec",
        "sums go together with the mode Aggregate",
    );
    accepted(&grant(&[("tables", sums), ("mode", json!("Aggregate"))]));
    refused(
        &grant(&[("tables", json!([{"name": "t"}]))]),
        "spec",
        "at least one of its columns",
    );
    refused(&grant(&[("tables", json!([]))]), "spec.tables", "at least 1");
    refused(
        &grant(&[("mode", json!("Aggregate")), ("minimumGroup", json!(9))]),
        "spec.minimumGroup",
        "must be from 10",
    );
}
