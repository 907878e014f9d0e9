//! Applying and sweeping, object by object, in the plan's order.

use crate::error::ApplyError;
use crate::fingerprint::Fingerprint;
use crate::observed::{Observed, Seen};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, Status};
use kube::{Client, Error};
use maru_desire::{Applied, MANAGED_BY, MANAGED_BY_LABEL, ObjectKey, ObjectKind, Outcome, Plan, WantedObject};
use std::collections::BTreeMap;

/// Carries plans out through one client.
#[derive(Clone)]
pub struct Applier {
    client: Client,
}

impl Applier {
    /// An applier that writes through `client`.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Writes what differs from what was observed, then deletes what is no longer wanted.
    ///
    /// What the API server refuses (invalid, forbidden, a name that is taken) is an [`Outcome::Refused`] of that object and
    /// the rest goes on.
    ///
    /// # Errors
    /// Where the API server cannot be reached, is overloaded or fails, the rest is left for the next try.
    pub async fn carry_out(&self, plan: &Plan, observed: &dyn Observed) -> Result<Applied, ApplyError> {
        let mut outcomes: Vec<(ObjectKey, Outcome)> = Vec::with_capacity(plan.objects.len() + plan.sweep.len());
        for wanted in &plan.objects {
            let outcome = if needs_refused(&wanted.key, &outcomes) {
                Outcome::Skipped
            } else {
                self.apply(wanted, plan, observed).await?
            };
            outcomes.push((wanted.key.clone(), outcome));
        }
        for key in &plan.sweep {
            outcomes.push((key.clone(), self.sweep(key, plan, observed).await?));
        }
        Ok(Applied::new(plan, outcomes))
    }

    /// Since when each of these objects is there, read freshly; what is gone, or is not Maru's, is not in the answer.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn made(&self, keys: &[ObjectKey], manager: &str) -> Result<BTreeMap<ObjectKey, Timestamp>, ApplyError> {
        let mut made = BTreeMap::new();
        for key in keys {
            let found = self.api(key).get_opt(&key.name).await;
            let found = found.map_err(|source| ApplyError::Unavailable {
                key: key.clone(),
                source: Box::new(source),
            })?;
            let ours = found.filter(|object| is_ours(object, manager));
            if let Some(time) = ours.and_then(|object| object.metadata.creation_timestamp) {
                made.insert(key.clone(), time.0);
            }
        }
        Ok(made)
    }

    async fn apply(&self, wanted: &WantedObject, plan: &Plan, observed: &dyn Observed) -> Result<Outcome, ApplyError> {
        let manager = plan.owner.field_manager();
        let fingerprint = Fingerprint::of_wanted(&wanted.body);
        let seen = observed.seen(&wanted.key);
        if let Some(seen) = &seen {
            if seen.is(fingerprint) {
                return Ok(Outcome::Unchanged);
            }
            if seen.terminating {
                return Ok(Outcome::refused(
                    "Terminating",
                    "it is being deleted; waiting until it is gone",
                ));
            }
        }
        let uid = plan.uids.get(&wanted.key);
        if wanted.key.kind == ObjectKind::Namespace && uid.is_none() {
            return self.create(wanted, manager, fingerprint, observed).await;
        }
        let write = Write {
            wanted,
            manager,
            fingerprint,
            uid,
        };
        let force = seen.is_some()
            || uid.is_some()
            || is_looked_up_first(wanted) && self.may_take(&wanted.key, manager).await?;
        match self.patch(&write, force, observed).await {
            Err(Error::Api(status)) if status.code == 409 && !force => {
                if !self.may_take(&wanted.key, manager).await? {
                    return Ok(Outcome::refused("NameTaken", taken(&wanted.key)));
                }
                let again = self.patch(&write, true, observed).await;
                again.or_else(|error| refused_or_failed(&wanted.key, error))
            }
            answer => answer.or_else(|error| refused_or_failed(&wanted.key, error)),
        }
    }

    /// Creates a namespace, and never takes one over that appeared since the facts were gathered. Every label that Maru sets
    /// here stays for the namespace's life and only its value changes: what a create wrote, a later apply cannot take away.
    async fn create(
        &self,
        wanted: &WantedObject,
        manager: &str,
        fingerprint: Fingerprint,
        observed: &dyn Observed,
    ) -> Result<Outcome, ApplyError> {
        let params = PostParams {
            field_manager: Some(manager.to_owned()),
            ..PostParams::default()
        };
        let object = serde_json::from_value(wanted.body.clone()).map_err(|source| ApplyError::Unavailable {
            key: wanted.key.clone(),
            source: Box::new(Error::SerdeError(source)),
        })?;
        match self.api(&wanted.key).create(&params, &object).await {
            Ok(object) => {
                remember(&wanted.key, &object, manager, fingerprint, observed);
                Ok(Outcome::Written)
            }
            Err(error) => refused_or_failed(&wanted.key, error),
        }
    }

    async fn patch(&self, write: &Write<'_>, force: bool, observed: &dyn Observed) -> Result<Outcome, Error> {
        let key = &write.wanted.key;
        let params = PatchParams {
            force,
            ..PatchParams::apply(write.manager)
        };
        let object = match write.uid {
            None => {
                self.api(key)
                    .patch(&key.name, &params, &Patch::Apply(&write.wanted.body))
                    .await?
            }
            Some(uid) => {
                let mut body = write.wanted.body.clone();
                body["metadata"]["uid"] = uid.as_str().into();
                self.api(key).patch(&key.name, &params, &Patch::Apply(&body)).await?
            }
        };
        remember(key, &object, write.manager, write.fingerprint, observed);
        Ok(Outcome::Written)
    }

    /// Whether an object that was not observed may be written: it is not there, or Maru wrote it and the watch has not told
    /// yet, or somebody took Maru's label off.
    async fn may_take(&self, key: &ObjectKey, manager: &str) -> Result<bool, ApplyError> {
        let found = self.api(key).get_opt(&key.name).await;
        let found = found.map_err(|source| ApplyError::Unavailable {
            key: key.clone(),
            source: Box::new(source),
        })?;
        Ok(found.is_none_or(|object| is_ours(&object, manager)))
    }

    async fn sweep(&self, key: &ObjectKey, plan: &Plan, observed: &dyn Observed) -> Result<Outcome, ApplyError> {
        let Some(seen) = observed.seen(key) else {
            return Ok(Outcome::Unchanged);
        };
        if seen.terminating {
            return Ok(Outcome::Unchanged);
        }
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions {
                uid: Some(plan.uids.get(key).cloned().unwrap_or_else(|| seen.uid.into())),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self.api(key).delete(&key.name, &params).await {
            Ok(_) => Ok(Outcome::Deleted),
            Err(Error::Api(status)) if status.code == 404 => {
                observed.gone(key);
                Ok(Outcome::Deleted)
            }
            Err(error) => refused_or_failed(key, error),
        }
    }

    pub(crate) fn api(&self, key: &ObjectKey) -> Api<DynamicObject> {
        let kind = key.kind;
        let resource = ApiResource {
            group: kind.group().to_owned(),
            version: kind.version().to_owned(),
            api_version: kind.api_version(),
            kind: kind.kind().to_owned(),
            plural: kind.plural().to_owned(),
        };
        if key.namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), &key.namespace, &resource)
        }
    }
}

