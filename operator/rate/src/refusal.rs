//! Why a manifest is refused: which field, and what is allowed there.

use std::fmt::Display;

/// A field of a manifest that says something the engine cannot go by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Refusal {
    /// The path of the field from the document's root, such as `spec.versions[0].items[2].tiers[1].upTo`.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl Refusal {
    /// A refusal of a field.
    pub fn new(field: impl Into<String>, message: impl Display) -> Self {
        Self {
            field: field.into(),
            message: message.to_string(),
        }
    }
}
