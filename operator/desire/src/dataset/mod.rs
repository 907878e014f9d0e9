//! A grant becomes SQL: roles, a schema of views that look at the clock, and the rights to them.

mod filter;
mod quote;

pub use filter::{Filter, FilterError, Operator};
pub use quote::{identifier, literal};

use maru_crds::{DataGrantSpec, GrantMode, GrantedTable};
use std::collections::BTreeSet;

/// What a grant is called inside the database: by the UID of its object, so that a grant made again under an old name has none of
/// the old one's rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantNames {
    /// The key of its line in `maru.grant_life`.
    pub id: String,
    /// The schema of its views.
    pub schema: String,
    /// The narrow role that owns the views: it reads the granted columns, owns no table and does not pass by row-level security.
    pub owner: String,
    /// The role that may read the views.
    pub reader: String,
}

impl GrantNames {
    /// The names of the grant with this UID.
    pub fn new(uid: &str) -> Self {
        let id: String = uid.chars().filter(char::is_ascii_hexdigit).take(32).collect();
        Self {
            schema: format!("maru_grant_{id}"),
            owner: format!("maru_owner_{id}"),
            reader: format!("maru_reader_{id}"),
            id,
        }
    }
}

/// Why a grant is not written into the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// The row filter is none.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A name or a constant cannot be written.
    #[error("{0:?} cannot be a name or a constant in SQL: at most 63 bytes, without NUL; correct it in another grant")]
    Unwritable(String),
    /// Two tables would have one view.
    #[error("two tables of the grant are called {0:?}: grant them in two grants")]
    SameName(String),
}

fn name(text: &str) -> Result<String, GrantRefusal> {
    identifier(text).ok_or_else(|| GrantRefusal::Unwritable(text.to_owned()))
}

fn value(text: &str) -> Result<String, GrantRefusal> {
    literal(text).ok_or_else(|| GrantRefusal::Unwritable(text.to_owned()))
}

/// What a dataset's database needs before its first grant, to be run once and harmless when run again.
pub fn prepare_database(database: &str) -> Result<Vec<String>, GrantRefusal> {
    Ok(vec![
        format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", name(database)?),
        "REVOKE ALL ON SCHEMA public FROM PUBLIC".to_owned(),
        "CREATE SCHEMA IF NOT EXISTS maru".to_owned(),
        "REVOKE ALL ON SCHEMA maru FROM PUBLIC".to_owned(),
        "CREATE TABLE IF NOT EXISTS maru.grant_life (grant_id text PRIMARY KEY, not_before timestamptz NOT NULL, \
         not_after timestamptz NOT NULL, revoked boolean NOT NULL DEFAULT false)"
            .to_owned(),
        "REVOKE ALL ON TABLE maru.grant_life FROM PUBLIC".to_owned(),
    ])
}

