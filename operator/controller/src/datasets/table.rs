//! What the watches of one kind last said.

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Resource, ResourceExt};
use maru_apply::resource_version;
use maru_desire::SystemKey;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};

/// Objects by namespace (empty where there is none) and name, reduced to what is needed of them.
#[derive(Debug)]
pub(crate) struct Table<V>(RwLock<BTreeMap<SystemKey, V>>);

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

/// What a change means to those who wait for it.
pub(crate) enum Change<V> {
    /// An object came, went or changed; what it was before, and what it is.
    One(SystemKey, Option<V>, Option<V>),
    /// The whole list is new.
    All,
}

impl<V: Clone> Table<V> {
    pub(crate) fn get(&self, key: &SystemKey) -> Option<V> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Those that `wanted` lets through.
    pub(crate) fn all(&self, wanted: impl Fn(&SystemKey, &V) -> bool) -> Vec<(SystemKey, V)> {
        let live = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = live.iter().filter(|(key, value)| wanted(key, value));
        found.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn put(&self, key: SystemKey, value: V) -> Option<V> {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, value)
    }

    fn remove(&self, key: &SystemKey) -> Option<V> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    /// Keeps the table as the watch says, until it is dropped. A list takes the place of what was there only when it is whole, so that a
    /// cold cache never looks like objects that are gone.
    pub(crate) async fn feed<K>(
        self: Arc<Self>,
        api: Api<K>,
        keep: impl Fn(K) -> V + Send + 'static,
        tell: impl Fn(Change<V>) + Send + 'static,
    ) where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        V: Send + Sync,
    {
        let mut events = Box::pin(watcher(api, Config::default().streaming_lists()).default_backoff());
        let mut list = BTreeMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => list = BTreeMap::new(),
                Ok(Event::InitApply(object)) => {
                    list.insert(key_of(&object), keep(object));
                }
                Ok(Event::InitDone) => {
                    *self.0.write().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut list);
                    tell(Change::All);
                }
                Ok(Event::Apply(object)) => {
                    let key = key_of(&object);
                    let now = keep(object);
                    let before = self.put(key.clone(), now.clone());
                    tell(Change::One(key, before, Some(now)));
                }
                Ok(Event::Delete(object)) => {
                    let key = key_of(&object);
                    let before = self.remove(&key);
                    tell(Change::One(key, before, None));
                }
                Err(error) => tracing::warn!(%error, "a watch of data failed and is taken up again"),
            }
        }
    }
}

impl<K: Resource> Table<Arc<K>> {
    /// Takes what the API server answered to a write, unless the watch has seen a later state since: it would be lost otherwise, a deletion
    /// or a revocation too, for the watch tells of nothing twice.
    pub(crate) fn wrote(&self, written: K) {
        let mut live = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = live.get_mut(&key_of(&written))
            && known.meta().uid == written.meta().uid
            && version(written.meta()) > version(known.meta())
        {
            *known = Arc::new(written);
        }
    }
}

fn version(meta: &ObjectMeta) -> u64 {
    resource_version(meta.resource_version.as_deref())
}

pub(crate) fn key_of<K: Resource>(object: &K) -> SystemKey {
    SystemKey::new(object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;
    use maru_crds::DataGrant;
    use serde_json::json;

    fn grant(uid: &str, version: &str, revoked: bool) -> DataGrant {
        serde_json::from_value(json!({
            "apiVersion": "maru.dev/v1alpha1", "kind": "DataGrant",
            "metadata": {"name": "g", "namespace": "nts", "uid": uid, "resourceVersion": version},
            "spec": {
                "datasetRef": {"name": "d"}, "consumer": {"namespace": "mois", "name": "docs"}, "classification": "Open",
                "purpose": "p", "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-06-01T00:00:00Z",
                "tables": [{"name": "t", "columns": ["c"]}], "revoked": revoked,
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_revocation_that_the_watch_saw_is_not_forgotten_for_an_answer_to_an_earlier_write() {
        let table = Table::default();
        let key = SystemKey::new("nts", "g");
        let version = || {
            let known: Arc<DataGrant> = table.get(&key).unwrap();
            (known.metadata.resource_version.clone().unwrap(), known.spec.revoked)
        };
        table.put(key.clone(), Arc::new(grant("u", "99", false)));
        table.wrote(grant("u", "100", false));
        assert_eq!(
            version(),
            ("100".to_owned(), false),
            "an answer is known before the watch tells of it"
        );
        table.put(key.clone(), Arc::new(grant("u", "102", true)));
        table.wrote(grant("u", "101", false));
        assert_eq!(version(), ("102".to_owned(), true));
        table.wrote(grant("another", "103", false));
        assert_eq!(
            version(),
            ("102".to_owned(), true),
            "one that was made again is another one"
        );
        table.remove(&key);
        table.wrote(grant("u", "104", false));
        assert!(table.get(&key).is_none(), "what is gone stays gone");
    }
}
