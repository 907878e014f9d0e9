//! What a loop asks of the API server and tells it, besides following.

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use maru_desire::{AGENCY_LABEL, METERING_FINALIZER};
use maru_meter::Release;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// Finalizers that are taken off at a time.
const RELEASES: usize = 16;

/// Namespaces and the agencies that they belong to.
pub(super) type Owners = Vec<(String, Option<String>)>;

/// How far the API server was at a moment: what happened before has at most this version.
pub(super) struct Fence {
    pub(super) moment: Timestamp,
    pub(super) version: u64,
}

/// The API server reports whole seconds.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// How far the API server is now, read past every cache.
pub(super) async fn ask<K>(api: Api<K>) -> Option<Fence>
where
    K: Clone + DeserializeOwned + Debug,
{
    let moment = now();
    let listed = api.list_metadata(&ListParams::default().limit(1)).await;
    let version = listed.ok()?.metadata.resource_version?;
    Some(Fence {
        moment,
        version: version.parse().ok()?,
    })
}

/// Whose namespaces are that the watch did not tell of: one that is not there is nobody's.
pub(super) async fn whose(client: Client, names: BTreeSet<String>) -> Owners {
    let api = Api::<Namespace>::all(client);
    let mut owners = Vec::new();
    for name in names {
        match api.get_metadata_opt(&name).await {
            Ok(found) => {
                let agency = found.and_then(|namespace| namespace.labels().get(AGENCY_LABEL).cloned());
                owners.push((name, agency));
            }
            Err(error) => tracing::debug!(%error, name, "a namespace could not be read"),
        }
    }
    owners
}

/// Takes the finalizer off. Says where it is off now.
pub(super) async fn release<K>(api: Api<K>, releases: Vec<Release>) -> Vec<Release>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let client = api.into_client();
    let one = |release: Release| {
        let api = Api::<K>::namespaced(client.clone(), &release.namespace);
        async move {
            // The uid makes the patch fail for a successor of the same name.
            let patch = json!({"metadata": {
                "uid": release.uid,
                "$deleteFromPrimitiveList/finalizers": [METERING_FINALIZER],
            }});
            let patched = api
                .patch_metadata(&release.name, &PatchParams::default(), &Patch::Strategic(&patch))
                .await;
            match patched {
                Ok(_) => Some(release),
                Err(kube::Error::Api(status)) if status.code == 404 => Some(release),
                Err(error) => {
                    tracing::warn!(%error, name = release.name, "a metering finalizer was not taken off and is tried again");
                    None
                }
            }
        }
        .boxed()
    };
    let done = futures::stream::iter(releases.into_iter().map(one)).buffer_unordered(RELEASES);
    done.filter_map(std::future::ready).collect().await
}
