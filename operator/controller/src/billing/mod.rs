//! Billing runs: a month's bills are drafted every hour while it is open, and issued once it is over and the grace has passed.
//!
//! The ledger decides what is issued: a run that ends anywhere and begins again finds what was booked and gives the same bills with
//! the same numbers. The objects of kind `Bill` only show it.

mod gather;
mod reopen;
mod report;
mod show;
mod upkeep;
mod work;

use crate::Metrics;
use crate::events::Events;
use crate::listing;
use crate::meter::reconcile::{self, Looked};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use jiff::{SignedDuration, Timestamp};
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use kube::{Client, ResourceExt};
use maru_crds::BillingRun;
use maru_lake::Lake;
use maru_meter::{Source, hour_of};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How billing runs.
#[derive(Clone)]
pub struct BillingSettings {
    /// The ledger's address: the path of a file, or the URL of a PostgreSQL database.
    pub ledger: String,
    /// Who issues, as bills say.
    pub issuer: String,
    /// How long usage is kept in the lake; none: for ever. Versions that bills name are kept all the same.
    pub usage_kept: Option<SignedDuration>,
    /// How often is looked whether a run is due.
    pub look_every: Duration,
    /// What time it is.
    pub clock: fn() -> Timestamp,
    /// Whether this replica is to work; which one does saves work and decides nothing.
    pub leads: fn(&Metrics) -> bool,
}

impl fmt::Debug for BillingSettings {
    /// The address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BillingSettings")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl BillingSettings {
    /// Bills into a ledger, by the real clock, while this replica leads.
    pub fn into_ledger(ledger: String) -> Self {
        Self {
            ledger,
            issuer: "maru".to_owned(),
            usage_kept: None,
            look_every: Duration::from_secs(10),
            clock: Timestamp::now,
            leads: |metrics| metrics.leader.get() == 1,
        }
    }
}

/// What a run was worked out for last: its generation and the hour.
type Worked = (Option<i64>, Timestamp);

/// What runs is held against what is metered as soon as an hour is recorded.
#[derive(Default)]
struct Hourly {
    memory: reconcile::Memory,
    closed: Option<i64>,
    looked: Looked,
}

impl Hourly {
    /// Looks, where an hour was recorded since the last look.
    async fn look(&mut self, client: &Client, lake: &Arc<Lake>, metrics: &Metrics) -> Option<&Looked> {
        let closed = metrics.closed(Source::Pods.name());
        if closed == 0 || self.closed == Some(closed) {
            return None;
        }
        match reconcile::look(client, lake, &mut self.memory).await {
            Ok(looked) if looked.until.is_some() => {
                reconcile::say(metrics, &looked);
                self.closed = Some(closed);
                self.looked = looked;
                Some(&self.looked)
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "what runs was not held against what is metered, and is again");
                None
            }
        }
    }
}

/// All billing runs, where the API server tells them.
async fn listed(runs: &Api<BillingRun>) -> Option<Vec<BillingRun>> {
    let listed = listing::all(runs, &kube::api::ListParams::default()).await;
    let untold = |error: &kube::Error| tracing::warn!(%error, "the billing runs could not be listed");
    listed.inspect_err(untold).ok()
}

/// Works on billing runs until `shutdown`. What fails is logged, said in the run's conditions and tried again.
pub fn run(
    client: Client,
    lake: Arc<Lake>,
    settings: BillingSettings,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> BoxFuture<'static, ()> {
    async move {
        let runs = Api::<BillingRun>::all(client.clone());
        let events = Events::new(client.clone());
        let mut changes = watcher(runs.clone(), Config::default()).default_backoff().boxed();
        let mut looks = tokio::time::interval(settings.look_every);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut worked: HashMap<String, Worked> = HashMap::new();
        let mut doubtful: HashMap<String, [usize; 2]> = HashMap::new();
        let mut hourly = Hourly::default();
        let mut upkeep = upkeep::Upkeep::default();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(_) = changes.next() => {}
                _ = looks.tick() => {}
            }
            if !(settings.leads)(&metrics) {
                continue;
            }
            let Some(listed) = listed(&runs).await else {
                continue;
            };
            let looked = tokio::select! {
                () = shutdown.cancelled() => return,
                looked = hourly.look(&client, &lake, &metrics) => looked,
            };
            if let Some(looked) = looked {
                for run in &listed {
                    if let Err(error) = report::reconciled(&runs, run, looked, (settings.clock)()).await {
                        tracing::warn!(%error, run = run.name_any(), "what runs and is metered could not be said");
                    }
                }
                // Whoever writes next must have seen what was just written.
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = upkeep.look(&lake, &settings, (settings.clock)(), &metrics) => {}
            }
            for run in listed {
                let now = (settings.clock)();
                let due = (run.metadata.generation, hour_of(now));
                if worked.get(&run.name_any()) == Some(&due) || run.metadata.deletion_timestamp.is_some() {
                    continue;
                }
                let turn = work::turn(&client, &lake, &settings, &run, now);
                let said = tokio::select! {
                    () = shutdown.cancelled() => return,
                    said = turn => said,
                };
                let again = said.is_failure();
                metrics.billed(said.reason());
                match said.doubtful() {
                    Some(hours) => drop(doubtful.insert(run.name_any(), hours)),
                    None => drop(doubtful.remove(&run.name_any())),
                }
                let sum = |place: usize| doubtful.values().map(|hours| hours[place]).sum();
                metrics.doubtful(sum(0), sum(1));
                match report::write(&runs, &events, &run, said, now).await {
                    Ok(()) if !again => {
                        worked.insert(run.name_any(), due);
                    }
                    Ok(()) => {}
                    Err(error) => tracing::warn!(%error, run = run.name_any(), "the status was not taken"),
                }
            }
        }
    }
    .boxed()
}
