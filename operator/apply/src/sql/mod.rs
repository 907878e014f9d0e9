//! Carries the SQL of a plan out: the only writer of databases.

mod certificate;
mod error;
mod password;
mod session;

pub use error::SqlError;
pub use password::Password;
pub use session::{Session, Way, libpq_mode};
