//! A real PostgreSQL on this machine, for the tests: Debian's, on loopback, at a free port, in a folder of its own.
//!
//! It is gone, with its folder, when it is dropped and also when the process that asked for it ends, however that one ended. Servers run
//! side by side. As root the package is installed when it is missing.
//!
//! ```no_run
//! # fn example() -> Result<(), maru_test_postgres::PostgresError> {
//! use maru_test_postgres::{Postgres, PostgresOptions};
//!
//! let server = Postgres::start(&PostgresOptions::default())?;
//! let url = server.create_database("ledger")?; // postgresql://postgres:…@127.0.0.1:…/ledger
//! # Ok(())
//! # }
//! ```

mod certificates;
mod debian;
mod error;
mod server;

pub use debian::backup_programs;
pub use error::PostgresError;
pub use server::{Postgres, PostgresOptions, shared};
