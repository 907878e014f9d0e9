//! Money at rest: double entry, append-only, gap-free numbers.
//!
//! A [`Page`] is a statement whose entries balance. It is made from a [`maru_rate::Rated`] only, either as a [`draft`] or by issuing it
//! into a [`Ledger`], and a bill is made from a page only. A ledger is a SQLite file or a PostgreSQL database; both keep the same tables and
//! refuse the same things: see `docs/decisions/2026-11-24-ledger.md`.

mod account;
mod billed;
mod corrects;
mod credit;
mod digest;
mod draft;
mod error;
mod ledger;
mod naming;
mod page;
mod record;
mod store;
mod verify;

pub use account::{Account, Entry};
pub use billed::{Metered, Unbilled};
pub use credit::{Credit, CreditedLine};
pub use digest::{Digest, Inputs};
pub use error::LedgerError;
pub use ledger::{Issue, Ledger, Step};
pub use naming::Naming;
pub use page::{Page, PageKind, draft};
pub use verify::{Disagreement, Verified};
