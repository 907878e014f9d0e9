//! The objects that a plan may contain: their kinds, their names, and what is wanted of each.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Every kind of object that Maru writes. Nothing else is ever created, changed or deleted, and the operator's RBAC names
/// exactly these.
///
/// The order is the order in which a plan is applied: what others refer to comes first. It is swept in reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectKind {
    /// `v1 Namespace`
    Namespace,
    /// `v1 ResourceQuota`
    ResourceQuota,
    /// `v1 LimitRange`
    LimitRange,
    /// `rbac.authorization.k8s.io/v1 RoleBinding`
    RoleBinding,
    /// `networking.k8s.io/v1 NetworkPolicy`
    NetworkPolicy,
    /// `v1 ServiceAccount`
    ServiceAccount,
    /// `v1 PersistentVolumeClaim`
    PersistentVolumeClaim,
    /// `v1 Service`
    Service,
    /// `apps/v1 Deployment`
    Deployment,
    /// `batch/v1 CronJob`
    CronJob,
    /// `autoscaling/v2 HorizontalPodAutoscaler`
    HorizontalPodAutoscaler,
    /// `policy/v1 PodDisruptionBudget`
    PodDisruptionBudget,
    /// `gateway.networking.k8s.io/v1 HTTPRoute`
    HttpRoute,
    /// `networking.k8s.io/v1 Ingress`
    Ingress,
}

impl ObjectKind {
    /// Every kind, in the order in which a plan is applied.
    pub const ALL: [Self; 14] = [
        Self::Namespace,
        Self::ResourceQuota,
        Self::LimitRange,
        Self::RoleBinding,
        Self::NetworkPolicy,
        Self::ServiceAccount,
        Self::PersistentVolumeClaim,
        Self::Service,
        Self::Deployment,
        Self::CronJob,
        Self::HorizontalPodAutoscaler,
        Self::PodDisruptionBudget,
        Self::HttpRoute,
        Self::Ingress,
    ];

    /// The API group; empty for the core group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Namespace
            | Self::ResourceQuota
            | Self::LimitRange
            | Self::ServiceAccount
            | Self::PersistentVolumeClaim
            | Self::Service => "",
            Self::RoleBinding => "rbac.authorization.k8s.io",
            Self::NetworkPolicy | Self::Ingress => "networking.k8s.io",
            Self::Deployment => "apps",
            Self::CronJob => "batch",
            Self::HorizontalPodAutoscaler => "autoscaling",
            Self::PodDisruptionBudget => "policy",
            Self::HttpRoute => "gateway.networking.k8s.io",
        }
    }

    /// The API version within the group.
    pub const fn version(self) -> &'static str {
        match self {
            Self::HorizontalPodAutoscaler => "v2",
            _ => "v1",
        }
    }

    /// The kind as manifests write it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::ResourceQuota => "ResourceQuota",
            Self::LimitRange => "LimitRange",
            Self::RoleBinding => "RoleBinding",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::ServiceAccount => "ServiceAccount",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
            Self::Service => "Service",
            Self::Deployment => "Deployment",
            Self::CronJob => "CronJob",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::HttpRoute => "HTTPRoute",
            Self::Ingress => "Ingress",
        }
    }

    /// The resource name in URLs and RBAC rules.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::ResourceQuota => "resourcequotas",
            Self::LimitRange => "limitranges",
            Self::RoleBinding => "rolebindings",
            Self::NetworkPolicy => "networkpolicies",
            Self::ServiceAccount => "serviceaccounts",
            Self::PersistentVolumeClaim => "persistentvolumeclaims",
            Self::Service => "services",
            Self::Deployment => "deployments",
            Self::CronJob => "cronjobs",
            Self::HorizontalPodAutoscaler => "horizontalpodautoscalers",
            Self::PodDisruptionBudget => "poddisruptionbudgets",
            Self::HttpRoute => "httproutes",
            Self::Ingress => "ingresses",
        }
    }

    /// `group/version`, or the version alone in the core group: the `apiVersion` of a manifest.
    pub fn api_version(self) -> String {
        if self.group().is_empty() {
            self.version().to_owned()
        } else {
            format!("{}/{}", self.group(), self.version())
        }
    }

    /// Whether deleting an object of this kind destroys tenants' data. Such an object is deleted only where
    /// `deletionPolicy: Delete` was set before (DESIGN.md §2, rule 5).
    pub const fn holds_tenant_data(self) -> bool {
        matches!(self, Self::Namespace | Self::PersistentVolumeClaim)
    }
}

/// Which object: kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The kind of the object.
    pub kind: ObjectKind,
    /// The namespace; empty for a cluster-scoped kind.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl ObjectKey {
    /// A key; `namespace` is empty for a cluster-scoped kind.
    pub fn new(kind: ObjectKind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind.kind(), self.name)
        } else {
            write!(f, "{} {}/{}", self.kind.kind(), self.namespace, self.name)
        }
    }
}

/// An object as it is wanted: everything that Maru decides about it and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WantedObject {
    /// Which object.
    pub key: ObjectKey,
    /// The whole manifest as server-side apply takes it: `apiVersion`, `kind`, `metadata` with name, namespace and labels, and
    /// the fields that Maru owns. In the API server's own canonical form (quantities as it prints them, no empty lists or
    /// maps, no nulls), so that what was applied and what is read back can be compared without a round trip.
    pub body: serde_json::Value,
}
