//! What the ledger promises, held against both stores: a SQLite file and a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod correcting;
mod crash;
mod credit;
mod issuing;
mod place;
mod server;
mod tampering;
mod worlds;
