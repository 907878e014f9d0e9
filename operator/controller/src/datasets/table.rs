//! What the watches of one kind last said.

use futures::StreamExt;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Resource, ResourceExt};
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

    pub(crate) fn put(&self, key: SystemKey, value: V) -> Option<V> {
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

pub(crate) fn key_of<K: Resource>(object: &K) -> SystemKey {
    SystemKey::new(object.namespace().unwrap_or_default(), object.name_any())
}
