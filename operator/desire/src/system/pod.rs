//! The pods of components and jobs. All of them pass Pod Security `restricted`.

use super::storage;
use crate::manifest::some;
use crate::names;
use crate::network::protocol_name;
use crate::quantity::{bytes, cpu};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapKeySelector, Container, ContainerPort, EnvVar, EnvVarSource, ExecAction, HTTPGetAction,
    PodSecurityContext, PodSpec, Probe as KubeProbe, ResourceRequirements, SeccompProfile, SecretKeySelector,
    SecurityContext, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use maru_crds::{Component, ComponentPort, EnvVariable, Probe, Probes, Resources, ScheduledJob, Volume};
use std::collections::BTreeMap;

/// The group that owns the files of persistent volumes where no user is given: any group does, for the container joins it.
const FILES_GROUP: i64 = 65_532;

/// What a component and a job have in common: a pod with one container.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) component: Option<&'a Component>,
    pub(super) job: Option<&'a ScheduledJob>,
    pub(super) ports: &'a [ComponentPort],
    pub(super) resources: &'a Resources,
    pub(super) volumes: &'a [Volume],
    pub(super) service_account_token: bool,
    image: &'a str,
    command: &'a [String],
    args: &'a [String],
    env: &'a [EnvVariable],
    run_as_user: Option<i64>,
}

impl<'a> From<&'a Component> for Part<'a> {
    fn from(component: &'a Component) -> Self {
        Self {
            name: &component.name,
            component: Some(component),
            job: None,
            ports: &component.ports,
            resources: &component.resources,
            volumes: &component.volumes,
            service_account_token: component.service_account_token,
            image: &component.image,
            command: &component.command,
            args: &component.args,
            env: &component.env,
            run_as_user: component.run_as_user,
        }
    }
}

impl<'a> From<&'a ScheduledJob> for Part<'a> {
    fn from(job: &'a ScheduledJob) -> Self {
        Self {
            name: &job.name,
            component: None,
            job: Some(job),
            ports: &[],
            resources: &job.resources,
            volumes: &job.volumes,
            service_account_token: job.service_account_token,
            image: &job.image,
            command: &job.command,
            args: &job.args,
            env: &job.env,
            run_as_user: job.run_as_user,
        }
    }
}

/// The pod of a component or a job of the system of this name.
pub(super) fn spec(system: &str, part: &Part<'_>) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(part.service_account_token),
        containers: vec![container(part)],
        // The variables that name every Service of the namespace: other systems' are nobody's business, and DNS has them all.
        enable_service_links: Some(false),
        // A failed run leaves its pod with its log, and is counted as one try.
        restart_policy: part.job.map(|_| "Never".to_owned()),
        security_context: Some(pod_security(part)),
        service_account_name: Some(names::account_name(system)),
        termination_grace_period_seconds: part
            .component
            .and_then(|component| component.termination_grace_period_seconds),
        volumes: some(
            part.volumes
                .iter()
                .map(|volume| storage::pod_volume(system, part, volume))
                .collect(),
        ),
        ..PodSpec::default()
    }
}

fn pod_security(part: &Part<'_>) -> PodSecurityContext {
    let has_files = storage::persistent(part).next().is_some();
    PodSecurityContext {
        // A fresh volume belongs to root; with a group of its own the container may write to it.
        fs_group: has_files.then(|| part.run_as_user.unwrap_or(FILES_GROUP)),
        fs_group_change_policy: has_files.then(|| "OnRootMismatch".to_owned()),
        run_as_non_root: Some(true),
        run_as_user: part.run_as_user,
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

fn container(part: &Part<'_>) -> Container {
    let probes = part.component.map(|component| &component.probes);
    let asked = |which: fn(&Probes) -> Option<&Probe>| probes.and_then(which).map(probe);
    Container {
        args: some(part.args.to_vec()),
        command: some(part.command.to_vec()),
        env: some(part.env.iter().map(variable).collect()),
        image: Some(part.image.to_owned()),
        liveness_probe: asked(|probes| probes.liveness.as_ref()),
        name: part.name.to_owned(),
        ports: some(part.ports.iter().map(port).collect()),
        readiness_probe: asked(|probes| probes.readiness.as_ref()),
        resources: Some(resources(part.resources)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                add: None,
                drop: Some(vec!["ALL".to_owned()]),
            }),
            ..SecurityContext::default()
        }),
        startup_probe: asked(|probes| probes.startup.as_ref()),
        volume_mounts: some(part.volumes.iter().map(storage::mount).collect()),
        ..Container::default()
    }
}

