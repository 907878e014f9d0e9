//! Holding what runs against what is metered, once an hour. Everything is listed anew, past the watches that metering lives on, and
//! compared with the lake; nothing is put right by this.

use super::cluster::now;
use crate::Metrics;
use crate::listing;
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt};
use maru_desire::AGENCY_LABEL;
use maru_lake::{Lake, LakeError};
use maru_meter::reconcile::{Disagreement, Finding, Holder, Reconciliation};
use maru_meter::{Checkpoint, Interval, Observed, Source, hour_after};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;

/// How far back is looked.
const WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// Why nothing was held against anything.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// What runs cannot be listed.
    #[error("what runs cannot be listed: {0}")]
    Api(#[from] kube::Error),
    /// The lake cannot be read.
    #[error("the lake cannot be read: {0}")]
    Lake(#[from] LakeError),
    /// A task was ended.
    #[error("a task was ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// What a look came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Pods and volume claims of agencies.
    pub objects: usize,
    /// Records that were compared with them.
    pub records: u64,
    /// The earliest end of the hours that were looked at; none while no hour is recorded.
    pub until: Option<Timestamp>,
    /// What does not agree.
    pub findings: Vec<Finding>,
}

impl Looked {
    /// How many findings there are of a kind.
    pub fn count(&self, what: Disagreement) -> usize {
        self.findings.iter().filter(|finding| finding.what == what).count()
    }

    /// What it came to in a sentence that stays the same as long as nothing else is found.
    pub fn sentence(&self) -> String {
        let Some(first) = self.findings.first() else {
            return "what runs is metered; nothing is metered twice, or after it was gone".to_owned();
        };
        let counts = Disagreement::ALL.map(|what| format!("{} {}", self.count(what), what.name()));
        format!("{}: {first}", counts.join(", "))
    }
}

/// What earlier looks saw: an object that is no longer there never comes back, for its successor has another uid.
#[derive(Debug, Default)]
pub struct Memory {
    there: HashSet<String>,
    gone: BTreeMap<String, Timestamp>,
}

impl Memory {
    /// What is there at a moment.
    fn sees(&mut self, uids: HashSet<String>, at: Timestamp, forget: Timestamp) {
        for uid in self.there.difference(&uids) {
            self.gone.insert(uid.clone(), at);
        }
        self.gone.retain(|_, gone| *gone >= forget);
        self.there = uids;
    }
}

/// Up to which hour a source is recorded, as it last kept.
///
/// # Errors
/// Where the lake cannot be read.
pub fn closed(lake: &Lake, source: Source) -> Result<Option<Timestamp>, LakeError> {
    let kept = lake.kept(source.name())?;
    let checkpoint = kept.and_then(|bytes| serde_json::from_slice::<Checkpoint>(&bytes).ok());
    Ok(checkpoint.map(|checkpoint| checkpoint.closed()))
}

/// Looks at everything once.
///
/// # Errors
/// Where the API server or the lake do not answer.
pub async fn look(client: &Client, lake: &Arc<Lake>, memory: &mut Memory) -> Result<Looked, ReconcileError> {
    let mut looked = Looked::default();
    let ends = {
        let lake = Arc::clone(lake);
        tokio::task::spawn_blocking(move || {
            let pods = closed(&lake, Source::Pods)?;
            Ok::<_, LakeError>([(Source::Pods, pods), (Source::Volumes, closed(&lake, Source::Volumes)?)])
        })
        .await??
    };
    let namespaces = namespaces(client).await?;
    let observe_pod = |pod: &Pod| maru_meter::pods::observe(pod).0;
    let observe_claim = |claim: &PersistentVolumeClaim| maru_meter::volumes::observe(claim).0;
    let mut uids = HashSet::new();
    for (source, end) in ends {
        let holders = match source {
            Source::Pods => holders(Api::<Pod>::all(client.clone()), observe_pod, &namespaces).await?,
            Source::Volumes => {
                holders(
                    Api::<PersistentVolumeClaim>::all(client.clone()),
                    observe_claim,
                    &namespaces,
                )
                .await?
            }
        };
        looked.objects += holders.len();
        uids.extend(holders.iter().map(|holder| holder.observed.uid.clone()));
        let Some(end) = end else { continue };
        looked.until = Some(looked.until.map_or(end, |until| until.min(end)));
        let window = Interval {
            start: end - WINDOW,
            end,
        };
        let (lake, gone) = (Arc::clone(lake), memory.gone.clone());
        let compared = tokio::task::spawn_blocking(move || {
            let mut reconciliation = Reconciliation::new(source, window);
            if let Some(version) = lake.version()? {
                lake.each_at(version, window, |record| {
                    reconciliation.add(record);
                    Ok::<(), LakeError>(())
                })?;
            }
            Ok::<_, LakeError>((reconciliation.records(), reconciliation.findings(&holders, &gone)))
        });
        let (records, findings) = compared.await??;
        looked.records += records;
        looked.findings.extend(findings);
    }
    memory.sees(uids, now(), looked.until.map_or(Timestamp::MIN, |until| until - WINDOW));
    Ok(looked)
}

/// Says of a look what Prometheus is to see.
pub(crate) fn say(metrics: &Metrics, looked: &Looked) {
    for what in Disagreement::ALL {
        let count = i64::try_from(looked.count(what)).unwrap_or(i64::MAX);
        metrics.disagree(what.name(), count);
    }
    for finding in &looked.findings {
        tracing::error!(%finding, "what runs and what is metered do not agree");
    }
}

/// Namespaces of agencies, and the first full hour since which each is one's.
async fn namespaces(client: &Client) -> Result<HashMap<String, Option<Timestamp>>, kube::Error> {
    let mut found = HashMap::new();
    let api = Api::<Namespace>::all(client.clone());
    for namespace in listing::all_metadata(&api, &ListParams::default().labels(AGENCY_LABEL)).await? {
        let labelled = namespace.managed_fields().iter().filter(|entry| {
            let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:metadata"));
            let label = fields.and_then(|metadata| metadata.get("f:labels")?.get(format!("f:{AGENCY_LABEL}")));
            label.is_some()
        });
        let since = labelled
            .filter_map(|entry| entry.time.as_ref())
            .map(|time| hour_after(time.0))
            .max();
        found.insert(namespace.name_any(), since);
    }
    Ok(found)
}

/// What agencies have of a kind.
async fn holders<K>(
    api: Api<K>,
    observe: impl Fn(&K) -> Observed,
    namespaces: &HashMap<String, Option<Timestamp>>,
) -> Result<Vec<Holder>, kube::Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut found = Vec::new();
    let mut objects = pin!(listing::each(&api, &ListParams::default()));
    while let Some(object) = objects.try_next().await? {
        if let Some(since) = object.namespace().and_then(|namespace| namespaces.get(&namespace)) {
            found.push(Holder {
                observed: observe(&object),
                since: *since,
            });
        }
    }
    Ok(found)
}
