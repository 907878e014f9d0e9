//! A dataset's database: found or made, put as planned, and read back.

use super::Data;
use super::keys::Keys;
use super::servers::OpenWay;
use super::still::Unwritten;
use maru_apply::credentials::CredentialsError;
use maru_apply::sql::{Password, Session, SqlError};
use maru_desire::dataset::{
    CATALOG_SQL, Catalog, DataPlan, DatasetFacts, DatasetNames, FIND_DATABASE_SQL, FoundDatabase, KEPT_SQL, Marker,
    Part, Placing, Step, credentials_name, drop_database, place_database, plan_database, written_logins,
};
use maru_desire::{Problem, Reason, SystemKey};
use std::collections::BTreeMap;

/// How often a plan is made and carried out in one turn: once to make, once to give rights to what was made, and once more for what
/// somebody did in between.
const ROUNDS: usize = 4;

/// What a turn came to.
pub(crate) struct Settled {
    pub(crate) catalog: Catalog,
    pub(crate) left: DataPlan,
    pub(crate) failures: Vec<(Part, Problem)>,
    /// How many deviations of each part were undone.
    pub(crate) undone: BTreeMap<Part, usize>,
}

/// Why a turn came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsettled {
    /// People must act, or the server must answer.
    #[error("{}", .0.message)]
    Problem(Problem),
    /// The API server did not take a Secret.
    #[error(transparent)]
    Credentials(CredentialsError),
}

impl From<SqlError> for Unsettled {
    fn from(error: SqlError) -> Self {
        Self::Problem(error.problem())
    }
}

/// Whether the dataset lives, or only its last grants are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Live,
    Ending,
}

impl Data {
    /// Puts a database as planned and reads it back.
    pub(crate) async fn settle(
        &self,
        facts: &DatasetFacts<'_>,
        way: &OpenWay,
        mode: Mode,
    ) -> Result<Settled, Unsettled> {
        let mut failures = Vec::new();
        let mut undone = BTreeMap::new();
        let mut keys = Keys::default();
        let mark = match mode {
            Mode::Live => self.mark(facts, way).await,
            Mode::Ending => None,
        };
        if !self.must_be_metered(facts)
            && let Some(unwritten) = self.unwritten(facts, way, mark.as_ref())
            && let Some(settled) = self.still_agrees(facts, way, unwritten, &mut keys).await?
        {
            return Ok(settled);
        }
        // Two sessions at most at a time, of the few that the server gives to the operator.
        let _place = way.places.acquire().await;
        let (mut session, mut catalog) = self.open(facts, way, mode).await?;
        for round in 0..ROUNDS {
            let logins = match mode {
                Mode::Live => self.logins(facts, way, &catalog, &mut keys, &mut failures).await?,
                Mode::Ending => written_logins(&catalog),
            };
            let left = plan_database(facts, &catalog, &logins);
            if round == 0 {
                let always = mode == Mode::Ending || left.drops_roles();
                self.meter(facts, (&session, &catalog), way, always).await;
            }
            let failed = !failures.is_empty() && round > 0;
            if left.steps.is_empty() || failed || round + 1 == ROUNDS {
                self.deliver(facts, way, &catalog, &mut keys, &mut failures).await?;
                let agrees = left.steps.is_empty() && failures.is_empty() && round == 0;
                self.agreed(facts, way, mark.filter(|_| agrees), (&catalog, logins, &left));
                return Ok(Settled {
                    catalog,
                    left,
                    failures,
                    undone,
                });
            }
            self.carry_out(facts, &left, &mut session, &keys.passwords, &mut failures, &mut undone)
                .await?;
            catalog = read(&session).await?;
        }
        Err(Unsettled::Problem(Problem::new(
            Reason::Deviates,
            "the plan does not come to an end",
        )))
    }

    /// A database in which nothing was written since it was as planned, if nothing is to be done there now, either.
    async fn still_agrees(
        &self,
        facts: &DatasetFacts<'_>,
        way: &OpenWay,
        unwritten: Unwritten,
        keys: &mut Keys,
    ) -> Result<Option<Settled>, Unsettled> {
        let Unwritten { catalog, logins, left } = unwritten;
        let mut failures = Vec::new();
        let left = if let Some(left) = left {
            left
        } else {
            let asked = logins.is_none();
            let logins = match logins {
                Some(logins) => logins,
                None => self.logins(facts, way, &catalog, keys, &mut failures).await?,
            };
            let left = plan_database(facts, &catalog, &logins);
            if asked && left.steps.is_empty() && failures.is_empty() {
                self.asked(facts, way, (&catalog, logins, &left));
            }
            left
        };
        Ok(left.steps.is_empty().then(|| Settled {
            catalog,
            left,
            failures,
            undone: BTreeMap::new(),
        }))
    }

