//! What a database says of itself: one query, read into facts.

use super::right::Right;
use serde::Deserialize;
use std::collections::BTreeSet;

/// The query whose only value is the JSON text of a [`Catalog`].
pub const CATALOG_SQL: &str = include_str!("catalog.sql");
/// The query whose only value is the JSON text of what Maru wrote down in a prepared database ([`Kept`]).
pub const KEPT_SQL: &str = include_str!("kept.sql");

/// What was read of a database.
#[derive(Clone, Debug, Deserialize)]
pub struct Catalog {
    /// The server's clock, RFC 3339.
    pub now: String,
    /// The database's name.
    pub database: String,
    /// The role that owns the database.
    pub owner: OwnerRole,
    /// The role that asks.
    pub me: String,
    /// Bytes that it takes.
    pub bytes: i64,
    /// Its comment.
    pub marker: Option<String>,
    /// Whether Maru's own tables are there.
    pub prepared: bool,
    /// Whether there is a table for readings of what is used.
    pub metered: bool,
    /// The roles whose comments name this database.
    pub roles: Vec<FoundRole>,
    /// Role and member, where one of them is the owner or one of `roles`.
    pub members: BTreeSet<(String, String)>,
    /// Extensions that are installed.
    pub extensions: BTreeSet<String>,
    /// Schemas and their owners.
    pub schemas: Vec<(String, String)>,
    /// The owners of relations.
    pub owners: Vec<OwnerRole>,
    /// Tables, views and sequences.
    pub relations: Vec<Relation>,
    /// Rights of others than owners, superusers and the one who asks; `true`: they may be handed on.
    pub rights: Vec<Right>,
    /// What Maru wrote down, where it has.
    #[serde(skip)]
    pub kept: Kept,
}

/// A role that owns something.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OwnerRole {
    /// The role.
    pub name: String,
    /// Whether it is a superuser, for whom nobody acts.
    pub superuser: bool,
    /// Whether the one who asks has its rights.
    pub ours: bool,
}

/// A role of Maru's making.
#[derive(Clone, Debug, Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "a role's attributes are what the catalogs have them as"
)]
pub struct FoundRole {
    /// The role.
    pub name: String,
    /// Whether one can log in as it.
    pub login: bool,
    /// Whether it has its roles' rights without asking.
    pub inherits: bool,
    /// The most connections; -1 where there is no limit.
    pub connections: i32,
    /// What its comment says after the database's name.
    pub remark: String,
    /// Whether it can do what only a superuser could let it do.
    pub mighty: bool,
    /// Whether it may make databases or roles.
    pub makes: bool,
    /// Whether the one who asks has its rights.
    pub mine: bool,
}

/// A table, a view or a sequence.
#[derive(Clone, Debug, Deserialize)]
pub struct Relation {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is, as `pg_class.relkind` has it.
    pub kind: char,
    /// Its owner.
    pub owner: String,
    /// Rows, as the server estimates them.
    pub rows: i64,
    /// Its options.
    pub options: Vec<String>,
    /// A hash of a granted view's definition.
    pub definition: Option<String>,
    /// Name, type and whether NULL is refused, of each column.
    pub columns: Vec<(String, String, bool)>,
    /// The columns of the primary key.
    pub key: Vec<String>,
}

impl Relation {
    /// Whether it holds rows of its own that people ask for.
    pub const fn is_table(&self) -> bool {
        matches!(self.kind, 'r' | 'p')
    }

    /// Whether it is Maru's own.
    pub fn is_maru(&self) -> bool {
        is_maru_schema(&self.schema)
    }
}

/// Whether a schema is Maru's own.
pub(crate) fn is_maru_schema(name: &str) -> bool {
    name == "maru" || name.starts_with("maru_grant_")
}

/// What Maru wrote down in a database.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Kept {
    /// The lives of grants.
    pub lives: Vec<Life>,
    /// Schema, view, what was asked for and the hash of what came of it.
    pub views: Vec<(String, String, String, String)>,
    /// Rights that were there when the database was adopted.
    pub rights: BTreeSet<String>,
}

/// A line of `maru.grant_life`.
#[derive(Clone, Debug, Deserialize)]
pub struct Life {
    /// The grant.
    pub id: String,
    /// Whether it was ended.
    pub revoked: bool,
    /// Its first instant, RFC 3339.
    pub not_before: String,
    /// Its end, RFC 3339.
    pub not_after: String,
}

impl Catalog {
    /// Reads the answer to [`CATALOG_SQL`].
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Adds the answer to [`KEPT_SQL`].
    pub fn read_kept(&mut self, text: &str) -> Result<(), serde_json::Error> {
        self.kept = serde_json::from_str(text)?;
        Ok(())
    }

    /// A relation by name.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations
            .iter()
            .find(|relation| relation.schema == schema && relation.name == name)
    }

    /// A role of Maru's by name.
    pub fn role(&self, name: &str) -> Option<&FoundRole> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// Whether nobody can act for this owner: a superuser's things are left alone.
    pub fn is_out_of_reach(&self, owner: &str) -> bool {
        self.owners.iter().any(|one| one.name == owner && one.superuser)
    }
}
