//! Why something is as it is: one word for programs, the same in conditions, events and metrics.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A stable CamelCase reason. It is the `reason` of a condition and of an event, and a label value of metrics; what
        /// figures and names there are stand in the message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The reason as conditions and events carry it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

reasons! {
    /// Everything asked for is there, as read back from the API server.
    Ready,
    /// Every object of the plan is stored.
    Provisioned,
    /// Enough pods of every component are available.
    Available,
    /// Every host name is routed.
    RoutesAccepted,
    /// The agency's quota has room for what its systems ask for.
    QuotaFits,
    /// The condition says nothing about this kind of system.
    NotApplicable,
    /// The spec says `suspended: true`.
    Suspended,
    /// A namespace belongs to another agency.
    NamespaceTaken,
    /// A namespace exists and nobody has handed it over.
    NamespaceNotAdopted,
    /// No agency may have this namespace.
    NamespaceProtected,
    /// A namespace is being deleted.
    NamespaceTerminating,
    /// A namespace is the agency's and the spec no longer lists it.
    NamespaceNotListed,
    /// The agency's systems ask for more than its quota allows.
    QuotaExceeded,
    /// The owner is being deleted and its objects are going.
    Deleting,
    /// Something that must be kept stands in the way of deleting.
    DeletionBlocked,
    /// The system's namespace belongs to no agency.
    AgencyMissing,
    /// The system's agency is not set up yet.
    AgencyNotReady,
    /// The agency has spent more than its budget.
    BudgetExceeded,
    /// What the agency has spent has passed an alert threshold of its budget.
    BudgetAlert,
    /// The agency has spent no more than its budget.
    WithinBudget,
    /// No bill of the agency was drafted yet.
    NotBilledYet,
    /// A budget and a bill are in two currencies.
    CurrencyDiffers,
    /// A host name is another system's.
    HostTaken,
    /// Hosts are asked for and there is no Gateway that routes could attach to.
    NoGateway,
    /// A host names a TLS Secret, and the Gateway ends TLS with its own.
    TlsOfGateway,
    /// A host is routed to a component that does not exist, or to a port that it does not expose.
    NoSuchPort,
    /// A volume is to become smaller, which no storage can.
    VolumeCannotShrink,
    /// The spec names the same thing twice where Kubernetes allows it once.
    Duplicate,
    /// The API server refused an object.
    Refused,
    /// An object of that name exists and is not Maru's.
    NameTaken,
    /// An object of that name is still being deleted.
    Terminating,
    /// A rollout is under way.
    RollingOut,
    /// A rollout has made no progress within its deadline.
    RolloutStuck,
    /// Pods cannot be created: a quota or a policy refuses them.
    PodsRefused,
    /// An image cannot be pulled.
    ImagePullFailed,
    /// A container ends again and again.
    CrashLooping,
    /// A container cannot be configured: a Secret or `ConfigMap` is missing, or the image runs as root.
    ContainerConfigError,
    /// No node has room for a pod.
    Unschedulable,
    /// Pods run and are not ready.
    PodsNotReady,
    /// The selector finds no pod.
    NoPods,
    /// A route's controller has not said anything yet.
    RoutePending,
    /// A route's controller refused it.
    RouteRefused,
}

impl Reason {
    /// Whether a problem of this reason is only worth knowing: the owner is ready all the same.
    pub const fn is_notice(self) -> bool {
        matches!(
            self,
            Self::NamespaceNotListed | Self::QuotaExceeded | Self::TlsOfGateway | Self::Suspended
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
