//! Metering of datasets: what they take and what is read of them, hour by hour. A reading is kept in the database before anything follows from
//! it, and records are durable before it is forgotten, so whatever ends in between is done again and comes to the same.

use super::servers::OpenWay;
use super::{Data, key_of};
use jiff::{SignedDuration, Timestamp};
use maru_apply::sql::{Session, SqlError};
use maru_desire::SystemKey;
use maru_desire::dataset::{
    COUNTED_SQL, Catalog, Counting, DatasetFacts, FORGET_READINGS_SQL, KEEP_READING_SQL, READINGS_SQL, ReadOf,
    count_sql, counted_roles, grant_id,
};
use maru_lake::{Lake, LakeError};
use maru_meter::UNASSIGNED;
use maru_meter::data::{Counters, Payer, ReadBy, Reading, SOURCE, Tally, due_at, moment_of, records};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a reading may keep a grant from ending.
const PATIENCE: Duration = Duration::from_secs(3);
/// How soon a dataset that could not be read is read again.
const TRY_AGAIN: Duration = Duration::from_mins(1);

/// What is remembered of the metering of datasets.
pub(super) struct Usage {
    lake: Option<Arc<Lake>>,
    every: SignedDuration,
    /// Up to when each dataset is read, or when that failed.
    known: Mutex<HashMap<SystemKey, Result<Timestamp, Instant>>>,
    /// `namespace/name` of grants by their ids, of all that there were while this replica led: the last use of one is read when its object is gone.
    grants: Mutex<HashMap<String, String>>,
}

