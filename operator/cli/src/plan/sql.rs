//! The SQL of datasets and grants: all that the operator runs for a dataset that is new, once both sides of its grants agree.
//!
//! Nobody who plans has a way into a database, so this is rehearsed from the files alone. What a database that is there lacks, only the
//! operator sees.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use maru_crds::{DataGrant, DatabaseServer, Dataset, GrantRef};
use maru_desire::dataset::{
    Consent, DatasetFacts, Part, Rehearsed, Statement, Transaction, database_name, rehearse_new,
};
use maru_desire::{Problem as Trouble, SystemKey};
use serde::Serialize;
use serde_json::json;

use super::files::Manifest;
use super::report::{Report, Said};
use crate::problem::Problem;

/// What stands where the verifier of a password will be: the password is made then.
const VERIFIER: &str = "'…'";

/// One transaction.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sql {
    /// The dataset, `namespace/name`.
    pub(super) dataset: String,
    /// Where it is run: in the dataset's database, or in the server's own.
    pub(super) database: String,
    pub(super) purpose: String,
    pub(super) statements: Vec<String>,
}

/// Adds the SQL of the datasets among the files. `is_new` says whether a dataset is not there yet.
pub(super) fn add(
    manifests: &[Manifest],
    is_new: impl Fn(&Manifest) -> bool,
    report: &mut Report,
) -> Result<(), Problem> {
    let mut numbers = 1_u64..;
    let mut uid = || {
        let number = numbers.next().unwrap_or_default();
        format!("{number:016x}{number:016x}")
    };
    let mut any = false;
    for manifest in manifests.iter().filter(|one| one.kind == "Dataset") {
        if !is_new(manifest) {
            report.warnings.push(format!(
                "Dataset {}/{} is there: the SQL that its database lacks only the operator sees",
                manifest.namespace, manifest.name
            ));
            continue;
        }
        let mut dataset: Dataset = manifest.read(&manifest.value)?;
        if dataset.spec.adopt.is_some() {
            report.warnings.push(format!(
                "Dataset {}/{} adopts a database: what it lacks only the operator sees",
                manifest.namespace, manifest.name
            ));
            continue;
        }
        dataset.metadata.uid = Some(uid());
        let grants = grants_of(manifests, manifest, &mut uid)?;
        one(manifests, &dataset, &grants, &mut uid, report)?;
        any = true;
    }
    if any {
        report.warnings.push(
            "SQL: each grant is taken as accepted, and numbers stand for the UIDs that name the roles and schemas"
                .to_owned(),
        );
    }
    Ok(())
}

fn grants_of(
    manifests: &[Manifest],
    dataset: &Manifest,
    uid: &mut impl FnMut() -> String,
) -> Result<Vec<DataGrant>, Problem> {
    let mut all = Vec::new();
    for manifest in manifests.iter().filter(|one| one.kind == "DataGrant") {
        let mut grant: DataGrant = manifest.read(&manifest.value)?;
        if manifest.namespace == dataset.namespace && grant.spec.dataset_ref.name == dataset.name {
            grant.metadata.uid = Some(uid());
            all.push(grant);
        }
    }
    Ok(all)
}

/// The rehearsal of one dataset.
fn one(
    manifests: &[Manifest],
    dataset: &Dataset,
    grants: &[DataGrant],
    uid: &mut impl FnMut() -> String,
    report: &mut Report,
) -> Result<(), Problem> {
    let namespace = dataset.metadata.namespace.clone().unwrap_or_default();
    let name = dataset.metadata.name.clone().unwrap_or_default();
    let server = server_of(manifests, dataset)?;
    let mut systems: BTreeMap<SystemKey, Consent> = BTreeMap::new();
    for system in &dataset.spec.systems {
        let key = SystemKey::new(namespace.as_str(), system.name.as_str());
        systems.entry(key).or_default();
    }
    for grant in grants {
        let consumer = &grant.spec.consumer;
        let key = SystemKey::new(consumer.namespace.as_str(), consumer.name.as_str());
        systems.entry(key).or_default().accepts.insert(GrantRef {
            namespace: namespace.clone(),
            name: grant.metadata.name.clone().unwrap_or_default(),
        });
    }
    for consent in systems.values_mut() {
        consent.uid = uid();
    }
    let database = database_name(&namespace, &name);
    let facts = DatasetFacts {
        dataset,
        agency: &namespace,
        server: &server,
        database: &database,
        grants,
        systems: &systems,
    };
    let Rehearsed { place, fill, problems } = rehearse_new(&facts, &Timestamp::now().to_string());
    let key = format!("{namespace}/{name}");
    let of = |database: &str, transaction: Transaction| Sql {
        dataset: key.clone(),
        database: database.to_owned(),
        purpose: transaction.purpose,
        statements: transaction.statements.into_iter().map(written).collect(),
    };
    let admins = &server.spec.admin_database;
    report.sql.extend(place.into_iter().map(|one| of(admins, one)));
    report.sql.extend(fill.into_iter().map(|one| of(&database, one)));
    let said = problems.into_iter().map(|(part, problem)| said(&facts, &part, problem));
    report.conditions.extend(said);
    Ok(())
}

/// The server of the files that the dataset names. Whether it takes the dataset is for the operator to say.
fn server_of(manifests: &[Manifest], dataset: &Dataset) -> Result<DatabaseServer, Problem> {
    let named = dataset
        .spec
        .server_ref
        .as_ref()
        .map_or("", |server| server.name.as_str());
    let mut servers = manifests.iter().filter(|one| one.kind == "DatabaseServer");
    let mut server: DatabaseServer = match servers.find(|one| one.name == named) {
        Some(manifest) => manifest.read(&manifest.value)?,
        None => serde_json::from_value(json!({
            "apiVersion": "maru.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": named},
            "spec": {"host": "", "adminSecretRef": {"name": ""}},
        }))
        .map_err(Problem::new)?,
    };
    server.spec.placement = None;
    Ok(server)
}

fn written(statement: Statement) -> String {
    match statement.password_of {
        Some(_) => format!("{}{VERIFIER}", statement.sql),
        None => statement.sql,
    }
}

fn said(facts: &DatasetFacts<'_>, part: &Part, problem: Trouble) -> Said {
    let of_grant = facts.grants.iter().find(|grant| match part {
        Part::Dataset => false,
        Part::Grant(uid) => grant.metadata.uid.as_ref() == Some(uid),
    });
    let (kind, name) = match of_grant {
        Some(grant) => ("DataGrant", grant.metadata.name.clone().unwrap_or_default()),
        None => ("Dataset", facts.name().to_owned()),
    };
    Said {
        kind: kind.to_owned(),
        namespace: facts.namespace().to_owned(),
        name,
        condition: "Enforced".to_owned(),
        status: "False".to_owned(),
        reason: problem.reason.to_string(),
        message: problem.message,
    }
}
