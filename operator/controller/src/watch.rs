//! The watches: each feeds what it hears to the world and puts who must be looked at into the queue.

use crate::Shared;
use crate::metrics::KindLabels;
use crate::world::{Urgency, Wake};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject};
use kube::core::ApiResource;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Client, Resource};
use maru_crds::{Agency, AgencySystem};
use maru_desire::{MANAGED_BY, MANAGED_BY_LABEL, ObjectKind, RouteApi, SYSTEM_LABEL};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Figures of use may wait this long, so that many pods starting at once are one look at the agency.
const LATER: Duration = Duration::from_secs(3);

/// Starts every watch. The receiver counts those whose first list has arrived.
pub(crate) fn start(client: &Client, shared: &Arc<Shared>, tasks: &mut JoinSet<()>) -> (usize, watch::Receiver<usize>) {
    let (listed, listed_count) = watch::channel(0);
    let listed = Arc::new(listed);
    let mut count = 0;
    let mut spawn = |task| {
        count += 1;
        tasks.spawn(task);
    };
    let everything = Config::default().streaming_lists();
    let ours = everything.clone().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    let of_systems = everything.clone().labels(SYSTEM_LABEL);

    let feed = Feed::new(client, shared, &listed);
    spawn(feed.run(
        "Agency",
        Api::<Agency>::all(client.clone()),
        everything.clone(),
        |shared, event| shared.world.on_agency(event),
    ));
    spawn(feed.run(
        "AgencySystem",
        Api::<AgencySystem>::all(client.clone()),
        everything.clone(),
        |shared, event| shared.world.on_system(event),
    ));
    spawn(
        feed.run("Pod", Api::<Pod>::all(client.clone()), of_systems, |shared, event| {
            shared.world.on_pod(&event)
        }),
    );
    for kind in ObjectKind::ALL
        .into_iter()
        .filter(|kind| is_watched(*kind, shared.world.platform().route_api))
    {
        let config = if kind == ObjectKind::Namespace {
            everything.clone()
        } else {
            ours.clone()
        };
        spawn(feed.run_dynamic(kind, config));
    }
    (count, listed_count)
}

/// Only the kind of route that is written is watched: the other one's API may not be there.
pub(crate) fn is_watched(kind: ObjectKind, routes: RouteApi) -> bool {
    match kind {
        ObjectKind::HttpRoute => routes == RouteApi::HttpRoute,
        ObjectKind::Ingress => routes == RouteApi::Ingress,
        _ => true,
    }
}

/// A kind as the API server serves it.
pub(crate) fn resource_of(kind: ObjectKind) -> ApiResource {
    ApiResource {
        group: kind.group().to_owned(),
        version: kind.version().to_owned(),
        api_version: kind.api_version(),
        kind: kind.kind().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

struct Feed {
    client: Client,
    shared: Arc<Shared>,
    listed: Arc<watch::Sender<usize>>,
}

impl Feed {
    fn new(client: &Client, shared: &Arc<Shared>, listed: &Arc<watch::Sender<usize>>) -> Self {
        Self {
            client: client.clone(),
            shared: Arc::clone(shared),
            listed: Arc::clone(listed),
        }
    }

    fn run<K, F>(
        &self,
        name: &'static str,
        api: Api<K>,
        config: Config,
        take_in: F,
    ) -> futures::future::BoxFuture<'static, ()>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        F: Fn(&Shared, Event<K>) -> Wake + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let listed = Arc::clone(&self.listed);
        Box::pin(async move {
            let mut events = Box::pin(watcher(api, config).backoff(Retry::default()));
            let mut first = true;
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        let complete = matches!(event, Event::InitDone);
                        let wake = take_in(&shared, event);
                        shared.enqueue(wake);
                        if complete && std::mem::take(&mut first) {
                            listed.send_modify(|count| *count += 1);
                        }
                    }
                    Err(error) => {
                        shared
                            .metrics
                            .watch_errors
                            .get_or_create(&KindLabels { kind: name })
                            .inc();
                        tracing::warn!(kind = name, %error, "the watch failed and is taken up again");
                    }
                }
            }
        })
    }

    fn run_dynamic(&self, kind: ObjectKind, config: Config) -> futures::future::BoxFuture<'static, ()> {
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &resource_of(kind));
        self.run(kind.kind(), api, config, move |shared, event| match kind {
            ObjectKind::Namespace => shared.world.on_namespace(event),
            _ => shared.world.on_child(kind, &event),
        })
    }
}

/// How long a watch that failed waits before it is taken up again: longer each time, up to five seconds. Long enough not to
/// trouble an API server, short enough that a kind that was away and is back is served at once.
struct Retry(Duration);

const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(5);

impl Default for Retry {
    fn default() -> Self {
        Self(FIRST_RETRY)
    }
}

impl Iterator for Retry {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.0;
        self.0 = LAST_RETRY.min(wait * 2);
        Some(wait)
    }
}

impl Backoff for Retry {
    fn reset(&mut self) {
        self.0 = FIRST_RETRY;
    }
}

impl Shared {
    /// Puts owners in their agencies' lines; nothing while this replica does not lead.
    pub(crate) fn enqueue(&self, wake: Wake) {
        if !self.leads() {
            return;
        }
        for (owner, urgency) in wake {
            let line = self.world.line_of(&owner);
            match urgency {
                Urgency::Now => self.queue.add(owner, line),
                Urgency::Later => self.queue.add_after(owner, line, LATER),
            }
        }
    }
}
