//! What was observed becomes usage records.
//!
//! Pure: a function from what a source saw to records with ids that are the same however often it is called.

pub mod amounts;
pub mod book;
pub mod data;
pub mod events;
pub mod exact;
pub mod hours;
pub mod merge;
pub mod pods;
pub mod quantity;
pub mod reconcile;
pub mod record;
mod requests;
mod sum;
pub mod used;
pub mod volumes;

pub use amounts::{Amounts, HeldMeter, METERED_PLACES, Observed};
pub use book::{Batch, Book, Checkpoint, Heard, Release, Source};
pub use exact::{Exact, Rounding};
pub use hours::{Interval, hour_after, hour_of};
pub use merge::{Merge, merge};
pub use record::{Completeness, UNASSIGNED, UnknownCompleteness, UsageRecord};
