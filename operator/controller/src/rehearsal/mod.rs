//! What the operator would do, without doing it: its own world, plans and reports, with a memory in place of the API server.
//!
//! A turn here is the turn of [`crate::reconcile`] without its requests: what a plan asks for is remembered as if the API server had
//! stored it, and whoever that wakes has a turn, too, until nobody is left. So what is printed is what the operator then does.

mod fill;
mod memory;

use crate::events::is_problem;
use crate::world::{World, key_of, system_owner};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{Resource, ResourceExt};
use maru_apply::{Applier, ApplyError, Observed, Seen, Tried};
use maru_crds::{Agency, AgencySystem};
use maru_desire::{
    Finalizer, ObjectKey, Owner, Plan, Platform, SystemKey, WantedObject, plan_agency, plan_system, report_agency,
    report_system,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many turns each owner may have on the average before it is said that they do not come to an end.
const TURNS_EACH: usize = 24;

/// The operator with a memory in place of the API server.
#[derive(Debug)]
pub struct Rehearsal {
    world: World,
    /// The last resource version that was given out.
    version: u64,
    turns: VecDeque<Owner>,
    waiting: BTreeSet<Owner>,
    touched: BTreeSet<Owner>,
    released: BTreeSet<Owner>,
    /// The objects that were written or deleted, as they were before the first time.
    before: BTreeMap<ObjectKey, Option<Seen>>,
    written: BTreeMap<ObjectKey, Written>,
    /// The volume claims of each namespace that must be kept when its agency is deleted.
    claims: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug)]
struct Written {
    owner: Owner,
    wanted: WantedObject,
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// It is not there and is made.
    Create,
    /// It is there and is made different.
    Change,
    /// It is there and is deleted.
    Delete,
}

/// What the operator would do to one object.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does.
    pub verb: Verb,
    /// To which object.
    pub key: ObjectKey,
    /// The object as it is wanted; none where it is deleted.
    pub wanted: Option<WantedObject>,
    /// Whose plan asked for it, with whose field manager; none where it is deleted.
    pub owner: Option<Owner>,
}

/// The owners' turns do not come to an end.
#[derive(Debug, thiserror::Error)]
#[error(
    "after {turns} turns these still want something else each time: {owners}; please report this, with the manifests"
)]
pub struct Unsettled {
    turns: usize,
    owners: String,
}

impl Rehearsal {
    /// In an empty cluster.
    pub fn offline(platform: Platform) -> Self {
        Self {
            world: World::new(platform),
            version: 0,
            turns: VecDeque::new(),
            waiting: BTreeSet::new(),
            touched: BTreeSet::new(),
            released: BTreeSet::new(),
            before: BTreeMap::new(),
            written: BTreeMap::new(),
            claims: BTreeMap::new(),
        }
    }

    /// An agency is applied: this is what becomes of it, with its status of before.
    pub fn apply_agency(&mut self, agency: Agency) {
        self.enqueue(Owner::Agency {
            name: agency.name_any(),
        });
        self.keep_agency(agency);
    }

    /// A system is applied: this is what becomes of it, with its status of before.
    pub fn apply_system(&mut self, system: AgencySystem) {
        self.enqueue(system_owner(&key_of(&system)));
        self.keep_system(system);
    }

    /// An agency is deleted; without it nothing happens. Says whether it is there.
    pub fn delete_agency(&mut self, name: &str) -> bool {
        let found = self.world.agency(name);
        if let Some(agency) = &found {
            let mut agency = agency.as_ref().clone();
            agency.metadata.deletion_timestamp = Some(now());
            self.apply_agency(agency);
        }
        found.is_some()
    }

    /// A system is deleted; without it nothing happens. Says whether it is there.
    pub fn delete_system(&mut self, key: &SystemKey) -> bool {
        let found = self.world.system(key);
        if let Some(system) = &found {
            let mut system = system.as_ref().clone();
            system.metadata.deletion_timestamp = Some(now());
            self.apply_system(system);
        }
        found.is_some()
    }

    /// Has every owner that something concerns take its turns, until nobody wants anything else.
    ///
    /// # Errors
    /// Where that does not come to an end.
    pub fn settle(&mut self) -> Result<(), Unsettled> {
        let mut turns = 0;
        while let Some(owner) = self.turns.pop_front() {
            self.waiting.remove(&owner);
            turns += 1;
            if turns > TURNS_EACH * self.touched.len() {
                let owners: Vec<String> = self.waiting.iter().chain([&owner]).map(name_of).collect();
                return Err(Unsettled {
                    turns,
                    owners: owners.join(", "),
                });
            }
            match &owner {
                Owner::Agency { name } => self.agency(&owner, name),
                Owner::System { namespace, name } => {
                    self.system(&owner, &SystemKey::new(namespace.as_str(), name.as_str()));
                }
            }
        }
        Ok(())
    }

    /// What the operator does to objects, all in all, in the order of kinds, namespaces and names.
    pub fn steps(&self) -> Vec<Step> {
        let steps = self.before.iter().filter_map(|(key, before)| {
            let verb = match (before, self.world.seen(key)) {
                (None, Some(_)) => Verb::Create,
                (Some(_), None) => Verb::Delete,
                (Some(before), Some(now)) if before.live != now.live => Verb::Change,
                _ => return None,
            };
            let written = self.written.get(key).filter(|_| verb != Verb::Delete);
            Some(Step {
                verb,
                key: key.clone(),
                wanted: written.map(|written| written.wanted.clone()),
                owner: written.map(|written| written.owner.clone()),
            })
        });
        steps.collect()
    }

