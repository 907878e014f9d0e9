//! Carries a plan out: the only writer of cluster objects.
//!
//! Every object is compared before it is written, for a server-side apply that changes nothing costs the API server as much
//! as one that does. What was read back is remembered in [`Observed`], so that a second run of the same plan writes nothing.

mod carry_out;
pub mod credentials;
mod error;
mod fingerprint;
mod observed;
pub mod sql;
mod try_out;

pub use carry_out::{Applier, differs};
pub use error::ApplyError;
pub use fingerprint::{Fingerprint, ManagedFields};
pub use observed::{Observed, Seen, resource_version};
pub use try_out::Tried;
