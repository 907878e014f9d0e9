//! What only a server can do: encrypt, refuse to write, be of another version, and end a deadlock.

use maru_ledger::{Ledger, LedgerError};
use maru_test_postgres::{Postgres, PostgresOptions};

use postgres::{Client, NoTls};

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

#[test]
fn an_issuer_whose_transaction_the_server_ends_to_solve_a_deadlock_tries_again() {
    let place = Place::postgres();
    let mut ledger = place.open();
    let mut stranger = Client::connect(&place.address, NoTls).unwrap();
    let mut theirs = stranger.transaction().unwrap();
    // Who waits for so long first is ended: the issuer, after the server's second.
    theirs
        .batch_execute("SET LOCAL deadlock_timeout TO '60s'; LOCK TABLE maru_ledger.entry IN EXCLUSIVE MODE")
        .unwrap();
    let issued = std::thread::scope(|scope| {
        let issuer = scope.spawn(|| ledger.issue(&rated("2026-10", &[("nts", "10")]), &issue(&inputs())));
        theirs
            .batch_execute(
                "DO $$ BEGIN
                     FOR look IN 1..3000 LOOP
                         IF EXISTS (SELECT FROM pg_locks WHERE relation = 'maru_ledger.entry'::regclass AND NOT granted) THEN
                             RETURN;
                         END IF;
                         PERFORM pg_sleep(0.01);
                     END LOOP;
                     RAISE EXCEPTION 'the issuer waits for nothing';
                 END $$;
                 LOCK TABLE maru_ledger.page IN EXCLUSIVE MODE",
            )
            .unwrap();
        theirs.commit().unwrap();
        issuer.join().unwrap().unwrap()
    });
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
