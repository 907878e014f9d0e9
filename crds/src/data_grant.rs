//! `DataGrant`: another agency's system may read data, for a purpose, until a date.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Classification, LocalRef, SystemRef, bounds, data_bounds};

/// Another agency's system may read these columns and rows of a dataset, for this purpose, on this legal basis, until then. It is
/// in the owner's namespace and takes effect when the consuming system lists it in `acceptedGrants`.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "maru.dev",
    version = "v1alpha1",
    kind = "DataGrant",
    plural = "datagrants",
    shortname = "grant",
    category = "maru",
    namespaced,
    status = "DataGrantStatus",
    derive = "PartialEq",
    doc = "Another agency's system may read these columns and rows of a dataset, for this purpose, on this legal basis, until then. It is in the owner's namespace and takes effect when the consuming system lists it in acceptedGrants.",
    crates(kube_core = "::kube_core", kube = "::kube_derive"),
    attr = "x_kube(crates(kube_core = \"::kube_core\"))",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 40")
        .message("a grant's name has at most 40 lower case letters, digits and '-', begins with a letter and ends with a letter or a digit"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Dataset", type_ = "string", json_path = ".spec.datasetRef.name"),
    printcolumn(name = "Consumer", type_ = "string", json_path = ".spec.consumer.namespace"),
    printcolumn(name = "System", type_ = "string", json_path = ".spec.consumer.name"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Until", type_ = "string", json_path = ".spec.notAfter"),
    printcolumn(name = "Purpose", type_ = "string", json_path = ".spec.purpose", priority = "1"),
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
    validation = Rule::new("self.datasetRef == oldSelf.datasetRef && self.consumer == oldSelf.consumer && self.tables == oldSelf.tables && self.classification == oldSelf.classification && self.purpose == oldSelf.purpose && has(self.legalBasis) == has(oldSelf.legalBasis) && (!has(self.legalBasis) || self.legalBasis == oldSelf.legalBasis) && self.notBefore == oldSelf.notBefore && self.notAfter == oldSelf.notAfter && self.mode == oldSelf.mode && self.minimumGroup == oldSelf.minimumGroup")
        .message("a grant is what both sides agreed on and cannot be changed: set revoked to true to end it, and make another grant"),
    validation = Rule::new("!oldSelf.revoked || self.revoked")
        .message("a revoked grant stays revoked: make another grant"),
    validation = Rule::new("self.notBefore < self.notAfter")
        .message("notAfter must be after notBefore"),
    validation = Rule::new("self.notAfter - self.notBefore <= duration('8784h')")
        .message("a grant lives at most 366 days: choose an earlier notAfter, and renew it by another grant"),
    validation = Rule::new("!(self.classification in ['Personal', 'Sensitive', 'Secret']) || has(self.legalBasis)")
        .message("Personal, Sensitive and Secret data need a legalBasis: the law and the article that allow this use"),
    validation = Rule::new("self.mode == 'Aggregate' || self.tables.all(t, !has(t.sums) || size(t.sums) == 0)")
        .message("sums go together with the mode Aggregate; with the mode Rows give columns"),
    validation = Rule::new("self.mode == 'Aggregate' || self.tables.all(t, has(t.columns) && size(t.columns) > 0)")
        .message("with the mode Rows each table needs at least one of its columns in columns"),
)]
pub struct DataGrantSpec {
    /// The dataset, of this namespace.
    pub dataset_ref: LocalRef,
    /// The system that may read.
    pub consumer: SystemRef,
    /// The tables and what of them may be read, 1 to 32.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["schema".into(), "name".into()]))]
    pub tables: Vec<GrantedTable>,
    /// The highest class of the columns granted. A grant whose columns are of a higher class is not enforced and says so.
    pub classification: Classification,
    /// What the data may be used for, for people to read.
    #[schemars(schema_with = "data_bounds::paragraph")]
    pub purpose: String,
    /// What allows the use. Needed for `Personal`, `Sensitive` and `Secret` data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_basis: Option<LegalBasis>,
    /// The first instant at which data may be read, RFC 3339.
    #[schemars(schema_with = "bounds::timestamp")]
    pub not_before: String,
    /// The instant from which on no data may be read, RFC 3339; at most 366 days after `notBefore`. The database itself holds to it.
    #[schemars(schema_with = "bounds::timestamp")]
    pub not_after: String,
    /// `Rows` (default): the rows themselves. `Aggregate`: counts and sums over groups of at least `minimumGroup` rows.
    #[serde(default)]
    pub mode: GrantMode,
    /// The smallest group of an `Aggregate` grant, in rows. Default and minimum 10.
    #[serde(default = "ten")]
    #[schemars(range(min = 10, max = 1_000_000))]
    pub minimum_group: i32,
    /// `true` ends the grant at once and for good. Default `false`.
    #[serde(default)]
    pub revoked: bool,
}

fn ten() -> i32 {
    10
}

/// One table and what of it may be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct GrantedTable {
    /// The table's schema. Default `public`.
    #[serde(default = "public")]
    #[schemars(schema_with = "data_bounds::sql_name")]
    pub schema: String,
    /// The table's name.
    #[schemars(schema_with = "data_bounds::sql_name")]
    pub name: String,
    /// With `Rows`, the columns that may be read. With `Aggregate`, the columns that rows are grouped by; none given: one group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "data_bounds::sql_names")]
    pub columns: Vec<String>,
    /// With `Aggregate`, the numeric columns whose sums are shown beside the count. A sum over fewer than `minimumGroup` values
    /// that are not NULL is not shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "data_bounds::sql_names")]
    pub sums: Vec<String>,
    /// Which rows: columns compared with constants by `=`, `<>`, `<`, `<=`, `>`, `>=`, `IN (…)`, `BETWEEN … AND …`, `IS NULL`,
    /// `IS NOT NULL`, joined by `AND`, `OR`, `NOT` and parentheses, such as `region = 'Seoul' AND year >= 2020`. None given: all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "data_bounds::row_filter")]
    pub filter: Option<String>,
}

fn public() -> String {
    "public".to_owned()
}

/// The law that allows a use of data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct LegalBasis {
    /// The law, such as `Resident Registration Act`.
    #[schemars(schema_with = "bounds::text")]
    pub law: String,
    /// The article, such as `Article 30 (2)`.
    #[schemars(schema_with = "bounds::text")]
    pub article: String,
}

/// What a consumer sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GrantMode {
    /// The rows.
    #[default]
    Rows,
    /// Counts and sums over groups of rows.
    Aggregate,
}

/// What was seen of a grant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct DataGrantStatus {
    /// The `metadata.generation` that this status was worked out for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// What holds: `Accepted` (the consumer lists the grant), `Active` (between `notBefore` and `notAfter` and not revoked), `Enforced` (the
    /// database was read back and agrees); `Ready` sums them up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
    /// The schema, in the dataset's database, with the consumer's views.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::text")]
    pub view_schema: Option<String>,
    /// How many deviations from the grant were found in the database and undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub deviations_undone: Option<i64>,
}