/// The statements that put a grant in force for a system's role, for one transaction.
pub fn open_grant(
    spec: &DataGrantSpec,
    names: &GrantNames,
    database: &str,
    system_role: &str,
) -> Result<Vec<String>, GrantRefusal> {
    let (schema, owner, reader) = (name(&names.schema)?, name(&names.owner)?, name(&names.reader)?);
    let role = "NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT";
    let mut sql = vec![
        format!("CREATE ROLE {owner} {role}"),
        format!("CREATE ROLE {reader} {role}"),
        format!("GRANT {owner} TO CURRENT_USER"),
        format!("CREATE SCHEMA {schema} AUTHORIZATION {owner}"),
        format!("GRANT USAGE ON SCHEMA maru TO {owner}"),
        format!("GRANT SELECT ON TABLE maru.grant_life TO {owner}"),
        format!(
            "INSERT INTO maru.grant_life (grant_id, not_before, not_after) VALUES ({}, {}, {})",
            value(&names.id)?,
            value(&spec.not_before)?,
            value(&spec.not_after)?
        ),
    ];
    let mut seen = BTreeSet::new();
    let mut views = Vec::new();
    for table in &spec.tables {
        if !seen.insert(&table.name) {
            return Err(GrantRefusal::SameName(table.name.clone()));
        }
        let filter = table.filter.as_deref().map(Filter::parse).transpose()?;
        sql.push(format!("GRANT USAGE ON SCHEMA {} TO {owner}", name(&table.schema)?));
        sql.push(format!(
            "GRANT SELECT ({}) ON TABLE {}.{} TO {owner}",
            read_columns(table, filter.as_ref())?,
            name(&table.schema)?,
            name(&table.name)?
        ));
        let view = format!("{schema}.{}", name(&table.name)?);
        let body = view_body(spec, names, table, filter.as_ref())?;
        views.push(format!("CREATE VIEW {view} WITH (security_barrier = true) AS {body}"));
        views.push(format!("GRANT SELECT ON TABLE {view} TO {reader}"));
    }
    sql.push(format!("SET LOCAL ROLE {owner}"));
    sql.extend(views);
    sql.push(format!("GRANT USAGE ON SCHEMA {schema} TO {reader}"));
    sql.push("RESET ROLE".to_owned());
    sql.push(format!(
        "GRANT CONNECT ON DATABASE {} TO {}",
        name(database)?,
        name(system_role)?
    ));
    sql.push(format!("GRANT {reader} TO {}", name(system_role)?));
    Ok(sql)
}

/// The statements that end a grant, for one transaction: the data that the views ask first, then the rights.
pub fn close_grant(names: &GrantNames, system_role: &str) -> Result<Vec<String>, GrantRefusal> {
    let (schema, reader) = (name(&names.schema)?, name(&names.reader)?);
    Ok(vec![
        format!(
            "UPDATE maru.grant_life SET revoked = true WHERE grant_id = {}",
            value(&names.id)?
        ),
        format!("REVOKE {reader} FROM {}", name(system_role)?),
        format!("REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {reader}"),
        format!("REVOKE ALL ON SCHEMA {schema} FROM {reader}"),
        format!("DROP ROLE {reader}"),
    ])
}

/// The statement that ends a system's sessions in this database, after the transaction that took its rights.
pub fn end_sessions(system_role: &str) -> Result<String, GrantRefusal> {
    Ok(format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
         WHERE datname = pg_catalog.current_database() AND usename = {}",
        value(system_role)?
    ))
}

/// The columns of the table that the view's owner reads, each once.
fn read_columns(table: &GrantedTable, filter: Option<&Filter>) -> Result<String, GrantRefusal> {
    let mut columns: BTreeSet<&str> = table.columns.iter().chain(&table.sums).map(String::as_str).collect();
    columns.extend(filter.iter().flat_map(|filter| filter.columns()));
    let quoted: Vec<_> = columns.into_iter().map(name).collect::<Result<_, _>>()?;
    Ok(quoted.join(", "))
}

/// The query of a view.
///
/// The clock is asked for each row and not once for each query, so that a cursor that was opened before the end gives no row after
/// it. A filtered view is fenced (`OFFSET 0`): otherwise the planner would estimate what the consumer asks for by the statistics of rows
/// that it may not read, and EXPLAIN would show the estimate.
fn view_body(
    spec: &DataGrantSpec,
    names: &GrantNames,
    table: &GrantedTable,
    filter: Option<&Filter>,
) -> Result<String, GrantRefusal> {
    let from = format!("FROM {}.{} AS t", name(&table.schema)?, name(&table.name)?);
    let (not_before, not_after) = (value(&spec.not_before)?, value(&spec.not_after)?);
    let clock = "pg_catalog.clock_timestamp() OPERATOR(pg_catalog.";
    let alive = format!(
        "{clock}>=) {not_before}::timestamptz AND {clock}<) {not_after}::timestamptz AND EXISTS (SELECT FROM maru.grant_life AS l \
         WHERE l.grant_id OPERATOR(pg_catalog.=) {} AND NOT l.revoked \
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
