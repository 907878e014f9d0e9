//! Grants and datasets for people.

use std::fmt::Write as _;

use maru_crds::{BackupStatus, DataColumn, GrantMode, GrantedTable, LegalBasis};

use super::describe::Described;
use super::grants::Grants;
use super::line::GrantLine;

/// How much of a sentence stands in a table, in columns of the terminal.
const LONGEST: usize = 60;

pub(super) fn grants(document: &Grants) -> String {
    let Grants {
        namespace,
        given,
        received,
        accepted_unseen,
    } = document;
    let Some(namespace) = namespace else {
        return columns(&listed(given)) + "\n" + &count(given);
    };
    let mut out = format!("What others may read of {namespace}:\n");
    out += &columns(&listed(given));
    let _ = write!(out, "\nWhat {namespace} may read of others:\n");
    out += &columns(&listed(received));
    if !accepted_unseen.is_empty() {
        out +=
            "\nAccepted, and to be seen only by their owners (reading the grants of all namespaces is not allowed):\n";
        let mut rows = vec![["SYSTEM", "GRANT"].map(str::to_owned).to_vec()];
        rows.extend(
            accepted_unseen
                .iter()
                .map(|one| vec![one.system.clone(), one.grant.clone()]),
        );
        out += &columns(&rows);
    }
    out
}

fn count(lines: &[GrantLine]) -> String {
    let in_force = lines.iter().filter(|line| line.in_force).count();
    format!("{in_force} of {} in force\n", lines.len())
}

fn listed(lines: &[GrantLine]) -> Vec<Vec<String>> {
    if lines.is_empty() {
        return vec![vec!["nothing".to_owned()]];
    }
    let head = ["GRANT", "DATASET", "CONSUMER", "WHAT", "PURPOSE", "UNTIL", "IN FORCE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(lines.iter().map(|line| {
        vec![
            format!("{}/{}", line.namespace, line.name),
            line.dataset.clone(),
            line.consumer.clone(),
            short(&what(line)),
            short(&purpose(line)),
            line.not_after.clone(),
            standing(line),
        ]
    }));
    rows
}

fn standing(line: &GrantLine) -> String {
    if line.in_force {
        "yes".to_owned()
    } else {
        format!("no: {}", line.reason)
    }
}

fn purpose(line: &GrantLine) -> String {
    match &line.legal_basis {
        None => line.purpose.clone(),
        Some(LegalBasis { law, article }) => format!("{} ({law}, {article})", line.purpose),
    }
}

fn what(line: &GrantLine) -> String {
    let one = |table: &GrantedTable| {
        let mut columns = table.columns.join(", ");
        if line.mode == GrantMode::Aggregate {
            let sums = table.sums.iter().map(|sum| format!("sum {sum}"));
            let shown: Vec<String> = std::iter::once("count".to_owned()).chain(sums).collect();
            let by = if columns.is_empty() {
                String::new()
            } else {
                format!(" by {columns}")
            };
            columns = shown.join(", ") + &by;
        }
        let rows = table.filter.as_ref().map(|filter| format!(" where {filter}"));
        format!(
            "{}.{} ({columns}){}",
            table.schema,
            table.name,
            rows.unwrap_or_default()
        )
    };
    line.tables.iter().map(one).collect::<Vec<_>>().join("; ")
}

pub(super) fn described(document: &Described) -> String {
    let mut out = format!("Dataset {}/{}\n", document.namespace, document.name);
    for title in document.catalogue.iter().flat_map(|catalogue| &catalogue.title) {
        let _ = writeln!(out, "{} ({})", title.text, title.language);
    }
    let unknown = || "not known yet".to_owned();
    let facts = [
        ("Server", document.server.clone().unwrap_or_else(unknown)),
        ("Database", document.database.clone().unwrap_or_else(unknown)),
        ("Size", document.size.clone().unwrap_or_else(unknown)),
        (
            "Rows",
            document.rows.map_or_else(unknown, |rows| format!("about {rows}")),
        ),
        ("Last backup", backup(document.last_backup.as_ref())),
        ("Last verified restore", backup(document.last_verified_restore.as_ref())),
    ];
    let facts: Vec<Vec<String>> = facts
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    out += &columns(&facts);
    out += "\nConditions:\n";
    let held = document.conditions.iter().map(|held| {
        vec![
            held.kind.clone(),
            held.status.clone(),
            held.reason.clone(),
            held.message.clone(),
        ]
    });
    out += &columns(&held.collect::<Vec<_>>());
    out += "\nSystems that use it as their own:\n";
    let systems = document.systems.iter();
    out += &columns(
        &systems
            .map(|system| vec![system.name.clone(), format!("{:?}", system.access)])
            .collect::<Vec<_>>(),
    );
    out += "\nColumns:\n";
    out += &columns(&declared(document));
    if document.difference_count > 0 {
        let _ = write!(
            out,
            "\nDifferences from the database ({}):\n",
            document.difference_count
        );
        for difference in &document.differences {
            let _ = writeln!(out, "  {difference}");
        }
    }
    out += "\nWho may read:\n";
    out + &columns(&listed(&document.grants))
}

fn backup(backup: Option<&BackupStatus>) -> String {
    backup.map_or_else(
        || "none".to_owned(),
        |backup| format!("{} at {}", backup.name, backup.time),
    )
}

fn declared(document: &Described) -> Vec<Vec<String>> {
    let head = ["TABLE", "COLUMN", "TYPE", "CLASS", "ROLE", "TERM"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for schema in &document.schemas {
        for table in &schema.tables {
            rows.extend(
                table
                    .columns
                    .iter()
                    .map(|column| row(&schema.name, &table.name, column)),
            );
        }
    }
    rows
}

fn row(schema: &str, table: &str, column: &DataColumn) -> Vec<String> {
    vec![
        format!("{schema}.{table}"),
        column.name.clone(),
        column.sql_type.clone().unwrap_or_else(|| "as it is".to_owned()),
        format!("{:?}", column.classification),
        format!("{:?}", column.role),
        column.standard_term.clone().unwrap_or_default(),
    ]
}

fn short(text: &str) -> String {
    maru_bill::layout::cut(text, LONGEST)
}

/// Rows with each cell under the one above it, a little to the right.
fn columns(rows: &[Vec<String>]) -> String {
    let lines = maru_bill::layout::lines(&[], rows, None);
    lines.iter().flat_map(|line| ["  ", line.as_str(), "\n"]).collect()
}
