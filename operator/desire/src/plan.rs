//! A plan: everything that one reconcile wants, as data that can be printed, compared and carried out.

use crate::object::{ObjectKey, WantedObject};
use crate::reason::Reason;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whose plan it is. Its name also decides the field manager that the objects are applied with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Owner {
    /// An `Agency`, by name.
    Agency {
        /// The agency's name.
        name: String,
    },
    /// An `AgencySystem`, by namespace and name.
    System {
        /// The namespace that the system is in.
        namespace: String,
        /// The system's name.
        name: String,
    },
}

impl Owner {
    /// The field manager that systems' objects are applied with.
    pub const SYSTEM_FIELD_MANAGER: &'static str = "maru-system";

    /// The field manager of server-side apply: one for each controller.
    pub const fn field_manager(&self) -> &'static str {
        match self {
            Self::Agency { .. } => "maru-agency",
            Self::System { .. } => Self::SYSTEM_FIELD_MANAGER,
        }
    }
}

/// What one owner wants of the cluster. Specific enough that nothing is left to decide: `apply` carries it out in order and
/// reports what the API server answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Whose plan it is.
    pub owner: Owner,
    /// The objects wanted, in the order to apply them.
    pub objects: Vec<WantedObject>,
    /// Objects that are there, are the owner's and are no longer wanted, in the order to delete them.
    pub sweep: Vec<ObjectKey>,
    /// The UIDs that objects must have: a namespace that is written to or deleted, a volume claim that is deleted. It is the
    /// precondition of the request, so that a plan made of old facts cannot touch a successor of the same name. A namespace
    /// among the objects and not here did not exist and is to be created, never taken over.
    pub uids: BTreeMap<ObjectKey, String>,
    /// What to do with the finalizer `maru.dev/protect` of the owner.
    pub finalizer: Finalizer,
    /// What stands in the way, found before anything is written: reasons that become conditions. A plan with problems is
    /// still applied as far as it goes.
    pub problems: Vec<Problem>,
}

impl Plan {
    /// A plan that does nothing.
    pub const fn empty(owner: Owner) -> Self {
        Self {
            owner,
            objects: Vec::new(),
            sweep: Vec::new(),
            uids: BTreeMap::new(),
            finalizer: Finalizer::Hold,
            problems: Vec::new(),
        }
    }
}

/// Something that keeps an owner from being ready, or that its administrator should know, in words that an administrator can act on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// A stable CamelCase reason, used as the condition's reason and as a metric label.
    pub reason: Reason,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Problem {
    /// A problem.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// What to do with the owner's finalizer. It is put on before the first object is written and taken off after the last
/// object is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finalizer {
    /// The owner lives: the finalizer is on it, or is put on it before anything else is done.
    Hold,
    /// The owner is being deleted and something is not gone yet: leave the finalizer.
    Wait,
    /// The owner is being deleted and nothing is left to do: take the finalizer off. The plan is otherwise empty.
    Release,
}
