//! Datasets, their grants and their servers. A loop of its own, with its own watches and queue: what waits for a database delays no agency
//! and no system.
//!
//! A dataset's turn has its database's whole plan in it, the grants' too, so that nobody else writes there.

mod backups;
mod database;
mod keys;
mod servers;
mod still;
mod table;
mod turn;
mod usage;

use crate::queue::{FairQueue, Turn};
use crate::{Settings, Shared};
use kube::Client;
use kube::api::Api;
use maru_apply::credentials::Credentials;
use maru_crds::{AgencySystem, DataGrant, DatabaseServer, Dataset};
use maru_desire::SystemKey;
use maru_desire::dataset::Consent;
use servers::Servers;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::{Change, Table, key_of};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How many turns run at once, over all servers.
const WORKERS: usize = 8;

/// Whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum DataKey {
    Server(String),
    Dataset(SystemKey),
}

/// What is known.
#[derive(Debug, Default)]
struct Known {
    servers: Arc<Table<Arc<DatabaseServer>>>,
    datasets: Arc<Table<Arc<Dataset>>>,
    grants: Arc<Table<Arc<DataGrant>>>,
    systems: Arc<Table<Consent>>,
}

/// What the workers share.
struct Data {
    client: Client,
    shared: Arc<Shared>,
    known: Known,
    queue: FairQueue<DataKey, String>,
    servers: Servers,
    credentials: Credentials,
    events: crate::events::Events,
    verify_every: Duration,
    backups: backups::Watch,
    usage: usage::Usage,
    still: still::Still,
}

/// Works until `ending`.
pub(crate) async fn lead(client: Client, shared: Arc<Shared>, settings: Settings, ending: CancellationToken) {
    let data = Arc::new(Data {
        known: Known::default(),
        queue: FairQueue::new(settings.queue),
        servers: Servers::new(client.clone(), settings.platform.operator_namespace.clone()),
        credentials: Credentials::new(client.clone(), settings.platform.operator_namespace.clone()),
        events: crate::events::Events::new(client.clone()),
        verify_every: settings.verify_data_every,
        backups: backups::Watch::new(settings.backups.clone()),
        usage: usage::Usage::new(settings.lake.clone(), settings.read_usage_every),
        still: still::Still::default(),
        client,
        shared,
    });
    let mut tasks = JoinSet::new();
    let mut listed = watch_all(&data, &mut tasks);
    tokio::select! {
        _ = listed.wait_for(|count| *count == KINDS) => {}
        () = ending.cancelled() => return,
    }
    data.wake_all();
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(work(Arc::clone(&data), settings.turn_timeout * 2, ending.clone()));
    }
    let looks = settings.look_for_backups_every;
    workers.spawn(backups::run(Arc::clone(&data), looks, ending.clone()));
    while workers.join_next().await.is_some() {}
}

/// How many kinds are watched.
const KINDS: usize = 4;

fn watch_all(data: &Arc<Data>, tasks: &mut JoinSet<()>) -> watch::Receiver<usize> {
    let (sender, listed) = watch::channel(0);
    let sender = Arc::new(sender);
    let (client, known) = (&data.client, &data.known);
    let one = Arc::clone(data);
    let told = counted(&sender, move |change| one.on_server(change));
    tasks.spawn(Arc::clone(&known.servers).feed(Api::<DatabaseServer>::all(client.clone()), Arc::new, told));
    let one = Arc::clone(data);
    let told = counted(&sender, move |change| one.on_dataset(change));
    tasks.spawn(Arc::clone(&known.datasets).feed(Api::<Dataset>::all(client.clone()), Arc::new, told));
    let one = Arc::clone(data);
    let told = counted(&sender, move |change| one.on_grant(change));
    tasks.spawn(Arc::clone(&known.grants).feed(Api::<DataGrant>::all(client.clone()), Arc::new, told));
    let one = Arc::clone(data);
    let told = counted(&sender, move |change| one.on_system(change));
    tasks.spawn(Arc::clone(&known.systems).feed(Api::<AgencySystem>::all(client.clone()), consent, told));
    listed
}

/// Counts the first whole list of a kind.
fn counted<V, F>(count: &Arc<watch::Sender<usize>>, tell: F) -> impl Fn(Change<V>) + Send + 'static + use<V, F>
where
    F: Fn(Change<V>) + Send + 'static,
{
    let count = Arc::clone(count);
    let first = std::sync::Once::new();
    move |change| {
        if matches!(change, Change::All) {
            first.call_once(|| count.send_modify(|count| *count += 1));
        }
        tell(change);
    }
}

fn consent(system: AgencySystem) -> Consent {
    Consent {
        uid: system.metadata.uid.unwrap_or_default(),
        accepts: system.spec.accepted_grants.into_iter().collect(),
    }
}

