//! Small types that several kinds share.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{bounds, data_bounds};

/// What happens to namespaces, volumes and databases when the object that asked for them is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Data stays.
    #[default]
    Retain,
    /// Data goes with the object.
    Delete,
}

/// A name in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct DisplayName {
    /// BCP 47 language tag, such as `ko` or `en`.
    #[schemars(schema_with = "bounds::language")]
    pub language: String,
    /// The name in that language, at most 256 characters.
    #[schemars(schema_with = "bounds::text")]
    pub name: String,
}

/// A text in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct LocalizedText {
    /// BCP 47 language tag, such as `ko` or `en`.
    #[schemars(schema_with = "data_bounds::plain_language")]
    pub language: String,
    /// The text in that language, at most 2048 characters.
    #[schemars(schema_with = "data_bounds::paragraph")]
    pub text: String,
}

/// A `DataGrant` of any namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct GrantRef {
    /// The namespace the grant is in: its owner's.
    #[schemars(schema_with = "bounds::dns_label")]
    pub namespace: String,
    /// The name of the `DataGrant`.
    #[schemars(schema_with = "bounds::dns_label")]
    pub name: String,
}

/// A system of any namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct SystemRef {
    /// The namespace the system is in.
    #[schemars(schema_with = "bounds::dns_label")]
    pub namespace: String,
    /// The name of the `AgencySystem`.
    #[schemars(schema_with = "bounds::dns_label")]
    pub name: String,
}

/// A device that is asked for by count, such as a GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct Accelerator {
    /// The extended resource that nodes offer, such as `nvidia.com/gpu`.
    #[schemars(schema_with = "bounds::device")]
    pub resource: String,
    /// How many devices, 0 to 100000.
    #[schemars(range(min = 0, max = 100_000))]
    pub count: i32,
}

/// Whether a value is what a missing field means.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
