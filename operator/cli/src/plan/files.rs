//! The manifests to plan, checked as the API server would check them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use maru_crds::Checker;
use maru_rate::Refusal;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::document::Document;
use crate::problem::Problem;

/// One object that somebody wants to apply.
pub(crate) struct Manifest {
    document: Document,
    pub(crate) kind: String,
    /// The plural in lower case, as addresses of the API have it.
    pub(crate) plural: String,
    /// Empty for a kind without namespaces.
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The whole object, with its namespace.
    pub(crate) value: Value,
}

/// Everything that the files say.
pub(crate) struct Files {
    pub(crate) manifests: Vec<Manifest>,
    /// What was passed over.
    pub(crate) warnings: Vec<String>,
}

/// Kinds that agencies and systems are made of; the operator makes no objects of the others.
pub(crate) const CARRIED_OUT: [&str; 2] = ["Agency", "AgencySystem"];

/// Kinds whose SQL is planned ([`super::sql`]).
const IN_DATABASES: [&str; 2] = ["Dataset", "DataGrant"];

/// A kind of Maru, as its definition has it.
struct Kind {
    name: String,
    plural: String,
    namespaced: bool,
}

/// Reads all documents of the files. The first thing that is wrong ends it.
pub(crate) fn read(files: &[PathBuf], namespace: Option<&str>) -> Result<Files, Problem> {
    let kinds = kinds()?;
    let checker = Checker::new().map_err(Problem::new)?;
    let mut read = Files {
        manifests: Vec::new(),
        warnings: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    for file in files {
        for document in Document::read(file)? {
            let head = document.head()?;
            if head.api_version.split('/').next() != Some(maru_crds::GROUP) {
                let passed_over = format!(
                    "{} of {} is passed over: planned are Maru's kinds",
                    head.kind, head.api_version
                );
                read.warnings.push(passed_over);
                continue;
            }
            let kind = kinds.iter().find(|kind| kind.name == head.kind);
            let manifest = Manifest::read_from(document, kind, &checker, namespace)?;
            if !seen.insert((manifest.kind.clone(), manifest.namespace.clone(), manifest.name.clone())) {
                let message = format!(
                    "{} `{}` is there twice: allowed is one document for an object",
                    manifest.kind, manifest.name
                );
                return Err(manifest.refuse("metadata.name", message));
            }
            read.manifests.push(manifest);
        }
    }
    let silent: BTreeSet<&str> = read
        .manifests
        .iter()
        .map(|manifest| manifest.kind.as_str())
        .filter(|kind| !CARRIED_OUT.contains(kind) && !IN_DATABASES.contains(kind))
        .collect();
    for kind in silent {
        let message =
            format!("{kind}: what the operator does because of it, outside the cluster's objects, is not planned");
        read.warnings.push(message);
    }
    Ok(read)
}

impl Manifest {
    fn read_from(
        document: Document,
        kind: Option<&Kind>,
        checker: &Checker,
        default_namespace: Option<&str>,
    ) -> Result<Self, Problem> {
        let mut value: Value = document.part()?;
        let refused = |field: &str, message: &str| Err(document.refuse(&Refusal::new(field, message)));
        if let Some(problem) = checker.check(&value).into_iter().next() {
            let field = if kind.is_none() { "kind" } else { problem.field.as_str() };
            return refused(field, &problem.message);
        }
        let Some(kind) = kind else {
            return refused(
                "kind",
                "is not one of Maru's kinds: allowed are those that `kubectl api-resources` lists",
            );
        };
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if name.is_empty() {
            return refused("metadata.name", "is missing: allowed is a name");
        }
        let given = value["metadata"]["namespace"]
            .as_str()
            .or(default_namespace)
            .unwrap_or_default();
        let namespace = if kind.namespaced {
            given.to_owned()
        } else {
            String::new()
        };
        if kind.namespaced && namespace.is_empty() {
            return refused(
                "metadata.namespace",
                &format!(
                    "is missing: allowed is the namespace of the {}, here or with --namespace",
                    kind.name
                ),
            );
        }
        if kind.namespaced {
            value["metadata"]["namespace"] = namespace.as_str().into();
        }
        Ok(Self {
            kind: kind.name.clone(),
            plural: kind.plural.clone(),
            namespace,
            name,
            value,
            document,
        })
    }

    /// The object as its kind's type.
    pub(crate) fn read<T: DeserializeOwned>(&self, value: &Value) -> Result<T, Problem> {
        serde_json::from_value(value.clone()).map_err(|error| self.refuse("spec", error.to_string()))
    }

    /// A problem with a field, with its file and line.
    pub(crate) fn refuse(&self, field: &str, message: impl std::fmt::Display) -> Problem {
        if field.is_empty() {
            return self.document.refuse_whole(message);
        }
        self.document.refuse(&Refusal::new(field, message))
    }
}

fn kinds() -> Result<Vec<Kind>, Problem> {
    let manifests = maru_crds::manifests().map_err(Problem::new)?;
    let kinds = manifests.into_iter().map(|manifest| {
        let spec = &manifest.definition["spec"];
        Kind {
            name: spec["names"]["kind"].as_str().unwrap_or_default().to_owned(),
            namespaced: spec["scope"] == "Namespaced",
            plural: manifest.plural,
        }
    });
    Ok(kinds.collect())
}
