//! What the scheduler counts for a pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::exact::Exact;
use crate::pods::PodError;
use crate::quantity;

pub(crate) type Requests = BTreeMap<String, Exact>;

/// Containers and sidecars together, or the largest moment while the init containers run, whichever is more; the pod's own
/// requests where it has some; and the runtime's overhead. While a pod is being resized in place, a container counts with the
/// most of what was asked for, what its node allocated and what it has.
pub(crate) fn scheduled(name: &str, pod: &Pod, spec: &PodSpec) -> Result<Requests, PodError> {
    let counting = Counting::of(name, pod);
    let mut running = Requests::new();
    for container in &spec.containers {
        add(&mut running, &counting.container(container)?);
    }
    let mut sidecars = Requests::new();
    let mut peak = Requests::new();
    for container in spec.init_containers.iter().flatten() {
        let own = counting.container(container)?;
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
        running.extend(counting.requests(resources)?);
    }
    if let Some(overhead) = &spec.overhead {
        add(&mut running, &counting.quantities(overhead)?);
    }
    Ok(running)
}

struct Counting<'a> {
    name: &'a str,
    statuses: BTreeMap<&'a str, &'a ContainerStatus>,
    /// What was asked for can never be: it does not count.
    infeasible: bool,
}

impl<'a> Counting<'a> {
    fn of(name: &'a str, pod: &'a Pod) -> Self {
        let status = pod.status.as_ref();
        let containers = status
            .iter()
            .flat_map(|status| status.container_statuses.iter().flatten());
        let init = status
            .iter()
            .flat_map(|status| status.init_container_statuses.iter().flatten());
        let mut conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
        Self {
            name,
            statuses: containers
                .chain(init)
                .map(|status| (status.name.as_str(), status))
                .collect(),
            infeasible: conditions.any(|condition| {
                condition.type_ == "PodResizePending" && condition.reason.as_deref() == Some("Infeasible")
            }),
        }
    }

    fn container(&self, container: &Container) -> Result<Requests, PodError> {
        let asked = container
            .resources
            .as_ref()
            .map_or_else(|| Ok(Requests::new()), |resources| self.requests(resources))?;
        let status = self.statuses.get(container.name.as_str());
        let Some((status, has)) = status.and_then(|status| Some((status, status.resources.as_ref()?))) else {
            return Ok(asked);
        };
        let mut most = if self.infeasible {
            Requests::new()
        } else {
            asked.clone()
        };
        if let Some(has) = &has.requests {
            raise(&mut most, self.quantities(has)?);
        }
        if let Some(allocated) = &status.allocated_resources {
            raise(&mut most, self.quantities(allocated)?);
        }
        // What a node does not report on, such as a device, counts as it was asked for.
        for (resource, amount) in asked {
            most.entry(resource).or_insert(amount);
        }
        Ok(most)
    }

    /// Requests, and limits for what has none: the API server fills requests in from limits, files may not have been there.
    fn requests(&self, resources: &ResourceRequirements) -> Result<Requests, PodError> {
        let mut requests = resources
            .limits
            .as_ref()
            .map_or_else(|| Ok(Requests::new()), |limits| self.quantities(limits))?;
        if let Some(asked) = &resources.requests {
            requests.extend(self.quantities(asked)?);
        }
        Ok(requests)
    }

    fn quantities(&self, quantities: &BTreeMap<String, Quantity>) -> Result<Requests, PodError> {
        let read = |(resource, text): (&String, &Quantity)| {
            let amount = quantity::parse(&text.0).map_err(|error| PodError {
                pod: self.name.to_owned(),
                resource: resource.clone(),
                error,
            })?;
            Ok((resource.clone(), amount))
        };
        quantities.iter().map(read).collect()
    }
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
