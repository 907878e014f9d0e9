//! What was asked for and what was observed become a plan. Pure: no client, no clock, no runtime.
//!
//! The controller gathers facts, asks for a plan ([`plan_agency`], [`plan_system`]), has `apply` carry it out, gathers again and
//! asks for the status ([`report_agency`], [`report_system`]). The status takes an [`Applied`], which only a carried-out plan
//! becomes.

mod agency;
mod agency_report;
mod budget;
pub mod dataset;
mod deletion;
mod facts;
mod manifest;
mod names;
mod network;
mod object;
mod orphan;
mod outcome;
mod plan;
mod priced;
mod quantity;
mod quota;
mod reason;
mod status;
mod system;

pub use agency::plan_agency;
pub use agency_report::report_agency;
pub use budget::blocks_new;
pub use facts::{
    AgencyBinding, AgencyFacts, DeploymentFacts, GatewayRef, HostHolder, NamespaceFacts, Platform, PodFacts, PodsOf,
    PodsOfSystem, RouteApi, RouteFacts, SystemDemand, SystemFacts, SystemKey, Trouble, VolumeFacts,
};
pub use object::{ObjectKey, ObjectKind, WantedObject};
pub use orphan::{ORPHAN_GRACE, plan_orphans};
pub use outcome::{Applied, Outcome};
pub use plan::{Finalizer, Owner, Plan, Problem};
pub use priced::{SubscriptionFacts, report_cost_pool, report_rate_card, report_subscription};
pub use quantity::{Amounts, NotAQuantity, Resource, pod_requests};
pub use reason::Reason;
pub use system::{demand, plan_system, report_system, standing};

/// The label with the agency's name, on everything that belongs to an agency, its namespaces included.
pub const AGENCY_LABEL: &str = "maru.dev/agency";
/// The label with the system's name, on a system's objects and pods.
pub const SYSTEM_LABEL: &str = "maru.dev/system";
/// The label with the component's or job's name, on its objects and pods.
pub const COMPONENT_LABEL: &str = "maru.dev/component";
/// The label of a namespace with its agency's security grade, which placement on nodes follows.
pub const GRADE_LABEL: &str = "maru.dev/grade";
/// The annotation of an agency's namespace with the reason why nothing new may begin in it; empty where something may.
pub const BLOCK_NEW_ANNOTATION: &str = "maru.dev/block-new";
/// The label that says who wrote an object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Its value on everything that Maru writes.
pub const MANAGED_BY: &str = "maru";
/// The finalizer of `Agency` and `AgencySystem`.
pub const PROTECT_FINALIZER: &str = "maru.dev/protect";
/// The finalizer of pods whose last usage is not recorded yet.
pub const METERING_FINALIZER: &str = "maru.dev/metering";
