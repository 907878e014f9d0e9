//! What only a server can do: encrypt, refuse to write, and be of another version.

use maru_ledger::{Ledger, LedgerError};
use maru_test_postgres::{Postgres, PostgresOptions};

use crate::place::{Place, inputs, issue, rated};

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
