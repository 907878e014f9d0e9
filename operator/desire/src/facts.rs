//! What was observed: everything that a plan or a status depends on besides the spec. The controller gathers it, tests write
//! it down by hand.

use crate::object::ObjectKey;
use crate::quantity::Amounts;
use maru_crds::{AgencySystem, SystemSelector};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Settings of the installation, the same for every agency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Platform {
    /// The namespace that the operator runs in: never an agency's.
    pub operator_namespace: String,
    /// More namespaces that no agency may have. `default` and everything that begins with `kube-` never may.
    pub protected_namespaces: BTreeSet<String>,
    /// Which API routes are written with.
    pub route_api: RouteApi,
    /// The Gateway that `HTTPRoute`s attach to. Without one, a system with hosts has the problem `NoGateway`.
    pub gateway: Option<GatewayRef>,
    /// The class of the `Ingress`es; none: the cluster's default class.
    pub ingress_class: Option<String>,
    /// Namespaces whose pods forward requests from outside (the gateway's or the ingress controller's data plane): they may
    /// reach the ports that hosts are routed to.
    pub edge_namespaces: BTreeSet<String>,
    /// Where cluster DNS answers.
    pub dns: PodsOf,
    /// Where the API server answers, as pods reach it: open to components that are given a token for it, closed to all
    /// others.
    pub api_servers: Vec<Address>,
    /// Put the finalizer `maru.dev/metering` on the pods of Maru's own pod templates. Only where the metering loop runs: it
    /// alone takes the finalizer away again.
    pub metering_finalizer: bool,
}

impl Default for Platform {
    fn default() -> Self {
        Self {
            operator_namespace: "maru-system".to_owned(),
            protected_namespaces: BTreeSet::new(),
            route_api: RouteApi::Ingress,
            gateway: None,
            ingress_class: None,
            edge_namespaces: BTreeSet::new(),
            dns: PodsOf {
                namespace: "kube-system".to_owned(),
                labels: BTreeMap::from([("k8s-app".to_owned(), "kube-dns".to_owned())]),
            },
            api_servers: Vec::new(),
            metering_finalizer: false,
        }
    }
}

impl Platform {
    /// Whether no agency may have this namespace.
    pub fn protects(&self, namespace: &str) -> bool {
        namespace == "default"
            || namespace.starts_with("kube-")
            || namespace == self.operator_namespace
            || self.protected_namespaces.contains(namespace)
    }
}

/// Which API routes are written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteApi {
    /// `gateway.networking.k8s.io/v1 HTTPRoute`: the Gateway API's CRDs are installed.
    HttpRoute,
    /// `networking.k8s.io/v1 Ingress`.
    Ingress,
}

/// The Gateway that routes attach to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRef {
    /// The Gateway's namespace.
    pub namespace: String,
    /// The Gateway's name.
    pub name: String,
    /// The listener, if not all of them.
    pub section: Option<String>,
    /// The listener ends TLS: hosts are reached by `https`.
    pub tls: bool,
}

/// A range of addresses and a TCP port there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// In CIDR notation, such as `10.0.0.1/32`.
    pub cidr: String,
    /// The port, 1 to 65535.
    pub port: i32,
}

/// Pods of one namespace, by label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodsOf {
    /// Their namespace.
    pub namespace: String,
    /// The labels that they all carry; empty: every pod of the namespace.
    pub labels: BTreeMap<String, String>,
}

/// Which `AgencySystem`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SystemKey {
    /// The namespace that it is in.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl SystemKey {
    /// A key.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for SystemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What was observed about an agency.
#[derive(Clone, Debug)]
pub struct AgencyFacts<'a> {
    /// The installation's settings.
    pub platform: &'a Platform,
    /// The `Agency` CRD is being deleted, or is not there: then nothing is swept and the finalizer is released. Where the
    /// agency has a deletion timestamp this must be a fresh read, not a cached one: a plan that sweeps depends on it.
    pub crd_terminating: bool,
    /// The namespaces that exist among those the spec lists, those its status records and those labelled
    /// `maru.dev/agency=<this agency>`.
    pub namespaces: BTreeMap<String, NamespaceFacts>,
    /// The objects that carry `app.kubernetes.io/managed-by=maru` and this agency's label and no system's, in its namespaces;
    /// the namespaces themselves are not among them.
    pub owned: BTreeSet<ObjectKey>,
    /// What each system in its namespaces asks for at most: [`crate::demand`] of its spec.
    pub systems: Vec<SystemDemand>,
}

/// What was observed about one namespace that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// `metadata.uid`
    pub uid: String,
    /// The value of its label `maru.dev/agency`.
    pub agency: Option<String>,
    /// It is being deleted. The text is what the API server says still blocks it (the messages of its conditions), or empty.
    pub terminating: Option<String>,
    /// `spec.hard` of the ResourceQuota `maru` in it; empty where there is none.
    pub hard: BTreeMap<String, String>,
    /// `status.used` of the same.
    pub used: BTreeMap<String, String>,
    /// What in it must outlive the agency: systems whose `deletionPolicy` is not `Delete` (in spec and status) and volume claims
    /// that do not belong to a system with `Delete`. Only read when the agency is being deleted, and may be empty otherwise.
    pub retained: BTreeSet<String>,
}

