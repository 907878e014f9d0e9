//! Why a plan could not be carried out to its end.

use maru_desire::ObjectKey;

/// The API server did not answer as expected; the whole plan is tried again later.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server could not be reached, was overloaded, or failed.
    #[error("{key}: the API server did not take it: {source}")]
    Unavailable {
        /// The object that was being written.
        key: ObjectKey,
        /// What the client says.
        source: Box<kube::Error>,
    },
    /// Somebody else changed the object in between.
    #[error("{key}: changed by somebody else in between: {message}")]
    Changed {
        /// The object that was being written.
        key: ObjectKey,
        /// What the API server says.
        message: String,
    },
}

impl ApplyError {
    /// A stable CamelCase reason for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "ApiServerUnavailable",
            Self::Changed { .. } => "Conflict",
        }
    }
}
