//! The words people write: one file per kind.
//!
//! What these types allow is what the API server allows: bounds, patterns and CEL rules are part of the generated
//! manifests (`crds/manifests`, `charts/maru-crds`). Decimals, quantities, dates and timestamps stay strings here, so
//! that reading an object never fails and never rounds; the room that needs a number parses it.

// The schema derive copies each struct into a function, where its `pub` reaches nothing.
#![allow(unreachable_pub)]
// Each print column of a kind has a name, a type and a path.
#![allow(clippy::duplicated_attributes)]

mod agency;
mod agency_system;
mod bill;
mod billing_run;
mod bounds;
mod budget_bounds;
mod catalogue;
#[cfg(feature = "check")]
mod check;
mod cost;
mod cost_pool;
mod data_bounds;
mod data_grant;
mod database_server;
mod dataset;
mod manifests;
mod rate_card;
mod shared;
mod system_subscription;
mod volume;
mod workload;

pub use agency::*;
pub use agency_system::*;
pub use bill::*;
pub use billing_run::*;
pub use catalogue::*;
#[cfg(feature = "check")]
pub use check::{Checker, CheckerError, Problem};
pub use cost::*;
pub use cost_pool::*;
pub use data_grant::*;
pub use database_server::*;
pub use dataset::*;
pub use manifests::{Manifest, manifests};
pub use rate_card::*;
pub use shared::*;
pub use system_subscription::*;
pub use volume::*;
pub use workload::*;

/// The API group of every kind.
pub const GROUP: &str = "maru.dev";
/// The API version of every kind.
pub const VERSION: &str = "v1alpha1";
