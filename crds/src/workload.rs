//! What a system runs: components and scheduled jobs.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    bounds,
    shared::{Accelerator, is_default},
    volume::Volume,
};

/// A part of a system that runs all the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("!has(self.ports) || self.ports.all(p, self.ports.exists_one(q, q.port == p.port && q.protocol == p.protocol))")
        .message("a component lists a port number once for each protocol"),
    validation = Rule::new("!has(self.volumes) || self.volumes.all(v, self.volumes.exists_one(w, w.mountPath == v.mountPath))")
        .message("a component mounts one volume at a path"),
    validation = Rule::new("!has(self.volumes) || !self.volumes.exists(v, has(v.persistent) && v.persistent.accessMode in ['ReadWriteOnce', 'ReadWriteOncePod']) || (has(self.replicas) ? !has(self.replicas.max) && (!has(self.replicas.fixed) || self.replicas.fixed <= 1) : true)")
        .message("a component with a persistent volume of access mode ReadWriteOnce or ReadWriteOncePod has one pod: give replicas: {fixed: 1}, or access mode ReadWriteMany"),
)]
pub struct Component {
    /// The component's name, at most 22 characters; objects are named `<system>-<component>`.
    #[schemars(schema_with = "bounds::part_name")]
    pub name: String,
    /// The container image. It must run as a user other than root.
    #[schemars(schema_with = "bounds::image")]
    pub image: String,
    /// The program to start, in place of the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::arguments")]
    pub command: Vec<String>,
    /// Its arguments, in place of the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::arguments")]
    pub args: Vec<String>,
    /// How many pods: a fixed number, or between two by CPU use. None given: one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub replicas: Replicas,
    /// The ports that it listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub ports: Vec<ComponentPort>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVariable>,
    /// What one pod asks for and may use.
    #[serde(default)]
    pub resources: Resources,
    /// How it is seen that a pod has started, is alive and is ready.
    #[serde(default, skip_serializing_if = "is_default")]
    pub probes: Probes,
    /// Files that are mounted into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub volumes: Vec<Volume>,
    /// Whether a token for the Kubernetes API is mounted. Default `false`.
    #[serde(default)]
    pub service_account_token: bool,
    /// The numeric user it runs as, 1 to 2147483647. None given: the image's own, which must be a number other than 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_user: Option<i64>,
    /// Seconds that a pod has to end by itself, 0 to 3600. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub termination_grace_period_seconds: Option<i64>,
}

/// A part of a system that runs at set times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("!has(self.volumes) || self.volumes.all(v, self.volumes.exists_one(w, w.mountPath == v.mountPath))")
        .message("a job mounts one volume at a path"),
)]
pub struct ScheduledJob {
    /// The job's name, at most 22 characters, none that a component has; objects are named `<system>-<job>`.
    #[schemars(schema_with = "bounds::part_name")]
    pub name: String,
    /// When it runs, as cron has it: minute, hour, day of the month, month, day of the week, such as `"30 2 * * *"`.
    #[schemars(schema_with = "bounds::schedule")]
    pub schedule: String,
    /// The IANA time zone of the schedule, such as `Asia/Seoul`. None given: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::time_zone")]
    pub time_zone: Option<String>,
    /// The container image. It must run as a user other than root.
    #[schemars(schema_with = "bounds::image")]
    pub image: String,
    /// The program to start, in place of the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::arguments")]
    pub command: Vec<String>,
    /// Its arguments, in place of the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::arguments")]
    pub args: Vec<String>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVariable>,
    /// What one pod asks for and may use.
    #[serde(default)]
    pub resources: Resources,
    /// Files that are mounted into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub volumes: Vec<Volume>,
    /// Whether a token for the Kubernetes API is mounted. Default `false`.
    #[serde(default)]
    pub service_account_token: bool,
    /// The numeric user it runs as, 1 to 2147483647. None given: the image's own, which must be a number other than 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_user: Option<i64>,
    /// What happens when the last run has not ended: `Forbid` (default) leaves this one out, `Allow` runs both,
    /// `Replace` ends the last one.
    #[serde(default)]
    pub concurrency_policy: ConcurrencyPolicy,
    /// How often a failed run is tried again, 0 to 20. Default 2.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 20))]
    pub backoff_limit: i32,
    /// Seconds after which a run is ended, 1 to 604800 (a week). None given: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub active_deadline_seconds: Option<i64>,
}

