//! `Dataset`: a database with its tables, owners, classification and standard terms.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DeletionPolicy, LocalRef, bounds, catalogue::Catalogue, data_bounds, shared::LocalizedText};

/// A database with its tables, the systems that own it, and what the data is.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "maru.dev",
    version = "v1alpha1",
    kind = "Dataset",
    plural = "datasets",
    shortname = "dset",
    category = "maru",
    namespaced,
    status = "DatasetStatus",
    derive = "PartialEq",
    doc = "A database with its tables, the systems that own it, and what the data is.",
    crates(kube_core = "::kube_core", kube = "::kube_derive"),
    attr = "x_kube(crates(kube_core = \"::kube_core\"))",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 40")
        .message("a dataset's name has at most 40 lower case letters, digits and '-', begins with a letter and ends with a letter or a digit; names for people go into the catalogue"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Server", type_ = "string", json_path = ".status.server"),
    printcolumn(name = "Tables", type_ = "integer", json_path = ".status.tableCount"),
    printcolumn(name = "Size", type_ = "string", json_path = ".status.size"),
    printcolumn(name = "Differences", type_ = "integer", json_path = ".status.differenceCount"),
    printcolumn(name = "Backup", type_ = "date", json_path = ".status.lastBackup.time"),
    printcolumn(name = "Database", type_ = "string", json_path = ".status.database", priority = "1"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("has(self.serverRef) == has(oldSelf.serverRef) && (!has(self.serverRef) || self.serverRef == oldSelf.serverRef)")
        .message("serverRef cannot be changed: make another dataset on the other server and restore a backup into it"),
    validation = Rule::new("has(self.adopt) == has(oldSelf.adopt) && (!has(self.adopt) || self.adopt == oldSelf.adopt)")
        .message("adopt cannot be changed: make another dataset"),
    validation = Rule::new("!has(self.adopt) || has(self.serverRef)")
        .message("adopt needs serverRef: the server that the existing database is on"),
    validation = Rule::new("has(self.adopt) || !has(self.schemas) || self.schemas.all(s, !has(s.tables) || s.tables.all(t, t.columns.all(c, has(c.type))))")
        .message("each column needs a type; it may only be left out of an adopted database, where the column is there already"),
)]
pub struct DatasetSpec {
    /// The server. None given: Maru chooses one that the agency may be placed on. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_ref: Option<LocalRef>,
    /// An existing database to take over as it is. None given: a new database. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
    /// Extensions, each one that the server allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "data_bounds::extensions")]
    pub extensions: Vec<String>,
    /// The schemas and their tables. What is in the database and not declared stays, and is reported as a difference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub schemas: Vec<DataSchema>,
    /// The systems of this namespace that use the data as their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub systems: Vec<OwningSystem>,
    /// Bytes that the database may take, such as `50Gi`. None given: what the server has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::bytes")]
    pub size_limit: Option<String>,
    /// When it is backed up and how long backups are kept. None given: no backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupPolicy>,
    /// When the systems' users and passwords are replaced. None given: only when a Secret is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialPolicy>,
    /// How the dataset is found by others, in the terms of DCAT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<Catalogue>,
    /// `Retain` (default): deleting the object leaves the database. `Delete`: a last backup, then the database goes. It must say
    /// `Delete` before the object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// An existing database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct Adopt {
    /// The database's name on the server.
    #[schemars(schema_with = "data_bounds::database_name")]
    pub database: String,
}

/// A schema of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("!self.name.startsWith('pg_') && self.name != 'information_schema' && !self.name.startsWith('maru')")
        .message("schemas whose names begin with pg_ or maru and information_schema are not a dataset's own: choose another name"),
)]
pub struct DataSchema {
    /// The schema's name, such as `public`.
    #[schemars(schema_with = "data_bounds::sql_name")]
    pub name: String,
    /// Its tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tables: Vec<DataTable>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct DataTable {
    /// The table's name.
    #[schemars(schema_with = "data_bounds::sql_name")]
    pub name: String,
    /// What it holds, in each language.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["language".into()]))]
    pub descriptions: Vec<LocalizedText>,
    /// Its columns, 1 to 256.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub columns: Vec<DataColumn>,
    /// The columns of the primary key, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "data_bounds::sql_names")]
    pub primary_key: Vec<String>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct DataColumn {
    /// The column's name.
    #[schemars(schema_with = "data_bounds::sql_name")]
    pub name: String,
    /// Its SQL type: `smallint`, `integer`, `bigint`, `numeric(12,2)`, `real`, `double precision`, `boolean`, `date`, `time`, `timestamp`,
    /// `timestamptz`, `interval`, `uuid`, `text`, `varchar(n)`, `char(n)`, `bytea`, `jsonb`, `inet`, or an array of one, such as `text[]`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "data_bounds::sql_type")]
    pub sql_type: Option<String>,
    /// Whether it may be NULL. Default `true`.
    #[serde(default = "yes")]
    pub nullable: bool,
    /// What it holds, in each language.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["language".into()]))]
    pub descriptions: Vec<LocalizedText>,
    /// The standard term that it follows, such as a word of the government's data dictionary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::text")]
    pub standard_term: Option<String>,
    /// The class of its values: `Open`, `Internal`, `Personal`, `Sensitive` or `Secret`.
    pub classification: Classification,
    /// What it says about the person or thing that a row is about. Default `None`.
    #[serde(default)]
    pub role: ColumnRole,
}

fn yes() -> bool {
    true
}

/// The class of data, from the one that everyone may see to the one that hardly anyone may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Classification {
    /// For everyone.
    Open,
    /// For government.
    Internal,
    /// About a person.
    Personal,
    /// About a person, and of a kind that the law protects further, such as health.
    Sensitive,
    /// Classified.
    Secret,
}

