//! The views of a grant: the granted columns and rows, as long as the clock says so.

use super::filter::Filter;
use super::names::GrantNames;
use super::quote::{identifier, literal};
use super::{FilterError, GrantRefusal};
use maru_crds::{DataGrantSpec, GrantMode, GrantedTable};
use std::collections::BTreeSet;

pub(crate) fn name(text: &str) -> Result<String, GrantRefusal> {
    identifier(text).ok_or_else(|| GrantRefusal::Unwritable(text.to_owned()))
}

pub(crate) fn value(text: &str) -> Result<String, GrantRefusal> {
    literal(text).ok_or_else(|| GrantRefusal::Unwritable(text.to_owned()))
}

/// A table's filter.
pub(crate) fn filter_of(table: &GrantedTable) -> Result<Option<Filter>, FilterError> {
    table.filter.as_deref().map(Filter::parse).transpose()
}

/// The columns of the table that the view's owner reads, each once.
pub(crate) fn read_columns<'a>(table: &'a GrantedTable, filter: Option<&'a Filter>) -> BTreeSet<&'a str> {
    let mut columns: BTreeSet<&str> = table.columns.iter().chain(&table.sums).map(String::as_str).collect();
    columns.extend(filter.iter().flat_map(|filter| filter.columns()));
    columns
}

/// The query of a view.
///
/// The end is held against the clock for each row and not once for each query, so that a cursor that was opened before it gives no row
/// after it. That is what a view costs over its table, so nothing else is asked for each row: what has begun stays begun, and the line in
/// the table of lives is read once for each query. A filtered view is fenced (`OFFSET 0`): otherwise the planner would estimate what the
/// consumer asks for by the statistics of rows that it may not read, and EXPLAIN would show the estimate.
pub(crate) fn view_body(
    spec: &DataGrantSpec,
    names: &GrantNames,
    table: &GrantedTable,
    filter: Option<&Filter>,
) -> Result<String, GrantRefusal> {
    let from = format!("FROM {}.{} AS t", name(&table.schema)?, name(&table.name)?);
    let (not_before, not_after) = (value(&spec.not_before)?, value(&spec.not_after)?);
    let clock = "pg_catalog.clock_timestamp() OPERATOR(pg_catalog.";
    let alive = format!(
        "{clock}<) {not_after}::timestamptz AND EXISTS (SELECT FROM maru.grant_life AS l \
         WHERE l.grant_id OPERATOR(pg_catalog.=) {} AND NOT l.revoked AND {clock}>=) {not_before}::timestamptz \
         AND {clock}>=) l.not_before AND {clock}<) l.not_after)",
        value(&names.id)?
    );
    let unwritable = || GrantRefusal::Unwritable(table.filter.clone().unwrap_or_default());
    let rows = match filter {
        Some(filter) => format!("{} AND {alive}", filter.sql().ok_or_else(unwritable)?),
        None => alive.clone(),
    };
    let columns = |columns: &[String]| -> Result<Vec<String>, GrantRefusal> {
        columns
            .iter()
            .map(|column| Ok(format!("t.{}", name(column)?)))
            .collect()
    };
    let shown = columns(&table.columns)?;
    if spec.mode == GrantMode::Rows {
        let fence = if filter.is_some() { " OFFSET 0" } else { "" };
        return Ok(format!("SELECT {} {from} WHERE {rows}{fence}", shown.join(", ")));
    }
    let least = spec.minimum_group.max(10);
    let mut outputs = shown.clone();
    outputs.push("pg_catalog.count(*) AS row_count".to_owned());
    for (sum, column) in table.sums.iter().zip(columns(&table.sums)?) {
        outputs.push(format!(
            "CASE WHEN pg_catalog.count({column}) >= {least} THEN pg_catalog.sum({column}) END AS {}",
            name(&format!("sum_{sum}"))?
        ));
    }
    let group = if shown.is_empty() {
        String::new()
    } else {
        format!(" GROUP BY {}", shown.join(", "))
    };
    Ok(format!(
        "SELECT a.* FROM (SELECT {} {from} WHERE {rows}{group} HAVING pg_catalog.count(*) >= {least} OFFSET 0) AS a WHERE {alive}",
        outputs.join(", ")
    ))
}
