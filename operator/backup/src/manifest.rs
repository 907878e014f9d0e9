//! What a backup says of itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whose data a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whose {
    /// The namespace of the `Dataset`.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: a dataset that is made again under the same name is another.
    pub uid: String,
}

/// A table's rows: how many, and what the first eight bytes of the MD5 of each row's text add up to, in whatever order they come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableSum {
    /// The schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// How many rows.
    pub rows: u64,
    /// What they add up to.
    pub sum: String,
}

/// The manifest of a backup, as JSON beside the dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The backup's name: `namespace/name/time`.
    pub name: String,
    /// Whose data.
    pub dataset: Whose,
    /// The database's name on its server.
    pub database: String,
    /// When it was made: it holds what was there at this moment.
    pub time: Timestamp,
    /// Until when it is kept.
    pub keep_until: Timestamp,
    /// Bytes of the dump as it is stored, encrypted.
    pub bytes: u64,
    /// SHA-256 of these, in hexadecimal.
    pub sha256: String,
    /// Every table of the dump, in order of names.
    pub tables: Vec<TableSum>,
}

impl Manifest {
    /// The rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// In what tables differ from those that were backed up; empty where they do not.
    pub(crate) fn differences(&self, found: &[TableSum]) -> Vec<String> {
        let mut differences = Vec::new();
        let same = |one: &TableSum, other: &TableSum| one.schema == other.schema && one.table == other.table;
        for table in &self.tables {
            let named = format!("{}.{}", table.schema, table.table);
            match found.iter().find(|found| same(found, table)) {
                None => differences.push(format!("{named} is missing")),
                Some(found) if found.rows != table.rows => {
                    differences.push(format!("{named} has {} rows in place of {}", found.rows, table.rows));
                }
                Some(found) if found.sum != table.sum => differences.push(format!("{named} has other rows")),
                Some(_) => {}
            }
        }
        let more = found
            .iter()
            .filter(|found| !self.tables.iter().any(|table| same(found, table)));
        differences.extend(more.map(|found| format!("{}.{} is one too many", found.schema, found.table)));
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, rows: u64, sum: &str) -> TableSum {
        TableSum {
            schema: "public".to_owned(),
            table: name.to_owned(),
            rows,
            sum: sum.to_owned(),
        }
    }

    #[test]
    fn every_table_that_is_not_as_it_was_is_named() {
        let manifest = Manifest {
            name: "nts/businesses/20261125T120000Z".to_owned(),
            dataset: Whose {
                namespace: "nts".to_owned(),
                name: "businesses".to_owned(),
                uid: "1".to_owned(),
            },
            database: "nts_businesses".to_owned(),
            time: Timestamp::UNIX_EPOCH,
            keep_until: Timestamp::UNIX_EPOCH,
            bytes: 1,
            sha256: String::new(),
            tables: vec![table("a", 1, "5"), table("b", 2, "7"), table("c", 3, "9")],
        };
        assert_eq!(manifest.differences(&manifest.tables), Vec::<String>::new());
        let found = [table("a", 1, "6"), table("b", 3, "7"), table("d", 0, "0")];
        let expected = [
            "public.a has other rows",
            "public.b has 3 rows in place of 2",
            "public.c is missing",
            "public.d is one too many",
        ];
        assert_eq!(manifest.differences(&found), expected);
    }
}
