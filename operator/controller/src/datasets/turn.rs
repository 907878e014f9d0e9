//! One turn: gather, desire, apply, report.

use super::database::{Mode, Settled, Unsettled};
use super::servers::NoWay;
use super::{Data, DataKey, key_of};
use crate::queue::Turn;
use crate::reconcile::{ReconcileError, crd_ending, hold, is_held, take_off};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Resource;
use kube::api::{Api, PostParams};
use maru_apply::credentials::CredentialsError;
use maru_crds::{DataGrant, DataGrantStatus, DatabaseServer, Dataset, DatasetStatus};
use maru_desire::dataset::{
    Consent, DatasetFacts, Part, SERVER_SQL, Seen, ServerFacts, ServerLook, database_name, goes, report_dataset,
    report_grant, report_grant_without_dataset, report_held, report_server, report_unplaced,
};
use maru_desire::{Problem, Reason, SystemKey};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How soon what could not be done is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// How soon a namespace is heard of that is there.
const HEARD_SOON: Duration = Duration::from_secs(1);

/// How long after a dataset came to a server or left it the server's datasets are counted.
const COUNT_AFTER: Duration = Duration::from_secs(2);

/// Why a turn failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    #[error(transparent)]
    Primary(#[from] ReconcileError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// What belongs to a dataset, as it was when its turn began.
struct Gathered {
    dataset: Arc<Dataset>,
    grants: Vec<DataGrant>,
    systems: BTreeMap<SystemKey, Consent>,
    agency: String,
}

impl Data {
    pub(super) async fn turn(&self, key: &DataKey) -> Result<Turn, DataError> {
        match key {
            DataKey::Server(name) => self.server_turn(name).await,
            DataKey::Dataset(key) => self.dataset_turn(key).await,
        }
    }

    async fn server_turn(&self, name: &str) -> Result<Turn, DataError> {
        let key = SystemKey::new("", name);
        let Some(server) = self.known.servers.get(&key) else {
            return Ok(Turn::Done);
        };
        let look = self.look(&server).await?;
        self.servers
            .answered(name, look.as_ref().map(drop).map_err(Clone::clone));
        let datasets = self.known.datasets.all(|_, dataset| placed_on(dataset) == Some(name));
        let answered = look.is_ok();
        let facts = ServerFacts {
            look,
            datasets: datasets.len(),
        };
        let status = report_server(&server, &facts, &now());
        if server.status.as_ref() != Some(&status) {
            let before = conditions(server.status.as_ref().map(|status| &status.conditions));
            let after = status.conditions.clone();
            let mut wanted = server.as_ref().clone();
            wanted.status = Some(status);
            let api = Api::<DatabaseServer>::all(self.client.clone());
            let written = self
                .write_status(&api, wanted, "DatabaseServer", &before, &after)
                .await?;
            self.known.servers.wrote(written);
            if ready(&before) != ready(&after) {
                for (key, _) in datasets {
                    self.wake(DataKey::Dataset(key));
                }
            }
        }
        Ok(Turn::Again(if answered { self.verify_every } else { TRY_AGAIN }))
    }

    async fn look(&self, server: &DatabaseServer) -> Result<Result<ServerLook, Problem>, DataError> {
        let way = match self.servers.way(server).await {
            Ok(way) => way,
            Err(NoWay::Problem(problem)) => return Ok(Err(problem)),
            Err(NoWay::Unavailable(error)) => return Err(error.into()),
        };
        let _place = way.places.acquire().await;
        let answer = async {
            let session = way.way.connect(&server.spec.admin_database).await?;
            let text = session.text(SERVER_SQL, &[]).await?;
            serde_json::from_str(&text).map_err(|error| maru_apply::sql::SqlError::Answer(error.to_string()))
        };
        Ok(answer.await.map_err(|error| error.problem()))
    }

    async fn dataset_turn(&self, key: &SystemKey) -> Result<Turn, DataError> {
        let grants = self.known.grants.all(|_, grant| super::is_of(grant, key));
        let grants: Vec<DataGrant> = grants.into_iter().map(|(_, grant)| grant.as_ref().clone()).collect();
        let Some(dataset) = self.known.datasets.get(key) else {
            self.still.forget(key);
            let problem = Problem::new(
                Reason::DatasetMissing,
                format!("there is no Dataset {key}: the grant takes effect when it is there"),
            );
            self.report_grants(&grants, |grant| {
                report_grant_without_dataset(None, grant, &problem, &now())
            })
            .await?;
            return Ok(Turn::Done);
        };
        let gathered = Gathered {
            systems: self.systems_of(&dataset, &grants),
            agency: self.shared.world.agency_of(&key.namespace).unwrap_or_default(),
            dataset,
            grants,
        };
        if gathered.dataset.metadata.deletion_timestamp.is_some() {
            return self.ending(key, &gathered).await;
        }
        if !self.shared.world.has_seen_namespace(&key.namespace) {
            // It is there, for the dataset is in it: whose it is is not known yet.
            return Ok(Turn::Again(HEARD_SOON));
        }
        let api = Api::<Dataset>::namespaced(self.client.clone(), &key.namespace);
        if !is_held(gathered.dataset.as_ref()) {
            let held = hold(&api, gathered.dataset.as_ref()).await?;
            self.known.datasets.wrote(held);
            return Ok(Turn::Again(Duration::ZERO));
        }
        match self.settled(&gathered, Mode::Live).await? {
            Ok((settled, server, database)) => self.report(key, &gathered, &server, &database, settled).await,
            Err((problem, server)) => self.report_problem(key, &gathered, server.as_deref(), &problem).await,
        }
    }

    fn systems_of(&self, dataset: &Dataset, grants: &[DataGrant]) -> BTreeMap<SystemKey, Consent> {
        let namespace = dataset.metadata.namespace.clone().unwrap_or_default();
        let own = dataset
            .spec
            .systems
            .iter()
            .map(|one| SystemKey::new(namespace.clone(), one.name.clone()));
        let consumers = grants.iter().map(|grant| {
            let consumer = &grant.spec.consumer;
            SystemKey::new(consumer.namespace.clone(), consumer.name.clone())
        });
        own.chain(consumers)
            .filter_map(|key| Some((key.clone(), self.known.systems.get(&key)?)))
            .collect()
    }

    /// The server of a dataset: the one that it names, the one that it is on, or one that may have it.
    fn server_of(&self, gathered: &Gathered) -> Result<Arc<DatabaseServer>, Problem> {
        let spec = &gathered.dataset.spec;
        let named = spec.server_ref.as_ref().map(|reference| reference.name.clone());
        let named = named.or_else(|| placed_on(&gathered.dataset).map(str::to_owned));
        if let Some(name) = named {
            return self.known.servers.get(&SystemKey::new("", &*name)).ok_or_else(|| {
                Problem::new(
                    Reason::ServerMissing,
                    format!("there is no DatabaseServer {name}: make it, or name another one in another dataset"),
                )
            });
        }
        let grade = self
            .shared
            .world
            .agency(&gathered.agency)
            .map(|agency| agency.spec.security_grade);
        let admits = |server: &DatabaseServer| match (&server.spec.placement, grade) {
            (None, _) => true,
            (Some(placement), Some(grade)) => placement.admits(&gathered.agency, grade),
            (Some(_), None) => false,
        };
        let fit = self.known.servers.all(|_, server| admits(server) && is_ready(server));
        // The one with the fewest datasets, and of those the first by name. They are counted here, for a status is of when its server was last looked at.
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (_, dataset) in self.known.datasets.all(|_, dataset| placed_on(dataset).is_some()) {
            *counts
                .entry(placed_on(&dataset).unwrap_or_default().to_owned())
                .or_default() += 1;
        }
        let count = |server: &DatabaseServer| counts.get(server.metadata.name.as_deref()?).copied();
        fit.into_iter()
            .map(|(_, server)| server)
            .min_by_key(|server| count(server))
            .ok_or_else(|| {
                let message = format!(
                    "no DatabaseServer is ready and takes datasets of the agency {}: ask the platform for one",
                    gathered.agency
                );
                Problem::new(Reason::ServerMissing, message)
            })
    }

    /// The database as planned and read back, with its server and its name; or what stands in the way, with the server if there is one.
    async fn settled(
        &self,
        gathered: &Gathered,
        mode: Mode,
    ) -> Result<Result<(Settled, Arc<DatabaseServer>, String), (Problem, Option<String>)>, DataError> {
        if gathered.agency.is_empty() && mode == Mode::Live {
            let message = "the namespace belongs to no agency: an agency lists it first";
            return Ok(Err((Problem::new(Reason::AgencyMissing, message), None)));
        }
        let server = match self.server_of(gathered) {
            Ok(server) => server,
            Err(problem) => return Ok(Err((problem, None))),
        };
        let name = server.metadata.name.clone().unwrap_or_default();
        if let Some(problem) = self.servers.silent(&name) {
            return Ok(Err((problem, Some(name))));
        }
        let way = match self.servers.way(&server).await {
            Ok(way) => way,
            Err(NoWay::Problem(problem)) => return Ok(Err((problem, Some(name)))),
            Err(NoWay::Unavailable(error)) => return Err(error.into()),
        };
        let database = database_of(&gathered.dataset);
        let facts = gathered.facts(&server, &database);
        match self.settle(&facts, &way, mode).await {
            Ok(settled) => Ok(Ok((settled, server, database))),
            Err(Unsettled::Credentials(error)) => Err(error.into()),
            Err(Unsettled::Problem(problem)) => {
                if problem.reason.is_of_the_way() {
                    self.servers.answered(&name, Err(problem.clone()));
                    self.wake(DataKey::Server(name.clone()));
                }
                Ok(Err((problem, Some(name))))
            }
        }
    }

    async fn report(
        &self,
        key: &SystemKey,
        gathered: &Gathered,
        server: &DatabaseServer,
        database: &str,
        settled: Settled,
    ) -> Result<Turn, DataError> {
        let Settled {
            catalog,
            left,
            failures,
            undone,
        } = settled;
        let facts = gathered.facts(server, database);
        let seen = Seen {
            catalog: &catalog,
            left: &left,
            failures: &failures,
        };
        let undone_of = |part: &Part| undone.get(part).copied().unwrap_or_default();
        self.shared.metrics.undone("Dataset", undone_of(&Part::Dataset));
        if undone_of(&Part::Dataset) > 0 {
            tracing::warn!(
                undone = undone_of(&Part::Dataset),
                "rights that nobody asked for were taken away"
            );
        }
        self.write_dataset(
            key,
            &gathered.dataset,
            report_dataset(&facts, seen, &self.backups.facts(key), &now()),
        )
        .await?;
        self.report_grants(&gathered.grants, |grant| {
            let part = Part::Grant(grant.metadata.uid.clone().unwrap_or_default());
            self.shared.metrics.undone("DataGrant", undone_of(&part));
            report_grant(&facts, seen, grant, undone_of(&part), &now())
        })
        .await?;
        let unfinished = !failures.is_empty() || !left.steps.is_empty();
        Ok(Turn::Again(if unfinished {
            TRY_AGAIN.min(self.verify_every)
        } else {
            self.verify_every
        }))
    }

    async fn report_problem(
        &self,
        key: &SystemKey,
        gathered: &Gathered,
        server: Option<&str>,
        problem: &Problem,
    ) -> Result<Turn, DataError> {
        self.write_dataset(
            key,
            &gathered.dataset,
            report_unplaced(&gathered.dataset, server, problem, &now()),
        )
        .await?;
        self.report_grants(&gathered.grants, |grant| {
            report_grant_without_dataset(None, grant, problem, &now())
        })
        .await?;
        Ok(Turn::Again(TRY_AGAIN))
    }

    /// The object goes. Others' rights to its data end; the data stays, unless it was said in time that it goes too.
    async fn ending(&self, key: &SystemKey, gathered: &Gathered) -> Result<Turn, DataError> {
        let dataset = gathered.dataset.as_ref();
        let api = Api::<Dataset>::namespaced(self.client.clone(), &key.namespace);
        if crd_ending(&self.client, "datasets.maru.dev", dataset).await? || !is_held(dataset) {
            take_off(&api, dataset).await?;
            return Ok(Turn::Done);
        }
        let placed = dataset.status.as_ref().is_some_and(|status| status.database.is_some());
        let goes = goes(dataset) && placed;
        let alone = Gathered {
            dataset: Arc::clone(&gathered.dataset),
            grants: Vec::new(),
            systems: gathered.systems.clone(),
            agency: gathered.agency.clone(),
        };
        if placed
            && let Err((problem, _)) = self.settled(&alone, Mode::Ending).await?
            && (problem.reason.is_of_the_way() || problem.reason == Reason::SqlRefused)
        {
            let message = format!("the grants of the dataset end before it goes, and {}", problem.message);
            self.write_dataset(
                key,
                &gathered.dataset,
                report_held(dataset, &Problem::new(problem.reason, message), &now()),
            )
            .await?;
            return Ok(Turn::Again(TRY_AGAIN));
        }
        if goes && let Some(problem) = self.backups.awaited(key, dataset, now().0) {
            self.write_dataset(key, &gathered.dataset, report_held(dataset, &problem, &now()))
                .await?;
            return Ok(Turn::Again(TRY_AGAIN));
        }
        if goes && let Some(problem) = self.drop_database(gathered).await? {
            self.write_dataset(key, &gathered.dataset, report_held(dataset, &problem, &now()))
                .await?;
            return Ok(Turn::Again(TRY_AGAIN));
        }
        take_off(&api, dataset).await?;
        self.count_soon(dataset);
        Ok(Turn::Done)
    }

    /// What a dataset's server says of its datasets is said anew soon; once where many change.
    fn count_soon(&self, dataset: &Dataset) {
        if let Some(name) = placed_on(dataset) {
            let key = DataKey::Server(name.to_owned());
            self.queue.add_after(key, name.to_owned(), COUNT_AFTER);
        }
    }

    /// The data goes: it was backed up and the backup restored. What stands in the way, where something does.
    async fn drop_database(&self, gathered: &Gathered) -> Result<Option<Problem>, DataError> {
        let server = match self.server_of(gathered) {
            Ok(server) => server,
            Err(problem) => return Ok(Some(problem)),
        };
        let way = match self.servers.way(&server).await {
            Ok(way) => way,
            Err(NoWay::Problem(problem)) => return Ok(Some(problem)),
            Err(NoWay::Unavailable(error)) => return Err(error.into()),
        };
        let database = database_of(&gathered.dataset);
        let facts = gathered.facts(&server, &database);
        Ok(match self.let_go(&facts, &way).await {
            Ok(()) => None,
            Err(Unsettled::Problem(problem)) => Some(problem),
            Err(Unsettled::Credentials(error)) => return Err(error.into()),
        })
    }

    pub(super) async fn write_dataset(
        &self,
        key: &SystemKey,
        dataset: &Arc<Dataset>,
        status: DatasetStatus,
    ) -> Result<(), DataError> {
        // The finalizer may have been put on in this turn.
        let dataset = self.known.datasets.get(key).unwrap_or_else(|| Arc::clone(dataset));
        if dataset.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let before = conditions(dataset.status.as_ref().map(|status| &status.conditions));
        let after = status.conditions.clone();
        let mut wanted = dataset.as_ref().clone();
        wanted.status = Some(status);
        let api = Api::<Dataset>::namespaced(self.client.clone(), &key.namespace);
        let written = self.write_status(&api, wanted, "Dataset", &before, &after).await?;
        if placed_on(&written) != placed_on(&dataset) {
            self.count_soon(&dataset);
            self.count_soon(&written);
        }
        self.known.datasets.wrote(written);
        Ok(())
    }

    async fn report_grants(
        &self,
        grants: &[DataGrant],
        report: impl Fn(&DataGrant) -> DataGrantStatus,
    ) -> Result<(), DataError> {
        for grant in grants {
            let status = report(grant);
            if grant.status.as_ref() == Some(&status) {
                continue;
            }
            let before = conditions(grant.status.as_ref().map(|status| &status.conditions));
            let after = status.conditions.clone();
            let mut wanted = grant.clone();
            wanted.status = Some(status);
            let key = key_of(grant);
            let api = Api::<DataGrant>::namespaced(self.client.clone(), &key.namespace);
            let written = self.write_status(&api, wanted, "DataGrant", &before, &after).await?;
            self.known.grants.wrote(written);
        }
        Ok(())
    }

    async fn write_status<K>(
        &self,
        api: &Api<K>,
        wanted: K,
        kind: &'static str,
        before: &[Condition],
        after: &[Condition],
    ) -> Result<K, DataError>
    where
        K: Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug,
    {
        let name = wanted.meta().name.clone().unwrap_or_default();
        let written = api.replace_status(&name, &PostParams::default(), &wanted).await;
        let written = written.map_err(ReconcileError::primary("the status was not taken"))?;
        self.shared.metrics.wrote_primary(kind, "Status");
        self.events.tell(&written.object_ref(&()), before, after).await;
        Ok(written)
    }
}

impl Gathered {
    fn facts<'a>(&'a self, server: &'a DatabaseServer, database: &'a str) -> DatasetFacts<'a> {
        DatasetFacts {
            dataset: &self.dataset,
            agency: &self.agency,
            server,
            database,
            grants: &self.grants,
            systems: &self.systems,
        }
    }
}

/// The database of a dataset: the one it adopts, the one it has, or the one that it will be given.
pub(super) fn database_of(dataset: &Dataset) -> String {
    let adopted = dataset.spec.adopt.as_ref().map(|adopt| adopt.database.clone());
    let known = dataset.status.as_ref().and_then(|status| status.database.clone());
    adopted.or(known).unwrap_or_else(|| {
        let key = key_of(dataset);
        database_name(&key.namespace, &key.name)
    })
}

fn conditions(known: Option<&Vec<Condition>>) -> Vec<Condition> {
    known.cloned().unwrap_or_default()
}

fn ready(conditions: &[Condition]) -> Option<&str> {
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.map(|ready| ready.status.as_str())
}

/// The server that a dataset is on.
fn placed_on(dataset: &Dataset) -> Option<&str> {
    dataset.status.as_ref()?.server.as_deref()
}

fn is_ready(server: &DatabaseServer) -> bool {
    server
        .status
        .as_ref()
        .is_some_and(|status| ready(&status.conditions) == Some("True"))
}

fn now() -> Time {
    Time(jiff::Timestamp::now())
}
