//! Backups of datasets, beside their turns: a dump takes as long as it takes, and rights are verified meanwhile.

use super::servers::NoWay;
use super::turn::database_of;
use super::{Data, DataKey};
use crate::Backups;
use jiff::Timestamp;
use maru_backup::{Asked, BackupError, Manifest, Whose, back_up, verify};
use maru_crds::{BackupStatus, Dataset, DatasetStatus};
use maru_desire::dataset::{BackupFacts, BackupWork, DatasetNames, backup_due, most_of, retention_days};
use maru_desire::{Problem, Reason, SystemKey};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many backups are made or restored at once.
const AT_ONCE: usize = 2;
/// How soon what failed is tried again.
const TRY_AGAIN: Duration = Duration::from_mins(5);
/// How often backups whose time is over are looked for.
const SWEEP_EVERY: Duration = Duration::from_hours(1);
/// How often a status is tried to be written that somebody else writes too.
const WRITES: u32 = 20;

/// What is known of backups besides the status of datasets.
pub(super) struct Watch {
    settings: Option<Backups>,
    failed: Mutex<HashMap<SystemKey, (Instant, Problem)>>,
}

impl Watch {
    pub(super) fn new(settings: Option<Backups>) -> Self {
        Self {
            settings,
            failed: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SystemKey, (Instant, Problem)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a dataset's condition is made from.
    pub(super) fn facts(&self, key: &SystemKey) -> BackupFacts {
        BackupFacts {
            has_place: self.settings.is_some(),
            problem: self.lock().get(key).map(|(_, problem)| problem.clone()),
        }
    }

    /// What a dataset whose data goes still waits for.
    pub(super) fn awaited(&self, key: &SystemKey, dataset: &Dataset, now: Timestamp) -> Option<Problem> {
        if self.settings.is_none() {
            let message = "deletionPolicy Delete makes a last backup first, and the platform has no place for backups: set deletionPolicy to \
                           Retain, or give the operator a place and a key (the chart's data.backups)";
            return Some(Problem::new(Reason::BackupMissing, message));
        }
        if let Some((_, problem)) = self.lock().get(key) {
            let message = format!(
                "the data goes once a last backup is made and was restored, and {}",
                problem.message
            );
            return Some(Problem::new(problem.reason, message));
        }
        let waits = |what: &str| {
            Some(Problem::new(
                Reason::BackupPending,
                format!("the data goes once {what}"),
            ))
        };
        match backup_due(dataset, now) {
            Ok(Some(BackupWork::Make)) => waits("a last backup is made and was restored"),
            Ok(Some(BackupWork::Verify)) => waits("its last backup was restored and compared"),
            Ok(None) => None,
            Err(problem) => Some(problem),
        }
    }

    /// Whether it failed a moment ago.
    fn rests(&self, key: &SystemKey) -> bool {
        self.lock().get(key).is_some_and(|(when, _)| when.elapsed() < TRY_AGAIN)
    }
}

/// Makes and verifies backups that are due, until `ending`. What is in the middle then is left as a crash would leave it: without a manifest it is no
/// backup.
pub(super) async fn run(data: Arc<Data>, every: Duration, ending: CancellationToken) {
    let Some(settings) = data.backups.settings.clone() else {
        return;
    };
    let mut looks = tokio::time::interval(every);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut running, mut busy) = (JoinSet::new(), HashSet::new());
    let mut swept: Option<Instant> = None;
    loop {
        tokio::select! {
            () = ending.cancelled() => return,
            Some(done) = running.join_next() => {
                if let Ok(key) = done {
                    busy.remove(&key);
                }
            }
            _ = looks.tick() => {}
        }
        if swept.is_none_or(|swept| swept.elapsed() >= SWEEP_EVERY) {
            swept = Some(Instant::now());
            data.sweep(&settings).await;
        }
        for (key, dataset) in data.known.datasets.all(|_, _| true) {
            if running.len() >= AT_ONCE || busy.contains(&key) || data.backups.rests(&key) {
                continue;
            }
            // A schedule that is none is said by the dataset's condition.
            let Ok(Some(work)) = backup_due(&dataset, Timestamp::now()) else {
                continue;
            };
            busy.insert(key.clone());
            let (data, settings) = (Arc::clone(&data), settings.clone());
            running.spawn(async move {
                data.backup_turn(&settings, &key, &dataset, work).await;
                key
            });
        }
    }
}

impl Data {
    async fn backup_turn(&self, settings: &Backups, key: &SystemKey, dataset: &Dataset, work: BackupWork) {
        let done = match work {
            BackupWork::Make => self.make(settings, dataset).await,
            BackupWork::Verify => self.restored(settings, dataset).await,
        };
        let outcome = match (work, &done) {
            (BackupWork::Make, Ok(_)) => "Made",
            (BackupWork::Make, Err(_)) => "Failed",
            (BackupWork::Verify, Ok(_)) => "Verified",
            (BackupWork::Verify, Err(_)) => "NotVerified",
        };
        self.shared.metrics.backed_up(outcome);
        match done {
            Ok(manifest) => {
                tracing::info!(dataset = %key, backup = manifest.name, bytes = manifest.bytes, rows = manifest.rows(), outcome, "a backup");
                self.backups.lock().remove(key);
                self.note(key, &manifest, work).await;
            }
            Err(problem) => {
                tracing::warn!(dataset = %key, problem = problem.message, outcome, "a backup");
                self.backups.lock().insert(key.clone(), (Instant::now(), problem));
            }
        }
        self.wake(DataKey::Dataset(key.clone()));
    }

