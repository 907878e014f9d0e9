//! The operator: watches fill the world, a queue shares the work out, and each object's turn is *gather, desire, apply,
//! report*.

pub mod billing;
mod datasets;
mod events;
mod http;
pub mod ingest;
mod lease;
mod listing;
pub mod meter;
mod metrics;
mod orphans;
mod platform;
mod priced;
mod queue;
mod reconcile;
mod rehearsal;
mod unsaid;
mod watch;
mod world;

pub use http::{Health, serve};
pub use lease::Lease;
pub use metrics::Metrics;
pub use platform::in_cluster;
pub use queue::{FairQueue, QueueLimits, Turn};
pub use rehearsal::{Rehearsal, Step, Unsettled, Verb};
pub use world::World;

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Client;
use maru_desire::{Owner, Platform};
use reconcile::Reconciler;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How one replica runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The installation's settings.
    pub platform: Platform,
    /// How many objects are worked on at once.
    pub workers: usize,
    /// The longest a turn may take before it is given up and counted as failed.
    pub turn_timeout: Duration,
    /// How the queue shares work out.
    pub queue: QueueLimits,
    /// How often databases are compared with their plans when nothing else asks for it.
    pub verify_data_every: Duration,
    /// The lake that the use of datasets is put into; none: it is not metered.
    pub lake: Option<Arc<maru_lake::Lake>>,
    /// How often the use of a dataset is read: an hour, or an even part of one.
    pub read_usage_every: Duration,
    /// Where backups of datasets are kept and what they are encrypted with; none: there are none.
    pub backups: Option<Backups>,
    /// How often is looked whether a backup is due.
    pub look_for_backups_every: Duration,
    /// The name of the lease that the leader holds; none: this replica always leads.
    pub lease: Option<Lease>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            platform: Platform::default(),
            workers: 16,
            turn_timeout: Duration::from_secs(30),
            queue: QueueLimits::default(),
            verify_data_every: Duration::from_secs(30),
            lake: None,
            read_usage_every: Duration::from_hours(1),
            backups: None,
            look_for_backups_every: Duration::from_secs(20),
            lease: None,
        }
    }
}

/// Where backups of datasets are kept, and the key that they are encrypted with.
#[derive(Clone, Debug)]
pub struct Backups {
    /// The place.
    pub place: maru_backup::Place,
    /// The key.
    pub key: maru_backup::Key,
}

/// What the tasks of one replica share.
pub(crate) struct Shared {
    pub(crate) world: World,
    pub(crate) queue: FairQueue<Owner, String>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) unsaid: unsaid::Unsaid,
    leads: AtomicBool,
    /// How many turns began: the id of a turn in the log.
    turns: AtomicU64,
}

impl Shared {
    fn leads(&self) -> bool {
        self.leads.load(Ordering::Acquire)
    }
}

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The lease could not be set up.
    #[error("lease: {0}")]
    Lease(#[from] kube_lease_manager::LeaseManagerError),
}

/// Runs one replica until `shutdown`; it then ends the turns that run and gives the lease back.
///
/// What runs for long is boxed here and in the rooms beside this one: else it would be compiled again in every program that waits for it.
///
/// # Errors
/// Where the lease cannot be set up.
pub fn run(
    client: Client,
    settings: Settings,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    shutdown: CancellationToken,
) -> BoxFuture<'static, Result<(), OperatorError>> {
    async move {
        let shared = Arc::new(Shared {
            world: World::new(settings.platform.clone()),
            queue: FairQueue::new(settings.queue),
            metrics,
            unsaid: unsaid::Unsaid::default(),
            leads: AtomicBool::new(false),
            turns: AtomicU64::new(1),
        });
        let mut watches = JoinSet::new();
        let (count, mut listed) = watch::start(&client, &shared, &mut watches);
        tokio::select! {
            _ = listed.wait_for(|listed| *listed == count) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        health.set_ready(true);
        tracing::info!(watches = count, "every first list has arrived");
        match settings.lease.clone() {
            None => lead(&client, &shared, &settings, shutdown).await,
            Some(lease) => {
                let leading = |ending| {
                    let (client, shared, settings) = (client.clone(), Arc::clone(&shared), settings.clone());
                    async move { lead(&client, &shared, &settings, ending).await }
                };
                lease.follow(&client, shutdown, leading).await?;
            }
        }
        health.set_ready(false);
        Ok(())
    }
    .boxed()
}