fn two() -> i32 {
    2
}

/// What happens when a job is due and its last run has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConcurrencyPolicy {
    /// Both run.
    Allow,
    /// The new run is left out.
    #[default]
    Forbid,
    /// The last run is ended.
    Replace,
}

/// How many pods: `fixed`, or from `min` to `max`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("has(self.fixed) ? !has(self.min) && !has(self.max) && !has(self.targetCPUUtilizationPercent) : has(self.max) || (!has(self.min) && !has(self.targetCPUUtilizationPercent))")
        .message("give either fixed, or max (with min and targetCPUUtilizationPercent if wanted)"),
    validation = Rule::new("!has(self.max) || (has(self.min) ? self.min : 1) <= self.max")
        .message("min must not be more than max"),
)]
pub struct Replicas {
    /// This many, 0 to 1000. Not together with `min` and `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub fixed: Option<i32>,
    /// At least this many, 1 to 1000. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min: Option<i32>,
    /// At most this many, 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max: Option<i32>,
    /// The CPU use to aim at, in percent of what pods request, 1 to 100. Default 80.
    #[serde(
        rename = "targetCPUUtilizationPercent",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 100))]
    pub target_cpu_utilization_percent: Option<i32>,
}

/// How many pods a component has, with the defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// This many.
    Fixed(i32),
    /// As many as the load asks for.
    Auto {
        /// At least.
        min: i32,
        /// At most.
        max: i32,
        /// In percent of the CPU that pods request.
        target_cpu_percent: i32,
    },
}

impl Replicas {
    /// How many pods, with the defaults filled in: one where nothing is given; `min` 1 and target 80 % with `max`.
    pub fn scale(&self) -> Scale {
        let Self {
            fixed,
            min,
            max,
            target_cpu_utilization_percent,
        } = self;
        match (fixed, max) {
            (Some(fixed), _) => Scale::Fixed(*fixed),
            (None, Some(max)) => Scale::Auto {
                min: min.unwrap_or(1),
                max: *max,
                target_cpu_percent: target_cpu_utilization_percent.unwrap_or(80),
            },
            (None, None) => Scale::Fixed(1),
        }
    }
}

/// A port that a component listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct ComponentPort {
    /// The port's name, at most 15 characters, such as `http`.
    #[schemars(schema_with = "bounds::port_name")]
    pub name: String,
    /// The port, 1 to 65535. The component's Service has the same.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// `TCP` (default) or `UDP`.
    #[serde(default)]
    pub protocol: Protocol,
    /// Whether the system's callers and host names may reach it (default `true`). `false`: only the system's own
    /// components may.
    #[serde(default = "yes")]
    pub expose: bool,
}

fn yes() -> bool {
    true
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// TCP.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
}

/// An environment variable: exactly one of `value`, `secretRef` and `configMapRef`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("(has(self.value) ? 1 : 0) + (has(self.secretRef) ? 1 : 0) + (has(self.configMapRef) ? 1 : 0) == 1")
        .message("a variable has exactly one of value, secretRef and configMapRef"),
)]
pub struct EnvVariable {
    /// The variable's name.
    #[schemars(schema_with = "bounds::variable")]
    pub name: String,
    /// Its value, at most 4096 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::argument")]
    pub value: Option<String>,
    /// A key of a Secret of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyRef>,
    /// A key of a `ConfigMap` of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<KeyRef>,
}

/// A key of a Secret or a `ConfigMap` of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct KeyRef {
    /// The object's name.
    #[schemars(schema_with = "bounds::dns_name")]
    pub name: String,
    /// The key in it.
    #[schemars(schema_with = "bounds::data_key")]
    pub key: String,
}

