//! Whether a system's components are up, and if not, why, in words that an administrator can act on.

use super::site::Site;
use crate::dataset::dataset_of_credentials;
use crate::facts::{DeploymentFacts, PodFacts, Trouble};
use crate::plan::Problem;
use crate::reason::Reason;
use crate::status::Finding;
use crate::{COMPONENT_LABEL, SYSTEM_LABEL};
use maru_crds::{Component, Scale};

/// The condition that tells of it.
const KIND: &str = "Available";

/// Whether a component is up: the pods are of the newest shape, none of an older one is left, and enough of them are available. As many as
/// the autoscaler asks for are enough where they are at least the spec's minimum.
pub(super) fn is_up(component: &Component, there: &DeploymentFacts) -> bool {
    let enough = match component.replicas.scale() {
        Scale::Fixed(_) => there.desired,
        Scale::Auto { min, .. } => there.desired.min(min),
    };
    there.observed_generation_current
        && there.failure.is_none()
        && there.updated >= enough
        && there.total <= there.updated
        && there.available >= enough
}

/// The condition of a system whose components Maru runs.
pub(super) fn of_components(site: &Site<'_>) -> Finding {
    let components = &site.spec().components;
    if site.spec().suspended {
        return suspended(site);
    }
    let mut amiss: Vec<(bool, Problem)> = components
        .iter()
        .filter_map(|component| problem(site, component))
        .map(|problem| {
            let passes = matches!(problem.reason, Reason::RollingOut | Reason::CredentialsPending);
            (passes, problem)
        })
        .collect();
    // What passes by itself comes last.
    amiss.sort_by_key(|(passes, _)| *passes);
    let more = match amiss.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" (and {more} more of {} components)", components.len()),
    };
    match amiss.first() {
        Some((_, problem)) => Finding::no(KIND, problem.reason, format!("{}{more}", problem.message)),
        None => Finding::yes(KIND, Reason::Available, "enough pods of every component are available"),
    }
}

fn suspended(site: &Site<'_>) -> Finding {
    let left: i32 = site.facts.deployments.values().map(|there| there.total).sum();
    if left > 0 {
        return Finding::no(
            KIND,
            Reason::Suspended,
            format!("spec.suspended is true: {left} pods are ending"),
        );
    }
    Finding::yes(
        KIND,
        Reason::Suspended,
        "spec.suspended is true: no pods run and no job begins",
    )
}

/// The condition of a system that Maru only meters.
pub(super) fn of_selected(pods: Option<&PodFacts>) -> Finding {
    let Some(pods) = pods.filter(|pods| pods.total > 0) else {
        let message = "no pod of the namespace has the labels that spec.selector asks for, so nothing is metered";
        return Finding::unknown(KIND, Reason::NoPods, message);
    };
    if pods.ready >= pods.total {
        return Finding::yes(
            KIND,
            Reason::Available,
            format!("{} pods run and are ready", pods.total),
        );
    }
    let counts = format!(
        "{} of {} pods that spec.selector finds are ready",
        pods.ready, pods.total
    );
    match &pods.waiting {
        Some(trouble) => Finding::no(KIND, reason_of(trouble), format!("{counts}: {}", said(trouble))),
        None => Finding::no(KIND, Reason::PodsNotReady, counts),
    }
}

fn problem(site: &Site<'_>, component: &Component) -> Option<Problem> {
    let name = &component.name;
    let Some(there) = site.facts.deployments.get(name) else {
        return Some(Problem::new(
            Reason::RollingOut,
            format!("component {name}: its Deployment is not there yet"),
        ));
    };
    if is_up(component, there) {
        return None;
    }
    let pods = site.facts.pods.get(name);
    let counts = format!(
        "component {name}: {} of {} pods are available",
        there.available, there.desired
    );
    if let Some(trouble) = pods.and_then(|pods| pods.waiting.as_ref()) {
        if let Some((namespace, dataset)) = awaited(trouble, &site.key.name) {
            let message = format!(
                "{counts}: its credentials for the dataset {namespace}/{dataset} are not there yet; they come when the dataset is ready and, where \
                 it is another agency's, a grant is in force, which kubectl maru grants -n {} says",
                site.key.namespace
            );
            return Some(Problem::new(Reason::CredentialsPending, message));
        }
        let reason = reason_of(trouble);
        return Some(Problem::new(
            reason,
            format!("{counts}: {}", advice(site, component, reason, trouble)),
        ));
    }
    if let Some(failure) = &there.failure {
        return Some(failed(&counts, failure));
    }
    let settled = there.observed_generation_current && there.updated >= there.desired && there.total <= there.updated;
    let running = pods.is_some_and(|pods| pods.total >= there.desired && pods.ready < pods.total);
    Some(if settled && running {
        let probe = if component.probes.readiness.is_some() {
            "; the readiness probe of the others has not succeeded"
        } else {
            ""
        };
        Problem::new(Reason::PodsNotReady, format!("{counts}{probe}"))
    } else {
        let waits_for = if !there.observed_generation_current {
            "; the newest change has not been taken up yet"
        } else if there.total > there.updated {
            "; pods of the former version are still there"
        } else {
            ""
        };
        Problem::new(Reason::RollingOut, format!("{counts}{waits_for}"))
    })
}