impl Classification {
    /// Whether the use by another agency needs a legal basis.
    pub fn needs_legal_basis(self) -> bool {
        self >= Self::Personal
    }
}

/// What a column says about the person or thing that a row is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ColumnRole {
    /// It identifies whom the row is about within the dataset.
    SubjectKey,
    /// It names a person by itself, such as a resident registration number.
    DirectIdentifier,
    /// It names a person together with others, such as a birthday.
    QuasiIdentifier,
    /// It is what must not become known of a person.
    Sensitive,
    /// Nothing of that kind.
    #[default]
    None,
}

/// A system that uses a dataset as its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct OwningSystem {
    /// The name of an `AgencySystem` of this namespace.
    #[schemars(schema_with = "bounds::dns_label")]
    pub name: String,
    /// `ReadWrite` or `ReadOnly`. Default `ReadWrite`.
    #[serde(default)]
    pub access: DataAccess,
}

/// What a system may do with a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DataAccess {
    /// Read, insert, update and delete rows.
    #[default]
    ReadWrite,
    /// Read rows.
    ReadOnly,
}

/// When a dataset is backed up and how long backups are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct BackupPolicy {
    /// When, as five cron fields, such as `30 2 * * *`.
    #[schemars(schema_with = "bounds::schedule")]
    pub schedule: String,
    /// When a backup is restored into a scratch database and compared, as five cron fields. None given: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::schedule")]
    pub verify_schedule: Option<String>,
    /// The IANA time zone of both. Default `UTC`.
    #[serde(default = "utc")]
    #[schemars(schema_with = "bounds::time_zone")]
    pub time_zone: String,
    /// Days for which a backup is kept, 1 to 3650. Default 30. A deleted dataset keeps its last backup that long.
    #[serde(default = "thirty")]
    #[schemars(range(min = 1, max = 3650))]
    pub retention_days: i32,
}

/// When the users and passwords that systems log in with are replaced. The new one is delivered while the old one still works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct CredentialPolicy {
    /// Days after which a credential is replaced, 1 to 3650. None given: never by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub rotate_every_days: Option<i32>,
    /// Credentials that were issued before this instant (RFC 3339) are replaced, once it has come: set it to the present to replace them now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::timestamp")]
    pub replace_issued_before: Option<String>,
    /// Minutes for which the old credential goes on working after the new one was delivered, 1 to 43200. Default 1440, a day.
    #[serde(default = "a_day")]
    #[schemars(range(min = 1, max = 43_200))]
    pub overlap_minutes: i32,
}

impl Default for CredentialPolicy {
    fn default() -> Self {
        Self {
            rotate_every_days: None,
            replace_issued_before: None,
            overlap_minutes: a_day(),
        }
    }
}

fn a_day() -> i32 {
    1440
}

fn utc() -> String {
    "UTC".to_owned()
}

fn thirty() -> i32 {
    30
}

/// What was seen of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct DatasetStatus {
    /// The `metadata.generation` that this status was worked out for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// What holds: `Placed`, `Enforced` (rights in the database were read back and agree), `AsDeclared`, `BackedUp`; `Ready` sums them up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
    /// The server that it is placed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::dns_label")]
    pub server: Option<String>,
    /// The database's name on the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "data_bounds::database_name")]
    pub database: Option<String>,
    /// Tables that are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub table_count: Option<i32>,
    /// Rows of all tables, as the server estimates them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub rows: Option<i64>,
    /// Bytes that the database takes, such as `12Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::quantity")]
    pub size: Option<String>,
    /// Differences between what is declared and what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub difference_count: Option<i32>,
    /// The first differences, each a sentence that names the table or column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "data_bounds::differences")]
    pub differences: Vec<String>,
    /// The last backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backup: Option<BackupStatus>,
    /// The last backup that was restored and compared with what it was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified_restore: Option<BackupStatus>,
    /// The `deletionPolicy` that was last seen while the object was not being deleted. Only what stood here before the delete
    /// lets data go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// One backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct BackupStatus {
    /// The backup's name in the object store.
    #[schemars(schema_with = "bounds::text")]
    pub name: String,
    /// When it was made, RFC 3339.
    #[schemars(schema_with = "bounds::timestamp")]
    pub time: String,
    /// Its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::quantity")]
    pub size: Option<String>,
    /// When it was restored and every table was compared, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::timestamp")]
    pub verified_at: Option<String>,
}
