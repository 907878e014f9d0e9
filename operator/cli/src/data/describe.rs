//! One dataset: what it holds, who may read it, and whether the database agrees.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::api::Api;
use maru_crds::{BackupStatus, Catalogue, DataGrant, DataSchema, Dataset, OwningSystem};
use serde::Serialize;

use super::DescribeArgs;
use super::grants::lines;
use super::line::GrantLine;
use crate::connect::{list, trouble};
use crate::problem::Problem;

/// What is declared, what was seen, and who may read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Described {
    pub(super) namespace: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) database: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) catalogue: Option<Catalogue>,
    /// What holds, as the operator saw it.
    pub(super) conditions: Vec<Held>,
    /// The systems that use it as their own.
    pub(super) systems: Vec<OwningSystem>,
    pub(super) schemas: Vec<DataSchema>,
    /// The first differences between what is declared and what is there.
    pub(super) differences: Vec<String>,
    /// All of them, also those that are not listed.
    pub(super) difference_count: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_backup: Option<BackupStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_verified_restore: Option<BackupStatus>,
    pub(super) grants: Vec<GrantLine>,
}

/// A condition, without what is for programs.
#[derive(Debug, Serialize)]
pub(super) struct Held {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
}

pub(super) async fn gather(args: &DescribeArgs) -> Result<Described, Problem> {
    let (client, context) = args.connection.open().await?;
    let namespace = args.namespace.clone().unwrap_or(context);
    let wrong = |error| trouble("the dataset and its grants", error);
    let datasets = Api::<Dataset>::namespaced(client.clone(), &namespace);
    let dataset = datasets.get(&args.name).await.map_err(wrong)?;
    let grants = Api::<DataGrant>::namespaced(client, &namespace);
    let grants = list(&grants).await.map_err(wrong)?;
    let of_it = grants
        .into_iter()
        .filter(|grant| grant.spec.dataset_ref.name == args.name);
    Ok(described(dataset, lines(of_it.collect(), Timestamp::now())))
}

fn described(dataset: Dataset, grants: Vec<GrantLine>) -> Described {
    let status = dataset.status.unwrap_or_default();
    let spec = dataset.spec;
    Described {
        namespace: dataset.metadata.namespace.unwrap_or_default(),
        name: dataset.metadata.name.unwrap_or_default(),
        server: status.server,
        database: status.database,
        size: status.size,
        rows: status.rows,
        catalogue: spec.catalogue,
        conditions: status.conditions.into_iter().map(held).collect(),
        systems: spec.systems,
        schemas: spec.schemas,
        differences: status.differences,
        difference_count: status.difference_count.unwrap_or_default(),
        last_backup: status.last_backup,
        last_verified_restore: status.last_verified_restore,
        grants,
    }
}

fn held(condition: Condition) -> Held {
    Held {
        kind: condition.type_,
        status: condition.status,
        reason: condition.reason,
        message: condition.message,
    }
}