/// Whether what people said of an object is the same: its status is Maru's own.
fn same<K: kube::Resource>(before: &K, now: &K) -> bool {
    let (before, now) = (before.meta(), now.meta());
    before.uid == now.uid && before.generation == now.generation && before.deletion_timestamp == now.deletion_timestamp
}

impl Data {
    fn wake(&self, key: DataKey) {
        let line = match &key {
            DataKey::Server(name) => name.clone(),
            DataKey::Dataset(dataset) => dataset.namespace.clone(),
        };
        self.queue.add(key, line);
    }

    fn wake_all(&self) {
        for (key, _) in self.known.servers.all(|_, _| true) {
            self.wake(DataKey::Server(key.name));
        }
        let mut all: BTreeSet<SystemKey> = self
            .known
            .datasets
            .all(|_, _| true)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        all.extend(
            self.known
                .grants
                .all(|_, _| true)
                .iter()
                .map(|(_, grant)| dataset_of(grant)),
        );
        for key in all {
            self.wake(DataKey::Dataset(key));
        }
    }

    fn on_server(&self, change: Change<Arc<DatabaseServer>>) {
        match change {
            Change::One(_, Some(before), Some(now)) if same(before.as_ref(), now.as_ref()) => {}
            Change::One(key, ..) => {
                self.servers.forget(&key.name);
                self.wake(DataKey::Server(key.name));
                // A dataset without a server may have found one.
                for (key, _) in self.known.datasets.all(|_, _| true) {
                    self.wake(DataKey::Dataset(key));
                }
            }
            Change::All => self.wake_all(),
        }
    }

    fn on_dataset(&self, change: Change<Arc<Dataset>>) {
        match change {
            Change::One(_, Some(before), Some(now)) if same(before.as_ref(), now.as_ref()) => {}
            Change::One(key, ..) => self.wake(DataKey::Dataset(key)),
            Change::All => self.wake_all(),
        }
    }

    fn on_grant(&self, change: Change<Arc<DataGrant>>) {
        match change {
            Change::One(_, Some(before), Some(now)) if same(before.as_ref(), now.as_ref()) => {}
            Change::One(_, before, now) => {
                for grant in before.iter().chain(&now) {
                    self.wake(DataKey::Dataset(dataset_of(grant)));
                }
            }
            Change::All => self.wake_all(),
        }
    }

    fn on_system(&self, change: Change<Consent>) {
        match change {
            Change::One(_, before, now) if before == now => {}
            Change::One(system, ..) => {
                let owning = self.known.datasets.all(|key, dataset| {
                    key.namespace == system.namespace && dataset.spec.systems.iter().any(|one| one.name == system.name)
                });
                let consuming = self.known.grants.all(|_, grant| {
                    grant.spec.consumer.namespace == system.namespace && grant.spec.consumer.name == system.name
                });
                let all = owning.into_iter().map(|(key, _)| key);
                let all: BTreeSet<SystemKey> = all
                    .chain(consuming.iter().map(|(_, grant)| dataset_of(grant)))
                    .collect();
                for key in all {
                    self.wake(DataKey::Dataset(key));
                }
            }
            Change::All => self.wake_all(),
        }
    }
}

/// The dataset that a grant is of.
fn dataset_of(grant: &DataGrant) -> SystemKey {
    SystemKey::new(key_of(grant).namespace, grant.spec.dataset_ref.name.clone())
}

/// Whether a grant is of a dataset: asked of every grant at every turn.
fn is_of(grant: &DataGrant, dataset: &SystemKey) -> bool {
    let namespace = grant.metadata.namespace.as_deref().unwrap_or_default();
    namespace == dataset.namespace && grant.spec.dataset_ref.name == dataset.name
}

async fn work(data: Arc<Data>, timeout: Duration, ending: CancellationToken) {
    loop {
        let (key, line) = tokio::select! {
            biased;
            () = ending.cancelled() => return,
            next = data.queue.next() => next,
        };
        let (kind, object) = match &key {
            DataKey::Server(name) => ("DatabaseServer", name.clone()),
            DataKey::Dataset(dataset) => ("Dataset", dataset.to_string()),
        };
        let span = tracing::info_span!("reconcile", kind, object);
        let began = Instant::now();
        let turn = async {
            match tokio::time::timeout(timeout, data.turn(&key)).await {
                Ok(Ok(turn)) => (turn, "Done"),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the turn failed and is repeated");
                    (Turn::Failed, "Failed")
                }
                Err(_) => {
                    tracing::warn!("the turn took too long and is repeated");
                    (Turn::Failed, "TimedOut")
                }
            }
        };
        // A turn may be left anywhere, as a crash would leave it: another replica need not wait for a server that does not answer.
        let (turn, outcome) = tokio::select! {
            biased;
            () = ending.cancelled() => return,
            done = turn.instrument(span) => done,
        };
        data.shared.metrics.reconciled(kind, outcome, began.elapsed());
        data.queue.end(&key, &line, turn);
    }
}
