//! The ledger in a `SQLite` file.

mod migrate;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::{Books, Last, Store, StoredEntry, Visitor, Work};
use crate::account::Account;
use crate::digest::Digest;
use crate::error::LedgerError;
use crate::page::PageKind;
use crate::record::{Head, Record};

/// How long an issuer waits for another one that is issuing.
const LONGEST_WAIT: Duration = Duration::from_mins(2);
const HEAD: &str = "position, issuer, kind, fiscal_year, sequence, number, agency, period, about, currency, places, total, entry_count, \
                    issued_at, inputs, previous, digest, content";

#[derive(Debug)]
pub(crate) struct SqliteStore {
    connection: Connection,
}

impl SqliteStore {
    pub(crate) fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::with(Connection::open(path)?)
    }

    /// A file that is there and is only read: it is not brought up to date either.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, LedgerError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(LONGEST_WAIT)?;
        migrate::check(&connection)?;
        Ok(Self { connection })
    }

    pub(crate) fn in_memory() -> Result<Self, LedgerError> {
        Self::with(Connection::open_in_memory()?)
    }

    fn with(mut connection: Connection) -> Result<Self, LedgerError> {
        connection.busy_timeout(LONGEST_WAIT)?;
        prepare(&mut connection).map_err(plain)?;
        Ok(Self { connection })
    }
}

fn prepare(connection: &mut Connection) -> Result<(), LedgerError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?; // a commit that returned survives a power cut
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "cache_size", -65_536)?; // 64 MiB: a month of a thousand agencies without spilling
    migrate::migrate(connection)
}

impl Store for SqliteStore {
    fn write(&mut self, work: &mut Work<'_>) -> Result<(), LedgerError> {
        // Immediate: the next number is read and taken under the write lock, so that two issuers cannot see the same one.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| plain(error.into()))?;
        let mut books = SqliteBooks::new(&transaction);
        work(&mut books).map_err(plain)?;
        transaction.commit().map_err(|error| plain(error.into()))
    }

    fn bill(&mut self, issuer: &str, number: &str) -> Result<Option<(Head, Vec<u8>)>, LedgerError> {
        bill(&self.connection, issuer, number)
    }

    fn pages(&mut self, issuer: &str, period: &str) -> Result<Vec<(Head, Vec<u8>)>, LedgerError> {
        pages(&self.connection, issuer, period)
    }

    fn unnumbered(&mut self, issuer: &str, kind: &str, period: &str) -> Result<Option<(Head, Vec<u8>)>, LedgerError> {
        let sql = format!("SELECT {HEAD} FROM page WHERE issuer = ?1 AND kind = ?2 AND period = ?3 AND number IS NULL");
        one(&self.connection, &sql, params![issuer, kind, period])
    }

    fn balance(&mut self, account: &str, currency: &str) -> Result<Vec<(i128, u32)>, LedgerError> {
        let sql = "SELECT entry.units, page.places FROM entry JOIN page ON page.position = entry.page
                   WHERE entry.account = (SELECT id FROM account WHERE name = ?1) AND page.currency = ?2";
        let mut sums: HashMap<u32, i128> = HashMap::new();
        let mut query = self.connection.prepare(sql)?;
        let mut rows = query.query(params![account, currency])?;
        while let Some(row) = rows.next()? {
            *sums.entry(row.get(1)?).or_default() += i128::from(row.get::<_, i64>(0)?);
        }
        Ok(sums.into_iter().map(|(places, sum)| (sum, places)).collect())
    }

    fn scan(&mut self, visitor: &mut dyn Visitor) -> Result<(), LedgerError> {
        let transaction = self.connection.transaction()?;
        let mut query = transaction.prepare("SELECT id, name FROM account")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            visitor.account(row.get(0)?, row.get(1)?);
        }
        let mut query = transaction.prepare(&format!("SELECT {HEAD} FROM page ORDER BY position"))?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let content = row.get_ref(17)?.as_blob().map_err(rusqlite::Error::from)?;
            visitor.page(head(row)?, content);
        }
        let mut query = transaction.prepare("SELECT page, position, account, units, line FROM entry")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            visitor.entry(StoredEntry {
                page: row.get(0)?,
                position: row.get(1)?,
                account: row.get(2)?,
                units: row.get(3)?,
                line: row.get(4)?,
            });
        }
        Ok(())
    }
}

/// The books in a transaction that holds the write lock.
struct SqliteBooks<'a> {
    transaction: &'a Transaction<'a>,
    accounts: HashMap<Account, i64>,
}

impl<'a> SqliteBooks<'a> {
    fn new(transaction: &'a Transaction<'a>) -> Self {
        Self {
            transaction,
            accounts: HashMap::new(),
        }
    }