    async fn carry_out(
        &self,
        facts: &DatasetFacts<'_>,
        plan: &DataPlan,
        session: &mut Session,
        passwords: &BTreeMap<String, Password>,
        failures: &mut Vec<(Part, Problem)>,
        undone: &mut BTreeMap<Part, usize>,
    ) -> Result<(), Unsettled> {
        for step in &plan.steps {
            match step {
                Step::Run(transaction) => match session.run(transaction, passwords).await {
                    Ok(()) => {
                        let undoes = transaction
                            .statements
                            .iter()
                            .filter(|statement| statement.undoes)
                            .count();
                        *undone.entry(transaction.part.clone()).or_default() += undoes;
                        tracing::debug!(
                            purpose = transaction.purpose,
                            statements = transaction.statements.len(),
                            "ran"
                        );
                    }
                    Err(error) if error.ends_the_session() => return Err(error.into()),
                    Err(error) => {
                        let mut problem = error.problem();
                        problem.message = format!("to {}: {}", transaction.purpose, problem.message);
                        failures.push((transaction.part.clone(), problem));
                    }
                },
                Step::Forget(system) => {
                    let name = credentials_name(&system.name, facts.namespace(), facts.name());
                    self.credentials
                        .forget(system, &name)
                        .await
                        .map_err(Unsettled::Credentials)?;
                }
            }
        }
        Ok(())
    }

    /// A session with the database, after it is the dataset's.
    async fn open(&self, facts: &DatasetFacts<'_>, way: &OpenWay, mode: Mode) -> Result<(Session, Catalog), Unsettled> {
        match way.way.connect(facts.database).await {
            Ok(session) => {
                let catalog = read(&session).await?;
                if is_ours(&catalog, facts) {
                    return Ok((session, catalog));
                }
            }
            // Nothing is made for an object that goes.
            Err(SqlError::NoDatabase | SqlError::NotAllowed(_)) if mode == Mode::Live => {}
            Err(error) => return Err(error.into()),
        }
        if mode == Mode::Ending {
            return Err(Unsettled::Problem(Problem::new(
                Reason::DatabaseTaken,
                "the database is not the dataset's",
            )));
        }
        self.place(facts, way).await?;
        let session = way.way.connect(facts.database).await?;
        let catalog = read(&session).await?;
        if is_ours(&catalog, facts) {
            Ok((session, catalog))
        } else {
            Err(Unsettled::Problem(Problem::new(
                Reason::DatabaseTaken,
                "the database became another dataset's in between",
            )))
        }
    }

    /// Drops a database, if it is the dataset's, and the roles that were made for it.
    pub(crate) async fn let_go(&self, facts: &DatasetFacts<'_>, way: &OpenWay) -> Result<(), Unsettled> {
        let _place = way.places.acquire().await;
        let mut session = way.way.connect(&facts.server.spec.admin_database).await?;
        let owner = DatasetNames::new(facts.uid()).owner;
        let found = session.text(FIND_DATABASE_SQL, &[facts.database, &owner]).await?;
        let found: FoundDatabase = serde_json::from_str(&found).map_err(|error| SqlError::Answer(error.to_string()))?;
        let transactions = drop_database(facts, &found).map_err(Unsettled::Problem)?;
        for system in &facts.dataset.spec.systems {
            let name = credentials_name(&system.name, facts.namespace(), facts.name());
            let forgotten = self.credentials.forget(&facts.own_system(&system.name), &name).await;
            forgotten.map_err(Unsettled::Credentials)?;
        }
        for transaction in &transactions {
            session.run(transaction, &BTreeMap::new()).await?;
        }
        Ok(())
    }

    async fn place(&self, facts: &DatasetFacts<'_>, way: &OpenWay) -> Result<(), Unsettled> {
        let server = facts.server.metadata.name.as_deref();
        let others = self.known.datasets.all(|key, dataset| {
            let placed = dataset.status.as_ref().and_then(|status| status.server.as_deref());
            placed == server && (key.namespace != facts.namespace() || key.name != facts.name())
        });
        let lives = |marker: &Marker| {
            let key = SystemKey::new(marker.namespace.as_str(), marker.name.as_str());
            let found = self.known.datasets.get(&key);
            found.is_some_and(|dataset| dataset.metadata.uid.as_deref() == Some(marker.uid.as_str()))
        };
        let grade = self
            .shared
            .world
            .agency(facts.agency)
            .map(|agency| agency.spec.security_grade);
        let mut session = way.way.connect(&facts.server.spec.admin_database).await?;
        let owner = DatasetNames::new(facts.uid()).owner;
        let found = session.text(FIND_DATABASE_SQL, &[facts.database, &owner]).await?;
        let found: FoundDatabase = serde_json::from_str(&found).map_err(|error| SqlError::Answer(error.to_string()))?;
        match place_database(facts, grade, &found, lives, others.len()) {
            Placing::Placed => Ok(()),
            Placing::Refused(problem) => Err(Unsettled::Problem(problem)),
            Placing::Run(transactions) => {
                for transaction in &transactions {
                    session.run(transaction, &BTreeMap::new()).await?;
                }
                Ok(())
            }
        }
    }
}

fn is_ours(catalog: &Catalog, facts: &DatasetFacts<'_>) -> bool {
    let marker = catalog.marker.as_deref().and_then(Marker::parse);
    marker.is_some_and(|marker| marker.uid == facts.uid())
}

async fn read(session: &Session) -> Result<Catalog, SqlError> {
    let text = session.text(CATALOG_SQL, &[]).await?;
    let wrong = |error: serde_json::Error| SqlError::Answer(error.to_string());
    let mut catalog = Catalog::read(&text).map_err(wrong)?;
    if catalog.prepared {
        let kept = session.text(KEPT_SQL, &[]).await?;
        catalog.read_kept(&kept).map_err(wrong)?;
    }
    Ok(catalog)
}
