//! The ledger in `PostgreSQL`.

mod connect;

use std::collections::HashMap;
use std::time::Duration;

use postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutIter};
use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{ToSql, Type};
use postgres::{Client, GenericClient, IsolationLevel, Row, Transaction};

use super::{Books, Last, Store, StoredEntry, Visitor, Work};
use crate::account::Account;
use crate::digest::Digest;
use crate::error::LedgerError;
use crate::page::PageKind;
use crate::record::{Head, Record};
use connect::Way;

pub(crate) use connect::UseFor;

/// How often a transaction is tried in which another one came in between. Issuers wait for each other, so that this is rare.
const MOST_TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);
const HEAD: &str = "position, issuer, kind, fiscal_year, sequence, number, agency, period, about, currency, places, total, entry_count, \
                    issued_at, inputs, previous, digest, content";
const HEAD_TYPES: [Type; 18] = [
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::INT2,
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::INT4,
    Type::INT8,
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::BYTEA,
    Type::BYTEA,
    Type::BYTEA,
];
const ENTRY_TYPES: [Type; 5] = [Type::INT8, Type::INT4, Type::INT4, Type::INT8, Type::INT4];

pub(crate) struct PostgresStore {
    way: Way,
    client: Client,
}

/// Where the books are; a client has nothing to show.
impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore")
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

impl PostgresStore {
    pub(crate) fn open(address: &str, use_for: UseFor) -> Result<Self, LedgerError> {
        let way = Way::read(address, use_for)?;
        let client = way.connect().map_err(plain)?;
        Ok(Self { way, client })
    }

    /// The connection, made anew where the server was away in between.
    fn client(&mut self) -> Result<&mut Client, LedgerError> {
        // The check asks the server: nothing else notices that it went away since the last use.
        if self.client.check_connection().is_err() {
            self.client = self.way.connect()?;
        }
        Ok(&mut self.client)
    }
}

impl Store for PostgresStore {
    fn write(&mut self, work: &mut Work<'_>) -> Result<(), LedgerError> {
        for attempt in 1..=MOST_TRIES {
            match write_once(self.client()?, work) {
                Err(LedgerError::Postgres(error)) if is_conflict(&error) => {
                    std::thread::sleep(BETWEEN_TRIES * attempt);
                }
                done => return done.map_err(plain),
            }
        }
        Err(LedgerError::Contended(MOST_TRIES))
    }

    fn bill(&mut self, issuer: &str, number: &str) -> Result<Option<(Head, Vec<u8>)>, LedgerError> {
        bill(self.client()?, issuer, number)
    }

    fn pages(&mut self, issuer: &str, period: &str) -> Result<Vec<(Head, Vec<u8>)>, LedgerError> {
        pages(self.client()?, issuer, period)
    }

    fn unnumbered(&mut self, issuer: &str, kind: &str, period: &str) -> Result<Option<(Head, Vec<u8>)>, LedgerError> {
        let sql = format!("SELECT {HEAD} FROM page WHERE issuer = $1 AND kind = $2 AND period = $3 AND number IS NULL");
        let row = self.client()?.query_opt(&sql, &[&issuer, &kind, &period])?;
        row.map(|row| head_and_content(&row)).transpose()
    }

    fn balance(&mut self, account: &str, currency: &str) -> Result<Vec<(i128, u32)>, LedgerError> {
        // A sum of bigints is a numeric, which has no limit; its text is read.
        let sql = "SELECT sum(entry.units)::text, page.places FROM entry JOIN page ON page.position = entry.page
                   WHERE entry.account = (SELECT id FROM account WHERE name = $1) AND page.currency = $2 GROUP BY page.places";
        let rows = self.client()?.query(sql, &[&account, &currency])?;
        let read = |row: &Row| -> Result<(i128, u32), LedgerError> {
            let sum: String = row.get(0);
            let sum = sum.parse().map_err(|_| LedgerError::Stored(format!("balance {sum}")))?;
            Ok((sum, places(row.get(1))?))
        };
        rows.iter().map(read).collect()
    }

