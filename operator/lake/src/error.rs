//! What can go wrong with usage records at rest.

use deltalake_core::DeltaTableError;
use maru_meter::record::RecordError;

/// Why records could not be stored or read. After an error nothing that was acknowledged is lost, and trying again is safe.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The place is none that a lake can be in.
    #[error("`{location}` cannot hold a lake: {reason}; allowed are a directory, and URLs such as s3://bucket/path")]
    Location {
        /// What was given.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The table's log could not be read or written.
    #[error("the table at {location}: {error}; nothing was acknowledged, so it can be tried again")]
    Table {
        /// Where the lake is.
        location: String,
        /// What was said.
        error: Box<DeltaTableError>,
    },
    /// The store said no.
    #[error("{file}: {error}; nothing was acknowledged, so it can be tried again")]
    Store {
        /// The file, from the lake's root.
        file: String,
        /// What was said.
        error: Box<object_store::Error>,
    },
    /// A data file that is not what the table's log says of it: cut off, or written by somebody else.
    #[error(
        "{file}: is damaged: {reason}; bring it back from a copy, or restore the table to a version from before the damage"
    )]
    Damaged {
        /// The file, from the lake's root.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A record that says nothing sensible.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A record over more than a month.
    #[error("usage record `{id}` lasts longer than 31 days; allowed are records of at most 31 days, so cut it")]
    TooLong {
        /// Which record.
        id: String,
    },
    /// A quantity that the table's column cannot hold exactly.
    #[error(
        "usage record `{id}`: quantity {quantity} is not kept exactly; allowed are {} digits before and {} after the point",
        crate::columns::DIGITS_BEFORE,
        crate::columns::PLACES
    )]
    Quantity {
        /// Which record.
        id: String,
        /// Its quantity.
        quantity: String,
    },
    /// A moment that the table's column cannot hold exactly.
    #[error("usage record `{id}`: {moment} is finer than a microsecond; allowed are whole microseconds")]
    TooFine {
        /// Which record.
        id: String,
        /// Its moment.
        moment: String,
    },
    /// A name for something kept that a store cannot hold.
    #[error("`{0}` cannot be kept: allowed are names of lower-case letters, digits and hyphens")]
    Name(String),
    /// Other writers were always first.
    #[error("{attempts} attempts to write met other writers; nothing was acknowledged, so it can be tried again")]
    Busy {
        /// How often it was tried.
        attempts: u32,
    },
    /// Records that no Parquet file can say; none are known.
    #[error("usage records cannot be written: {0}")]
    Unwritable(String),
    /// No runtime for the store's requests.
    #[error("the lake's own threads could not be started: {0}")]
    Threads(std::io::Error),
}