/// What one pod asks for and may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("!isQuantity(self.cpu) || quantity(self.cpu).isGreaterThan(quantity('0'))")
        .message("cpu must be more than 0: it is what is reserved and billed"),
    validation = Rule::new("!isQuantity(self.memory) || quantity(self.memory).isGreaterThan(quantity('0'))")
        .message("memory must be more than 0: it is what is reserved and billed"),
    validation = Rule::new("!has(self.cpuLimit) || !isQuantity(self.cpuLimit) || !isQuantity(self.cpu) || !quantity(self.cpuLimit).isLessThan(quantity(self.cpu))")
        .message("cpuLimit must not be less than cpu"),
    validation = Rule::new("!has(self.memoryLimit) || !isQuantity(self.memoryLimit) || !isQuantity(self.memory) || !quantity(self.memoryLimit).isLessThan(quantity(self.memory))")
        .message("memoryLimit must not be less than memory"),
)]
pub struct Resources {
    /// CPU that is reserved and billed, in cores (`"2"`) or millicores (`"250m"`). Default `100m`.
    #[serde(default = "default_cpu")]
    #[schemars(schema_with = "bounds::cpu")]
    pub cpu: String,
    /// Memory that is reserved and billed, in bytes, such as `"512Mi"`. Default `128Mi`.
    #[serde(default = "default_memory")]
    #[schemars(schema_with = "bounds::bytes")]
    pub memory: String,
    /// CPU that it may use at most. None given: what the node has to spare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::cpu")]
    pub cpu_limit: Option<String>,
    /// Memory that it may use at most; past it the container is ended. None given: as much as `memory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::bytes")]
    pub memory_limit: Option<String>,
    /// Ephemeral storage that is reserved, in bytes, such as `"1Gi"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::bytes")]
    pub ephemeral_storage: Option<String>,
    /// Devices, by resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["resource".into()]))]
    pub accelerators: Vec<Accelerator>,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            cpu: default_cpu(),
            memory: default_memory(),
            cpu_limit: None,
            memory_limit: None,
            ephemeral_storage: None,
            accelerators: Vec::new(),
        }
    }
}

fn default_cpu() -> String {
    "100m".to_owned()
}

fn default_memory() -> String {
    "128Mi".to_owned()
}

/// How it is seen that a pod has started, is alive and is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct Probes {
    /// Failing: the container is started anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Probe>,
    /// Failing: the pod gets no requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
    /// The other two wait until this one has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Probe>,
}

/// A question asked of a container again and again: exactly one of `http`, `tcp` and `exec`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("(has(self.http) ? 1 : 0) + (has(self.tcp) ? 1 : 0) + (has(self.exec) ? 1 : 0) == 1")
        .message("a probe has exactly one of http, tcp and exec"),
)]
pub struct Probe {
    /// A request whose answer must have a status from 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
    /// A port that must accept a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpProbe>,
    /// A program that must end with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecProbe>,
    /// Seconds before the first question, 0 to 3600. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub initial_delay_seconds: Option<i32>,
    /// Seconds from one question to the next, 1 to 3600. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub period_seconds: Option<i32>,
    /// Seconds to wait for the answer, 1 to 300. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub timeout_seconds: Option<i32>,
    /// How many failures in a row count, 1 to 100. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: Option<i32>,
}

/// A request whose answer must have a status from 200 to 399.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct HttpProbe {
    /// The path, such as `/healthz`.
    #[schemars(schema_with = "bounds::url_path")]
    pub path: String,
    /// The port, 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

/// A port that must accept a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct TcpProbe {
    /// The port, 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

/// A program that must end with 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct ExecProbe {
    /// The program and its arguments.
    #[schemars(schema_with = "bounds::command")]
    pub command: Vec<String>,
}

/// An object of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct LocalRef {
    /// The object's name.
    #[schemars(schema_with = "bounds::dns_name")]
    pub name: String,
}
