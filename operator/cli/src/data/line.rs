//! One grant, as both sides need to see it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use maru_crds::{Classification, DataGrant, DataGrantSpec, GrantMode, GrantedTable, LegalBasis};
use serde::Serialize;

/// A grant: what of which dataset, for whom, what for, until when, and whether it is in force.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GrantLine {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) dataset: String,
    /// The system that may read, `namespace/name`.
    pub(super) consumer: String,
    pub(super) mode: GrantMode,
    pub(super) classification: Classification,
    pub(super) purpose: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) legal_basis: Option<LegalBasis>,
    pub(super) not_before: String,
    pub(super) not_after: String,
    pub(super) tables: Vec<GrantedTable>,
    /// Whether data can be read now, as far as the operator has seen.
    pub(super) in_force: bool,
    /// The reason, in one word.
    pub(super) reason: String,
    /// The reason, as a sentence.
    pub(super) message: String,
    /// The schema with the views, while it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) view_schema: Option<String>,
}

impl GrantLine {
    /// What is known of a grant at an instant.
    pub(super) fn of(grant: DataGrant, now: Timestamp) -> Self {
        let standing = standing(&grant, now);
        let status = grant.status.unwrap_or_default();
        let DataGrantSpec {
            dataset_ref,
            consumer,
            tables,
            classification,
            purpose,
            legal_basis,
            not_before,
            not_after,
            mode,
            minimum_group: _,
            revoked: _,
        } = grant.spec;
        Self {
            namespace: grant.metadata.namespace.unwrap_or_default(),
            name: grant.metadata.name.unwrap_or_default(),
            dataset: dataset_ref.name,
            consumer: format!("{}/{}", consumer.namespace, consumer.name),
            mode,
            classification,
            purpose,
            legal_basis,
            not_before,
            not_after,
            tables,
            in_force: standing.in_force,
            reason: standing.reason,
            message: standing.message,
            view_schema: status.view_schema,
        }
    }
}

struct Standing {
    in_force: bool,
    reason: String,
    message: String,
}

impl Standing {
    fn no(reason: &str, message: &str) -> Self {
        Self {
            in_force: false,
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }
}

/// Whether a grant is in force. The database holds to the end by itself, so the clock counts for more than a status that may be old.
fn standing(grant: &DataGrant, now: Timestamp) -> Standing {
    let end = grant.spec.not_after.parse::<Timestamp>();
    if grant.spec.revoked {
        return Standing::no("Revoked", "its owner revoked it");
    }
    if end.is_ok_and(|end| now >= end) {
        return Standing::no("Expired", "its time is over");
    }
    let conditions = grant.status.as_ref().map(|status| status.conditions.as_slice());
    let ready = conditions.unwrap_or_default().iter().find(|one| one.type_ == "Ready");
    let Some(Condition {
        status,
        reason,
        message,
        ..
    }) = ready.filter(|one| one.observed_generation == grant.metadata.generation)
    else {
        return Standing::no("NotSeen", "the operator has not looked at it yet");
    };
    Standing {
        in_force: status == "True",
        reason: reason.clone(),
        message: message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(revoked: bool, status: &serde_json::Value, now: &str) -> (bool, String) {
        let grant = json!({
            "apiVersion": "maru.dev/v1alpha1", "kind": "DataGrant",
            "metadata": {"name": "g", "namespace": "nts", "generation": 1}, "status": status,
            "spec": {
                "datasetRef": {"name": "d"}, "consumer": {"namespace": "mois", "name": "docs"}, "classification": "Open",
                "purpose": "p", "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-06-01T00:00:00Z",
                "tables": [{"name": "t", "columns": ["c"]}], "revoked": revoked,
            },
        });
        let line = GrantLine::of(serde_json::from_value(grant).unwrap(), now.parse().unwrap());
        (line.in_force, line.reason)
    }

    #[test]
    fn a_grant_is_in_force_where_the_operator_saw_it_so_and_its_time_is_not_over() {
        let ready = |generation: i64, status: &str, reason: &str| {
            json!({"conditions": [{
                "type": "Ready", "status": status, "reason": reason, "message": "m", "observedGeneration": generation,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]})
        };
        let (now, later) = ("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z");
        let table = [
            (false, ready(1, "True", "Ready"), now, (true, "Ready")),
            (false, ready(1, "True", "Ready"), later, (false, "Expired")),
            (true, ready(1, "True", "Ready"), now, (false, "Revoked")),
            (false, ready(1, "False", "NotAccepted"), now, (false, "NotAccepted")),
            (false, ready(0, "True", "Ready"), now, (false, "NotSeen")),
            (false, json!({}), now, (false, "NotSeen")),
        ];
        for (revoked, status, at, (in_force, reason)) in table {
            assert_eq!(
                line(revoked, &status, at),
                (in_force, reason.to_owned()),
                "{status} at {at}"
            );
        }
    }
}