/// What a Deployment says of itself.
fn failed(counts: &str, failure: &Trouble) -> Problem {
    if failure.reason == "ProgressDeadlineExceeded" {
        let message = format!("{counts}: the rollout has made no progress within its deadline");
        return Problem::new(Reason::RolloutStuck, message);
    }
    // `pods "docs-web-7d9c-x2x4z" is forbidden: exceeded quota: …`: the pod's name is of no use, it never was.
    let said = failure
        .message
        .split_once(" is forbidden: ")
        .map_or(failure.message.as_str(), |(_, why)| why);
    let advice = if said.contains("exceeded quota") {
        "; lower replicas or resources, or have the agency's spec.quota raised"
    } else {
        ""
    };
    Problem::new(
        Reason::PodsRefused,
        format!("{counts}: pods are refused: {said}{advice}"),
    )
}

fn reason_of(trouble: &Trouble) -> Reason {
    match trouble.reason.as_str() {
        "ImagePullBackOff"
        | "ErrImagePull"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Reason::ImagePullFailed,
        "CrashLoopBackOff" | "RunContainerError" | "StartError" | "PostStartHookError" => Reason::CrashLooping,
        "CreateContainerConfigError" | "CreateContainerError" => Reason::ContainerConfigError,
        "Unschedulable" => Reason::Unschedulable,
        _ => Reason::PodsNotReady,
    }
}

/// The dataset whose credentials a container waits for. The kubelet's words are `secret "docs.data.nts.income" not found`.
fn awaited<'a>(trouble: &'a Trouble, system: &str) -> Option<(&'a str, &'a str)> {
    let (secret, rest) = trouble.message.strip_prefix("secret \"")?.split_once('"')?;
    dataset_of_credentials(secret, system).filter(|_| rest.ends_with("not found"))
}

fn advice(site: &Site<'_>, component: &Component, reason: Reason, trouble: &Trouble) -> String {
    let Component { name, image, .. } = component;
    match reason {
        Reason::ImagePullFailed => format!(
            "image {image} cannot be pulled ({}); check its name and tag, and that the cluster may read it",
            said(trouble)
        ),
        // The kubelet's own words name the pod and how long it waits, which change with every try.
        Reason::CrashLooping => format!(
            "the container ends again and again ({}); kubectl logs -n {} -l {SYSTEM_LABEL}={},{COMPONENT_LABEL}={name} --previous says why",
            trouble.reason, site.key.namespace, site.key.name
        ),
        Reason::ContainerConfigError => format!(
            "the container cannot be set up ({}); create the Secret or ConfigMap that it names, or give runAsUser where the image \
             runs as root",
            said(trouble)
        ),
        Reason::Unschedulable => format!(
            "no node takes the others ({}){}",
            trouble.message,
            of_grade(&trouble.message)
        ),
        _ => said(trouble),
    }
}

/// The scheduler does not say why a pod selects nodes.
fn of_grade(message: &str) -> &'static str {
    if message.contains("node affinity/selector") {
        "; an agency's pods go to nodes of its security grade (label maru.dev/grade) and to no others: ask the platform for room on those"
    } else {
        ""
    }
}

fn said(trouble: &Trouble) -> String {
    if trouble.message.is_empty() {
        trouble.reason.clone()
    } else {
        format!("{}: {}", trouble.reason, trouble.message)
    }
}
