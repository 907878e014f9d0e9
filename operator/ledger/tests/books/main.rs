//! What the ledger promises, held against both stores: a SQLite file and a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod billed;
mod correcting;
mod crash;
mod credit;
mod issuing;
#[path = "../../../rate/tests/model/mod.rs"]
#[allow(dead_code, unused_imports, reason = "it knows more than these books need")]
mod model;
mod place;
mod server;
mod tampering;
mod twelve_months;
mod worlds;
mod year;
