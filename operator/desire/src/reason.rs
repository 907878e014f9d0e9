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
    /// Billing can work with it.
    Consistent,
    /// Billing cannot work with it: something in it contradicts itself.
    Inconsistent,
    /// The system's cost is not shared.
    NotShared,
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
    /// A container waits for the credentials of a dataset, which Maru makes when the system may use it.
    CredentialsPending,
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
    /// The administrator's role logs in.
    Reachable,
    /// The server takes writes.
    Primary,
    /// The server's clock and the operator's agree.
    ClockInStep,
    /// The server is within its limits.
    RoomLeft,
    /// What is read through grants is counted.
    ReadsCounted,
    /// The server does not count statements, or the administrator's role does not see it.
    ReadsNotCounted,
    /// The database is there and the dataset's.
    Placed,
    /// Roles and rights were read back and are as planned.
    Enforced,
    /// What is there is what is declared.
    AsDeclared,
    /// The other side accepts: the consumer a grant, the owner of a shared system an agency.
    Accepted,
    /// The grant's time is now.
    Active,
    /// Nothing of a grant is in the database, as it should be.
    NothingGranted,
    /// There is no such `DatabaseServer`, or none that takes the dataset.
    ServerMissing,
    /// The Secret with the administrator's credentials is missing or incomplete.
    AdminSecretMissing,
    /// The server does not answer.
    ServerUnreachable,
    /// The server refuses the administrator's name or password.
    WrongPassword,
    /// The server has no connection left.
    TooManyConnections,
    /// The server's certificate is not what it should be.
    CertificateRefused,
    /// The server takes no writes.
    NotPrimary,
    /// The server's disk is full.
    DiskFull,
    /// The administrator's role may not do what is needed.
    NoCreateRole,
    /// The server's clock and the operator's differ.
    ClockOff,
    /// The server has no room for more.
    ServerFull,
    /// The server does not take datasets of the agency.
    PlacementRefused,
    /// Another dataset or somebody else has the database.
    DatabaseTaken,
    /// The database that is to be adopted is not there.
    DatabaseMissing,
    /// The platform has not agreed to an adoption.
    AdoptionNotAllowed,
    /// A superuser owns what is to be acted for.
    OwnerOutOfReach,
    /// The server does not allow an extension.
    ExtensionNotAllowed,
    /// A name cannot be one in the database.
    NameRefused,
    /// The database refused a statement.
    SqlRefused,
    /// What is there differs from what is declared.
    Differs,
    /// The database does not agree with the plan yet.
    Deviates,
    /// There is no backup.
    BackupMissing,
    /// A backup is there that is not older than it may be.
    BackedUp,
    /// A backup was due and is not there.
    BackupLate,
    /// A backup could not be made, or not be restored.
    BackupFailed,
    /// The data goes, and a last backup of it is made and restored before.
    BackupPending,
    /// A system that is named is not there.
    SystemMissing,
    /// The dataset of a grant is not there.
    DatasetMissing,
    /// The consuming system is not there.
    ConsumerMissing,
    /// The other side has not accepted: the consumer a grant, the owner of a shared system an agency.
    NotAccepted,
    /// The owner revoked the grant.
    Revoked,
    /// The grant is over.
    Expired,
    /// The grant begins later.
    NotYetActive,
    /// The grant cannot be carried out as it is written.
    GrantRefused,
    /// A column is of a higher class than the grant.
    ClassificationTooHigh,
    /// The dataset does not declare a granted column.
    ColumnNotDeclared,
    /// The database has no such column.
    ColumnMissing,
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

impl Reason {
    /// Whether it only says that a server could not be asked, and nothing about what is there.
    pub const fn is_of_the_way(self) -> bool {
        matches!(
            self,
            Self::AdminSecretMissing
                | Self::ServerUnreachable
                | Self::WrongPassword
                | Self::TooManyConnections
                | Self::CertificateRefused
                | Self::NotPrimary
                | Self::DiskFull
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
