//! A plan as a document: steps, and what somebody must look at.

use maru_controller::{Rehearsal, Step, Verb};
use maru_desire::Owner;
use serde::Serialize;
use serde_json::Value;

use super::compare::Field;
use super::files::Manifest;
use super::sql::Sql;

/// What applying the files comes to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) steps: Vec<Line>,
    pub(super) conditions: Vec<Said>,
    /// What would be run in databases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sql: Vec<Sql>,
    pub(super) warnings: Vec<String>,
}

/// What becomes of one object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub(super) verb: Verb,
    pub(super) by: By,
    pub(super) api_version: String,
    pub(super) kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) namespace: String,
    pub(super) name: String,
    /// What changes of an object that is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) fields: Vec<Field>,
    /// An object that is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<Value>,
}

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum By {
    /// Whoever applies the files.
    You,
    /// The operator, because of it.
    Operator,
}

/// A condition that somebody must look at.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said {
    pub(super) kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) namespace: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) condition: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Report {
    /// One of the files' objects is made.
    pub(super) fn made(&mut self, manifest: &Manifest, by: By, object: Value) {
        let mut line = Line::of(manifest, Verb::Create, by);
        line.object = Some(object);
        self.steps.push(line);
    }

    /// The operator does something to an object.
    pub(super) fn step(&mut self, step: &Step) -> &mut Line {
        let key = &step.key;
        let wanted = step.wanted.as_ref().filter(|_| step.verb == Verb::Create);
        self.steps.push(Line {
            verb: step.verb,
            by: By::Operator,
            api_version: key.kind.api_version(),
            kind: key.kind.kind().to_owned(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            fields: Vec::new(),
            object: wanted.map(|wanted| wanted.body.clone()),
        });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    /// What the conditions of agencies and systems would say that somebody must look at.
    pub(super) fn conditions_of(&mut self, rehearsal: &Rehearsal) {
        for (owner, conditions) in rehearsal.conditions() {
            let (kind, namespace, name) = parts(&owner);
            self.conditions.extend(conditions.into_iter().map(|condition| Said {
                kind: kind.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                condition: condition.type_,
                status: condition.status,
                reason: condition.reason,
                message: condition.message,
            }));
        }
    }

    /// How many steps have this verb.
    pub(super) fn count(&self, verb: Verb) -> usize {
        self.steps.iter().filter(|line| line.verb == verb).count()
    }
}

impl Line {
    /// A step with one of the files' objects.
    pub(super) fn of(manifest: &Manifest, verb: Verb, by: By) -> Self {
        Self {
            verb,
            by,
            api_version: format!("{}/{}", maru_crds::GROUP, maru_crds::VERSION),
            kind: manifest.kind.clone(),
            namespace: manifest.namespace.clone(),
            name: manifest.name.clone(),
            fields: Vec::new(),
            object: None,
        }
    }
}

/// Kind, namespace and name of an owner.
pub(super) fn parts(owner: &Owner) -> (&'static str, &str, &str) {
    match owner {
        Owner::Agency { name } => ("Agency", "", name),
        Owner::System { namespace, name } => ("AgencySystem", namespace, name),
    }
}