    fn scan(&mut self, visitor: &mut dyn Visitor) -> Result<(), LedgerError> {
        let client = self.client()?;
        let builder = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead);
        let mut transaction = builder.read_only(true).start()?;
        for row in transaction.query("SELECT id, name FROM account", &[])? {
            visitor.account(i64::from(row.get::<_, i32>(0)), row.get(1));
        }
        let sql = format!("SELECT {HEAD} FROM page ORDER BY position");
        let nothing: [&(dyn ToSql + Sync); 0] = [];
        let mut rows = transaction.query_raw(&sql, nothing)?;
        while let Some(row) = rows.next()? {
            visitor.page(head(&row)?, row.get(17));
        }
        drop(rows);
        let sql = "COPY entry (page, position, account, units, line) TO STDOUT (FORMAT BINARY)";
        let mut rows = BinaryCopyOutIter::new(transaction.copy_out(sql)?, &ENTRY_TYPES);
        while let Some(row) = rows.next()? {
            visitor.entry(StoredEntry {
                page: row.get(0),
                position: i64::from(row.get::<i32>(1)),
                account: i64::from(row.get::<i32>(2)),
                units: row.get(3),
                line: u32::try_from(row.get::<i32>(4)).unwrap_or(u32::MAX),
            });
        }
        Ok(())
    }
}

fn write_once(client: &mut Client, work: &mut Work<'_>) -> Result<(), LedgerError> {
    let builder = client.build_transaction().isolation_level(IsolationLevel::Serializable);
    let mut transaction = builder.start()?;
    // The first statement: it waits for whoever is issuing before this transaction's view of the books is taken, so that the view has what
    // that one wrote. Readers do not wait.
    transaction.batch_execute("LOCK TABLE page IN SHARE ROW EXCLUSIVE MODE")?;
    let mut books = PostgresBooks {
        transaction,
        accounts: None,
    };
    work(&mut books)?;
    Ok(books.transaction.commit()?)
}

fn is_conflict(error: &postgres::Error) -> bool {
    let conflicts = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| conflicts.contains(code))
}

/// The books in a transaction that no other issuer's can come between.
struct PostgresBooks<'a> {
    transaction: Transaction<'a>,
    /// Read when they are first needed.
    accounts: Option<HashMap<String, i32>>,
}

impl PostgresBooks<'_> {
    /// The ids of the accounts that entries name; those that are new are made.
    fn accounts(&mut self, records: &[Record<'_>]) -> Result<HashMap<Account, i32>, LedgerError> {
        if self.accounts.is_none() {
            let rows = self.transaction.query("SELECT name, id FROM account", &[])?;
            self.accounts = Some(rows.iter().map(|row| (row.get(0), row.get(1))).collect());
        }
        let known = self.accounts.get_or_insert_default();
        let mut ids = HashMap::new();
        let (mut new_ids, mut new_names): (Vec<i32>, Vec<String>) = (Vec::new(), Vec::new());
        for entry in records.iter().flat_map(|record| record.entries) {
            if ids.contains_key(&entry.account) {
                continue;
            }
            let next =
                i32::try_from(known.len() + 1).map_err(|_| LedgerError::Stored("too many accounts".to_owned()))?;
            let name = entry.account.to_string();
            let id = *known.entry(name.clone()).or_insert(next);
            if id == next {
                new_ids.push(id);
                new_names.push(name);
            }
            ids.insert(entry.account.clone(), id);
        }
        if !new_ids.is_empty() {
            let sql = "INSERT INTO account (id, name) SELECT * FROM unnest($1::integer[], $2::text[])";
            self.transaction.execute(sql, &[&new_ids, &new_names])?;
        }
        Ok(ids)
    }
}

