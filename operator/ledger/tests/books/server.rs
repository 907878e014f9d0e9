//! What only a server can do: encrypt, refuse to write, have no room, be of another version, and let others come in between.

use std::sync::Mutex;

use maru_ledger::{Ledger, LedgerError, Step};
use maru_test_postgres::{Postgres, PostgresOptions};
use postgres::{Client, IsolationLevel, NoTls};

use crate::place::{CARD, Place, inputs, issue, numbers, pairs, rated, rated_with};

#[test]
fn a_server_is_reached_with_tls_when_its_authority_is_known_and_only_then() {
    let options = PostgresOptions {
        tls: true,
        ..PostgresOptions::default()
    };
    let server = Postgres::start(&options).unwrap();
    let url = server.create_database("ledger").unwrap();
    let trusting = format!("{url}&sslrootcert={}", server.authority().display());
    let mut ledger = Ledger::at(&trusting).unwrap();
    ledger
        .issue(&rated("2026-10", &[("nts", "10")]), &issue(&inputs()))
        .unwrap();
    assert_eq!(ledger.verify().unwrap().bills, 1);

    let error = Ledger::at(&url).unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    assert!(Ledger::at(&url.replace("sslmode=require", "sslmode=disable")).is_err());
    let error = Ledger::at(&format!("{url}&sslrootcert=/nowhere.pem"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nowhere.pem"), "{error}");
}

#[test]
fn a_server_that_only_reads_says_so_and_nothing_is_booked() {
    let place = Place::postgres();
    let mut ledger = place.open();
    let set = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only TO on', current_database()); END $$";
    place.sql(set).unwrap();
    let error = place
        .open()
        .issue(&rated("2026-10", &[("nts", "10")]), &issue(&inputs()))
        .unwrap_err();
    assert!(matches!(error, LedgerError::ReadOnly(_)), "{error}");
    assert_eq!(ledger.verify().unwrap().pages, 0);
}

#[test]
fn what_a_server_refuses_for_a_reason_of_its_own_is_said_in_its_words() {
    let place = Place::postgres();
    let mut ledger = place.open();
    place
        .sql("ALTER TABLE page ADD CONSTRAINT none_of_nts CHECK (agency <> 'nts')")
        .unwrap();
    let error = ledger
        .issue(&rated("2026-10", &[("nts", "10")]), &issue(&inputs()))
        .unwrap_err();
    assert!(
        matches!(error, LedgerError::Postgres(_)) && error.to_string().contains("none_of_nts"),
        "{error}"
    );
}

#[test]
fn a_server_whose_disk_is_full_says_so_and_what_is_issued_later_is_as_it_would_have_been() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("a disk of its own takes root");
        return;
    }
    let options = PostgresOptions {
        disk_mib: Some(100),
        ..PostgresOptions::default()
    };
    let server = Postgres::start(&options).unwrap();
    let mut ledger = Ledger::at(&server.create_database("ledger").unwrap()).unwrap();
    let uses: Vec<_> = (0..300)
        .map(|agency| (format!("agency-{agency:03}"), "1".to_owned()))
        .collect();
    let october = rated_with(CARD, "2026-10", &uses);
    let filler = server.fill_disk(0).unwrap();
    let error = ledger.issue(&october, &issue(&inputs())).unwrap_err();
    assert!(matches!(error, LedgerError::Full(_)), "{error}");
    assert_eq!(ledger.verify().unwrap().pages, 0);
    std::fs::remove_file(filler).unwrap();
    let issued = numbers(&ledger.issue(&october, &issue(&inputs())).unwrap());
    assert_eq!(issued.last().unwrap().1, "2026-000300");
}

#[test]
fn a_database_of_a_newer_program_is_left_alone() {
    let place = Place::postgres();
    drop(place.open());
    place.sql("INSERT INTO migration (version) VALUES (99)").unwrap();
    let error = Ledger::at(&place.address).unwrap_err().to_string();
    assert!(
        error.contains("schema 99") && error.contains("newer program"),
        "{error}"
    );
}

static STRANGER: Mutex<Option<Client>> = Mutex::new(None);

/// Reads what the issuer is about to write, and writes what it is about to read: no order of the two gives what both would do.
fn come_in_between(step: Step) {
    let Some(mut stranger) = STRANGER.lock().unwrap().take_if(|_| step == Step::Begun) else {
        return;
    };
    let builder = stranger
        .build_transaction()
        .isolation_level(IsolationLevel::Serializable);
    let mut theirs = builder.start().unwrap();
    theirs.query("SELECT FROM maru_ledger.page", &[]).unwrap();
    theirs
        .execute("INSERT INTO maru_ledger.account VALUES (7, 'revenue:stranger')", &[])
        .unwrap();
    theirs.commit().unwrap();
}

#[test]
fn an_issuer_in_whose_transaction_another_one_came_in_between_tries_again() {
    let place = Place::postgres();
    let mut ledger = place.open().watched(come_in_between);
    *STRANGER.lock().unwrap() = Some(Client::connect(&place.address, NoTls).unwrap());
    let issued = ledger
        .issue(&rated("2026-10", &[("nts", "10")]), &issue(&inputs()))
        .unwrap();
    assert!(STRANGER.lock().unwrap().is_none(), "it came in between");
    assert_eq!(numbers(&issued), pairs(&[("nts", "2026-000001")]));
    assert_eq!(ledger.verify().unwrap().bills, 1);
}

#[test]
fn what_a_ledger_shows_of_itself_says_where_it_is_and_no_password() {
    let place = Place::postgres();
    let (_, rest) = place.address.split_once("://postgres:").unwrap();
    let (password, _) = rest.split_once('@').unwrap();
    let shown = format!("{:?}", place.open());
    assert!(shown.contains("127.0.0.1") && !shown.contains(password), "{shown}");
}
