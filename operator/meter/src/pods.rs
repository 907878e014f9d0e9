//! Reserved CPU, memory and devices from the pods themselves.
//!
//! A pod reserves what the scheduler counted for it, from the moment it was bound to a node until its last container
//! finished. Both moments stand in the pod, so reserved use needs no sampling: the same pod always gives the same records.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::amounts::{Amounts, HeldMeter, Observed};
use crate::exact::{Exact, non_zero};
use crate::quantity::QuantityError;
use crate::record::Completeness;
use crate::requests;

/// The label that names the system of an object. Whose an object is, the namespace says and not a label of its own: people
/// choose the labels of their pods, and what they choose changes nothing about who pays.
pub const SYSTEM_LABEL: &str = "maru.dev/system";
/// The finalizer with which an object waits until its last use is recorded.
pub const FINALIZER: &str = "maru.dev/metering";

pub(crate) const GIB: std::num::NonZeroU64 = non_zero(1 << 30);

/// A request of a pod that cannot be read, so that the pod counts with nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pod {pod}: requests.{resource}: {error}")]
pub struct PodError {
    /// `namespace/name`.
    pub pod: String,
    /// Such as `cpu`.
    pub resource: String,
    /// What is wrong with it.
    pub error: QuantityError,
}

/// What a pod says of itself, and what of it could not be read.
pub fn observe(pod: &Pod) -> (Observed, Option<PodError>) {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let name = pod.metadata.name.clone().unwrap_or_default();
    let (amounts, error) = match reserved(&format!("{namespace}/{name}"), pod) {
        Ok(amounts) => (amounts, None),
        Err(error) => (Amounts::default(), Some(error)),
    };
    let held = bound_at(pod);
    let observed = Observed {
        held,
        ended: ended_at(pod).map(|(end, completeness)| (held.map_or(end, |held| end.max(held)), completeness)),
        amounts,
        ..of_metadata(&pod.metadata)
    };
    (observed, error)
}

/// What every object says of itself.
pub(crate) fn of_metadata(metadata: &ObjectMeta) -> Observed {
    let system = metadata.labels.as_ref().and_then(|labels| labels.get(SYSTEM_LABEL));
    let written = metadata.managed_fields.iter().flatten();
    Observed {
        uid: metadata.uid.clone().unwrap_or_default(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        system: system.filter(|system| !system.is_empty()).cloned(),
        created: metadata.creation_timestamp.as_ref().map(|time| time.0),
        held: None,
        ended: None,
        deleting: metadata.deletion_timestamp.as_ref().map(|time| time.0),
        forced: metadata.deletion_timestamp.is_some() && metadata.deletion_grace_period_seconds == Some(0),
        finalizer: metadata.finalizers.iter().flatten().any(|name| name == FINALIZER),
        changed: written.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max(),
        // Asking for its deletion counts as a change, and is none of what it holds.
        generation: metadata.generation.unwrap_or(1) - i64::from(metadata.deletion_timestamp.is_some()),
        amounts: Amounts::default(),
    }
}

/// What a pod reserves at this moment.
fn reserved(name: &str, pod: &Pod) -> Result<Amounts, PodError> {
    let Some(spec) = &pod.spec else {
        return Ok(Amounts::default());
    };
    let mut meters = Vec::new();
    let mut devices = Exact::ZERO;
    for (resource, amount) in requests::scheduled(name, pod, spec)? {
        match resource.as_str() {
            "cpu" => meters.push((HeldMeter::Cpu, amount)),
            "memory" => meters.push((HeldMeter::Memory, amount.over(GIB))),
            name if is_device(name) => devices += amount,
            _ => {}
        }
    }
    meters.push((HeldMeter::Gpu, devices));
    Ok(Amounts::of(meters))
}

/// `nvidia.com/gpu`, `amd.com/gpu`, `gpu.intel.com/i915` and the slices of them (`nvidia.com/mig-1g.5gb`).
fn is_device(resource: &str) -> bool {
    resource.split_once('/').is_some_and(|(vendor, name)| {
        name == "gpu" || name.starts_with("gpu.") || name.starts_with("mig-") || vendor.starts_with("gpu.")
    })
}

/// When the pod was bound: the `PodScheduled` condition says so; a pod that was created with a node name may have none.
fn bound_at(pod: &Pod) -> Option<Timestamp> {
    let scheduled = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "True");
    if let Some(time) = scheduled.and_then(|condition| condition.last_transition_time.as_ref()) {
        return Some(time.0);
    }
    pod.spec.as_ref()?.node_name.as_ref()?;
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    started.or(pod.metadata.creation_timestamp.as_ref()).map(|time| time.0)
}

/// When the pod ended: the moment its last container finished. A pod that ended without a container to say so (evicted before
/// it started, its node lost) ended when its conditions last changed or when it was deleted, and that is an estimate.
fn ended_at(pod: &Pod) -> Option<(Timestamp, Completeness)> {
    let status = pod.status.as_ref()?;
    if !matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let statuses = || {
        let containers = status.container_statuses.iter().flatten();
        containers.chain(status.init_container_statuses.iter().flatten())
    };
    if let Some(finished) = statuses().filter_map(finished_at).max() {
        let still_runs = statuses().any(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()));
        return Some((
            finished,
            if still_runs {
                Completeness::Estimated
            } else {
                Completeness::Complete
            },
        ));
    }
    let changed = status
        .conditions
        .iter()
        .flatten()
        .filter_map(|c| c.last_transition_time.as_ref())
        .map(|time| time.0)
        .max();
    let deleted = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    let end = match (changed, deleted) {
        (Some(changed), Some(deleted)) => Some(changed.min(deleted)),
        (either, other) => either.or(other),
    };
    let end = end.or(pod.metadata.creation_timestamp.as_ref().map(|time| time.0))?;
    Some((end, Completeness::Estimated))
}

fn finished_at(status: &ContainerStatus) -> Option<Timestamp> {
    let terminated = status.state.as_ref().and_then(|state| state.terminated.as_ref());
    terminated
        .and_then(|terminated| terminated.finished_at.as_ref())
        .map(|time| time.0)
}
