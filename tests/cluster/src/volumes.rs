//! Persistent volumes from folders of this machine, so that claims are bound and data outlives a pod.
//!
//! They serve the real node's pods and the simulated ones alike. Capacity is what the claim asked for; nothing
//! enforces it.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path};

use futures::StreamExt;
use k8s_openapi::api::{
    core::v1::{HostPathVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec},
    storage::v1::StorageClass,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ObjectMeta, PostParams},
    runtime::{WatchStreamExt, watcher},
};

use crate::error::{ClusterError, Doing};

/// The default storage class of a test cluster.
pub const STORAGE_CLASS: &str = "maru-test";

/// Who made a volume; Kubernetes keeps it in this annotation.
const PROVISIONER: &str = "maru.dev/test-volumes";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// Creates the storage class.
pub(crate) async fn install(client: &Client) -> Result<(), ClusterError> {
    let default = "storageclass.kubernetes.io/is-default-class";
    let class = StorageClass {
        metadata: ObjectMeta {
            name: Some(STORAGE_CLASS.to_owned()),
            annotations: Some(BTreeMap::from([(default.to_owned(), "true".to_owned())])),
            ..ObjectMeta::default()
        },
        provisioner: PROVISIONER.to_owned(),
        reclaim_policy: Some("Delete".to_owned()),
        volume_binding_mode: Some("Immediate".to_owned()),
        ..StorageClass::default()
    };
    let api: Api<StorageClass> = Api::all(client.clone());
    api.create(&PostParams::default(), &class).await?;
    Ok(())
}

/// Serves claims and takes released volumes away, with folders under `folder`, for as long as it is polled.
pub(crate) async fn serve(client: Client, folder: &Path) {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let claims = watcher(claims, watcher::Config::default())
        .default_backoff()
        .touched_objects();
    let volumes_seen = watcher(volumes.clone(), watcher::Config::default())
        .default_backoff()
        .touched_objects();
    let (mut claims, mut volumes_seen) = (Box::pin(claims), Box::pin(volumes_seen));
    loop {
        let outcome = tokio::select! {
            Some(Ok(claim)) = claims.next() => provide(&volumes, &claim, folder).await,
            Some(Ok(volume)) = volumes_seen.next() => take_away(&volumes, &volume, folder).await,
            else => return,
        };
        if let Err(error) = outcome {
            // It goes to the supervisor's log; the claim shows as pending.
            eprintln!("volumes: {error}");
        }
    }
}

async fn provide(
    volumes: &Api<PersistentVolume>,
    claim: &PersistentVolumeClaim,
    folder: &Path,
) -> Result<(), ClusterError> {
    let Some(volume) = volume_for(claim, folder) else {
        return Ok(());
    };
    let path = folder.join(volume.name_any());
    // Any user may write: containers run as who they like, and host paths know no `fsGroup`.
    fs::create_dir_all(&path)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o777)))
        .doing(|| format!("creating {}", path.display()))?;
    match volumes.create(&PostParams::default(), &volume).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

/// The volume that a claim waits for, if it waits for one of ours.
fn volume_for(claim: &PersistentVolumeClaim, folder: &Path) -> Option<PersistentVolume> {
    let spec = claim.spec.as_ref()?;
    let ours = spec.storage_class_name.as_deref() == Some(STORAGE_CLASS);
    let waits = spec.volume_name.is_none() && claim.metadata.deletion_timestamp.is_none();
    if !ours || !waits {
        return None;
    }
    let name = format!("pvc-{}", claim.uid()?);
    let annotations = BTreeMap::from([(PROVISIONED_BY.to_owned(), PROVISIONER.to_owned())]);
    Some(PersistentVolume {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes.clone(),
            capacity: spec.resources.as_ref()?.requests.clone(),
            claim_ref: Some(ObjectReference {
                resource_version: None,
                ..claim.object_ref(&())
            }),
            host_path: Some(HostPathVolumeSource {
                path: folder.join(name).display().to_string(),
                type_: Some("Directory".to_owned()),
            }),
            persistent_volume_reclaim_policy: Some("Delete".to_owned()),
            storage_class_name: Some(STORAGE_CLASS.to_owned()),
            volume_mode: spec.volume_mode.clone(),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    })
}

async fn take_away(
    volumes: &Api<PersistentVolume>,
    volume: &PersistentVolume,
    folder: &Path,
) -> Result<(), ClusterError> {
    let ours = volume.annotations().get(PROVISIONED_BY).map(String::as_str) == Some(PROVISIONER);
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let policy = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    // Whoever sets the policy to Retain keeps the data, as with any storage.
    let unwanted = ours && phase == Some("Released") && policy == Some("Delete");
    if !unwanted || volume.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let name = volume.name_any();
    let _ = fs::remove_dir_all(folder.join(&name));
    volumes.delete(&name, &DeleteParams::default()).await?;
    Ok(())
}
