//! How many pods a component has, and how they are replaced.

use super::pod::{self, Part};
use super::site::Site;
use super::storage;
use crate::manifest::wanted;
use crate::names;
use crate::object::{ObjectKind, WantedObject};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
    ResourceMetricSource,
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use maru_crds::{Component, Scale};

/// How many pods may be missing, or too many, while pods are replaced: Kubernetes' own default, said outright so that a change of
/// the strategy takes it away again.
const A_QUARTER: &str = "25%";
/// How many former shapes of a Deployment are kept. Kubernetes keeps ten, of each of ten thousand systems.
const FORMER_SHAPES: i32 = 3;

/// The Deployment of a component.
pub(super) fn deployment(site: &Site<'_>, component: &Component) -> WantedObject {
    let part = Part::from(component);
    let spec = DeploymentSpec {
        replicas: replicas(site, component),
        revision_history_limit: Some(FORMER_SHAPES),
        selector: site.selector(&component.name),
        strategy: Some(strategy(&part)),
        template: PodTemplateSpec {
            metadata: Some(site.pod_metadata(&component.name)),
            spec: Some(pod::spec(&site.key.name, &part)),
        },
        ..DeploymentSpec::default()
    };
    let name = names::component_name(&site.key.name, &component.name);
    let deployment = Deployment {
        metadata: site.metadata(name, Some(&component.name)),
        spec,
        status: None,
    };
    wanted(ObjectKind::Deployment, &deployment)
}

/// `spec.replicas`, or nothing where it is the autoscaler's.
///
/// An autoscaler takes the field over with its first change. Letting go of it before that would make the API server put in its default
/// of one pod, so until then it is held at what it is, within the bounds. It is also held where somebody scaled to nothing, for
/// from there no autoscaler comes back.
fn replicas(site: &Site<'_>, component: &Component) -> Option<i32> {
    let (min, max) = match component.replicas.scale() {
        _ if site.spec().suspended => return Some(0),
        Scale::Fixed(replicas) => return Some(replicas),
        Scale::Auto { min, max, .. } => (min, max),
    };
    match site.facts.deployments.get(&component.name) {
        None => Some(min),
        Some(there) if there.replicas_ours || there.desired == 0 => Some(there.desired.min(max).max(min)),
        Some(_) => None,
    }
}

fn strategy(part: &Part<'_>) -> DeploymentStrategy {
    if storage::is_exclusive(part) {
        return DeploymentStrategy {
            type_: Some("Recreate".to_owned()),
            rolling_update: None,
        };
    }
    let a_quarter = || Some(IntOrString::String(A_QUARTER.to_owned()));
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: a_quarter(),
            max_unavailable: a_quarter(),
        }),
    }
}

/// The autoscaler of a component that has one. None while the system is suspended.
pub(super) fn autoscaler(site: &Site<'_>, component: &Component) -> Option<WantedObject> {
    let Scale::Auto {
        min,
        max,
        target_cpu_percent,
    } = component.replicas.scale()
    else {
        return None;
    };
    if site.spec().suspended {
        return None;
    }
    let name = names::component_name(&site.key.name, &component.name);
    let cpu = ResourceMetricSource {
        name: "cpu".to_owned(),
        target: MetricTarget {
            average_utilization: Some(target_cpu_percent),
            type_: "Utilization".to_owned(),
            ..MetricTarget::default()
        },
    };
    let spec = HorizontalPodAutoscalerSpec {
        max_replicas: max,
        metrics: Some(vec![MetricSpec {
            resource: Some(cpu),
            type_: "Resource".to_owned(),
            ..MetricSpec::default()
        }]),
        min_replicas: Some(min),
        scale_target_ref: CrossVersionObjectReference {
            api_version: Some(ObjectKind::Deployment.api_version()),
            kind: ObjectKind::Deployment.kind().to_owned(),
            name: name.clone(),
        },
        ..HorizontalPodAutoscalerSpec::default()
    };
    let autoscaler = HorizontalPodAutoscaler {
        metadata: site.metadata(name, Some(&component.name)),
        spec,
        status: None,
    };
    Some(wanted(ObjectKind::HorizontalPodAutoscaler, &autoscaler))
}

/// How many pods of a component a drained node may take at a time. A component of one pod has none: it would only say what holds
/// anyway.
pub(super) fn disruption_budget(site: &Site<'_>, component: &Component) -> Option<WantedObject> {
    let most = match component.replicas.scale() {
        Scale::Fixed(replicas) => replicas,
        Scale::Auto { max, .. } => max,
    };
    if most < 2 {
        return None;
    }
    let name = names::component_name(&site.key.name, &component.name);
    let budget = PodDisruptionBudget {
        metadata: site.metadata(name, Some(&component.name)),
        spec: Some(PodDisruptionBudgetSpec {
            // Rounded up: of two pods one.
            max_unavailable: Some(IntOrString::String(A_QUARTER.to_owned())),
            selector: Some(site.selector(&component.name)),
            // A pod that is not ready serves nobody and need not stay for a drain's sake.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    };
    Some(wanted(ObjectKind::PodDisruptionBudget, &budget))
}
