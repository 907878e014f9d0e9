//! `DatabaseServer`: where datasets are placed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{LocalRef, SecurityGrade, bounds, data_bounds};

/// A `PostgreSQL` server that datasets are placed on. A cluster of an operator such as `CloudNativePG` is addressed the same
/// way, through its read-write Service.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "maru.dev",
    version = "v1alpha1",
    kind = "DatabaseServer",
    plural = "databaseservers",
    shortname = "dbs",
    category = "maru",
    status = "DatabaseServerStatus",
    derive = "PartialEq",
    doc = "A PostgreSQL server that datasets are placed on. A cluster of an operator such as CloudNativePG is addressed the same way, through its read-write Service.",
    crates(kube_core = "::kube_core", kube = "::kube_derive"),
    attr = "x_kube(crates(kube_core = \"::kube_core\"))",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 40")
        .message("a server's name has at most 40 lower case letters, digits and '-', begins with a letter and ends with a letter or a digit"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Datasets", type_ = "integer", json_path = ".status.datasets"),
    printcolumn(name = "Stored", type_ = "string", json_path = ".status.stored"),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.host", priority = "1"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct DatabaseServerSpec {
    /// Host name or IP address, such as `maru-db-rw.databases.svc`.
    #[schemars(schema_with = "data_bounds::server_host")]
    pub host: String,
    /// TCP port. Default 5432.
    #[serde(default = "postgres_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// How the connection is protected. Default: the certificate and the host name are verified.
    #[serde(default)]
    pub tls: ServerTls,
    /// The Secret, in the operator's own namespace, with the keys `username` and `password` of a role that has CREATEROLE and
    /// CREATEDB. It need not be a superuser, and should not be.
    pub admin_secret_ref: LocalRef,
    /// The database that the administrator's role connects to first. Default `postgres`.
    #[serde(default = "postgres_database")]
    #[schemars(schema_with = "data_bounds::database_name")]
    pub admin_database: String,
    /// Whose datasets may be placed here. None given: those of every agency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Extensions that datasets may ask for. None given: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "data_bounds::extensions")]
    pub allowed_extensions: Vec<String>,
    /// Existing databases that may be adopted, and by datasets of which namespace. None given: none, but for those that a dataset
    /// of the same name left.
    // The platform's consent: with `adopt` alone any agency could take over any database of the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["database".into()]))]
    pub adoptable: Vec<Adoptable>,
    /// What all datasets together may take here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ServerLimits>,
}

/// An existing database and who may adopt it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct Adoptable {
    /// The database's name on the server.
    #[schemars(schema_with = "data_bounds::database_name")]
    pub database: String,
    /// The namespace whose datasets may adopt it.
    #[schemars(schema_with = "bounds::dns_label")]
    pub namespace: String,
}

fn postgres_port() -> i32 {
    5432
}

fn postgres_database() -> String {
    "postgres".to_owned()
}

/// How the connection to a server is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("!has(self.caSecretRef) || self.mode in ['VerifyFull', 'VerifyCa']")
        .message("caSecretRef goes together with the modes VerifyFull and VerifyCa; the other modes verify no certificate"),
)]
pub struct ServerTls {
    /// `VerifyFull` (default) checks the certificate and the host name, `VerifyCa` the certificate only, `Require` encrypts and checks
    /// nothing, `Disable` sends everything in the clear and is for servers on the same machine.
    #[serde(default)]
    pub mode: TlsMode,
    /// The Secret, in the operator's own namespace, with the certificate of the authority under the key `ca.crt`. None given: the
    /// authorities of the operator's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<LocalRef>,
}

/// What is verified of a server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsMode {
    /// Certificate and host name.
    #[default]
    VerifyFull,
    /// The certificate.
    VerifyCa,
    /// Nothing; the connection is encrypted.
    Require,
    /// The connection is not encrypted.
    Disable,
}

/// Whose datasets may be placed on a server: those of the agencies named, and those of agencies of the grades named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("(has(self.agencies) && size(self.agencies) > 0) || (has(self.grades) && size(self.grades) > 0)")
        .message("a placement without agencies and grades would let nobody in: give one of them, or leave placement out to let in all"),
)]
pub struct Placement {
    /// Names of agencies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "data_bounds::agencies")]
    pub agencies: Vec<String>,
    /// Security grades of agencies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "data_bounds::grades")]
    pub grades: Vec<SecurityGrade>,
}

impl Placement {
    /// Whether an agency's datasets may be placed here.
    pub fn admits(&self, agency: &str, grade: SecurityGrade) -> bool {
        self.grades.contains(&grade) || self.agencies.iter().any(|name| name == agency)
    }
}

/// What all datasets of a server together may take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct ServerLimits {
    /// How many datasets, 1 to 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub datasets: Option<i32>,
    /// Bytes that the size limits of all datasets may add up to, such as `2Ti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::bytes")]
    pub storage: Option<String>,
    /// Connections that each user of a system may have open at a time. Default 20.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 1000))]
    pub connections_per_user: i32,
    /// Connections that the operator itself opens at most. Default 4.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub operator_connections: i32,
}

fn twenty() -> i32 {
    20
}

fn four() -> i32 {
    4
}

/// What was seen of a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct DatabaseServerStatus {
    /// The `metadata.generation` that this status was worked out for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// What holds: `Reachable`, `Primary` (it takes writes), `ClockInStep`, `RoomLeft`; `Ready` sums them up. Besides, `ReadsCounted`: whether
    /// what is read through grants is metered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
    /// The server's version, such as `15.18`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::text")]
    pub version: Option<String>,
    /// Datasets that are placed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub datasets: Option<i32>,
    /// Bytes that its datasets take, such as `120Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::quantity")]
    pub stored: Option<String>,
    /// Seconds by which the server's clock is ahead (or, when negative, behind) of the operator's. It is rewritten only when it
    /// changed by a second or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -86_400, max = 86_400))]
    pub clock_offset_seconds: Option<i64>,
}
