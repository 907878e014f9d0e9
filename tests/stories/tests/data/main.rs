//! Two ministries and their data, on a real API server and a real PostgreSQL, with the operator as its users install it where containers can run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

mod asking;
mod backups;
mod credentials;
mod grants;
mod placement;
mod troubles;
mod usage;