/// Why a dataset is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum UsageError {
    #[error(transparent)]
    Sql(#[from] SqlError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("a reading cannot be read back: {0}")]
    Reading(#[from] serde_json::Error),
    #[error("a metering task was ended: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("it took too long")]
    Late,
}

impl Usage {
    pub(super) fn new(lake: Option<Arc<Lake>>, every: Duration) -> Self {
        Self {
            lake,
            every: SignedDuration::try_from(every).unwrap_or(SignedDuration::from_hours(1)),
            known: Mutex::default(),
            grants: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SystemKey, Result<Timestamp, Instant>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, key: &SystemKey, now: Timestamp) -> bool {
        match self.lock().get(key) {
            None => true,
            Some(Ok(read)) => *read < due_at(now, self.every),
            Some(Err(failed)) => failed.elapsed() >= TRY_AGAIN.min(self.every.unsigned_abs()),
        }
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Data {
    /// Whether a dataset's database is to be read now for what is used.
    pub(super) fn must_be_metered(&self, facts: &DatasetFacts<'_>) -> bool {
        self.usage.lake.is_some() && self.usage.is_due(&key_of(facts.dataset), Timestamp::now())
    }

    /// Reads a dataset if an hour has passed, or in any case where logins are about to go with what was counted of them. A failure is told and
    /// made up for by the next reading; it keeps nothing else from being done.
    pub(super) async fn meter(
        &self,
        facts: &DatasetFacts<'_>,
        (session, catalog): (&Session, &Catalog),
        way: &OpenWay,
        always: bool,
    ) {
        let Some(lake) = self.usage.lake.clone().filter(|_| catalog.metered) else {
            return;
        };
        for grant in facts.grants {
            let id = grant_id(grant.metadata.uid.as_deref().unwrap_or_default());
            self.usage
                .names()
                .entry(id)
                .or_insert_with(|| key_of(grant).to_string());
        }
        let key = key_of(facts.dataset);
        if !always && !self.usage.is_due(&key, Timestamp::now()) {
            return;
        }
        let reading = self.read_usage(&lake, facts, (session, catalog), way);
        let read = tokio::time::timeout(PATIENCE, reading).await;
        match read.unwrap_or(Err(UsageError::Late)) {
            Ok(moment) => {
                self.usage.lock().insert(key, Ok(moment));
            }
            Err(error) => {
                tracing::warn!(%error, dataset = %key, "the use of a dataset could not be read: the next reading makes up for it");
                self.shared.metrics.metering_failed(SOURCE, "Read");
                self.usage.lock().insert(key, Err(Instant::now()));
            }
        }
    }

    async fn read_usage(
        &self,
        lake: &Arc<Lake>,
        facts: &DatasetFacts<'_>,
        (session, catalog): (&Session, &Catalog),
        way: &OpenWay,
    ) -> Result<Timestamp, UsageError> {
        let kept: Vec<Reading> = serde_json::from_str(&session.text(READINGS_SQL, &[]).await?)?;
        let moment = moment_of(
            Timestamp::now(),
            kept.last().map(|reading| reading.at),
            self.usage.every,
        );
        let tally = self.tally(facts, catalog, way, kept.last()).await?;
        let bytes = u64::try_from(catalog.bytes).unwrap_or_default();
        let now = Reading::following(kept.last(), moment, owner(facts), bytes, tally);
        let text = serde_json::to_string(&now)?;
        session.text(KEEP_READING_SQL, &[&moment.to_string(), &text]).await?;
        // Another replica may have kept one for the same moment, which is the one that holds.
        let kept: Vec<Reading> = serde_json::from_str(&session.text(READINGS_SQL, &[]).await?)?;
        let (uid, name, every) = (
            facts.uid().to_owned(),
            key_of(facts.dataset).to_string(),
            self.usage.every,
        );
        let last = kept.last().map(|reading| reading.at);
        let lake = Arc::clone(lake);
        let appended = tokio::task::spawn_blocking(move || {
            let pairs = kept.windows(2);
            let all: Vec<_> = pairs
                .flat_map(|pair| records(&uid, &name, &pair[0], &pair[1], every))
                .collect();
            lake.append(&all)
        });
        let appended = appended.await??;
        self.shared.metrics.metered(SOURCE, "Added", appended.added);
        self.shared.metrics.metered(SOURCE, "Known", appended.known);
        self.shared
            .metrics
            .metered(SOURCE, "Conflict", appended.conflicts.len());
        if let Some(last) = last {
            session.text(FORGET_READINGS_SQL, &[&last.to_string()]).await?;
        }
        Ok(last.unwrap_or(moment))
    }

    /// What was read of a database, as its server counted it; nothing where nobody counts.
    async fn tally(
        &self,
        facts: &DatasetFacts<'_>,
        catalog: &Catalog,
        way: &OpenWay,
        before: Option<&Reading>,
    ) -> Result<Option<Tally>, UsageError> {
        let admin = way.way.connect(&facts.server.spec.admin_database).await?;
        let place = admin.text(COUNTED_SQL, &[]).await?;
        if place.is_empty() {
            return Ok(None);
        }
        let roles = counted_roles(catalog);
        let asked = serde_json::to_string(&roles.keys().collect::<Vec<_>>())?;
        let answer = admin.text(&count_sql(&place), &[&asked, &catalog.database]).await?;
        let counting: Counting = serde_json::from_str(&answer)?;
        let mut reads: BTreeMap<String, ReadBy> = BTreeMap::new();
        for counted in &counting.counts {
            let Some(system) = roles.get(&counted.role) else {
                continue;
            };
            for of in counted.of(catalog) {
                let key = match &of {
                    ReadOf::Grant(id) => format!("{id} {system}"),
                    ReadOf::Dataset | ReadOf::Own => format!("{} {system}", facts.uid()),
                };
                let known = before.and_then(|before| before.reads.get(&key));
                let entry = reads.entry(key).or_insert_with(|| ReadBy {
                    resource: self.resource(facts, &of, known),
                    payer: self.reader(system),
                    billed: of != ReadOf::Own,
                    logins: BTreeMap::new(),
                });
                let counts = entry.logins.entry(counted.login.clone()).or_default();
                counts.queries += counted.queries;
                counts.rows += counted.rows;
            }
        }
        Ok(Some(Tally {
            counters: Counters {
                since: counting.since,
                evictions: counting.evictions,
            },
            logins: counting.logins,
            reads,
        }))
    }

    /// What was read, as records name it.
    fn resource(&self, facts: &DatasetFacts<'_>, of: &ReadOf, known: Option<&ReadBy>) -> String {
        let ReadOf::Grant(id) = of else {
            return format!("dataset/{}", key_of(facts.dataset));
        };
        match (self.usage.names().get(id), known) {
            (Some(name), _) => format!("grant/{name}"),
            (None, Some(known)) => known.resource.clone(),
            (None, None) => format!("grant/{id}"),
        }
    }

    fn reader(&self, system: &SystemKey) -> Payer {
        let agency = self.shared.world.agency_of(&system.namespace);
        Payer {
            agency: agency.unwrap_or_else(|| system.namespace.clone()),
            system: system.to_string(),
        }
    }
}

/// Who pays for what a dataset takes: the first of the systems that it is for.
fn owner(facts: &DatasetFacts<'_>) -> Payer {
    let namespace = facts.namespace();
    let system = facts.dataset.spec.systems.first();
    let system = system.map(|system| format!("{namespace}/{}", system.name));
    let agency = if facts.agency.is_empty() {
        namespace
    } else {
        facts.agency
    };
    Payer {
        agency: agency.to_owned(),
        system: system.unwrap_or_else(|| UNASSIGNED.to_owned()),
    }
}
