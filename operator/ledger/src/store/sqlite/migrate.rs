//! From the schema that a file has to the one that this program writes, one version after the other, in one transaction.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::SqliteBooks;
use crate::digest::Digest;
use crate::draft::number;
use crate::error::{LedgerError, check_schema};
use crate::page::{Content, Page, PageKind, places_of};
use crate::record::{Head, Record, pack, seal_entries};
use crate::store::{Books, Last};

type Migration = fn(&Transaction<'_>) -> Result<(), LedgerError>;

/// What leads to each version, from the one before it.
const MIGRATIONS: [Migration; 2] = [first, chained];

/// Whether the schema is the one that this program reads.
pub(super) fn check(connection: &Connection) -> Result<(), LedgerError> {
    check_schema(version(connection)?, known())
}

fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

pub(super) fn migrate(connection: &mut Connection) -> Result<(), LedgerError> {
    let known = known();
    if version(connection)? == known {
        return Ok(()); // without the write lock, which another issuer may hold
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let Some(missing) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..)) else {
        return Err(LedgerError::Schema { found, known });
    };
    for migration in missing {
        migration(&transaction)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    Ok(transaction.commit()?)
}

fn version(connection: &Connection) -> Result<i64, LedgerError> {
    Ok(connection.query_row("SELECT user_version FROM pragma_user_version", [], |row| row.get(0))?)
}

fn first(transaction: &Transaction<'_>) -> Result<(), LedgerError> {
    Ok(transaction.execute_batch(include_str!("1.sql"))?)
}

/// Books the bills of schema 1 again, in their order and with their numbers.
fn chained(transaction: &Transaction<'_>) -> Result<(), LedgerError> {
    transaction.execute_batch(include_str!("2.sql"))?;
    let mut books = SqliteBooks::new(transaction);
    let mut last = Last::default();
    let sql = "SELECT issuer, fiscal_year, sequence, issued_at, content,
                      (SELECT minor_units FROM entry_1 WHERE bill = bill_1.id AND position = 1)
               FROM bill_1 ORDER BY issuer, fiscal_year, sequence";
    {
        let mut query = transaction.prepare(sql)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let head = Head {
                issuer: row.get(0)?,
                fiscal_year: row.get(1)?,
                sequence: Some(row.get(2)?),
                issued_at: row.get(3)?,
                ..Head::default()
            };
            let content: String = row.get(4)?;
            book_again(&mut books, &mut last, head, &content, row.get(5)?)?;
        }
    }
    Ok(transaction.execute_batch("DROP TABLE entry_1; DROP TABLE bill_1")?)
}

fn book_again(
    books: &mut SqliteBooks<'_>,
    last: &mut Last,
    mut head: Head,
    content: &str,
    owed: i64,
) -> Result<(), LedgerError> {
    let content: Content = serde_json::from_str(content)?;
    let places = places_of(&content.statement, &content.currency);
    let page = Page::new(PageKind::Invoice, content, places)?;
    let name = number(head.fiscal_year, head.sequence.unwrap_or_default());
    let minor = maru_rate::Currency::read("currency", page.currency()).map_or(0, maru_rate::Currency::places);
    if maru_meter::Exact::scaled(owed, minor) != page.statement().total {
        let message = format!("bill {name} says {} and its entries say {owed}", page.statement().total);
        return Err(LedgerError::Stored(message));
    }
    last.position += 1;
    head.position = last.position;
    head.kind = PageKind::Invoice.name();
    head.number = Some(name);
    head.agency.clone_from(&page.statement().agency);
    page.month().clone_into(&mut head.period);
    page.currency().clone_into(&mut head.currency);
    head.places = places;
    head.total = page.total();
    head.entry_count = i64::try_from(page.entries.len()).unwrap_or(i64::MAX);
    head.previous = last.digest;
    let content = pack(&page.content)?;
    head.digest = head.seal(Digest::of(&content), Digest::of(&seal_entries(&page.entries)));
    last.digest = head.digest;
    books.add(&[Record {
        head,
        content,
        entries: &page.entries,
    }])
}
