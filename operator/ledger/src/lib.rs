//! Money at rest: double entry, append-only, gap-free numbers.
//!
//! A [`Page`] is a statement whose entries balance. It is made from a [`maru_rate::Rated`] only, either as a [`draft`] or by issuing it
//! into a [`Ledger`], and a bill is made from a page only.

mod error;
mod page;
mod store;
mod verify;

pub use error::LedgerError;
pub use page::{Account, Entry, Page, draft};
pub use store::{Issue, Ledger};
pub use verify::Verified;
