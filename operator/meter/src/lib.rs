//! What was observed becomes usage records.
//!
//! Pure: a function from what a source saw to records with ids that are the same however often it is called.

pub mod exact;
pub mod hours;
pub mod pods;
pub mod quantity;
pub mod record;

pub use exact::{Exact, Rounding};
pub use hours::{Interval, hour_after, hour_of};
pub use pods::{Metered, pods};
pub use record::{Completeness, UNASSIGNED, UsageRecord};
