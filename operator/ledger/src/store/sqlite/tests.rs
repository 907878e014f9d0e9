//! What `SQLite` itself says when it cannot write, and what becomes of a file of an older program.

use maru_rate::Statement;

use super::*;
use crate::ledger::Ledger;

/// Two bills as the first schema held them.
const OLD_ROWS: &str = include_str!("old_rows.sql");

fn record() -> (Head, Vec<u8>) {
    let head = Head {
        position: 1,
        issuer: "maru".to_owned(),
        kind: PageKind::Closing.name(),
        period: "2026-10".to_owned(),
        currency: "KRW".to_owned(),
        ..Head::default()
    };
    (head, vec![7; 200_000])
}

fn add(store: &mut SqliteStore) -> Result<(), LedgerError> {
    let (head, content) = record();
    store.write(&mut |books| {
        books.add(&[Record {
            head: head.clone(),
            content: content.clone(),
            entries: &[],
        }])
    })
}

#[test]
fn when_there_is_no_room_nothing_is_booked_and_the_message_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(&folder.path().join("ledger.sqlite")).unwrap();
    let pages: i64 = store
        .connection
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    store
        .connection
        .pragma_update(None, "max_page_count", pages + 3)
        .unwrap();
    let error = add(&mut store).unwrap_err();
    assert!(matches!(error, LedgerError::Full(_)), "{error}");
    assert!(error.to_string().contains("make room and issue again"), "{error}");

    store
        .connection
        .pragma_update(None, "max_page_count", pages + 300)
        .unwrap();
    add(&mut store).unwrap(); // as page 1: nothing was left behind
}

#[test]
fn when_the_file_can_only_be_read_the_message_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(&folder.path().join("ledger.sqlite")).unwrap();
    store.connection.pragma_update(None, "query_only", "ON").unwrap();
    let error = add(&mut store).unwrap_err();
    assert!(matches!(error, LedgerError::ReadOnly(_)), "{error}");
}

#[test]
fn bills_of_the_first_schema_keep_their_numbers_and_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("1.sql")).unwrap();
    old.execute_batch(OLD_ROWS).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    drop(old);

    let error = Ledger::to_read(&path.display().to_string()).unwrap_err().to_string();
    assert!(error.contains("schema 1 and schema 2 is read here"), "{error}"); // reading does not bring it up to date

    let mut ledger = Ledger::open(&path).unwrap();
    let verified = ledger.verify().unwrap();
    assert_eq!(
        (verified.bills, verified.entries, verified.disagreements),
        (2, 6, Vec::new())
    );
    let statements = ["2026-000001", "2026-000002"].map(|number| {
        let page = ledger.page("maru", number).unwrap().unwrap();
        let Statement { agency, total, .. } = page.statement().clone();
        assert_eq!(page.issued_at(), Some("2026-11-04T00:00:00Z"));
        (agency, total.to_string(), page.inputs().cloned())
    });
    assert_eq!(
        statements,
        [
            ("moel".to_owned(), "220".to_owned(), None),
            ("nts".to_owned(), "110".to_owned(), None)
        ]
    );
    drop(ledger);
    assert!(Ledger::open(&path).unwrap().verify().unwrap().agrees()); // once is enough
}

#[test]
fn bills_of_the_first_schema_that_do_not_add_up_are_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("1.sql")).unwrap();
    old.execute_batch(&OLD_ROWS.replace("'KRW', 110)", "'KRW', 111)"))
        .unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let error = Ledger::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("bill 2026-000002 says 110 and its entries say 111"),
        "{error}"
    );
    let version: i64 = old.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 1, "the file is as it was");
}

#[test]
fn a_file_of_a_newer_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    let error = Ledger::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("schema 99") && error.contains("newer program"),
        "{error}"
    );
}
