//! Backups of datasets: made with PostgreSQL's own programs, encrypted before they leave this machine, kept in a directory or an object store, and
//! restored to see that they can be.
//!
//! A backup is two objects: the encrypted dump, and a manifest that is written after it and says of what it was made: the checksum of the
//! dump as it is stored, and for each table how many rows it had and what they add up to. A restore counts as verified when every table
//! of what was restored has the rows that the manifest names. See `docs/concepts/data.md`.

mod dump;
mod error;
mod key;
mod manifest;
mod place;
mod programs;
mod restore;
mod sums;

pub use dump::{Asked, back_up};
pub use error::BackupError;
pub use key::Key;
pub use manifest::{Manifest, TableSum, Whose};
pub use place::Place;
pub use restore::{Compared, restore, verify};
pub use sums::table_sums;