/// Whether carrying a plan out would send anything.
pub fn differs(plan: &Plan, observed: &dyn Observed) -> bool {
    let written = plan.objects.iter().any(|wanted| {
        let seen = observed.seen(&wanted.key);
        seen.is_none_or(|seen| !seen.is(Fingerprint::of_wanted(&wanted.body)))
    });
    let mut swept = plan.sweep.iter().filter_map(|key| observed.seen(key));
    written || swept.any(|seen| !seen.terminating)
}

/// One server-side apply.
struct Write<'a> {
    wanted: &'a WantedObject,
    manager: &'a str,
    fingerprint: Fingerprint,
    /// The UID that the object must have.
    uid: Option<&'a String>,
}

fn remember(key: &ObjectKey, object: &DynamicObject, manager: &str, wanted: Fingerprint, observed: &dyn Observed) {
    let mut seen = Seen::of(object, manager);
    seen.applied = Some((wanted, seen.live));
    observed.wrote(key, object, seen);
}

/// Whether an object has too few fields for a conflict to show that it is a stranger's. The others are applied without
/// force the first time, which costs no look-up.
const fn is_looked_up_first(wanted: &WantedObject) -> bool {
    matches!(wanted.key.kind, ObjectKind::ServiceAccount)
}

/// Whether an object cannot be written because one before it was refused: its namespace, or, for a ResourceQuota, another one
/// of the same plan. Quotas come decreases first, so that their sum never exceeds the agency's.
fn needs_refused(key: &ObjectKey, before: &[(ObjectKey, Outcome)]) -> bool {
    before
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Refused { .. }))
        .any(|(refused, _)| match refused.kind {
            ObjectKind::Namespace => refused.name == key.namespace,
            ObjectKind::ResourceQuota => key.kind == ObjectKind::ResourceQuota,
            _ => false,
        })
}

/// Whether Maru wrote an object: it says so, or somebody took the label off and Maru still owns fields of it.
pub(crate) fn is_ours(object: &DynamicObject, manager: &str) -> bool {
    let labels = object.metadata.labels.as_ref();
    let labelled = labels
        .and_then(|labels| labels.get(MANAGED_BY_LABEL))
        .is_some_and(|by| by == MANAGED_BY);
    let mut managers = object.metadata.managed_fields.iter().flatten();
    labelled || managers.any(|entry| entry.manager.as_deref() == Some(manager))
}

pub(crate) fn taken(key: &ObjectKey) -> String {
    format!("{key} is there already and is not Maru's; rename or delete it")
}

/// Sorts an error: what trying again cannot mend is the object's outcome, the rest ends this try.
pub(crate) fn refused_or_failed(key: &ObjectKey, error: Error) -> Result<Outcome, ApplyError> {
    match error {
        Error::Api(status) if status.code == 409 => Err(ApplyError::Changed {
            key: key.clone(),
            message: status.message,
        }),
        Error::Api(status) if is_refusal(&status) => Ok(Outcome::refused(status.reason, status.message)),
        source => Err(ApplyError::Unavailable {
            key: key.clone(),
            source: Box::new(source),
        }),
    }
}

fn is_refusal(status: &Status) -> bool {
    matches!(status.code, 400 | 403 | 404 | 405 | 413 | 422)
}
