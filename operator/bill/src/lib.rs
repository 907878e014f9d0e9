//! A ledger page becomes a bill and its renderings.

pub mod bill;
mod json;
mod table;

pub use bill::{Bill, BillKind, BillLine};
pub use json::json;
pub use table::{amount, table};
