//! Usage records at rest.
