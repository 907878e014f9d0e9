//! Declared schemas, tables and columns: what is missing is made, and nothing that is there is ever changed.

use super::catalog::{Catalog, Relation, is_maru_schema};
use super::facts::DatasetFacts;
use super::quote::identifier;
use crate::plan::Problem;
use crate::reason::Reason;
use maru_crds::{DataColumn, DataTable};
use std::collections::BTreeSet;

/// What the declaration asks for beyond what is there.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    /// Statements that make what is missing.
    pub(crate) make: Vec<String>,
    /// Differences that stay, each a sentence.
    pub(crate) differences: Vec<String>,
    /// What cannot be written at all.
    pub(crate) problems: Vec<Problem>,
}

/// Compares what is declared with what is there.
pub(crate) fn declared(facts: &DatasetFacts<'_>, catalog: &Catalog) -> Declared {
    let mut out = Declared::default();
    for schema in &facts.dataset.spec.schemas {
        if !catalog.schemas.iter().any(|(name, _)| *name == schema.name) {
            let made = identifier(&schema.name).zip(identifier(&catalog.owner.name));
            out.push(
                &schema.name,
                made.map(|(name, owner)| format!("CREATE SCHEMA {name} AUTHORIZATION {owner}")),
            );
        }
        for table in &schema.tables {
            match catalog.relation(&schema.name, &table.name) {
                None => out.push(&table.name, create_table(&schema.name, table)),
                Some(found) if found.is_table() => out.compare(&schema.name, table, found),
                Some(_) => out.differs(&schema.name, &table.name, "is declared a table and is something else"),
            }
        }
    }
    out.extensions(facts, catalog);
    out.undeclared(facts, catalog);
    out
}

impl Declared {
    fn push(&mut self, name: &str, statement: Option<String>) {
        match statement {
            Some(statement) => self.make.push(statement),
            None => self.problems.push(Problem::new(
                Reason::NameRefused,
                format!(
                    "{name:?} cannot be a name in the database: at most 63 bytes, without NUL; choose a shorter name"
                ),
            )),
        }
    }

    fn differs(&mut self, schema: &str, name: &str, how: &str) {
        self.differences.push(format!("{schema}.{name} {how}"));
    }

    fn compare(&mut self, schema: &str, table: &DataTable, found: &Relation) {
        for column in &table.columns {
            let there = found.columns.iter().find(|(name, ..)| *name == column.name);
            let place = format!("{}.{}", table.name, column.name);
            match there {
                None if column.nullable && column.sql_type.is_some() => {
                    let definition = column_definition(column);
                    let table = identifier(schema).zip(identifier(&table.name));
                    let statement = table
                        .zip(definition)
                        .map(|((schema, table), column)| format!("ALTER TABLE {schema}.{table} ADD COLUMN {column}"));
                    self.push(&column.name, statement);
                }
                None => self.differs(
                    schema,
                    &place,
                    "is declared and not there: add it in a migration of your own",
                ),
                Some((_, kind, not_null)) => {
                    if let Some(declared) = column.sql_type.as_deref().map(full_type)
                        && declared != *kind
                    {
                        self.differs(schema, &place, &format!("is declared {declared} and is {kind}"));
                    }
                    if *not_null == column.nullable && column.sql_type.is_some() && !found.key.contains(&column.name) {
                        let how = if *not_null {
                            "is declared nullable and refuses NULL"
                        } else {
                            "is declared not nullable and takes NULL"
                        };
                        self.differs(schema, &place, how);
                    }
                }
            }
        }
        if !table.primary_key.is_empty() && table.primary_key != found.key {
            let how = format!(
                "is declared with the key ({}) and has ({})",
                table.primary_key.join(", "),
                found.key.join(", ")
            );
            self.differs(schema, &table.name, &how);
        }
    }

    fn extensions(&mut self, facts: &DatasetFacts<'_>, catalog: &Catalog) {
        for extension in &facts.dataset.spec.extensions {
            if !facts.server.spec.allowed_extensions.contains(extension) {
                self.problems.push(Problem::new(
                    Reason::ExtensionNotAllowed,
                    format!("the server does not allow the extension {extension}: ask the platform to add it to allowedExtensions"),
                ));
            } else if !catalog.extensions.contains(extension) {
                self.push(
                    extension,
                    identifier(extension).map(|name| format!("CREATE EXTENSION IF NOT EXISTS {name}")),
                );
            }
        }
    }

    fn undeclared(&mut self, facts: &DatasetFacts<'_>, catalog: &Catalog) {
        let schemas = &facts.dataset.spec.schemas;
        if schemas.is_empty() {
            return; // nothing is declared: what is there is taken as it is
        }
        for found in catalog
            .relations
            .iter()
            .filter(|found| found.is_table() && !is_maru_schema(&found.schema))
        {
            let tables = schemas
                .iter()
                .filter(|schema| schema.name == found.schema)
                .flat_map(|schema| &schema.tables);
            let Some(table) = tables.into_iter().find(|table| table.name == found.name) else {
                self.differs(&found.schema, &found.name, "is there and not declared");
                continue;
            };
            let declared: BTreeSet<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
            for (name, ..) in found
                .columns
                .iter()
                .filter(|(name, ..)| !declared.contains(name.as_str()))
            {
                self.differs(
                    &found.schema,
                    &format!("{}.{name}", found.name),
                    "is there and not declared",
                );
            }
        }
    }
}

fn create_table(schema: &str, table: &DataTable) -> Option<String> {
    let mut parts: Vec<String> = table.columns.iter().map(column_definition).collect::<Option<_>>()?;
    if !table.primary_key.is_empty() {
        let key: Vec<String> = table
            .primary_key
            .iter()
            .map(|name| identifier(name))
            .collect::<Option<_>>()?;
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    let (schema, name) = identifier(schema).zip(identifier(&table.name))?;
    Some(format!("CREATE TABLE {schema}.{name} ({})", parts.join(", ")))
}

/// A column's type is one of the few that admission lets through.
fn column_definition(column: &DataColumn) -> Option<String> {
    let kind = column.sql_type.as_deref().filter(|kind| {
        kind.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"(), []".contains(&byte))
    })?;
    let not_null = if column.nullable { "" } else { " NOT NULL" };
    Some(format!("{} {kind}{not_null}", identifier(&column.name)?))
}

/// A type as the catalogs spell it.
fn full_type(kind: &str) -> String {
    let (plain, array) = kind.strip_suffix("[]").map_or((kind, ""), |plain| (plain, "[]"));
    let full = match plain {
        "timestamp" => "timestamp without time zone".to_owned(),
        "timestamptz" => "timestamp with time zone".to_owned(),
        "time" => "time without time zone".to_owned(),
        _ => match plain.split_once('(') {
            Some(("varchar", rest)) => format!("character varying({rest}"),
            Some(("char", rest)) => format!("character({rest}"),
            Some(("numeric", rest)) if !rest.contains(',') => format!("numeric({},0)", rest.trim_end_matches(')')),
            _ => plain.to_owned(),
        },
    };
    full + array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_compared_as_the_catalogs_spell_them() {
        assert_eq!(full_type("numeric(12)"), "numeric(12,0)");
        assert_eq!(full_type("numeric(18,2)"), "numeric(18,2)");
        assert_eq!(full_type("varchar(40)[]"), "character varying(40)[]");
        assert_eq!(full_type("timestamptz"), "timestamp with time zone");
        assert_eq!(full_type("double precision"), "double precision");
    }
}
