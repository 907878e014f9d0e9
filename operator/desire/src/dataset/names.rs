//! What things are called inside a database: by UIDs, so that an object made again under an old name has none of the old one's rights.

use super::quote::identifier;
use crate::facts::SystemKey;
use crate::names::hashed;
use std::fmt;

/// The longest name of a database.
const LONGEST_NAME: usize = 63;

fn hex(uid: &str, digits: usize) -> String {
    uid.chars().filter(char::is_ascii_hexdigit).take(digits).collect()
}

/// What a grant is called inside the database.
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
        let id = hex(uid, 32);
        Self {
            schema: format!("maru_grant_{id}"),
            owner: format!("maru_owner_{id}"),
            reader: format!("maru_reader_{id}"),
            id,
        }
    }
}

/// What the roles of a dataset are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetNames {
    /// Owns a database that Maru made.
    pub owner: String,
    /// May read and write every table; systems with `ReadWrite` are members.
    pub write: String,
    /// May read every table; systems with `ReadOnly` are members.
    pub read: String,
}

impl DatasetNames {
    /// The names of the dataset with this UID.
    pub fn new(uid: &str) -> Self {
        let id = hex(uid, 32);
        Self {
            owner: format!("maru_db_{id}"),
            write: format!("maru_write_{id}"),
            read: format!("maru_read_{id}"),
        }
    }
}

/// The login roles of a system in one dataset's database, which take turns.
pub fn user_roles(dataset_uid: &str, system_uid: &str) -> [String; 2] {
    let role = format!("maru_user_{}_{}", hex(dataset_uid, 16), hex(system_uid, 16));
    let other = format!("{role}_b");
    [role, other]
}

/// The database of a new dataset. No two datasets come to the same: neither name has an underscore.
pub fn database_name(namespace: &str, dataset: &str) -> String {
    let plain = format!("{namespace}_{dataset}");
    if plain.len() <= LONGEST_NAME {
        plain
    } else {
        hashed(&[namespace, dataset], LONGEST_NAME)
    }
}

/// The Secret with a system's credentials for a dataset, in the system's namespace. The dots divide what has none.
pub fn credentials_name(system: &str, namespace: &str, dataset: &str) -> String {
    format!("{system}.data.{namespace}.{dataset}")
}

/// Namespace and name of the dataset that a Secret of this name holds a system's credentials for; none where it is another Secret.
pub fn dataset_of_credentials<'a>(secret: &'a str, system: &str) -> Option<(&'a str, &'a str)> {
    secret.strip_prefix(system)?.strip_prefix(".data.")?.split_once('.')
}

/// What a role is for, as its comment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// It owns the database.
    Owner,
    /// Systems that write are its members.
    Write,
    /// Systems that read are its members.
    Read,
    /// It owns a grant's views.
    GrantOwner,
    /// It reads a grant's views.
    GrantReader,
    /// A system logs in as it, with the credential of this fingerprint.
    User(SystemKey, String),
}

impl Remark {
    /// Reads what a comment says after the database's name.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "owner" => Self::Owner,
            "write" => Self::Write,
            "read" => Self::Read,
            "grant-owner" => Self::GrantOwner,
            "grant-reader" => Self::GrantReader,
            _ => {
                let (system, fingerprint) = text.strip_prefix("user ")?.split_once(' ')?;
                let (namespace, name) = system.split_once('/')?;
                Self::User(SystemKey::new(namespace, name), fingerprint.to_owned())
            }
        })
    }

    /// The whole comment of a role of `database`.
    pub fn comment(&self, database: &str) -> Option<String> {
        Some(format!("maru.dev/{} {self}", identifier(database)?))
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner => f.write_str("owner"),
            Self::Write => f.write_str("write"),
            Self::Read => f.write_str("read"),
            Self::GrantOwner => f.write_str("grant-owner"),
            Self::GrantReader => f.write_str("grant-reader"),
            Self::User(system, fingerprint) => write!(f, "user {}/{} {fingerprint}", system.namespace, system.name),
        }
    }
}

/// Whose a database is, as its comment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The namespace of its dataset.
    pub namespace: String,
    /// The name of its dataset.
    pub name: String,
    /// The agency.
    pub agency: String,
    /// The UID of the dataset that last had it.
    pub uid: String,
}

impl Marker {
    /// Reads a database's comment.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("maru.dev dataset=")?;
        let (dataset, rest) = rest.split_once(" agency=")?;
        let (agency, uid) = rest.split_once(" uid=")?;
        let (namespace, name) = dataset.split_once('/')?;
        Some(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            agency: agency.to_owned(),
            uid: uid.to_owned(),
        })
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            name,
            agency,
            uid,
        } = self;
        write!(f, "maru.dev dataset={namespace}/{name} agency={agency} uid={uid}")
    }
}
