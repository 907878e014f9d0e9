//! One turn of an object: gather, desire, apply, report.

use crate::Shared;
use crate::events::Events;
use crate::listing;
use crate::queue::Turn;
use crate::world::{Wake, facts_of_selected};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::core::{Expression, Selector};
use kube::{Client, Resource, ResourceExt};
use maru_apply::{Applier, ApplyError};
use maru_crds::{Agency, AgencySystem, LabelOperator, SystemSelector};
use maru_desire::{
    Applied, Finalizer, Outcome, Owner, PROTECT_FINALIZER, PodFacts, SystemKey, plan_agency, plan_system,
    report_agency, report_system,
};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

/// How often a system whose pods are only counted is looked at.
const COUNT_SELECTED_EVERY: Duration = Duration::from_secs(30);
/// How often the end of something that is being deleted is looked for, should an event be missed.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Why a turn failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The plan could not be carried out.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The owner itself could not be read or written.
    #[error("{what}: {source}")]
    Primary {
        /// What was tried.
        what: &'static str,
        /// What the client says.
        source: Box<kube::Error>,
    },
}

impl ReconcileError {
    pub(crate) fn primary(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Primary {
            what,
            source: Box::new(source),
        }
    }
}

/// Carries turns out through one client.
#[derive(Clone)]
pub(crate) struct Reconciler {
    pub(crate) client: Client,
    pub(crate) applier: Applier,
    events: Events,
}

