//! The charts, installed by the real Helm: what they install, that it is enough and no more, and what agencies may and may not do under it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

mod bills;
mod budgets;
mod charts;
mod container;
mod data;
mod metered;
mod placement;
mod priced;
mod refusals;
mod replicas;
mod stage;
mod tenants;
