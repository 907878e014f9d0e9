//! A plan for people.

use std::fmt::Write as _;

use maru_controller::Verb;
use serde_json::Value;

use super::report::{By, Line, Report, Said};
use super::sql::Sql;

/// How much of a value is shown.
const LONGEST_VALUE: usize = 100;

/// Steps, what somebody must look at, and how much it is.
pub(super) fn table(report: &Report) -> String {
    let mut text = String::new();
    let kinds = width(report, |line| line.kind.chars().count());
    let names = width(report, |line| name(&line.namespace, &line.name).chars().count());
    for line in &report.steps {
        let verb = verb(line.verb);
        let by = match line.by {
            By::You => "",
            By::Operator => "  the operator",
        };
        let name = name(&line.namespace, &line.name);
        let row = format!("{verb}  {:kinds$}  {name:names$}{by}", line.kind);
        let _ = writeln!(text, "{}", row.trim_end());
        text.push_str(&fields(line));
    }
    if !report.conditions.is_empty() {
        text.push_str("\nTo look at:\n");
    }
    for said in &report.conditions {
        let Said {
            kind,
            namespace,
            name: of,
            condition,
            status,
            reason,
            message,
        } = said;
        let of = name(namespace, of);
        let _ = writeln!(text, "{kind} {of}: {condition} {status}, {reason}: {message}");
    }
    text.push_str(&sql(report));
    for warning in &report.warnings {
        let _ = writeln!(text, "note: {warning}");
    }
    let counts = [Verb::Create, Verb::Change, Verb::Delete].map(|verb| report.count(verb));
    let sum = if report.steps.is_empty() {
        "nothing to do".to_owned()
    } else {
        format!(
            "{} to create, {} to change, {} to delete",
            counts[0], counts[1], counts[2]
        )
    };
    if !text.is_empty() {
        text.push('\n');
    }
    text + &sum + "\n"
}

/// What is run in databases, as it can be pasted.
fn sql(report: &Report) -> String {
    let mut text = String::new();
    for one in &report.sql {
        let Sql {
            dataset,
            database,
            purpose,
            statements,
        } = one;
        let _ = writeln!(text, "\n-- {dataset}: {purpose} (in {database})");
        for statement in statements {
            let _ = writeln!(text, "{statement};");
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

const fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "create",
        Verb::Change => "change",
        Verb::Delete => "delete",
    }
}

fn name(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}

fn width(report: &Report, of: impl Fn(&Line) -> usize) -> usize {
    report.steps.iter().map(of).max().unwrap_or_default()
}

fn fields(line: &Line) -> String {
    line.fields.iter().fold(String::new(), |mut text, field| {
        let change = match (&field.before, &field.after) {
            (Some(before), Some(after)) => format!("{} → {}", shown(before), shown(after)),
            (None, Some(after)) => format!("+ {}", shown(after)),
            (Some(before), None) => format!("− {}", shown(before)),
            (None, None) => String::new(),
        };
        let _ = writeln!(text, "          {}: {change}", field.path);
        text
    })
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(LONGEST_VALUE) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
