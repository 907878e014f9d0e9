//! A ledger page becomes a bill and its renderings.

pub mod bill;
pub mod compare;
mod explain;
pub mod focus;
mod json;
pub mod layout;
mod lines;
pub mod parquet_file;
pub mod rows;
mod table;

pub use bill::{Bill, BillKind, BillLine};
pub use compare::{Difference, difference_table, differences};
pub use explain::explain;
pub use focus::{Focus, FocusDataset, FocusVersion};
pub use json::{json, yaml};
pub use lines::lines;
pub use parquet_file::ParquetProblem;
pub use rows::{Column, Kind, Rows};
pub use table::{amount, recovery_table, table, table_within};
