//! Reserved CPU, memory and devices from the pods themselves.
//!
//! A pod reserves what the scheduler counted for it, from the moment it was bound to a node until its last container
//! finished. Both moments stand in the pod, so reserved use needs no sampling: the same pod always gives the same records.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::exact::{Exact, Rounding, non_zero};
use crate::hours::Interval;
use crate::quantity::{self, QuantityError};
use crate::record::{Completeness, UNASSIGNED, UsageRecord};

/// The label that names the agency of an object.
pub const AGENCY_LABEL: &str = "maru.dev/agency";
/// The label that names the system of an object.
pub const SYSTEM_LABEL: &str = "maru.dev/system";
/// The source name of these records.
pub const SOURCE: &str = "pods";

/// Places that a metered quantity keeps. A second is 1/3600 of an hour and has no end as a decimal; full hours are exact.
/// Eighteen are what a `decimal(38, 18)` column holds, which every reader of the lake knows.
pub const METERED_PLACES: u32 = 18;

/// What a list of pods gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metered {
    /// The records, in the order of the pods, then meter, then time.
    pub records: Vec<UsageRecord>,
    /// Pods that could not be metered. They do not keep the others from it.
    pub refused: Vec<PodError>,
}

/// Why a pod could not be metered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodError {
    /// The API server always sets a uid; without one there is no id.
    #[error("pod {pod}: metadata.uid is missing; allowed are pods as the API server returns them")]
    NoUid {
        /// `namespace/name`.
        pod: String,
    },
    /// A request that cannot be read.
    #[error("pod {pod}: requests.{resource}: {error}")]
    Request {
        /// `namespace/name`.
        pod: String,
        /// Such as `cpu`.
        resource: String,
        /// What is wrong with it.
        error: QuantityError,
    },
}

/// Reserved use of these pods within `[from, until)`, cut at the hour. Pods without the agency label are nobody's and give
/// nothing. A pod that still runs is metered up to `until`: give a full hour, unless a cut inside the hour is wanted.
pub fn pods<'a>(pods: impl IntoIterator<Item = &'a Pod>, from: Timestamp, until: Timestamp) -> Metered {
    let mut metered = Metered::default();
    for pod in pods {
        match pod_records(
            pod,
            Interval {
                start: from,
                end: until,
            },
        ) {
            Ok(records) => metered.records.extend(records),
            Err(error) => metered.refused.push(error),
        }
    }
    metered
}

/// From binding to end: when this pod holds what it reserved. Nothing while it is not bound to a node.
pub fn reserved_interval(pod: &Pod) -> Option<Reserved> {
    let start = bound_at(pod)?;
    let ended = ended_at(pod);
    Some(Reserved {
        start,
        end: ended.map(|(end, _)| end.max(start)),
        completeness: ended.map_or(Completeness::Complete, |(_, completeness)| completeness),
    })
}

/// The time over which a pod reserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// When the pod was bound to its node.
    pub start: Timestamp,
    /// When it ended; none while it runs.
    pub end: Option<Timestamp>,
    /// `Estimated` where the end is not one that a container reported.
    pub completeness: Completeness,
}

fn pod_records(pod: &Pod, window: Interval) -> Result<Vec<UsageRecord>, PodError> {
    let label = |name: &str| {
        pod.metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(name))
            .filter(|value| !value.is_empty())
    };
    let Some(agency) = label(AGENCY_LABEL) else {
        return Ok(Vec::new());
    };
    let Some(reserved) = reserved_interval(pod) else {
        return Ok(Vec::new());
    };
    let life = Interval {
        start: reserved.start,
        end: reserved.end.unwrap_or(window.end),
    };
    let Some(interval) = life.overlap(window) else {
        return Ok(Vec::new());
    };
    let Some(spec) = &pod.spec else { return Ok(Vec::new()) };

    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let name = format!("{namespace}/{}", pod.metadata.name.as_deref().unwrap_or_default());
    let uid = pod
        .metadata
        .uid
        .as_deref()
        .ok_or_else(|| PodError::NoUid { pod: name.clone() })?;
    let system = label(SYSTEM_LABEL).map_or_else(|| UNASSIGNED.to_owned(), |system| format!("{namespace}/{system}"));

    let mut records = Vec::new();
    for (meter, unit, amount) in reserved_meters(&name, spec)? {
        for hour in interval.hours() {
            records.push(UsageRecord {
                id: UsageRecord::id_of(SOURCE, uid, meter, hour.start),
                agency: agency.clone(),
                system: system.clone(),
                resource: format!("pod/{name}"),
                meter: meter.to_owned(),
                quantity: times_hours(&amount, hour),
                unit: unit.to_owned(),
                start: hour.start,
                end: hour.end,
                source: SOURCE.to_owned(),
                completeness: reserved.completeness,
                recorded_at: None,
            });
        }
    }
    Ok(records)
}

