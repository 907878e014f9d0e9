//! The ways to servers: who the administrator is, and whether a server answered lately.

use kube::Client;
use maru_apply::credentials::{Credentials, CredentialsError};
use maru_apply::sql::{Password, Way};
use maru_crds::{DatabaseServer, DatabaseServerSpec};
use maru_desire::dataset::{ACTIVITY_SQL, Activity, SHARED_SQL, Shared};
use maru_desire::{Problem, Reason};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long the administrator's Secret is not read again.
const READ_AGAIN: Duration = Duration::from_secs(30);
/// How long a server that did not answer is left alone by its datasets: there may be a thousand of them.
const LEAVE_ALONE: Duration = Duration::from_secs(10);

/// What is remembered of servers.
pub(crate) struct Servers {
    secrets: Credentials,
    namespace: String,
    known: Mutex<HashMap<String, Server>>,
}

struct Server {
    /// How many sessions the operator may have open.
    places: Arc<Semaphore>,
    /// Whoever asks for its activity: the others wait for the answer, and do not ask as well.
    asking: Arc<Semaphore>,
    way: Option<(Instant, Way, Option<String>)>,
    /// Why it did not answer, and when.
    silent: Option<(Instant, Problem)>,
    /// What it said of writing, and before it was asked.
    activity: Option<(Instant, Arc<Activity>)>,
}

/// A way to a server that may be gone now.
pub(crate) struct OpenWay {
    pub(crate) way: Way,
    /// The authority's certificate, PEM.
    pub(crate) authority: Option<String>,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) asking: Arc<Semaphore>,
}

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoWay {
    #[error("{}", .0.message)]
    Problem(Problem),
    #[error(transparent)]
    Unavailable(CredentialsError),
}

impl Servers {
    pub(crate) fn new(client: Client, namespace: String) -> Self {
        Self {
            secrets: Credentials::new(client, namespace.clone()),
            namespace,
            known: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Server>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was known of a server is no longer true.
    pub(crate) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Why a server did not answer a moment ago.
    pub(crate) fn silent(&self, name: &str) -> Option<Problem> {
        let known = self.lock();
        let (when, problem) = known.get(name)?.silent.as_ref()?;
        (when.elapsed() < LEAVE_ALONE).then(|| problem.clone())
    }

    /// Remembers whether a server answered.
    pub(crate) fn answered(&self, name: &str, answer: Result<(), Problem>) {
        if let Some(server) = self.lock().get_mut(name) {
            server.silent = answer.err().map(|problem| (Instant::now(), problem));
            if server.silent.is_some() {
                server.way = None; // the Secret may have been corrected
            }
        }
    }

    /// The way to a server.
    pub(crate) async fn way(&self, server: &DatabaseServer) -> Result<OpenWay, NoWay> {
        let name = server.metadata.name.clone().unwrap_or_default();
        let most = server
            .spec
            .limits
            .as_ref()
            .map_or(4, |limits| limits.operator_connections);
        let (places, asking, known) = {
            let mut known = self.lock();
            let entry = known.entry(name.clone()).or_insert_with(|| Server {
                places: Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(4))),
                asking: Arc::new(Semaphore::new(1)),
                way: None,
                silent: None,
                activity: None,
            });
            let fresh = entry.way.as_ref().filter(|(when, ..)| when.elapsed() < READ_AGAIN);
            (
                Arc::clone(&entry.places),
                Arc::clone(&entry.asking),
                fresh.map(|(_, way, authority)| (way.clone(), authority.clone())),
            )
        };
        let (way, authority) = if let Some(known) = known {
            known
        } else {
            let (way, authority) = self.read(&server.spec).await?;
            if let Some(entry) = self.lock().get_mut(&name) {
                entry.way = Some((Instant::now(), way.clone(), authority.clone()));
            }
            (way, authority)
        };
        Ok(OpenWay {
            way,
            authority,
            places,
            asking,
        })
    }

    /// What a server says of writing, not longer ago than `fresh`; none where it does not answer, which whoever connects next is told of.
    pub(crate) async fn activity(
        &self,
        name: &str,
        admin_database: &str,
        way: &OpenWay,
        fresh: Duration,
    ) -> Option<Arc<Activity>> {
        let _place = way.asking.acquire().await;
        let last = self.lock().get(name).and_then(|server| server.activity.clone());
        if let Some((_, activity)) = last.as_ref().filter(|(asked, _)| asked.elapsed() < fresh) {
            return Some(Arc::clone(activity));
        }
        let asked = Instant::now();
        let _place = way.places.acquire().await;
        let session = way.way.connect(admin_database).await.ok()?;
        let activity = Activity::read(&session.text(ACTIVITY_SQL, &[]).await.ok()?).ok()?;
        let shared = last.and_then(|(_, last)| activity.still_shared(last.shared()));
        let shared = if let Some(shared) = shared {
            shared
        } else {
            let text = session.text(SHARED_SQL, &[]).await.ok()?;
            Arc::new(Shared::read(&text, &activity).ok()?)
        };
        let activity = Arc::new(activity.with(shared));
        if let Some(server) = self.lock().get_mut(name) {
            server.activity = Some((asked, Arc::clone(&activity)));
        }
        Some(activity)
    }

    async fn read(&self, spec: &DatabaseServerSpec) -> Result<(Way, Option<String>), NoWay> {
        let name = &spec.admin_secret_ref.name;
        let mut admin = self.secret(name).await?;
        let missing = |key: &str| self.missing(name, key);
        let user = admin.remove("username").ok_or_else(|| missing("username"))?;
        let password = admin.remove("password").ok_or_else(|| missing("password"))?;
        let authority = match &spec.tls.ca_secret_ref {
            None => None,
            Some(reference) => {
                let mut found = self.secret(&reference.name).await?;
                let pem = found
                    .remove("ca.crt")
                    .ok_or_else(|| self.missing(&reference.name, "ca.crt"))?;
                Some(pem)
            }
        };
        let password = Password::new(password);
        let way = Way::new(&spec.host, spec.port, &spec.tls, authority.clone(), &user, password);
        Ok((way, authority))
    }

    async fn secret(&self, name: &str) -> Result<std::collections::BTreeMap<String, String>, NoWay> {
        let found = self
            .secrets
            .read(&self.namespace, name)
            .await
            .map_err(NoWay::Unavailable)?;
        found.ok_or_else(|| {
            let message = format!(
                "there is no Secret {}/{name}: make it, with the keys that the DatabaseServer asks for",
                self.namespace
            );
            NoWay::Problem(Problem::new(Reason::AdminSecretMissing, message))
        })
    }

    fn missing(&self, name: &str, key: &str) -> NoWay {
        let message = format!("the Secret {}/{name} has no key {key}: add it", self.namespace);
        NoWay::Problem(Problem::new(Reason::AdminSecretMissing, message))
    }
}