/// Works until `ending`: every known object has a turn first, later those that change.
async fn lead(client: &Client, shared: &Arc<Shared>, settings: &Settings, ending: CancellationToken) {
    shared.leads.store(true, Ordering::Release);
    shared.metrics.leader.set(1);
    tracing::info!("leads");
    shared.world.doubt_all();
    for owner in shared.world.owners() {
        let line = shared.world.line_of(&owner);
        shared.queue.add(owner, line);
    }
    let mut workers = JoinSet::new();
    let reconciler = Reconciler::new(client.clone());
    for _ in 0..settings.workers {
        let worker = work(
            Arc::clone(shared),
            reconciler.clone(),
            settings.turn_timeout,
            ending.clone(),
        );
        workers.spawn(worker);
    }
    workers.spawn(priced::run(client.clone(), Arc::clone(shared), ending.clone()));
    workers.spawn(datasets::lead(
        client.clone(),
        Arc::clone(shared),
        settings.clone(),
        ending,
    ));
    while workers.join_next().await.is_some() {}
    shared.leads.store(false, Ordering::Release);
    shared.metrics.leader.set(0);
    tracing::info!("leads no longer");
}

async fn work(shared: Arc<Shared>, reconciler: Reconciler, timeout: Duration, ending: CancellationToken) {
    loop {
        let (owner, line) = tokio::select! {
            biased;
            () = ending.cancelled() => return,
            next = shared.queue.next() => next,
        };
        let waiting = i64::try_from(shared.queue.waiting()).unwrap_or(i64::MAX);
        shared.metrics.queue_depth.set(waiting);
        shared.metrics.knows(shared.world.counts());
        let (kind, object) = match &owner {
            Owner::Agency { name } => ("Agency", name.clone()),
            Owner::System { namespace, name } => ("AgencySystem", format!("{namespace}/{name}")),
        };
        let id = shared.turns.fetch_add(1, Ordering::Relaxed);
        let span = tracing::info_span!("reconcile", kind, object, id);
        let turn = one_turn(&shared, &reconciler, &owner, kind, timeout)
            .instrument(span)
            .await;
        shared.queue.end(&owner, &line, turn);
    }
}

/// One turn, limited in time and counted.
async fn one_turn(
    shared: &Shared,
    reconciler: &Reconciler,
    owner: &Owner,
    kind: &'static str,
    timeout: Duration,
) -> Turn {
    let began = Instant::now();
    let noted = shared.world.drift_noted();
    let (turn, outcome) = match tokio::time::timeout(timeout, reconciler.turn(shared, owner)).await {
        Ok(Ok(turn @ Turn::Done)) => (turn, "Done"),
        Ok(Ok(turn @ Turn::Again(_))) => (turn, "Again"),
        Ok(Ok(turn @ Turn::Failed)) => (turn, "Refused"),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the turn failed and is repeated");
            (Turn::Failed, "Failed")
        }
        Err(_) => {
            let timeout_seconds = timeout.as_secs();
            tracing::warn!(timeout_seconds, "the turn took too long and is repeated");
            (Turn::Failed, "TimedOut")
        }
    };
    if turn != Turn::Failed {
        for kind in shared.world.healed(owner, noted) {
            shared.metrics.healed(kind);
        }
    }
    shared.metrics.reconciled(kind, outcome, began.elapsed());
    tracing::debug!(outcome, "the turn ended");
    turn
}