fn port(port: &ComponentPort) -> ContainerPort {
    ContainerPort {
        container_port: port.port,
        name: Some(port.name.clone()),
        protocol: Some(protocol_name(port.protocol).to_owned()),
        ..ContainerPort::default()
    }
}

/// What is requested is what is reserved and billed. Memory has a limit, so that one pod cannot take what others reserved; devices are
/// never shared, so they are requested and limited alike.
fn resources(resources: &Resources) -> ResourceRequirements {
    let Resources {
        cpu: cores,
        memory,
        cpu_limit,
        memory_limit,
        ephemeral_storage,
        accelerators,
    } = resources;
    let devices = || {
        let some = accelerators.iter().filter(|device| device.count > 0);
        some.map(|device| (device.resource.clone(), Quantity(device.count.to_string())))
    };
    let mut requests = BTreeMap::from([("cpu".to_owned(), cpu(cores)), ("memory".to_owned(), bytes(memory))]);
    requests.extend(
        ephemeral_storage
            .iter()
            .map(|storage| ("ephemeral-storage".to_owned(), bytes(storage))),
    );
    requests.extend(devices());
    let mut limits = BTreeMap::from([("memory".to_owned(), bytes(memory_limit.as_ref().unwrap_or(memory)))]);
    limits.extend(cpu_limit.iter().map(|limit| ("cpu".to_owned(), cpu(limit))));
    limits.extend(devices());
    ResourceRequirements {
        claims: None,
        limits: Some(limits),
        requests: Some(requests),
    }
}

fn variable(variable: &EnvVariable) -> EnvVar {
    let EnvVariable {
        name,
        value,
        secret_ref,
        config_map_ref,
    } = variable;
    let secret_key_ref = secret_ref.as_ref().map(|secret| SecretKeySelector {
        key: secret.key.clone(),
        name: secret.name.clone(),
        optional: None,
    });
    let config_map_key_ref = config_map_ref.as_ref().map(|map| ConfigMapKeySelector {
        key: map.key.clone(),
        name: map.name.clone(),
        optional: None,
    });
    let refers = secret_key_ref.is_some() || config_map_key_ref.is_some();
    EnvVar {
        name: name.clone(),
        // The API server drops an empty value, which means the same.
        value: value.clone().filter(|value| !refers && !value.is_empty()),
        value_from: refers.then_some(EnvVarSource {
            secret_key_ref,
            config_map_key_ref,
            ..EnvVarSource::default()
        }),
    }
}

fn probe(probe: &Probe) -> KubeProbe {
    let Probe {
        http,
        tcp,
        exec,
        initial_delay_seconds,
        period_seconds,
        timeout_seconds,
        failure_threshold,
    } = probe;
    KubeProbe {
        exec: exec.as_ref().map(|exec| ExecAction {
            command: some(exec.command.clone()),
        }),
        failure_threshold: *failure_threshold,
        http_get: http.as_ref().map(|http| HTTPGetAction {
            path: Some(http.path.clone()),
            port: IntOrString::Int(http.port),
            ..HTTPGetAction::default()
        }),
        // The API server drops a zero, which means the same.
        initial_delay_seconds: initial_delay_seconds.filter(|seconds| *seconds != 0),
        period_seconds: *period_seconds,
        tcp_socket: tcp.as_ref().map(|tcp| TCPSocketAction {
            host: None,
            port: IntOrString::Int(tcp.port),
        }),
        timeout_seconds: *timeout_seconds,
        ..KubeProbe::default()
    }
}
