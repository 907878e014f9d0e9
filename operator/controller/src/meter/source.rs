//! One source's loop: what is heard goes into the book, what is due into the lake.

use super::Pace;
use super::cluster::{Fence, Owners, ask, now, release, whose};
use super::follow::{News, follow};
use crate::Metrics;
use crate::metrics::SourceLabels;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::{Client, Resource, ResourceExt};
use maru_desire::AGENCY_LABEL;
use maru_lake::{Appended, Lake, LakeError};
use maru_meter::{Batch, Book, Checkpoint, Heard, Observed, Release, Source};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Records that are written at once: enough for few files, few enough to stay small in memory.
const AT_ONCE: usize = 50_000;
/// How often is asked how far the API server is.
const ASK_EVERY: Duration = Duration::from_secs(15);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What a write came to.
struct Written {
    batch: Batch,
    appended: Appended,
}

/// A source's loop.
pub(super) struct Loop<K> {
    api: Api<K>,
    client: Client,
    lake: Arc<Lake>,
    pace: Pace,
    metrics: Arc<Metrics>,
    source: Source,
    observe: fn(&K) -> Observed,
    book: Book,
    version: Option<String>,
    kept: Option<String>,
    /// Whether what is heard happens now.
    live: bool,
    fence: Option<Fence>,
    list_began: Timestamp,
    writing: Option<JoinHandle<Result<Written, LakeError>>>,
    releasing: Option<JoinHandle<Vec<Release>>>,
    asking: Option<JoinHandle<Option<Fence>>>,
    resolving: Option<JoinHandle<Owners>>,
    keeping: Option<JoinHandle<Result<String, LakeError>>>,
    pause: Duration,
    rests_until: Instant,
    asked: Option<Instant>,
    kept_at: Instant,
}