    /// Every agency and system that had a turn, and what its conditions say that somebody must look at. What passes by itself, as
    /// pods that are not up yet, is left out.
    pub fn conditions(&self) -> Vec<(Owner, Vec<Condition>)> {
        let said = |owner: &Owner| match owner {
            Owner::Agency { name } => Some(self.world.agency(name)?.status.as_ref()?.conditions.clone()),
            Owner::System { namespace, name } => {
                let key = SystemKey::new(namespace.as_str(), name.as_str());
                Some(self.world.system(&key)?.status.as_ref()?.conditions.clone())
            }
        };
        let touched = self.touched.iter();
        touched
            .map(|owner| {
                let mut conditions = said(owner).unwrap_or_default();
                conditions.retain(is_problem);
                let others: BTreeSet<String> = conditions
                    .iter()
                    .filter(|condition| condition.type_ != "Ready")
                    .map(|condition| condition.reason.clone())
                    .collect();
                // `Ready` says what another condition says.
                conditions.retain(|condition| condition.type_ != "Ready" || !others.contains(&condition.reason));
                (owner.clone(), conditions)
            })
            .collect()
    }

    /// The agencies and systems that are gone in the end.
    pub const fn gone(&self) -> &BTreeSet<Owner> {
        &self.released
    }

    /// Asks the API server what it would make of a step; nothing is stored. Nothing is asked where the step deletes, or where the
    /// object's namespace is made on the way.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn try_out(&self, applier: &Applier, step: &Step) -> Result<Option<Tried>, ApplyError> {
        let (Some(wanted), Some(owner)) = (&step.wanted, &step.owner) else {
            return Ok(None);
        };
        let namespace = ObjectKey::new(maru_desire::ObjectKind::Namespace, "", step.key.namespace.as_str());
        if self.before.get(&namespace).is_some_and(Option::is_none) {
            return Ok(None);
        }
        applier.try_out(wanted, owner.field_manager()).await.map(Some)
    }

    fn agency(&mut self, owner: &Owner, name: &str) {
        let Some(agency) = self.world.agency(name) else { return };
        let mut facts = self.world.agency_facts(&agency, false);
        if agency.metadata.deletion_timestamp.is_some() {
            for (namespace, facts) in &mut facts.namespaces {
                facts
                    .retained
                    .extend(self.claims.get(namespace).into_iter().flatten().cloned());
            }
        }
        let plan = plan_agency(&agency, &facts);
        drop(facts);
        if plan.finalizer == Finalizer::Release {
            self.release(owner);
            return;
        }
        let applied = self.carry_out(&plan);
        let status = report_agency(&agency, &self.world.agency_facts(&agency, false), &applied, &now());
        if agency.status.as_ref() != Some(&status) {
            let mut agency = agency.as_ref().clone();
            agency.status = Some(status);
            self.keep_agency(agency);
        }
        self.again(owner, &plan);
    }

    fn system(&mut self, owner: &Owner, key: &SystemKey) {
        let Some(system) = self.world.system(key) else { return };
        let plan = plan_system(&system, &self.world.system_facts(&system, key, false));
        if plan.finalizer == Finalizer::Release {
            self.release(owner);
            return;
        }
        let applied = self.carry_out(&plan);
        let facts = self.world.system_facts(&system, key, false);
        let status = report_system(&system, &facts, &applied, &now());
        drop(facts);
        if system.status.as_ref() != Some(&status) {
            let mut system = system.as_ref().clone();
            system.status = Some(status);
            self.keep_system(system);
        }
        self.again(owner, &plan);
    }

    fn keep_agency(&mut self, mut agency: Agency) {
        self.arrives(&mut agency);
        let wake = self.world.wrote_agency(agency);
        self.wake(wake);
    }

    fn keep_system(&mut self, mut system: AgencySystem) {
        self.arrives(&mut system);
        let wake = self.world.wrote_system(system);
        self.wake(wake);
    }

    /// What was deleted is gone at once here, and no watch tells of it.
    fn again(&mut self, owner: &Owner, plan: &Plan) {
        if !plan.sweep.is_empty() {
            self.enqueue(owner.clone());
        }
    }

    fn release(&mut self, owner: &Owner) {
        self.released.insert(owner.clone());
        let uid = match owner {
            Owner::Agency { name } => self.world.agency(name).and_then(|known| known.metadata.uid.clone()),
            Owner::System { namespace, name } => {
                let known = self.world.system(&SystemKey::new(namespace.as_str(), name.as_str()));
                known.and_then(|known| known.metadata.uid.clone())
            }
        };
        let wake = self.world.released(owner, uid.as_deref());
        self.wake(wake);
    }

    fn wake(&mut self, wake: crate::world::Wake) {
        for (owner, _) in wake {
            self.enqueue(owner);
        }
    }

    fn enqueue(&mut self, owner: Owner) {
        self.touched.insert(owner.clone());
        if self.waiting.insert(owner.clone()) {
            self.turns.push_back(owner);
        }
    }

    /// The next resource version, and what an object has that was never stored.
    fn arrives<K: Resource>(&mut self, object: &mut K) {
        self.version += 1;
        let metadata = object.meta_mut();
        metadata.resource_version = Some(self.version.to_string());
        metadata.generation.get_or_insert(1);
        metadata.creation_timestamp.get_or_insert_with(now);
    }
}

fn name_of(owner: &Owner) -> String {
    match owner {
        Owner::Agency { name } => format!("Agency {name}"),
        Owner::System { namespace, name } => format!("AgencySystem {namespace}/{name}"),
    }
}

fn now() -> Time {
    Time(jiff::Timestamp::now())
}