/// What one system asks for at most, when every component has scaled out as far as it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemDemand {
    /// Which system.
    pub system: SystemKey,
    /// Its components' and jobs' requests and its volumes.
    pub amounts: Amounts,
}

/// How the pods of a system are told from others of its namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PodsOfSystem {
    /// By the label that Maru gives to the pods it runs.
    #[default]
    Labelled,
    /// By the selector of a system that runs already.
    Selected(SystemSelector),
}

impl From<&AgencySystem> for PodsOfSystem {
    fn from(system: &AgencySystem) -> Self {
        system.spec.selector.clone().map_or(Self::Labelled, Self::Selected)
    }
}

/// What was observed about a system.
#[derive(Clone, Debug)]
pub struct SystemFacts<'a> {
    /// The installation's settings.
    pub platform: &'a Platform,
    /// The `AgencySystem` CRD is being deleted, or is not there: see [`AgencyFacts::crd_terminating`].
    pub crd_terminating: bool,
    /// The system's namespace is being deleted: nothing can be created in it.
    pub namespace_terminating: bool,
    /// Whose namespace the system is in.
    pub agency: AgencyBinding,
    /// The objects in its namespace that carry `app.kubernetes.io/managed-by=maru` and this system's label.
    pub owned: BTreeSet<ObjectKey>,
    /// The Deployments among them, by component.
    pub deployments: BTreeMap<String, DeploymentFacts>,
    /// The pods that carry the system's label, by component. For a system with a `selector`: the pods that it
    /// selects, under the empty name.
    pub pods: BTreeMap<String, PodFacts>,
    /// The PersistentVolumeClaims among the owned objects, by name.
    pub volumes: BTreeMap<String, VolumeFacts>,
    /// What the route objects' controllers said, by the name of the HTTPRoute or Ingress.
    pub routes: BTreeMap<String, RouteFacts>,
    /// Who holds those of this system's hosts that an older claim of another system holds. The oldest claim is the one with the earliest
    /// `creationTimestamp`, then the smaller namespace and name.
    pub hosts_taken: BTreeMap<String, HostHolder>,
    /// The systems named in `callers` that exist, and which pods are theirs. (Those that do not are still let in by name: the order in which things are
    /// applied must not matter.)
    pub callers: BTreeMap<SystemKey, PodsOfSystem>,
    /// The systems that name this one among their `callers`: the other end that its network policy must open.
    pub may_call: BTreeSet<SystemKey>,
}

/// Whose namespace a system is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgencyBinding {
    /// The namespace carries no agency's label, or the agency does not exist.
    Missing,
    /// The agency exists and its namespace is not set up yet, or it is being deleted. What runs goes on and is kept healed;
    /// nothing new begins.
    NotReady {
        /// The agency.
        name: String,
        /// Why, as one clause without a full stop.
        why: String,
    },
    /// The agency's policies and quota are in place in the namespace.
    Found {
        /// The agency.
        name: String,
        /// The budget is spent and the agency says `onExceeded: BlockNew`: the figures, as one clause.
        blocked: Option<String>,
    },
}

/// What a Deployment's status says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentFacts {
    /// `spec.replicas`
    pub desired: i32,
    /// `status.updatedReplicas`
    pub updated: i32,
    /// `status.availableReplicas`
    pub available: i32,
    /// `status.readyReplicas`
    pub ready: i32,
    /// `status.replicas`
    pub total: i32,
    /// `metadata.managedFields` says that the field manager `maru-system` owns `spec.replicas`: no autoscaler has set it yet.
    pub replicas_ours: bool,
    /// `status.observedGeneration` is `metadata.generation`.
    pub observed_generation_current: bool,
    /// The condition `ReplicaFailure`, or `Progressing` with `ProgressDeadlineExceeded`, where it holds.
    pub failure: Option<Trouble>,
}

/// What a component's pods say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Pods that have not ended.
    pub total: i32,
    /// Those with the condition `Ready`.
    pub ready: i32,
    /// Restarts of all their containers.
    pub restarts: i32,
    /// What they request together ([`crate::pod_requests`]). Only read for a system with a `selector`.
    pub requested: Amounts,
    /// The worst thing that keeps one of them from running: a waiting container's reason (`ImagePullBackOff`,
    /// `CrashLoopBackOff`, `CreateContainerConfigError`…) or `Unschedulable`. It must be chosen in a stable order, so that a status does not
    /// flicker between two pods.
    pub waiting: Option<Trouble>,
}

/// A reason and a message as Kubernetes gave them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    /// Kubernetes' own CamelCase reason.
    pub reason: String,
    /// Its message.
    pub message: String,
}

/// What a PersistentVolumeClaim says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeFacts {
    /// `metadata.uid`
    pub uid: String,
    /// `spec.resources.requests.storage`
    pub requested: String,
    /// `status.phase` is `Bound`.
    pub bound: bool,
    /// `deletionTimestamp` is set.
    pub terminating: bool,
}

/// What a route's controller said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteFacts {
    /// An HTTPRoute: every parent's `Accepted`, `None` before any said so. An Ingress: `Some(true)` once it has an address.
    pub accepted: Option<bool>,
    /// Why not, where it was refused.
    pub message: String,
}

/// Who holds a host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostHolder {
    /// The system that claimed it first.
    pub system: SystemKey,
    /// The agency whose system it is: named only to itself.
    pub agency: Option<String>,
}