/// `amount` held over an interval, in hours of it.
fn times_hours(amount: &Exact, interval: Interval) -> Exact {
    let hours = Exact::scaled(interval.length().as_nanos(), 9).over(HOUR_IN_SECONDS);
    (amount * &hours).round(METERED_PLACES, Rounding::HalfEven)
}

/// The meters of a pod that reserves anything: name, unit and how much of it at any moment.
fn reserved_meters(pod: &str, spec: &PodSpec) -> Result<Vec<(&'static str, &'static str, Exact)>, PodError> {
    let requests = scheduled_requests(pod, spec)?;
    let mut meters = Vec::new();
    let mut devices = Exact::ZERO;
    for (resource, amount) in requests {
        if amount.is_zero() || amount.is_negative() {
            continue;
        }
        match resource.as_str() {
            "cpu" => meters.push(("cpu.reserved", "core-hour", amount)),
            "memory" => meters.push(("memory.reserved", "GiB-hour", amount.over(GIB))),
            name if is_device(name) => devices += amount,
            _ => {}
        }
    }
    if !devices.is_zero() {
        meters.push(("gpu.reserved", "device-hour", devices));
    }
    Ok(meters)
}

const GIB: std::num::NonZeroU64 = non_zero(1 << 30);
const HOUR_IN_SECONDS: std::num::NonZeroU64 = non_zero(3600);

/// `nvidia.com/gpu`, `amd.com/gpu`, `gpu.intel.com/i915` and the slices of them (`nvidia.com/mig-1g.5gb`).
fn is_device(resource: &str) -> bool {
    resource.split_once('/').is_some_and(|(vendor, name)| {
        name == "gpu" || name.starts_with("gpu.") || name.starts_with("mig-") || vendor.starts_with("gpu.")
    })
}

type Requests = BTreeMap<String, Exact>;

/// What the scheduler counts for a pod: containers and sidecars together, or the largest moment while the init containers
/// run, whichever is more; the pod's own requests where it has some; and the runtime's overhead.
fn scheduled_requests(pod: &str, spec: &PodSpec) -> Result<Requests, PodError> {
    let mut running = Requests::new();
    for container in &spec.containers {
        add(&mut running, &container_requests(pod, container)?);
    }
    let mut sidecars = Requests::new();
    let mut peak = Requests::new();
    for container in spec.init_containers.iter().flatten() {
        let own = container_requests(pod, container)?;
        let mut moment = sidecars.clone();
        add(&mut moment, &own);
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut running, &own);
            sidecars = moment.clone();
        }
        raise(&mut peak, moment);
    }
    raise(&mut running, peak);
    if let Some(resources) = &spec.resources {
        running.extend(read_requests(pod, resources)?);
    }
    if let Some(overhead) = &spec.overhead {
        add(&mut running, &read_quantities(pod, overhead)?);
    }
    Ok(running)
}

fn container_requests(pod: &str, container: &Container) -> Result<Requests, PodError> {
    container
        .resources
        .as_ref()
        .map_or_else(|| Ok(Requests::new()), |resources| read_requests(pod, resources))
}

/// Requests, and limits for what has none: the API server fills requests in from limits, files may not have been there.
fn read_requests(pod: &str, resources: &ResourceRequirements) -> Result<Requests, PodError> {
    let mut requests = resources
        .limits
        .as_ref()
        .map_or_else(|| Ok(Requests::new()), |limits| read_quantities(pod, limits))?;
    if let Some(asked) = &resources.requests {
        requests.extend(read_quantities(pod, asked)?);
    }
    Ok(requests)
}

fn read_quantities(pod: &str, quantities: &BTreeMap<String, Quantity>) -> Result<Requests, PodError> {
    let read = |(resource, text): (&String, &Quantity)| {
        let amount = quantity::parse(&text.0).map_err(|error| PodError::Request {
            pod: pod.to_owned(),
            resource: resource.clone(),
            error,
        })?;
        Ok((resource.clone(), amount))
    };
    quantities.iter().map(read).collect()
}

fn add(sum: &mut Requests, more: &Requests) {
    for (resource, amount) in more {
        *sum.entry(resource.clone()).or_default() += amount;
    }
}

fn raise(most: &mut Requests, other: Requests) {
    for (resource, amount) in other {
        let entry = most.entry(resource).or_default();
        if *entry < amount {
            *entry = amount;
        }
    }
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
    let statuses = status
        .container_statuses
        .iter()
        .flatten()
        .chain(status.init_container_statuses.iter().flatten());
    if let Some(finished) = statuses.filter_map(finished_at).max() {
        return Some((finished, Completeness::Complete));
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
    end.map(|end| (end, Completeness::Estimated))
}

fn finished_at(status: &ContainerStatus) -> Option<Timestamp> {
    let terminated = status.state.as_ref().and_then(|state| state.terminated.as_ref());
    terminated
        .and_then(|terminated| terminated.finished_at.as_ref())
        .map(|time| time.0)
}