    async fn make(&self, settings: &Backups, dataset: &Dataset) -> Result<Manifest, Problem> {
        let way = self.way_to(dataset).await?;
        let _place = way.0.places.acquire().await;
        let metadata = &dataset.metadata;
        let uid = metadata.uid.clone().unwrap_or_default();
        let owner = dataset.spec.adopt.is_none().then(|| DatasetNames::new(&uid).owner);
        let asked = Asked {
            dataset: Whose {
                namespace: metadata.namespace.clone().unwrap_or_default(),
                name: metadata.name.clone().unwrap_or_default(),
                uid,
            },
            database: database_of(dataset),
            owner,
            retention_days: retention_days(dataset),
        };
        back_up(&way.0.way, &asked, &settings.place, &settings.key)
            .await
            .map_err(|error| problem(&error))
    }

    async fn restored(&self, settings: &Backups, dataset: &Dataset) -> Result<Manifest, Problem> {
        let last = dataset.status.as_ref().and_then(|status| status.last_backup.as_ref());
        let name = last.map(|last| last.name.clone()).unwrap_or_default();
        let restoring = async {
            let manifest = settings.place.manifest(&name).await?;
            Ok::<_, BackupError>(manifest)
        };
        let manifest = restoring.await.map_err(|error| problem(&error))?;
        let (way, admin) = self.way_to(dataset).await?;
        let _place = way.places.acquire().await;
        let verified = verify(&way.way, &admin, &manifest, &settings.place, &settings.key).await;
        verified.map_err(|error| problem(&error))?;
        Ok(manifest)
    }

    /// The way to the server of a dataset, and the database that an administrator connects to.
    async fn way_to(&self, dataset: &Dataset) -> Result<(super::servers::OpenWay, String), Problem> {
        let named = dataset
            .status
            .as_ref()
            .and_then(|status| status.server.clone())
            .unwrap_or_default();
        let server = self.known.servers.get(&SystemKey::new("", &*named));
        let server =
            server.ok_or_else(|| Problem::new(Reason::ServerMissing, format!("there is no DatabaseServer {named}")))?;
        let way = self.servers.way(&server).await.map_err(|error| match error {
            NoWay::Problem(problem) => problem,
            NoWay::Unavailable(error) => Problem::new(Reason::BackupFailed, error.to_string()),
        })?;
        Ok((way, server.spec.admin_database.clone()))
    }

    /// Writes down what was done. Others write the status too, so it is tried until it is taken: a backup that nobody notes is made again.
    async fn note(&self, key: &SystemKey, manifest: &Manifest, work: BackupWork) {
        for write in 1..=WRITES {
            let Some(dataset) = self.known.datasets.get(key) else {
                return;
            };
            let status = noted(dataset.status.clone().unwrap_or_default(), manifest, work);
            match self.write_dataset(key, &dataset, status).await {
                Ok(()) => return,
                Err(error) if write == WRITES => tracing::warn!(%error, dataset = %key, "a backup was not noted"),
                Err(_) => tokio::time::sleep(Duration::from_millis(100) * write).await,
            }
        }
    }

    /// Deletes backups whose time is over.
    async fn sweep(&self, settings: &Backups) {
        let uids: HashSet<String> = self
            .known
            .datasets
            .all(|_, _| true)
            .into_iter()
            .filter_map(|(_, dataset)| dataset.metadata.uid.clone())
            .collect();
        match settings
            .place
            .forget_old(Timestamp::now(), |whose| uids.contains(&whose.uid))
            .await
        {
            Ok(gone) => {
                for backup in gone {
                    tracing::info!(backup, "its time to be kept is over");
                    self.shared.metrics.backed_up("Forgotten");
                }
            }
            Err(error) => tracing::warn!(%error, "old backups were not deleted, and are later"),
        }
    }
}

fn noted(mut status: DatasetStatus, manifest: &Manifest, work: BackupWork) -> DatasetStatus {
    let backup = BackupStatus {
        name: manifest.name.clone(),
        time: manifest.time.to_string(),
        size: Some(most_of(i64::try_from(manifest.bytes).unwrap_or(i64::MAX))),
        verified_at: None,
    };
    match work {
        BackupWork::Make => status.last_backup = Some(backup),
        BackupWork::Verify => {
            let now = Timestamp::now();
            let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
            status.last_verified_restore = Some(BackupStatus {
                verified_at: Some(second.to_string()),
                ..backup
            });
        }
    }
    status
}

fn problem(error: &BackupError) -> Problem {
    let reason = match error {
        BackupError::Sql(error) => error.reason(),
        _ => Reason::BackupFailed,
    };
    Problem::new(reason, error.to_string())
}