impl<K> Loop<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + k8s_openapi::Resource
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    pub(super) fn new(
        client: &Client,
        lake: &Arc<Lake>,
        pace: Pace,
        metrics: &Arc<Metrics>,
        source: Source,
        observe: fn(&K) -> Observed,
    ) -> Self {
        Self {
            api: Api::all(client.clone()),
            client: client.clone(),
            lake: Arc::clone(lake),
            pace,
            metrics: Arc::clone(metrics),
            source,
            observe,
            book: Book::new(source, now(), margin(pace)),
            version: None,
            kept: None,
            live: false,
            fence: None,
            list_began: now(),
            writing: None,
            releasing: None,
            asking: None,
            resolving: None,
            keeping: None,
            pause: pace.every,
            rests_until: Instant::now(),
            asked: None,
            kept_at: Instant::now(),
        }
    }

    /// Meters until `shutdown`.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        if !self.restore(&shutdown).await {
            return;
        }
        let mut namespaces = follow(Api::<Namespace>::all(self.client.clone()), None);
        if !self.first_namespaces(&mut namespaces, &shutdown).await {
            return;
        }
        let mut objects = follow(self.api.clone(), self.version.clone());
        let mut ticks = tokio::time::interval(self.pace.every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(news) = namespaces.recv() => self.hear_of_namespace(news),
                Some(news) = objects.recv() => self.hear(news),
                written = done(&mut self.writing) => self.is_written(written),
                released = done(&mut self.releasing) => self.are_released(released),
                fence = done(&mut self.asking) => self.fence = fence.ok().flatten().or(self.fence.take()),
                owners = done(&mut self.resolving) => {
                    for (name, agency) in owners.unwrap_or_default() {
                        self.book.namespace(&name, agency.as_deref());
                    }
                }
                kept = done(&mut self.keeping) => self.is_kept(kept),
                _ = ticks.tick() => {}
            }
            self.pass_fence();
            self.begin();
        }
        self.finish().await;
    }

    /// Takes up what was kept. An answer is waited for: without it, what was held by names that are used again would be an estimate.
    async fn restore(&mut self, shutdown: &CancellationToken) -> bool {
        loop {
            let (lake, name) = (Arc::clone(&self.lake), self.source.name());
            let kept = tokio::task::spawn_blocking(move || lake.kept(name)).await;
            match kept
                .map_err(|error| error.to_string())
                .and_then(|kept| kept.map_err(|error| error.to_string()))
            {
                Ok(None) => return true,
                Ok(Some(bytes)) => {
                    match serde_json::from_slice::<Checkpoint>(&bytes) {
                        Ok(checkpoint) => {
                            self.book = Book::restore(self.source, &checkpoint, margin(self.pace));
                            self.version = Some(checkpoint.version.clone());
                            self.kept = Some(checkpoint.version);
                        }
                        Err(error) => {
                            tracing::warn!(%error, source = name, "what was kept cannot be read: begins with a list");
                        }
                    }
                    return true;
                }
                Err(error) => {
                    self.failed("Read", &error);
                    tokio::select! {
                        () = shutdown.cancelled() => return false,
                        () = tokio::time::sleep(self.pause) => {}
                    }
                }
            }
        }
    }

    /// Waits until it is known whose the namespaces are.
    async fn first_namespaces(&mut self, news: &mut Receiver<News<Namespace>>, shutdown: &CancellationToken) -> bool {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return false,
                said = news.recv() => match said {
                    None => return false,
                    Some(News::Complete(_)) => return true,
                    Some(said) => self.hear_of_namespace(said),
                }
            }
        }
    }

    fn hear_of_namespace(&mut self, news: News<Namespace>) {
        match news {
            News::Listed(namespace) | News::Applied(namespace) => {
                let agency = namespace.labels().get(AGENCY_LABEL).map(String::as_str);
                self.book.namespace(&namespace.name_any(), agency);
            }
            // What was in it was its agency's.
            News::Begin | News::Complete(_) | News::Deleted(_) | News::Version(_) => {}
            News::Interrupted(error) => self.failed("Watch", &error),
        }
    }

    fn hear(&mut self, news: News<K>) {
        let heard = if self.live { Heard::Live } else { Heard::Later };
        match news {
            News::Begin => {
                self.list_began = now();
                self.book.begin_list();
            }
            News::Listed(object) => self.book.see(&(self.observe)(&object), now(), Heard::Listed),
            News::Complete(version) => {
                self.book.end_list();
                self.book.is_current(self.list_began);
                self.version = Some(version);
                self.live = true;
                self.fence = None;
            }
            News::Applied(object) => self.book.see(&(self.observe)(&object), now(), heard),
            News::Deleted(object) => self.book.gone(&(self.observe)(&object), now(), heard),
            News::Version(version) => self.version = Some(version),
            News::Interrupted(error) => {
                self.live = false;
                self.fence = None;
                self.failed("Watch", &error);
            }
        }
    }

    /// Where the watch has said all that the API server knew at a moment, everything before that moment is known.
    fn pass_fence(&mut self) {
        let heard = self.version.as_deref().and_then(|version| version.parse::<u64>().ok());
        if let Some(fence) = self
            .fence
            .take_if(|fence| heard.is_some_and(|heard| heard >= fence.version))
        {
            self.book.is_current(fence.moment);
            self.live = true;
        }
    }

    /// Begins whatever is due and does not run yet.
    fn begin(&mut self) {
        self.say_figures();
        if self.asking.is_none() && self.fence.is_none() && self.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY)
        {
            self.asked = Some(Instant::now());
            self.asking = Some(tokio::spawn(ask(self.api.clone())));
        }
        if self.writing.is_none() && Instant::now() >= self.rests_until {
            let batch = self.book.due(now(), AT_ONCE);
            if self.resolving.is_none() && !batch.unknown.is_empty() {
                self.resolving = Some(tokio::spawn(whose(self.client.clone(), batch.unknown.clone())));
            }
            if !batch.is_empty() {
                self.writing = Some(self.write(batch));
            }
        }
        if self.releasing.is_none() {
            let releases = self.book.releases();
            if !releases.is_empty() {
                self.releasing = Some(tokio::spawn(release(self.api.clone(), releases)));
            }
        }
        if self.keeping.is_none() && self.kept_at.elapsed() >= self.pace.keep_every && self.kept != self.version {
            self.keeping = self.checkpoint().map(|checkpoint| {
                let (lake, name) = (Arc::clone(&self.lake), self.source.name());
                tokio::task::spawn_blocking(move || keep(&lake, name, &checkpoint))
            });
            self.kept_at = Instant::now();
        }
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.version.as_deref().map(|version| self.book.checkpoint(version))
    }

    fn write(&self, batch: Batch) -> JoinHandle<Result<Written, LakeError>> {
        let (lake, name) = (Arc::clone(&self.lake), self.source.name());
        let before = batch.closing.and_then(|_| self.checkpoint());
        tokio::task::spawn_blocking(move || {
            if let Some(checkpoint) = before {
                keep(&lake, name, &checkpoint)?;
            }
            let appended = lake.append(&batch.records)?;
            Ok(Written { batch, appended })
        })
    }

    fn is_written(&mut self, written: Joined<Result<Written, LakeError>>) {
        match flat(written) {
            Err(error) => self.failed("Write", &error),
            Ok(Written { batch, appended }) => {
                self.book.written(&batch);
                self.pause = self.pace.every;
                // A full batch has left something behind: the hourly cut of many pods does not rest between its parts.
                let rest = if batch.records.len() < AT_ONCE {
                    self.pace.every
                } else {
                    Duration::ZERO
                };
                self.rests_until = Instant::now() + rest;
                self.count(&appended);
                for id in &appended.conflicts {
                    tracing::error!(
                        id,
                        "a record contradicts what the lake holds: what was there first counts"
                    );
                }
            }
        }
    }

    fn are_released(&mut self, released: Joined<Vec<Release>>) {
        for release in released.unwrap_or_default() {
            self.book.released(&release);
        }
    }

    fn is_kept(&mut self, kept: Joined<Result<String, LakeError>>) {
        match flat(kept) {
            Ok(version) => self.kept = Some(version),
            Err(error) => self.failed("Keep", &error),
        }
    }

    /// In the end: what is being written is waited for, and the place is kept.
    async fn finish(mut self) {
        if let Some(writing) = self.writing.take() {
            let written = writing.await;
            self.is_written(written);
        }
        if let Some(checkpoint) = self.checkpoint() {
            let (lake, name) = (Arc::clone(&self.lake), self.source.name());
            let kept = tokio::task::spawn_blocking(move || keep(&lake, name, &checkpoint)).await;
            self.is_kept(kept);
        }
    }

    fn failed(&mut self, step: &'static str, error: &str) {
        let source = self.source.name();
        tracing::warn!(
            source,
            step,
            error,
            "metering failed for now and is tried again; nothing is lost"
        );
        self.metrics.metering_failed(source, step);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.rests_until = Instant::now() + self.pause;
    }

    fn count(&self, appended: &Appended) {
        let source = self.source.name();
        for (outcome, count) in [
            ("Added", appended.added),
            ("Bettered", appended.bettered),
            ("Known", appended.known),
            ("Conflict", appended.conflicts.len()),
        ] {
            self.metrics.metered(source, outcome, count);
        }
    }

    fn say_figures(&self) {
        let labels = SourceLabels {
            source: self.source.name(),
        };
        let figures = [
            (&self.metrics.metering_objects, self.book.len()),
            (&self.metrics.metering_waiting, self.book.waiting()),
        ];
        for (gauge, figure) in figures {
            gauge
                .get_or_create(&labels)
                .set(i64::try_from(figure).unwrap_or(i64::MAX));
        }
        self.metrics.is_closed(labels.source, self.book.closed().as_second());
    }
}

type Joined<T> = Result<T, tokio::task::JoinError>;

/// The end of a task, once; never where none runs.
async fn done<T>(task: &mut Option<JoinHandle<T>>) -> Joined<T> {
    let joined = match task {
        Some(running) => running.await,
        None => std::future::pending().await,
    };
    *task = None;
    joined
}

fn flat<T>(joined: Joined<Result<T, LakeError>>) -> Result<T, String> {
    joined
        .map_err(|error| error.to_string())
        .and_then(|result| result.map_err(|error| error.to_string()))
}

fn margin(pace: Pace) -> SignedDuration {
    SignedDuration::try_from(pace.margin).unwrap_or(SignedDuration::MAX)
}

fn keep(lake: &Lake, name: &str, checkpoint: &Checkpoint) -> Result<String, LakeError> {
    let bytes = serde_json::to_vec(checkpoint).map_err(|error| LakeError::Unwritable(error.to_string()))?;
    lake.keep(name, &bytes)?;
    Ok(checkpoint.version.clone())
}