impl Reconciler {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            applier: Applier::new(client.clone()),
            events: Events::new(client.clone()),
            client,
        }
    }

    /// One turn of `owner`.
    pub(crate) async fn turn(&self, shared: &Shared, owner: &Owner) -> Result<Turn, ReconcileError> {
        match owner {
            Owner::Agency { name } => self.agency(shared, owner, name).await,
            Owner::System { namespace, name } => {
                self.system(shared, owner, &SystemKey::new(namespace.as_str(), name.as_str()))
                    .await
            }
        }
    }

    async fn agency(&self, shared: &Shared, owner: &Owner, name: &str) -> Result<Turn, ReconcileError> {
        let Some(agency) = shared.world.agency(name) else {
            return Ok(Turn::Done);
        };
        let api = Api::<Agency>::all(self.client.clone());
        let ending = crd_ending(&self.client, "agencies.maru.dev", agency.as_ref()).await?;
        let mut facts = shared.world.agency_facts(&agency, ending);
        if agency.metadata.deletion_timestamp.is_some() {
            for (namespace, facts) in &mut facts.namespaces {
                facts.retained.extend(self.volume_claims_in(namespace).await?);
            }
        }
        let plan = plan_agency(&agency, &facts);
        let keep = |fresh| shared.world.wrote_agency(fresh);
        if is_held(agency.as_ref())
            && maru_apply::differs(&plan, &shared.world)
            && let Some(turn) = read_again(shared, owner, &api, agency.as_ref(), keep).await?
        {
            return Ok(turn);
        }
        let agency = match plan.finalizer {
            Finalizer::Release => return release(shared, &api, agency.as_ref(), owner).await,
            Finalizer::Hold if !is_held(agency.as_ref()) => {
                let held = hold(&api, agency.as_ref()).await?;
                shared.enqueue(shared.world.wrote_agency(held));
                shared.world.agency(name).unwrap_or(agency)
            }
            Finalizer::Hold | Finalizer::Wait => agency,
        };
        let applied = self.applier.carry_out(&plan, &shared.world).await?;
        shared.metrics.applied(&applied);
        let mut after = shared.world.agency_facts(&agency, ending);
        for (name, known) in &mut after.namespaces {
            known.retained = facts
                .namespaces
                .remove(name)
                .map(|facts| facts.retained)
                .unwrap_or_default();
        }
        let status = report_agency(&agency, &after, &applied, &now());
        if agency.status.as_ref() != Some(&status) {
            if let Some(turn) = read_again(shared, owner, &api, agency.as_ref(), keep).await? {
                return Ok(turn);
            }
            let wanted = Agency {
                status: Some(status),
                ..agency.as_ref().clone()
            };
            let written = api.replace_status(name, &PostParams::default(), &wanted).await;
            let written = written.map_err(ReconcileError::primary("the status was not taken"))?;
            shared.metrics.wrote_primary("Agency", "Status");
            self.events.tell_agency(agency.status.as_ref(), &written).await;
            shared.enqueue(shared.world.wrote_agency(written));
        }
        Ok(turn_after(&applied, plan.finalizer, None))
    }

    async fn system(&self, shared: &Shared, owner: &Owner, key: &SystemKey) -> Result<Turn, ReconcileError> {
        let Some(system) = shared.world.system(key) else {
            return self.orphans(shared, owner, key).await;
        };
        if system.metadata.deletion_timestamp.is_none() && !shared.world.has_seen_namespace(&key.namespace) {
            // It is there, for the system is in it, and wakes the system when it is heard of: whose it is is not known yet.
            return Ok(Turn::Again(LOOK_AGAIN));
        }
        let api = Api::<AgencySystem>::namespaced(self.client.clone(), &key.namespace);
        let ending = crd_ending(&self.client, "agencysystems.maru.dev", system.as_ref()).await?;
        let mut facts = shared.world.system_facts(&system, key, ending);
        let selected = match &system.spec.selector {
            Some(selector) => Some(self.selected(&key.namespace, selector).await?),
            None => None,
        };
        facts.pods.extend(selected.clone().map(|pods| (String::new(), pods)));
        let plan = plan_system(&system, &facts);
        let keep = |fresh| shared.world.wrote_system(fresh);
        if is_held(system.as_ref())
            && maru_apply::differs(&plan, &shared.world)
            && let Some(turn) = read_again(shared, owner, &api, system.as_ref(), keep).await?
        {
            return Ok(turn);
        }
        let system = match plan.finalizer {
            Finalizer::Release => return release(shared, &api, system.as_ref(), owner).await,
            Finalizer::Hold if !is_held(system.as_ref()) => {
                let held = hold(&api, system.as_ref()).await?;
                shared.enqueue(shared.world.wrote_system(held));
                shared.world.system(key).unwrap_or(system)
            }
            Finalizer::Hold | Finalizer::Wait => system,
        };
        let applied = self.applier.carry_out(&plan, &shared.world).await?;
        shared.metrics.applied(&applied);
        let mut after = shared.world.system_facts(&system, key, ending);
        let again = selected.is_some().then_some(COUNT_SELECTED_EVERY);
        after.pods.extend(selected.map(|pods| (String::new(), pods)));
        let status = report_system(&system, &after, &applied, &now());
        let before = system
            .status
            .as_ref()
            .map_or(&[][..], |status| status.conditions.as_slice());
        if system.status.as_ref() != Some(&status) {
            if let Some(rest) = shared.unsaid.rest(owner, before, &status.conditions) {
                return Ok(Turn::Again(rest));
            }
            if let Some(turn) = read_again(shared, owner, &api, system.as_ref(), keep).await? {
                return Ok(turn);
            }
            let wanted = AgencySystem {
                status: Some(status),
                ..system.as_ref().clone()
            };
            let written = api.replace_status(&key.name, &PostParams::default(), &wanted).await;
            let written = written.map_err(ReconcileError::primary("the status was not taken"))?;
            shared.metrics.wrote_primary("AgencySystem", "Status");
            let after = written.status.as_ref().map(|status| status.conditions.as_slice());
            self.events
                .tell(&written.object_ref(&()), before, after.unwrap_or_default())
                .await;
            shared.enqueue(shared.world.wrote_system(written));
        }
        Ok(turn_after(&applied, plan.finalizer, again))
    }

    async fn volume_claims_in(&self, namespace: &str) -> Result<BTreeSet<String>, ReconcileError> {
        let api = Api::<k8s_openapi::api::core::v1::PersistentVolumeClaim>::namespaced(self.client.clone(), namespace);
        let claims = listing::all_metadata(&api, &ListParams::default()).await;
        let claims = claims.map_err(ReconcileError::primary("the volume claims could not be listed"))?;
        Ok(claims
            .iter()
            .map(|claim| format!("PersistentVolumeClaim {namespace}/{}", claim.name_any()))
            .collect())
    }

    async fn selected(&self, namespace: &str, selector: &SystemSelector) -> Result<PodFacts, ReconcileError> {
        let params = ListParams::default().labels_from(&label_selector(selector));
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let pods = listing::all(&api, &params).await;
        let pods = pods.map_err(ReconcileError::primary("the selected pods could not be listed"))?;
        Ok(facts_of_selected(&pods))
    }
}

/// Reads an owner that is in doubt again, before the first write for it. Where it is not as it is known, the turn ends here, and
/// what was read is remembered with `keep`.
async fn read_again<K>(
    shared: &Shared,
    owner: &Owner,
    api: &Api<K>,
    known: &K,
    keep: impl FnOnce(K) -> Wake,
) -> Result<Option<Turn>, ReconcileError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    if !shared.world.doubts(owner) {
        return Ok(None);
    }
    let found = api.get_opt(known.meta().name.as_deref().unwrap_or_default()).await;
    let found = found.map_err(ReconcileError::primary("it could not be read again"))?;
    let Some(found) = found else {
        tracing::info!("it is gone: the list that told of it was old");
        shared.enqueue(shared.world.released(owner, known.meta().uid.as_deref()));
        return Ok(Some(Turn::Done));
    };
    if found.meta().resource_version == known.meta().resource_version {
        shared.world.confirm(owner);
        return Ok(None);
    }
    shared.enqueue(keep(found));
    Ok(Some(Turn::Again(Duration::ZERO)))
}

