//! What can go wrong with money at rest.

use maru_meter::Exact;

/// Why something was not booked. After an error nothing of it is in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database said no.
    #[error("ledger database: {0}")]
    Database(#[from] rusqlite::Error),
    /// Debits and credits of a page differ: a mistake in the engine, so that nothing is booked.
    #[error("the entries of agency `{agency}` do not balance: they sum to {sum} minor units and must sum to 0")]
    Unbalanced {
        /// Whose page.
        agency: String,
        /// What is over.
        sum: i128,
    },
    /// A total that cannot be booked.
    #[error(
        "amount {amount} of agency `{agency}` cannot be booked: allowed are whole minor units of the currency, below 9.2 × 10^18 of them"
    )]
    Amount {
        /// Whose.
        agency: String,
        /// How much.
        amount: Exact,
    },
    /// The period was issued before with other figures.
    #[error(
        "bill {number} of agency `{agency}` for {month} was issued with other figures; an issued bill is never changed, a correction is a bill of its own"
    )]
    Issued {
        /// The number it has.
        number: String,
        /// Whose.
        agency: String,
        /// For which period.
        month: String,
    },
    /// What is stored cannot be read back.
    #[error("ledger content of bill {number} cannot be read: {error}")]
    Content {
        /// Which bill.
        number: String,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// The database is of a newer program.
    #[error("the ledger has schema {found}; this program knows schemas up to {known}")]
    Schema {
        /// What it has.
        found: i64,
        /// What is known.
        known: i64,
    },
    /// The books do not add up.
    #[error("the ledger does not verify: {0}")]
    Verify(String),
}
