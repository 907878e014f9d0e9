//! The ledger in `SQLite`.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use maru_rate::Rated;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::error::LedgerError;
use crate::page::{Content, Page, draft};

const SCHEMA: i64 = 1;

/// What kind of bill a first bill of a period is.
const INVOICE: &str = "Invoice";

/// Money at rest: double entry, append-only, numbers without gaps.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
}

/// Who issues, and in which year's sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue<'a> {
    /// The issuing body; each has number sequences of its own.
    pub issuer: &'a str,
    /// The fiscal year that the sequence belongs to, such as 2026.
    pub fiscal_year: i16,
    /// When, as bills will say.
    pub at: Timestamp,
}

impl Ledger {
    /// Opens a ledger file and brings its schema up to date; makes it when it is not there.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::with(Connection::open(path)?)
    }

    /// A ledger that is gone when it is dropped.
    pub fn in_memory() -> Result<Self, LedgerError> {
        Self::with(Connection::open_in_memory()?)
    }

    fn with(mut connection: Connection) -> Result<Self, LedgerError> {
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?; // a commit that returned survives a power cut
        connection.pragma_update(None, "foreign_keys", "ON")?;
        migrate(&mut connection)?;
        Ok(Self { connection })
    }

    /// Issues the bills of a rated period in one transaction: all of them with their numbers, or none. Issuing the same again gives the
    /// same bills with the same numbers and books nothing.
    pub fn issue(&mut self, rated: &Rated, issue: &Issue<'_>) -> Result<Vec<Page>, LedgerError> {
        let mut pages = draft(rated)?;
        // Immediate: the next number is read and taken under the write lock, so that two issuers cannot see the same one.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut sequence = last_sequence(&transaction, issue)?;
        for page in &mut pages {
            let number = if let Some(number) = issued(&transaction, issue, page)? {
                number
            } else {
                sequence += 1;
                book(&transaction, issue, page, sequence)?
            };
            page.number = Some(number);
        }
        transaction.commit()?;
        Ok(pages)
    }

    /// The issued page of a number.
    pub fn page(&self, issuer: &str, number: &str) -> Result<Option<Page>, LedgerError> {
        let sql = "SELECT content FROM bill WHERE issuer = ?1 AND number = ?2";
        let text: Option<String> = self
            .connection
            .query_row(sql, params![issuer, number], |row| row.get(0))
            .optional()?;
        let Some(text) = text else { return Ok(None) };
        let content: Content = serde_json::from_str(&text).map_err(|error| LedgerError::Content {
            number: number.to_owned(),
            error,
        })?;
        let places = maru_rate::Currency::read("currency", &content.currency).map_or(0, maru_rate::Currency::places);
        let mut page = Page::new(content, places)?;
        page.number = Some(number.to_owned());
        Ok(Some(page))
    }

    /// What is booked to an account, in minor units: debits less credits.
    pub fn balance(&self, account: &str, currency: &str) -> Result<i64, LedgerError> {
        let sql = "SELECT coalesce(sum(minor_units), 0) FROM entry WHERE account = ?1 AND currency = ?2";
        Ok(self
            .connection
            .query_row(sql, params![account, currency], |row| row.get(0))?)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

fn migrate(connection: &mut Connection) -> Result<(), LedgerError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("SELECT user_version FROM pragma_user_version", [], |row| row.get(0))?;
    match found {
        0 => {
            transaction.execute_batch(include_str!("schema.sql"))?;
            transaction.pragma_update(None, "user_version", SCHEMA)?;
        }
        SCHEMA => {}
        _ => return Err(LedgerError::Schema { found, known: SCHEMA }),
    }
    Ok(transaction.commit()?)
}

fn last_sequence(transaction: &Transaction<'_>, issue: &Issue<'_>) -> Result<i64, LedgerError> {
    let sql = "SELECT coalesce(max(sequence), 0) FROM bill WHERE issuer = ?1 AND fiscal_year = ?2";
    Ok(transaction.query_row(sql, params![issue.issuer, issue.fiscal_year], |row| row.get(0))?)
}

/// The number of a bill that was issued before. One with other figures is an error.
fn issued(transaction: &Transaction<'_>, issue: &Issue<'_>, page: &Page) -> Result<Option<String>, LedgerError> {
    let (agency, month) = (&page.statement().agency, page.month());
    let sql = "SELECT number, content FROM bill WHERE issuer = ?1 AND agency = ?2 AND period = ?3 AND kind = ?4";
    let mut query = transaction.prepare_cached(sql)?;
    let known: Option<(String, String)> = query
        .query_row(params![issue.issuer, agency, month, INVOICE], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match known {
        None => Ok(None),
        Some((number, text)) if text == content_text(page)? => Ok(Some(number)),
        Some((number, _)) => Err(LedgerError::Issued {
            number,
            agency: agency.clone(),
            month: month.to_owned(),
        }),
    }
}

fn book(transaction: &Transaction<'_>, issue: &Issue<'_>, page: &Page, sequence: i64) -> Result<String, LedgerError> {
    let number = format!("{:04}-{sequence:06}", issue.fiscal_year);
    let sql = "INSERT INTO bill (issuer, fiscal_year, sequence, number, agency, period, kind, issued_at, content)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    transaction.prepare_cached(sql)?.execute(params![
        issue.issuer,
        issue.fiscal_year,
        sequence,
        number,
        page.statement().agency,
        page.month(),
        INVOICE,
        issue.at.to_string(),
        content_text(page)?,
    ])?;
    let bill = transaction.last_insert_rowid();
    let mut insert = transaction.prepare_cached(
        "INSERT INTO entry (bill, position, account, currency, minor_units) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (position, entry) in (1i64..).zip(page.entries()) {
        insert.execute(params![
            bill,
            position,
            entry.account.name(),
            page.currency(),
            entry.minor_units
        ])?;
    }
    Ok(number)
}

fn content_text(page: &Page) -> Result<String, LedgerError> {
    let number = || page.number.clone().unwrap_or_default();
    serde_json::to_string(&page.content).map_err(|error| LedgerError::Content {
        number: number(),
        error,
    })
}