fn label_selector(selector: &SystemSelector) -> Selector {
    let mut all: Vec<Expression> = selector
        .match_labels
        .iter()
        .map(|(key, value)| Expression::Equal(key.clone(), value.clone()))
        .collect();
    all.extend(selector.match_expressions.iter().map(|expression| {
        let key = expression.key.clone();
        let values = expression.values.iter().cloned().collect();
        match expression.operator {
            LabelOperator::In => Expression::In(key, values),
            LabelOperator::NotIn => Expression::NotIn(key, values),
            LabelOperator::Exists => Expression::Exists(key),
            LabelOperator::DoesNotExist => Expression::DoesNotExist(key),
        }
    }));
    Selector::from_iter(all)
}

/// Whether the definition of an object's kind is going, read freshly: a mistake with a definition must not delete what
/// its objects stand for (DESIGN.md §2, rule 5). Only asked for objects that are being deleted.
pub(crate) async fn crd_ending<K: Resource>(client: &Client, name: &str, object: &K) -> Result<bool, ReconcileError> {
    if object.meta().deletion_timestamp.is_none() {
        return Ok(false);
    }
    Ok(standing_kind(client, name).await?.is_none())
}

/// A kind's definition; none where it is not there or is going.
pub(crate) async fn standing_kind(
    client: &Client,
    name: &str,
) -> Result<Option<CustomResourceDefinition>, ReconcileError> {
    let found = Api::<CustomResourceDefinition>::all(client.clone()).get_opt(name).await;
    let found = found.map_err(ReconcileError::primary("the kind's definition could not be read"))?;
    Ok(found.filter(|definition| definition.metadata.deletion_timestamp.is_none()))
}

pub(crate) fn is_held<K: Resource>(object: &K) -> bool {
    object
        .meta()
        .finalizers
        .iter()
        .flatten()
        .any(|finalizer| finalizer == PROTECT_FINALIZER)
}

/// Puts the finalizer on, before anything is written for the object.
pub(crate) async fn hold<K>(api: &Api<K>, object: &K) -> Result<K, ReconcileError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut finalizers = object.meta().finalizers.clone().unwrap_or_default();
    finalizers.push(PROTECT_FINALIZER.to_owned());
    set_finalizers(api, object, &finalizers)
        .await
        .map_err(ReconcileError::primary("the finalizer was not taken"))
}

/// Takes the finalizer off: the object goes.
async fn release<K>(shared: &Shared, api: &Api<K>, object: &K, owner: &Owner) -> Result<Turn, ReconcileError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    take_off(api, object).await?;
    shared.unsaid.forget(owner);
    shared.enqueue(shared.world.released(owner, object.meta().uid.as_deref()));
    Ok(Turn::Done)
}

/// Takes the finalizer off, if it is on.
pub(crate) async fn take_off<K>(api: &Api<K>, object: &K) -> Result<(), ReconcileError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    if is_held(object) {
        let kept = object
            .meta()
            .finalizers
            .iter()
            .flatten()
            .filter(|finalizer| *finalizer != PROTECT_FINALIZER);
        match set_finalizers(api, object, &kept.cloned().collect::<Vec<_>>()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            answer => {
                answer.map_err(ReconcileError::primary("the finalizer was not taken off"))?;
            }
        }
    }
    Ok(())
}

/// The resource version makes a patch of old facts fail.
async fn set_finalizers<K>(api: &Api<K>, object: &K, finalizers: &[String]) -> Result<K, kube::Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let metadata = serde_json::json!({ "finalizers": finalizers, "resourceVersion": object.meta().resource_version });
    let patch = Patch::Merge(serde_json::json!({ "metadata": metadata }));
    api.patch(
        object.meta().name.as_deref().unwrap_or_default(),
        &PatchParams::default(),
        &patch,
    )
    .await
}

pub(crate) fn turn_after(applied: &Applied, finalizer: Finalizer, again: Option<Duration>) -> Turn {
    if applied
        .outcomes()
        .iter()
        .any(|(_, outcome)| matches!(outcome, Outcome::Refused { .. } | Outcome::Skipped))
    {
        return Turn::Failed;
    }
    if finalizer == Finalizer::Wait {
        return Turn::Again(LOOK_AGAIN);
    }
    again.map_or(Turn::Done, Turn::Again)
}

fn now() -> Time {
    Time(jiff::Timestamp::now())
}
