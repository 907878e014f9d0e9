//! The words people write: one file per kind.
