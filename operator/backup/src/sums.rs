//! What the rows of a database add up to.

use maru_apply::sql::{Session, SqlError};
use maru_desire::dataset::identifier;
use serde::Deserialize;

use crate::manifest::TableSum;

/// How values are written as text must not depend on a server's or a role's settings.
const SETTINGS: &str = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL TimeZone = 'UTC'; \
                        SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'iso_8601'; SET LOCAL extra_float_digits = 1; \
                        SET LOCAL bytea_output = 'hex'; SET LOCAL search_path = pg_catalog; SET LOCAL row_security = off";

/// Tables with rows of their own that a dump has: neither Maru's, nor an extension's.
const TABLES: &str = "SELECT coalesce(json_agg(json_build_object('schema', n.nspname, 'table', c.relname) ORDER BY n.nspname COLLATE \"C\", \
    c.relname COLLATE \"C\"), '[]')::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
    AND n.nspname <> 'maru' AND n.nspname NOT LIKE 'maru\\_%' \
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";

#[derive(Deserialize)]
struct Named {
    schema: String,
    table: String,
}

#[derive(Deserialize)]
struct Sum {
    rows: u64,
    sum: String,
}

/// Opens a transaction that sees one moment of the database, as its owner.
pub(crate) async fn begin(session: &Session, owner: Option<&str>) -> Result<(), SqlError> {
    session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    session.batch(SETTINGS).await?;
    match owner.map(identifier) {
        None => Ok(()),
        Some(Some(owner)) => session.batch(&format!("SET LOCAL ROLE {owner}")).await,
        Some(None) => Err(unwritable()),
    }
}

/// What the rows of each table add up to, inside the transaction that is open.
///
/// # Errors
/// Where the server refuses it.
pub async fn table_sums(session: &Session) -> Result<Vec<TableSum>, SqlError> {
    let wrong = |error: serde_json::Error| SqlError::Answer(error.to_string());
    let tables: Vec<Named> = serde_json::from_str(&session.text(TABLES, &[]).await?).map_err(wrong)?;
    let mut sums = Vec::with_capacity(tables.len());
    for Named { schema, table } in tables {
        let (Some(in_schema), Some(named)) = (identifier(&schema), identifier(&table)) else {
            return Err(unwritable());
        };
        let sql = format!(
            "SELECT json_build_object('rows', count(*), 'sum', \
             coalesce(sum(('x' || substr(md5(t::text), 1, 16))::bit(64)::bigint::numeric), 0)::text)::text FROM ONLY {in_schema}.{named} t"
        );
        let sum: Sum = serde_json::from_str(&session.text(&sql, &[]).await?).map_err(wrong)?;
        sums.push(TableSum {
            schema,
            table,
            rows: sum.rows,
            sum: sum.sum,
        });
    }
    Ok(sums)
}

fn unwritable() -> SqlError {
    SqlError::Answer("a name cannot be written in SQL".to_owned())
}
