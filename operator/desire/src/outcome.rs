//! What the API server answered to each object of a plan.

use crate::object::ObjectKey;
use crate::plan::{Owner, Plan, Problem};

/// What became of one object of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was as wanted; nothing was sent.
    Unchanged,
    /// The API server stored it.
    Written,
    /// The API server took the deletion, or it was gone already.
    Deleted,
    /// The API server refused it and will again: 403, 409 of another owner, 422. Answers that may pass (429, 5xx, timeouts)
    /// are not outcomes; they are errors of the whole attempt, which is then repeated.
    Refused {
        /// The API server's reason: `Forbidden`, `Invalid`, `Conflict`…
        reason: String,
        /// Its message.
        message: String,
    },
    /// It was not tried because an object that it needs was refused.
    Skipped,
}

impl Outcome {
    /// A refusal.
    pub fn refused(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Refused {
            reason: reason.into(),
            message: message.into(),
        }
    }
}

/// A plan that was carried out. A status is made from this and from nothing less.
#[derive(Clone, Debug)]
pub struct Applied {
    owner: Owner,
    problems: Vec<Problem>,
    outcomes: Vec<(ObjectKey, Outcome)>,
}

impl Applied {
    /// The plan's problems together with what became of its objects.
    pub fn new(plan: &Plan, outcomes: Vec<(ObjectKey, Outcome)>) -> Self {
        Self {
            owner: plan.owner.clone(),
            problems: plan.problems.clone(),
            outcomes,
        }
    }

    /// Whose plan it was.
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// What stood in the way before anything was written.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What became of each object, in the order of the plan, swept ones last.
    pub fn outcomes(&self) -> &[(ObjectKey, Outcome)] {
        &self.outcomes
    }

    /// The objects that were refused, each with the API server's message.
    pub fn refused(&self) -> impl Iterator<Item = (&ObjectKey, &str, &str)> {
        self.outcomes.iter().filter_map(|(key, outcome)| match outcome {
            Outcome::Refused { reason, message } => Some((key, reason.as_str(), message.as_str())),
            Outcome::Unchanged | Outcome::Written | Outcome::Deleted | Outcome::Skipped => None,
        })
    }
}
