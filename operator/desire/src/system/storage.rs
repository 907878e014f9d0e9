//! Volumes: claims for what outlives the pods, and what pods mount.
//!
//! A claim is written as long as the spec names it and is never swept with a change of the spec, for its files are the tenant's.
//! It goes with the system, and only where `deletionPolicy: Delete` was set before (`crate::deletion`).

use super::pod::Part;
use super::site::Site;
use crate::manifest::wanted;
use crate::names;
use crate::object::{ObjectKind, WantedObject};
use crate::plan::Problem;
use crate::quantity::{Resource, bytes};
use crate::reason::Reason;
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume as PodVolume, VolumeMount,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use maru_crds::{AccessMode, PersistentVolume, Volume};
use std::collections::{BTreeMap, BTreeSet};

/// The volumes of a part that outlive its pods.
pub(super) fn persistent<'a>(part: &Part<'a>) -> impl Iterator<Item = (&'a Volume, &'a PersistentVolume)> {
    part.volumes
        .iter()
        .filter_map(|volume| Some((volume, volume.persistent.as_ref()?)))
}

/// The claims of a part. One that is larger already than the spec says stays as large as it is.
pub(super) fn claims(site: &Site<'_>, part: &Part<'_>) -> Vec<WantedObject> {
    let written = persistent(part).map(|(volume, persistent)| {
        let name = names::claim_name(&site.key.name, part.name, &volume.name);
        let storage = larger(site, &name, persistent).map_or_else(|| bytes(&persistent.size), bytes);
        let PersistentVolume {
            size: _,
            storage_class_name,
            access_mode,
        } = persistent;
        let spec = PersistentVolumeClaimSpec {
            access_modes: Some(vec![mode(*access_mode).to_owned()]),
            resources: Some(requests(storage)),
            storage_class_name: storage_class_name.clone(),
            ..PersistentVolumeClaimSpec::default()
        };
        let claim = PersistentVolumeClaim {
            metadata: site.metadata(name, Some(part.name)),
            spec: Some(spec),
            status: None,
        };
        wanted(ObjectKind::PersistentVolumeClaim, &claim)
    });
    written.collect()
}

fn requests(size: Quantity) -> VolumeResourceRequirements {
    VolumeResourceRequirements {
        limits: None,
        requests: Some(BTreeMap::from([("storage".to_owned(), size)])),
    }
}

/// What stands in the way of a part's volumes.
pub(super) fn problems(site: &Site<'_>, part: &Part<'_>) -> Vec<Problem> {
    let shrinks = persistent(part).filter_map(|(volume, persistent)| {
        let name = names::claim_name(&site.key.name, part.name, &volume.name);
        let present = larger(site, &name, persistent)?;
        let message = format!(
            "volume {} of {} has {present} and cannot shrink to {}: give size {present} or more, or add a volume of another name and \
             move the files",
            volume.name, part.name, persistent.size
        );
        Some(Problem::new(Reason::VolumeCannotShrink, message))
    });
    shrinks.collect()
}

/// The size that a claim has, where that is more than the spec says.
fn larger<'a>(site: &Site<'a>, claim: &str, persistent: &PersistentVolume) -> Option<&'a str> {
    let present = site.facts.volumes.get(claim)?.requested.as_str();
    let has = Resource::Storage.read(present).ok()?;
    let asked = Resource::Storage.read(&persistent.size).ok()?;
    (has > asked).then_some(present)
}

/// The claims that are the system's and that its spec no longer names.
pub(super) fn left(site: &Site<'_>) -> Vec<String> {
    let named: BTreeSet<String> = site
        .spec()
        .components
        .iter()
        .map(Part::from)
        .chain(site.spec().jobs.iter().map(Part::from))
        .flat_map(|part| {
            persistent(&part)
                .map(|(volume, _)| names::claim_name(&site.key.name, part.name, &volume.name))
                .collect::<Vec<_>>()
        })
        .collect();
    let there = site.facts.volumes.keys();
    there.filter(|claim| !named.contains(*claim)).cloned().collect()
}

/// Whether only pods of one node, or one pod, can mount one of the part's volumes: then an old pod must be gone before a new one
/// can start.
pub(super) fn is_exclusive(part: &Part<'_>) -> bool {
    persistent(part).any(|(_, volume)| {
        matches!(
            volume.access_mode,
            AccessMode::ReadWriteOnce | AccessMode::ReadWriteOncePod
        )
    })
}

/// A volume as a pod of the part has it.
pub(super) fn pod_volume(system: &str, part: &Part<'_>, volume: &Volume) -> PodVolume {
    let Volume {
        name,
        mount_path: _,
        read_only: _,
        persistent,
        empty_dir,
        secret_ref,
        config_map_ref,
    } = volume;
    PodVolume {
        config_map: config_map_ref.as_ref().map(|map| ConfigMapVolumeSource {
            name: map.name.clone(),
            ..ConfigMapVolumeSource::default()
        }),
        empty_dir: empty_dir.as_ref().map(|empty| EmptyDirVolumeSource {
            medium: None,
            size_limit: empty.size.as_deref().map(bytes),
            ..EmptyDirVolumeSource::default()
        }),
        name: name.clone(),
        persistent_volume_claim: persistent.as_ref().map(|_| PersistentVolumeClaimVolumeSource {
            claim_name: names::claim_name(system, part.name, name),
            read_only: None,
        }),
        secret: secret_ref.as_ref().map(|secret| SecretVolumeSource {
            secret_name: Some(secret.name.clone()),
            ..SecretVolumeSource::default()
        }),
        ..PodVolume::default()
    }
}

/// Where the container finds a volume.
pub(super) fn mount(volume: &Volume) -> VolumeMount {
    VolumeMount {
        mount_path: volume.mount_path.clone(),
        name: volume.name.clone(),
        read_only: volume.read_only.then_some(true),
        ..VolumeMount::default()
    }
}

const fn mode(mode: AccessMode) -> &'static str {
    match mode {
        AccessMode::ReadWriteOnce => "ReadWriteOnce",
        AccessMode::ReadWriteOncePod => "ReadWriteOncePod",
        AccessMode::ReadOnlyMany => "ReadOnlyMany",
        AccessMode::ReadWriteMany => "ReadWriteMany",
    }
}