impl Books for PostgresBooks<'_> {
    fn known(&mut self, issuer: &str, period: &str) -> Result<Vec<(Head, Vec<u8>)>, LedgerError> {
        pages(&mut self.transaction, issuer, period)
    }

    fn bill(&mut self, issuer: &str, number: &str) -> Result<Option<(Head, Vec<u8>)>, LedgerError> {
        bill(&mut self.transaction, issuer, number)
    }

    fn last(&mut self, issuer: &str, fiscal_year: i16) -> Result<Last, LedgerError> {
        let sql = "SELECT position, digest FROM page ORDER BY position DESC LIMIT 1";
        let Some(row) = self.transaction.query_opt(sql, &[])? else {
            return Ok(Last::default());
        };
        let sql = "SELECT coalesce(max(sequence), 0) FROM page WHERE issuer = $1 AND fiscal_year = $2";
        Ok(Last {
            position: row.get(0),
            digest: digest(row.get(1))?,
            sequence: self.transaction.query_one(sql, &[&issuer, &fiscal_year])?.get(0),
        })
    }

    fn add(&mut self, records: &[Record<'_>]) -> Result<(), LedgerError> {
        let accounts = self.accounts(records)?;
        let sql = format!("COPY page ({HEAD}) FROM STDIN (FORMAT BINARY)");
        let mut pages = BinaryCopyInWriter::new(self.transaction.copy_in(&sql)?, &HEAD_TYPES);
        for record in records {
            write_head(&mut pages, record)?;
        }
        pages.finish()?;
        let sql = "COPY entry (page, position, account, units, line) FROM STDIN (FORMAT BINARY)";
        let mut entries = BinaryCopyInWriter::new(self.transaction.copy_in(sql)?, &ENTRY_TYPES);
        for record in records {
            for (position, entry) in (1i32..).zip(record.entries) {
                let line = i32::try_from(entry.line).map_err(|_| LedgerError::Stored("too many lines".to_owned()))?;
                entries.write(&[
                    &record.head.position,
                    &position,
                    &accounts[&entry.account],
                    &entry.units,
                    &line,
                ])?;
            }
        }
        entries.finish()?;
        Ok(())
    }
}

fn bill(client: &mut impl GenericClient, issuer: &str, number: &str) -> Result<Option<(Head, Vec<u8>)>, LedgerError> {
    let sql = format!("SELECT {HEAD} FROM page WHERE issuer = $1 AND number = $2");
    let row = client.query_opt(&sql, &[&issuer, &number])?;
    row.map(|row| head_and_content(&row)).transpose()
}

fn pages(client: &mut impl GenericClient, issuer: &str, period: &str) -> Result<Vec<(Head, Vec<u8>)>, LedgerError> {
    let sql = format!("SELECT {HEAD} FROM page WHERE issuer = $1 AND period = $2 ORDER BY position");
    let rows = client.query(&sql, &[&issuer, &period])?;
    rows.iter().map(head_and_content).collect()
}

fn write_head(pages: &mut BinaryCopyInWriter<'_>, record: &Record<'_>) -> Result<(), LedgerError> {
    let head = &record.head;
    let places = i32::try_from(head.places).map_err(|_| LedgerError::Stored("too many places".to_owned()))?;
    Ok(pages.write(&[
        &head.position,
        &head.issuer,
        &head.kind,
        &head.fiscal_year,
        &head.sequence,
        &head.number,
        &head.agency,
        &head.period,
        &head.about,
        &head.currency,
        &places,
        &head.total,
        &head.entry_count,
        &head.issued_at,
        &head.inputs,
        &&head.previous.0[..],
        &&head.digest.0[..],
        &record.content,
    ])?)
}

fn head_and_content(row: &Row) -> Result<(Head, Vec<u8>), LedgerError> {
    Ok((head(row)?, row.get(17)))
}

fn head(row: &Row) -> Result<Head, LedgerError> {
    Ok(Head {
        position: row.get(0),
        issuer: row.get(1),
        kind: PageKind::read(row.get(2))?.name(),
        fiscal_year: row.get(3),
        sequence: row.get(4),
        number: row.get(5),
        agency: row.get(6),
        period: row.get(7),
        about: row.get(8),
        currency: row.get(9),
        places: places(row.get(10))?,
        total: row.get(11),
        entry_count: row.get(12),
        issued_at: row.get(13),
        inputs: row.get(14),
        previous: digest(row.get(15))?,
        digest: digest(row.get(16))?,
    })
}

fn places(places: i32) -> Result<u32, LedgerError> {
    u32::try_from(places).map_err(|_| LedgerError::Stored(format!("{places} decimal places")))
}

fn digest(bytes: &[u8]) -> Result<Digest, LedgerError> {
    let bytes = bytes
        .try_into()
        .map_err(|_| LedgerError::Stored("a digest is 32 bytes".to_owned()))?;
    Ok(Digest(bytes))
}

/// Says what is wrong in words that tell what to do, where the cause is known.
fn plain(error: LedgerError) -> LedgerError {
    let LedgerError::Postgres(error) = error else {
        return error;
    };
    match error.code() {
        Some(code) if *code == SqlState::DISK_FULL => LedgerError::Full(error.to_string()),
        Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => LedgerError::ReadOnly(error.to_string()),
        _ => LedgerError::Postgres(error),
    }
}
