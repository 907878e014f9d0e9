//! What can go wrong with money at rest.

use std::cmp::Ordering;

use maru_meter::Exact;

/// Why something was not booked. After an error nothing of it is in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The place of the ledger cannot be understood.
    #[error(
        "`{0}` is not a ledger: allowed are the path of a SQLite file and postgresql://USER:PASSWORD@HOST/DATABASE"
    )]
    Address(String),
    /// There is no such file.
    #[error(
        "`{0}` is not there: allowed is the path of a ledger's SQLite file, or postgresql://USER:PASSWORD@HOST/DATABASE"
    )]
    Missing(String),
    /// The database said no.
    #[error("ledger database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The server said no.
    #[error("ledger database: {}", server_words(.0))]
    Postgres(#[from] postgres::Error),
    /// There is no room left.
    #[error(
        "nothing was booked: there is no room left where the ledger is ({0}); make room and issue again, which gives the same numbers"
    )]
    Full(String),
    /// The ledger cannot be written.
    #[error(
        "nothing was booked: the ledger can only be read ({0}); check who owns its file and folder, or whether the server is a standby"
    )]
    ReadOnly(String),
    /// The certificates that the server is checked against cannot be read.
    #[error("certificates for the ledger's server: {0}")]
    Tls(String),
    /// Others were faster, again and again.
    #[error("nothing was booked: {0} times another issuer came in between; issue again")]
    Contended(u32),
    /// Debits and credits of a page differ: a mistake in the engine, so that nothing is booked.
    #[error("the entries of agency `{agency}` do not balance: they sum to {sum} units and must sum to 0")]
    Unbalanced {
        /// Whose page.
        agency: String,
        /// What is over.
        sum: i128,
    },
    /// A total that cannot be booked.
    #[error(
        "amount {amount} of agency `{agency}` cannot be booked: allowed are amounts of {places} decimal places, below 9.2 × 10^18 of the last one"
    )]
    Amount {
        /// Whose.
        agency: String,
        /// How much.
        amount: Exact,
        /// How many are allowed.
        places: u32,
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
    /// A correction of something that was not issued.
    #[error(
        "a line of agency `{agency}` corrects `{corrects}`, which was not issued to it: allowed are NUMBER/LINE of an issued bill, such as 2026-000123/4"
    )]
    Dangling {
        /// Whose.
        agency: String,
        /// What it names.
        corrects: String,
    },
    /// A credit that cannot be given.
    #[error("bill {number} cannot be credited: {reason}")]
    Credit {
        /// The bill's number.
        number: String,
        /// Why not, and what is allowed.
        reason: String,
    },
    /// Usage was to come day by day and did not.
    #[error("usage record `{0}` is of a day that was complete: allowed are records day by day, in UTC")]
    OutOfOrder(String),
    /// What is stored cannot be read back.
    #[error("ledger content cannot be read: {0}")]
    Stored(String),
    /// The database is of an older program, and was opened to be read only.
    #[error(
        "the ledger has schema {found} and schema {known} is read here: open it for writing once, as the operator does, which brings it up to date"
    )]
    Older {
        /// What it has; 0 where there is no ledger.
        found: i64,
        /// What is known.
        known: i64,
    },
    /// The database is of a newer program.
    #[error("the ledger has schema {found}; this program knows schemas up to {known}: use a newer program")]
    Schema {
        /// What it has.
        found: i64,
        /// What is known.
        known: i64,
    },
}

/// Whether a ledger that is only read has the schema that is read.
pub(crate) fn check_schema(found: i64, known: i64) -> Result<(), LedgerError> {
    match found.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(LedgerError::Older { found, known }),
        Ordering::Greater => Err(LedgerError::Schema { found, known }),
    }
}

/// What the server said, in its own words.
fn server_words(error: &postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return error.message().to_owned();
    }
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}

impl From<serde_json::Error> for LedgerError {
    fn from(error: serde_json::Error) -> Self {
        Self::Stored(error.to_string())
    }
}
