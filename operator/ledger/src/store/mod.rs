//! What a store of the ledger does. There are two, and everything else is written once, above this.

mod postgres;
mod sqlite;

use std::fmt::Debug;

use crate::error::LedgerError;
use crate::record::{Head, Record};

pub(crate) use postgres::{PostgresStore, UseFor};
pub(crate) use sqlite::SqliteStore;

/// Somewhere that pages are kept.
pub(crate) trait Store: Debug + Send {
    /// Does the work in one serialisable transaction, again where another one came in between; all of it, durably, or nothing.
    fn write(&mut self, work: &mut Work<'_>) -> Result<(), LedgerError>;

    /// The head and content of a bill.
    fn bill(&mut self, issuer: &str, number: &str) -> Result<Option<(Head, Vec<u8>)>, LedgerError>;

    /// The head and content of a page that has no number.
    fn unnumbered(&mut self, issuer: &str, kind: &str, period: &str) -> Result<Option<(Head, Vec<u8>)>, LedgerError>;

    /// The heads and contents of an issuer's pages that are about a period, by position.
    fn pages(&mut self, issuer: &str, period: &str) -> Result<Vec<(Head, Vec<u8>)>, LedgerError>;

    /// What is booked to an account in a currency: units and their decimal places.
    fn balance(&mut self, account: &str, currency: &str) -> Result<Vec<(i128, u32)>, LedgerError>;

    /// Shows everything as it is at one moment: all accounts, then all pages by position, then all entries in any order.
    fn scan(&mut self, visitor: &mut dyn Visitor) -> Result<(), LedgerError>;
}

/// What is done in a transaction. It may be called several times; only the last time counts.
pub(crate) type Work<'a> = dyn FnMut(&mut dyn Books) -> Result<(), LedgerError> + 'a;

/// The books, inside a transaction.
pub(crate) trait Books {
    /// The pages of an issuer that are about a period.
    fn known(&mut self, issuer: &str, period: &str) -> Result<Vec<(Head, Vec<u8>)>, LedgerError>;

    /// The head and content of a bill.
    fn bill(&mut self, issuer: &str, number: &str) -> Result<Option<(Head, Vec<u8>)>, LedgerError>;

    /// The last page, and the last number of an issuer's year.
    fn last(&mut self, issuer: &str, fiscal_year: i16) -> Result<Last, LedgerError>;

    /// Adds pages at the end, with their entries.
    fn add(&mut self, records: &[Record<'_>]) -> Result<(), LedgerError>;
}

/// Where the books end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Last {
    pub(crate) position: i64,
    pub(crate) digest: crate::digest::Digest,
    pub(crate) sequence: i64,
}

/// An entry as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredEntry {
    pub(crate) page: i64,
    pub(crate) position: i64,
    pub(crate) account: i64,
    pub(crate) units: i64,
    pub(crate) line: u32,
}

/// Who looks at everything.
pub(crate) trait Visitor {
    fn account(&mut self, id: i64, name: String);
    fn page(&mut self, head: Head, content: &[u8]);
    fn entry(&mut self, entry: StoredEntry);
}
