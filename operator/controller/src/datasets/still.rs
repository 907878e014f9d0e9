//! Databases that are as they were when they were compared with their plans: nothing was written there since, by their server's own count, so
//! that no session is needed to compare again. Objects and clocks are looked at each time all the same, and Secrets every few times.

use super::servers::OpenWay;
use super::{Data, key_of};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use maru_desire::SystemKey;
use maru_desire::dataset::{Catalog, DataPlan, DatasetFacts, Logins};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a comparison holds at most: a superuser can keep the server from counting.
const HOLDS: Duration = Duration::from_mins(10);
/// How many verifications what the Secrets said holds: somebody who deletes one has it again after as many.
const SECRETS_HOLD: u32 = 4;
/// The most relations and rights of a database that is remembered: some hundred kilobytes.
const MOST: usize = 2_000;

/// A database that was as planned.
struct Known {
    uid: String,
    mark: String,
    at: Instant,
    catalog: Catalog,
    /// What the Secrets said, when, and what people had said by then.
    logins: Logins,
    asked: Instant,
    inputs: u64,
    /// What was missing: nothing, with the differences and problems that people are told of; and until when that follows from the rest.
    left: DataPlan,
    until: Timestamp,
}

/// A database in which nothing was written since it was as planned.
pub(super) struct Unwritten {
    /// What it said, with the server's clock as it is now.
    pub(super) catalog: Catalog,
    /// What the Secrets said, if that was lately and people have said nothing else since.
    pub(super) logins: Option<Logins>,
    /// The plan, where no grant began or ended since, either.
    pub(super) left: Option<DataPlan>,
}

/// What is remembered of databases, for each dataset one.
#[derive(Default)]
pub(super) struct Still(Mutex<HashMap<SystemKey, Known>>);

impl Still {
    fn lock(&self) -> MutexGuard<'_, HashMap<SystemKey, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database is not known to be as it was.
    pub(super) fn forget(&self, key: &SystemKey) {
        self.lock().remove(key);
    }
}

impl Data {
    /// The mark of a dataset's database, from before it is read; none where its server tells nothing, or does not answer, or where people said
    /// something since: what they said does not wait for it.
    pub(super) async fn mark(&self, facts: &DatasetFacts<'_>, way: &OpenWay) -> Option<(String, String)> {
        let known = self.still.lock().get(&key_of(facts.dataset)).map(|known| known.inputs);
        if known.is_some_and(|known| known != inputs(facts, way)) {
            return None;
        }
        let name = facts.server.metadata.name.as_deref()?;
        let every = self.verify_every / 4;
        let activity = self
            .servers
            .activity(name, &facts.server.spec.admin_database, way, every)
            .await?;
        Some((activity.mark(facts.database)?, activity.now.clone()))
    }

    /// What a database said when it was as planned, if nothing was written there since.
    pub(super) fn unwritten(
        &self,
        facts: &DatasetFacts<'_>,
        way: &OpenWay,
        mark: Option<&(String, String)>,
    ) -> Option<Unwritten> {
        let (mark, now) = mark?;
        let known = self.still.lock();
        let known = known.get(&key_of(facts.dataset))?;
        if known.uid != facts.uid() || known.mark != *mark || known.at.elapsed() >= HOLDS {
            return None;
        }
        let lately = known.asked.elapsed() < self.verify_every * SECRETS_HOLD && known.inputs == inputs(facts, way);
        let before = now.parse::<Timestamp>().is_ok_and(|now| now < known.until);
        Some(Unwritten {
            catalog: Catalog {
                now: now.clone(),
                ..known.catalog.clone()
            },
            logins: lately.then(|| known.logins.clone()),
            left: (lately && before).then(|| known.left.clone()),
        })
    }

    /// Remembers that a database was as planned when it had this mark, and what the Secrets said.
    pub(super) fn agreed(
        &self,
        facts: &DatasetFacts<'_>,
        way: &OpenWay,
        mark: Option<(String, String)>,
        (catalog, logins, left): (&Catalog, Logins, &DataPlan),
    ) {
        let key = key_of(facts.dataset);
        let small = catalog.relations.len() + catalog.rights.len() <= MOST;
        let Some((mark, _)) = mark.filter(|_| small) else {
            return self.still.forget(&key);
        };
        let known = Known {
            uid: facts.uid().to_owned(),
            mark,
            at: Instant::now(),
            catalog: catalog.clone(),
            logins,
            asked: Instant::now(),
            inputs: inputs(facts, way),
            left: left.clone(),
            until: next_end(facts, catalog),
        };
        self.still.lock().insert(key, known);
    }

    /// Remembers what the Secrets said now, and what follows from it.
    pub(super) fn asked(
        &self,
        facts: &DatasetFacts<'_>,
        way: &OpenWay,
        (catalog, logins, left): (&Catalog, Logins, &DataPlan),
    ) {
        if let Some(known) = self.still.lock().get_mut(&key_of(facts.dataset)) {
            known.logins = logins;
            known.asked = Instant::now();
            known.inputs = inputs(facts, way);
            known.left = left.clone();
            known.until = next_end(facts, catalog);
        }
    }
}

/// When the next grant begins or ends.
fn next_end(facts: &DatasetFacts<'_>, catalog: &Catalog) -> Timestamp {
    let Ok(now) = catalog.now.parse::<Timestamp>() else {
        return Timestamp::MIN;
    };
    let ends = facts
        .grants
        .iter()
        .flat_map(|grant| [&grant.spec.not_before, &grant.spec.not_after]);
    let ends = ends.map(|end| end.parse().unwrap_or(Timestamp::MIN));
    ends.filter(|end| *end > now || *end == Timestamp::MIN)
        .min()
        .unwrap_or(Timestamp::MAX)
}

/// What people said of everything that credentials depend on, as one number that differs where any of it does.
fn inputs(facts: &DatasetFacts<'_>, way: &OpenWay) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut add = |meta: &ObjectMeta| (&meta.uid, meta.generation, meta.deletion_timestamp.is_some()).hash(&mut hasher);
    add(&facts.dataset.metadata);
    add(&facts.server.metadata);
    for grant in facts.grants {
        add(&grant.metadata);
    }
    for (system, consent) in facts.systems {
        (system, &consent.uid).hash(&mut hasher);
        for grant in &consent.accepts {
            (&grant.namespace, &grant.name).hash(&mut hasher);
        }
    }
    (facts.agency, &way.authority).hash(&mut hasher);
    hasher.finish()
}
