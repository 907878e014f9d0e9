//! Agencies and systems in number: what people apply, and the bare loop that writes by itself what the operator wrote.

use super::Outcome;
use crate::bare::{Write, bare, is_ready, primary, resource};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use kube::{Client, ResourceExt};
use maru_crds::{Agency, AgencySystem};
use maru_desire::{AGENCY_LABEL, MANAGED_BY, MANAGED_BY_LABEL, ObjectKind};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) agencies: usize,
    pub(super) systems_each: usize,
}

impl Size {
    pub(super) const fn systems(self) -> usize {
        self.agencies * self.systems_each
    }
}

/// The name of an agency and of its namespace.
pub(super) fn name(index: usize) -> String {
    format!("agency-{index:05}")
}

/// A system that is suspended: all of its objects are there and no pods run, for simulated pods would take most of the time.
pub(super) fn system(namespace: &str, index: usize) -> Value {
    let mut system = maru_stories::system(namespace, &format!("system-{index}"));
    system["spec"]["suspended"] = json!(true);
    system
}

/// Applies so many agencies with their systems, so many at once, and waits until all of them are ready.
pub(super) async fn all_ready(client: &Client, size: Size, at_once: usize) -> Outcome<Duration> {
    let began = Instant::now();
    let counting = tokio::spawn(until_ready(client.clone(), size));
    let (there, namespaces) = watch::channel(BTreeSet::new());
    let watching = tokio::spawn(namespaces_there(client.clone(), there));
    futures::stream::iter(0..size.agencies)
        .map(|index| feed(client.clone(), name(index), size.systems_each, namespaces.clone()))
        .buffer_unordered(at_once)
        .try_collect::<Vec<()>>()
        .await?;
    watching.abort();
    counting.await??;
    Ok(began.elapsed())
}

/// Tells of every namespace as it comes: people who ask over and over would keep the API server from its work.
async fn namespaces_there(client: Client, there: watch::Sender<BTreeSet<String>>) {
    let api = Api::<PartialObjectMeta<Namespace>>::all(client);
    let watched = watcher(api, Config::default()).default_backoff();
    let mut seen = std::pin::pin!(watched.applied_objects());
    while let Some(seen) = seen.next().await {
        if let Ok(namespace) = seen {
            there.send_modify(|all| {
                all.insert(namespace.name_any());
            });
        }
    }
}

async fn feed(
    client: Client,
    name: String,
    systems: usize,
    mut namespaces: watch::Receiver<BTreeSet<String>>,
) -> Outcome<()> {
    apply(&client, "people", &maru_stories::agency(&name)).await?;
    namespaces.wait_for(|there| there.contains(&name)).await?;
    for index in 0..systems {
        apply(&client, "people", &system(&name, index)).await?;
    }
    Ok(())
}

async fn apply(client: &Client, manager: &str, object: &Value) -> Outcome<()> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let params = PatchParams::apply(manager).force();
    let patch = Patch::Apply(object);
    if object["kind"] == "Agency" {
        Api::<Agency>::all(client.clone()).patch(name, &params, &patch).await?;
    } else {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let systems = Api::<AgencySystem>::namespaced(client.clone(), namespace);
        systems.patch(name, &params, &patch).await?;
    }
    Ok(())
}

/// Watches until as many agencies and systems are ready as there are to be.
async fn until_ready(client: Client, size: Size) -> Outcome<()> {
    let config = Config::default().streaming_lists();
    let agencies = watcher(Api::<Agency>::all(client.clone()), config.clone()).default_backoff();
    let systems = watcher(Api::<AgencySystem>::all(client), config).default_backoff();
    let agencies = agencies.applied_objects().map_ok(|agency| {
        let conditions = agency.status.as_ref().map(|status| status.conditions.as_slice());
        (format!("/{}", agency.name_any()), is_ready(conditions))
    });
    let systems = systems.applied_objects().map_ok(|system| {
        let conditions = system.status.as_ref().map(|status| status.conditions.as_slice());
        let key = format!("{}/{}", system.namespace().unwrap_or_default(), system.name_any());
        (key, is_ready(conditions))
    });
    let mut seen = std::pin::pin!(futures::stream::select(agencies, systems));
    let mut ready = BTreeSet::new();
    while let Some(seen) = seen.next().await {
        let Ok((key, is_ready)) = seen else { continue };
        if is_ready {
            ready.insert(key);
        } else {
            ready.remove(&key);
        }
        if ready.len() == size.agencies + size.systems() {
            return Ok(());
        }
    }
    Err("the watch ended".into())
}

/// Everything that stands in a cluster of agencies, as writes by agency: each object once, each status once.
pub(super) struct Script(Vec<Vec<Write>>);

impl Script {
    /// Reads it off a cluster that the operator has set up.
    pub(super) async fn read(client: &Client, size: Size) -> Outcome<Self> {
        let labels = ListParams::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
        let mut objects: BTreeMap<String, Vec<(ApiResource, DynamicObject)>> = BTreeMap::new();
        for kind in ObjectKind::ALL
            .into_iter()
            .filter(|kind| *kind != ObjectKind::HttpRoute)
        {
            let resource = resource(kind.group(), kind.version(), kind.kind(), kind.plural());
            let found = Api::<DynamicObject>::all_with(client.clone(), &resource)
                .list(&labels)
                .await?;
            for object in found {
                let agency = object.labels().get(AGENCY_LABEL).cloned().unwrap_or_default();
                objects
                    .entry(agency)
                    .or_default()
                    .push((resource.clone(), bare(object, &resource)));
            }
        }
        let agency = resource("maru.dev", "v1alpha1", "Agency", "agencies");
        let system = resource("maru.dev", "v1alpha1", "AgencySystem", "agencysystems");
        let mut scripts = Vec::with_capacity(size.agencies);
        for index in 0..size.agencies {
            let name = name(index);
            let mut writes = Vec::new();
            let one = Api::<DynamicObject>::all_with(client.clone(), &agency)
                .get(&name)
                .await?;
            let systems = Api::<DynamicObject>::namespaced_with(client.clone(), &name, &system);
            let systems = systems.list(&ListParams::default()).await?.items;
            let mut owned = objects.remove(&name).unwrap_or_default().into_iter();
            let mut statuses = Vec::new();
            let (apply, status) = primary(&agency, one);
            writes.push(apply);
            statuses.extend(status);
            writes.extend(owned.next().map(|(resource, object)| Write::Apply(resource, object)));
            for one in systems {
                let (apply, status) = primary(&system, one);
                writes.push(apply);
                statuses.extend(status);
            }
            writes.extend(owned.map(|(resource, object)| Write::Apply(resource, object)));
            writes.extend(statuses);
            scripts.push(writes);
        }
        Ok(Self(scripts))
    }

    /// How many writes it is.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Writes it into another cluster, so many agencies at once.
    pub(super) async fn play(self, client: &Client, at_once: usize) -> Outcome<Duration> {
        let began = Instant::now();
        futures::stream::iter(self.0)
            .map(|writes| async {
                for write in writes {
                    write.send(client.clone()).await?;
                }
                Outcome::Ok(())
            })
            .buffer_unordered(at_once)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(began.elapsed())
    }
}