    fn account(&mut self, account: &Account) -> Result<i64, LedgerError> {
        if let Some(id) = self.accounts.get(account) {
            return Ok(*id);
        }
        let name = account.to_string();
        let insert = "INSERT INTO account (name) VALUES (?1) ON CONFLICT (name) DO NOTHING";
        self.transaction.prepare_cached(insert)?.execute([&name])?;
        let select = "SELECT id FROM account WHERE name = ?1";
        let id = self
            .transaction
            .prepare_cached(select)?
            .query_row([&name], |row| row.get(0))?;
        self.accounts.insert(account.clone(), id);
        Ok(id)
    }

    fn add_one(&mut self, record: &Record<'_>) -> Result<(), LedgerError> {
        let head = &record.head;
        let transaction = self.transaction;
        let mut insert = transaction
            .prepare_cached("INSERT INTO entry (page, position, account, units, line) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for (position, entry) in (1i64..).zip(record.entries) {
            let account = self.account(&entry.account)?;
            insert.execute(params![head.position, position, account, entry.units, entry.line])?;
        }
        let sql = format!(
            "INSERT INTO page ({HEAD}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
        );
        transaction.prepare_cached(&sql)?.execute(params![
            head.position,
            head.issuer,
            head.kind,
            head.fiscal_year,
            head.sequence,
            head.number,
            head.agency,
            head.period,
            head.about,
            head.currency,
            head.places,
            head.total,
            head.entry_count,
            head.issued_at,
            head.inputs,
            head.previous.0,
            head.digest.0,
            record.content,
        ])?;
        Ok(())
    }
}

impl Books for SqliteBooks<'_> {
    fn known(&mut self, issuer: &str, period: &str) -> Result<Vec<(Head, Vec<u8>)>, LedgerError> {
        pages(self.transaction, issuer, period)
    }

    fn bill(&mut self, issuer: &str, number: &str) -> Result<Option<(Head, Vec<u8>)>, LedgerError> {
        bill(self.transaction, issuer, number)
    }

    fn last(&mut self, issuer: &str, fiscal_year: i16) -> Result<Last, LedgerError> {
        let sql = "SELECT position, digest FROM page ORDER BY position DESC LIMIT 1";
        let last = self
            .transaction
            .query_row(sql, [], |row| Ok((row.get(0)?, Digest(row.get(1)?))))
            .optional()?;
        let (position, digest) = last.unwrap_or_default();
        let sql = "SELECT coalesce(max(sequence), 0) FROM page WHERE issuer = ?1 AND fiscal_year = ?2";
        let sequence = self
            .transaction
            .query_row(sql, params![issuer, fiscal_year], |row| row.get(0))?;
        Ok(Last {
            position,
            digest,
            sequence,
        })
    }

    fn add(&mut self, records: &[Record<'_>]) -> Result<(), LedgerError> {
        records.iter().try_for_each(|record| self.add_one(record))
    }
}

fn bill(connection: &Connection, issuer: &str, number: &str) -> Result<Option<(Head, Vec<u8>)>, LedgerError> {
    let sql = format!("SELECT {HEAD} FROM page WHERE issuer = ?1 AND number = ?2");
    one(connection, &sql, params![issuer, number])
}

fn pages(connection: &Connection, issuer: &str, period: &str) -> Result<Vec<(Head, Vec<u8>)>, LedgerError> {
    let sql = format!("SELECT {HEAD} FROM page WHERE issuer = ?1 AND period = ?2 ORDER BY position");
    let mut query = connection.prepare(&sql)?;
    let rows = query.query_map(params![issuer, period], head_and_content)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn one(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Option<(Head, Vec<u8>)>, LedgerError> {
    Ok(connection.query_row(sql, params, head_and_content).optional()?)
}

fn head_and_content(row: &Row<'_>) -> rusqlite::Result<(Head, Vec<u8>)> {
    Ok((head(row)?, row.get(17)?))
}

fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    let kind: String = row.get(2)?;
    let kind = PageKind::read(&kind)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(Head {
        position: row.get(0)?,
        issuer: row.get(1)?,
        kind: kind.name(),
        fiscal_year: row.get(3)?,
        sequence: row.get(4)?,
        number: row.get(5)?,
        agency: row.get(6)?,
        period: row.get(7)?,
        about: row.get(8)?,
        currency: row.get(9)?,
        places: row.get(10)?,
        total: row.get(11)?,
        entry_count: row.get(12)?,
        issued_at: row.get(13)?,
        inputs: row.get(14)?,
        previous: Digest(row.get(15)?),
        digest: Digest(row.get(16)?),
    })
}

/// Says what is wrong in words that tell what to do, where the cause is known.
fn plain(error: LedgerError) -> LedgerError {
    let LedgerError::Sqlite(error) = error else {
        return error;
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => LedgerError::Full(error.to_string()),
        Some(ErrorCode::ReadOnly) => LedgerError::ReadOnly(error.to_string()),
        _ => LedgerError::Sqlite(error),
    }
}

#[cfg(test)]
mod tests;
