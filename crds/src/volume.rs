//! Files that a component mounts.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{bounds, workload::LocalRef};

/// Files that are mounted: exactly one of `persistent`, `emptyDir`, `secretRef` and `configMapRef`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("(has(self.persistent) ? 1 : 0) + (has(self.emptyDir) ? 1 : 0) + (has(self.secretRef) ? 1 : 0) + (has(self.configMapRef) ? 1 : 0) == 1")
        .message("a volume has exactly one of persistent, emptyDir, secretRef and configMapRef"),
)]
pub struct Volume {
    /// The volume's name, at most 63 characters; a claim is named `<system>-<component>.<volume>`.
    #[schemars(schema_with = "bounds::dns_label")]
    pub name: String,
    /// Where it is mounted.
    #[schemars(schema_with = "bounds::file_path")]
    pub mount_path: String,
    /// Whether it is mounted for reading only. Default `false`.
    #[serde(default)]
    pub read_only: bool,
    /// Storage that outlives the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent: Option<PersistentVolume>,
    /// An empty folder that goes with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDir>,
    /// The keys of a Secret of the same namespace, as files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
    /// The keys of a `ConfigMap` of the same namespace, as files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<LocalRef>,
}

/// Storage that outlives the pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("!isQuantity(self.size) || quantity(self.size).isGreaterThan(quantity('0'))")
        .message("size must be more than 0"),
    validation = Rule::new("!isQuantity(self.size) || !quantity(self.size).isLessThan(quantity(oldSelf.size))")
        .message("a persistent volume can grow but not shrink: give the size it had, or more"),
    validation = Rule::new("self.accessMode == oldSelf.accessMode")
        .message("accessMode cannot be changed: add a volume of another name"),
    validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
        .message("storageClassName cannot be changed: add a volume of another name"),
)]
pub struct PersistentVolume {
    /// How much, in bytes, such as `"20Gi"`. It may grow, never shrink.
    #[schemars(schema_with = "bounds::bytes")]
    pub size: String,
    /// The storage class. None given: the cluster's default. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::dns_name")]
    pub storage_class_name: Option<String>,
    /// Who may mount it: `ReadWriteOnce` (default, pods of one node), `ReadWriteOncePod` (one pod), `ReadOnlyMany` or
    /// `ReadWriteMany` (pods of any node). Cannot be changed.
    #[serde(default)]
    pub access_mode: AccessMode,
}

/// Who may mount a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    /// Pods of one node.
    #[default]
    ReadWriteOnce,
    /// One pod.
    ReadWriteOncePod,
    /// Pods of any node, to read.
    ReadOnlyMany,
    /// Pods of any node.
    ReadWriteMany,
}

/// An empty folder that goes with the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct EmptyDir {
    /// How much it may hold, in bytes, such as `"1Gi"`. None given: what the node has to spare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::bytes")]
    pub size: Option<String>,
}
