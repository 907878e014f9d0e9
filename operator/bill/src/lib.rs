//! A ledger page becomes a bill and its renderings.

pub mod bill;
pub mod compare;
mod focus;
mod json;
mod lines;
pub mod rows;
mod table;

pub use bill::{Bill, BillKind, BillLine};
pub use compare::{Difference, difference_table, differences};
pub use focus::focus;
pub use json::{json, yaml};
pub use lines::lines;
pub use rows::{Kind, Rows};
pub use table::{amount, table};
