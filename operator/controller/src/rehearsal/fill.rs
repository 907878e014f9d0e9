//! Filling the world from a cluster, once, through the same doors that the watches use.

use super::Rehearsal;
use crate::listing;
use crate::watch::{is_watched, resource_of};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, DynamicObject, ListParams};
use kube::runtime::watcher::Event;
use kube::{Client, Resource, ResourceExt};
use maru_apply::resource_version;
use maru_crds::{Agency, AgencySystem};
use maru_desire::{MANAGED_BY, MANAGED_BY_LABEL, ObjectKind, Platform};

impl Rehearsal {
    /// In a cluster as it is now. Reads every agency, system and namespace and what Maru wrote; writes nothing.
    ///
    /// # Errors
    /// Where one of these cannot be listed.
    pub async fn in_cluster(client: &Client, platform: Platform) -> Result<Self, kube::Error> {
        let mut rehearsal = Self::offline(platform);
        let everything = ListParams::default();
        let ours = everything.clone().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
        for agency in listing::all(&Api::<Agency>::all(client.clone()), &everything).await? {
            rehearsal.saw(&agency);
            rehearsal.world.on_agency(Event::Apply(agency));
        }
        for system in listing::all(&Api::<AgencySystem>::all(client.clone()), &everything).await? {
            rehearsal.saw(&system);
            rehearsal.world.on_system(Event::Apply(system));
        }
        let routes = rehearsal.world.platform().route_api;
        for kind in ObjectKind::ALL.into_iter().filter(|kind| is_watched(*kind, routes)) {
            let api = Api::<DynamicObject>::all_with(client.clone(), &resource_of(kind));
            let params = if kind == ObjectKind::Namespace {
                &everything
            } else {
                &ours
            };
            for object in listing::all(&api, params).await? {
                rehearsal.saw(&object);
                if kind == ObjectKind::Namespace {
                    rehearsal.world.on_namespace(Event::Apply(object));
                } else {
                    rehearsal.world.on_child(kind, &Event::Apply(object));
                }
            }
        }
        Ok(rehearsal)
    }

    /// Reads what must be kept when an agency is deleted: the volume claims in its namespaces.
    ///
    /// # Errors
    /// Where they cannot be listed.
    pub async fn read_claims(&mut self, client: &Client, agency: &str) -> Result<(), kube::Error> {
        let Some(agency) = self.world.agency(agency) else {
            return Ok(());
        };
        let namespaces: Vec<String> = self.world.agency_facts(&agency, false).namespaces.into_keys().collect();
        for namespace in namespaces {
            let api = Api::<PersistentVolumeClaim>::namespaced(client.clone(), &namespace);
            let claims = listing::all_metadata(&api, &ListParams::default()).await?;
            let names = claims
                .iter()
                .map(|claim| format!("PersistentVolumeClaim {namespace}/{}", claim.name_any()));
            self.claims.insert(namespace.clone(), names.collect());
        }
        Ok(())
    }

    fn saw<K: Resource>(&mut self, object: &K) {
        let version = resource_version(object.meta().resource_version.as_deref());
        self.version = self.version.max(version);
    }
}
