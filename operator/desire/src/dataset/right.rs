//! One right in a database, as the catalogs have it and as SQL gives and takes it.

use super::quote::identifier;
use serde::{Deserialize, Deserializer};

/// What a right is to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The database.
    Database(String),
    /// A schema.
    Schema(String),
    /// A table or a view.
    Relation(String, String),
    /// A sequence.
    Sequence(String, String),
    /// A column.
    Column(String, String, String),
}

/// Who may do what to what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// To what.
    pub target: Target,
    /// Who; nobody named: everybody.
    pub grantee: Option<String>,
    /// `SELECT`, `USAGE` and so on.
    pub privilege: String,
    /// Whether it may be handed on.
    pub grantable: bool,
}

impl Right {
    /// A right that may not be handed on.
    pub fn new(target: Target, grantee: &str, privilege: &str) -> Self {
        Self {
            target,
            grantee: Some(grantee.to_owned()),
            privilege: privilege.to_owned(),
            grantable: false,
        }
    }

    /// The statement that gives it; nothing if a name cannot be written.
    pub fn grant(&self) -> Option<String> {
        Some(format!("GRANT {} TO {}", self.of()?, self.who()?))
    }

    /// The statement that takes it, and all that others were given by it.
    pub fn revoke(&self) -> Option<String> {
        Some(format!("REVOKE {} FROM {} CASCADE", self.of()?, self.who()?))
    }

    /// How it is written down in an adopted database.
    pub fn note(&self) -> String {
        format!("{:?} {:?} {}", self.target, self.grantee, self.privilege)
    }

    fn who(&self) -> Option<String> {
        self.grantee
            .as_ref()
            .map_or(Some("PUBLIC".to_owned()), |role| identifier(role))
    }

    fn of(&self) -> Option<String> {
        let privilege = &self.privilege;
        Some(match &self.target {
            Target::Database(name) => format!("{privilege} ON DATABASE {}", identifier(name)?),
            Target::Schema(name) => format!("{privilege} ON SCHEMA {}", identifier(name)?),
            Target::Relation(schema, name) => {
                format!("{privilege} ON TABLE {}.{}", identifier(schema)?, identifier(name)?)
            }
            Target::Sequence(schema, name) => {
                format!("{privilege} ON SEQUENCE {}.{}", identifier(schema)?, identifier(name)?)
            }
            Target::Column(schema, name, column) => format!(
                "{privilege} ({}) ON TABLE {}.{}",
                identifier(column)?,
                identifier(schema)?,
                identifier(name)?
            ),
        })
    }
}

/// As `catalog.sql` writes it.
type Written = (char, String, String, String, Option<String>, String, bool);

impl<'de> Deserialize<'de> for Right {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (kind, schema, name, part, grantee, privilege, grantable) = Written::deserialize(deserializer)?;
        let target = match kind {
            'D' => Target::Database(schema),
            'N' => Target::Schema(schema),
            'S' => Target::Sequence(schema, name),
            'C' => Target::Column(schema, name, part),
            _ => Target::Relation(schema, name),
        };
        Ok(Self {
            target,
            grantee,
            privilege,
            grantable,
        })
    }
}

impl Target {
    /// The schema that it is or is in.
    pub fn schema(&self) -> Option<&str> {
        match self {
            Self::Database(_) => None,
            Self::Schema(schema) | Self::Relation(schema, _) | Self::Sequence(schema, _) | Self::Column(schema, ..) => {
                Some(schema)
            }
        }
    }
}
