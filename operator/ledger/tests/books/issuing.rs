//! What issuing bills promises.

use std::collections::BTreeSet;
use std::sync::Mutex;

use maru_ledger::{Inputs, Ledger, LedgerError, Page, Step, draft};
use maru_meter::Exact;

use crate::place::{CARD, both, inputs, issue, numbers, pairs, rated, rated_with};

#[test]
fn numbers_have_no_gap_and_issuing_twice_is_issuing_once() {
    for place in both() {
        let inputs = inputs();
        let october = rated("2026-10", &[("nts", "1"), ("moel", "2")]);
        let first = place.open().issue(&october, &issue(&inputs)).unwrap();
        assert_eq!(
            numbers(&first),
            pairs(&[("moel", "2026-000001"), ("nts", "2026-000002")]),
            "{}",
            place.name
        );
        let mut ledger = place.open();
        assert_eq!(
            ledger.issue(&october, &issue(&inputs)).unwrap(),
            first,
            "{}",
            place.name
        );
        let november = ledger
            .issue(&rated("2026-11", &[("nts", "1")]), &issue(&inputs))
            .unwrap();
        assert_eq!(numbers(&november), pairs(&[("nts", "2026-000003")]), "{}", place.name);
        let verified = ledger.verify().unwrap();
        assert_eq!(verified.disagreements, [], "{}", place.name);
        assert_eq!(
            (verified.bills, verified.pages, verified.entries),
            (3, 5, 9),
            "{}",
            place.name
        );
        let found = ledger.page("maru", "2026-000002").unwrap().unwrap();
        assert_eq!(found, first[1], "{}", place.name);
        assert_eq!(found.inputs(), Some(&inputs), "{}", place.name);
        assert_eq!(found.issued_at(), Some("2026-11-04T00:00:00Z"), "{}", place.name);
        assert_ne!(
            found.digest(),
            first[0].digest(),
            "{}: each page has its own",
            place.name
        );
    }
}

#[test]
fn a_draft_has_no_number_no_moment_and_no_fingerprint() {
    let drafted = draft(&rated("2026-10", &[("nts", "1")])).unwrap();
    let of = |page: &Page| (page.number().is_some(), page.issued_at().is_some(), page.digest());
    assert_eq!(drafted.iter().map(of).collect::<Vec<_>>(), [(false, false, None)]);
}

#[test]
fn both_stores_give_the_same_pages_with_the_same_fingerprints() {
    let inputs = inputs();
    let pages = both().map(|place| {
        let mut ledger = place.open();
        ledger
            .issue(&rated("2026-10", &[("nts", "1"), ("moel", "2")]), &issue(&inputs))
            .unwrap();
        (
            ledger.page("maru", "2026-000001").unwrap().unwrap(),
            ledger.verify().unwrap(),
        )
    });
    assert_eq!(pages[0], pages[1]);
}

#[test]
fn each_issuer_and_each_year_counts_for_itself() {
    for place in both() {
        let inputs = inputs();
        let mut ledger = place.open();
        let mut other = issue(&inputs);
        for (issuer, fiscal_year, month, expected) in [
            ("maru", 2026, "2026-10", "2026-000001"),
            ("maru", 2027, "2027-01", "2027-000001"),
            ("gyeonggi", 2026, "2026-10", "2026-000001"),
            ("maru", 2026, "2026-11", "2026-000002"),
        ] {
            (other.issuer, other.fiscal_year) = (issuer, fiscal_year);
            let pages = ledger.issue(&rated(month, &[("nts", "1")]), &other).unwrap();
            assert_eq!(pages[0].number(), Some(expected), "{}", place.name);
        }
        assert_eq!(ledger.verify().unwrap().disagreements, [], "{}", place.name);
    }
}

#[test]
fn every_issue_is_booked_in_balance() {
    for place in both() {
        let mut ledger = place.open();
        let october = rated("2026-10", &[("nts", "10"), ("moel", "20")]);
        ledger.issue(&october, &issue(&inputs())).unwrap();
        let mut balance = |account: &str| ledger.balance(account, "KRW").unwrap();
        let balances = [
            "payable:nts",
            "payable:moel",
            "revenue:a/b",
            "tax:VAT",
            "rounding",
            "no:such",
        ]
        .map(&mut balance);
        assert_eq!(balances, [110, 220, -300, -30, 0, 0].map(Exact::from), "{}", place.name);
    }
}

#[test]
fn where_the_bill_is_rounded_the_lines_keep_their_decimals_and_the_rest_is_booked_apart() {
    let card = CARD
        .replace("versions:", "rounding: {at: Bill}\nversions:")
        .replace("'10'", "'0.333'");
    for place in both() {
        let mut ledger = place.open();
        let october = rated_with(&card, "2026-10", &pairs(&[("nts", "100")])); // 33.3 and 3.33 of tax: 37
        ledger.issue(&october, &issue(&inputs())).unwrap();
        let mut balance = |account: &str| ledger.balance(account, "KRW").unwrap().to_string();
        let balances = ["payable:nts", "revenue:a/b", "tax:VAT", "rounding"].map(&mut balance);
        assert_eq!(balances, ["37", "-33.3", "-3", "-0.7"], "{}", place.name);
    }
}

#[test]
fn a_period_that_was_issued_is_not_issued_with_other_figures() {
    for place in both() {
        let inputs = inputs();
        let mut ledger = place.open();
        ledger
            .issue(&rated("2026-10", &[("nts", "10")]), &issue(&inputs))
            .unwrap();
        let other = rated("2026-10", &[("moel", "5"), ("nts", "11")]);
        let error = ledger.issue(&other, &issue(&inputs)).unwrap_err();
        assert!(matches!(error, LedgerError::Issued { .. }), "{}: {error}", place.name);
        assert_eq!(ledger.verify().unwrap().bills, 1, "{}", place.name); // moel's bill went back, and its number is not lost
        let pages = ledger
            .issue(&rated("2026-11", &[("moel", "5")]), &issue(&inputs))
            .unwrap();
        assert_eq!(numbers(&pages), pairs(&[("moel", "2026-000002")]), "{}", place.name);
    }
}

#[test]
fn issuers_at_once_give_the_same_bills_once() {
    for place in both() {
        let (october, november) = (
            rated("2026-10", &[("a", "1"), ("b", "2"), ("c", "3")]),
            rated("2026-11", &[("a", "4")]),
        );
        let inputs = inputs();
        let issued: Vec<_> = std::thread::scope(|scope| {
            let work = |turn: u32| {
                let (mut ledger, inputs) = (place.open(), &inputs);
                let month = if turn.is_multiple_of(2) { &october } else { &november };
                scope.spawn(move || numbers(&ledger.issue(month, &issue(inputs)).unwrap()))
            };
            let workers: Vec<_> = (0..6).map(work).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        assert!(
            issued.chunks(2).all(|both| both == &issued[..2]),
            "{}: {issued:?}",
            place.name
        );
        let verified = place.open().verify().unwrap();
        assert_eq!(
            (verified.bills, verified.disagreements),
            (4, Vec::new()),
            "{}",
            place.name
        );
    }
}

#[test]
fn what_is_booked_cannot_be_changed_deleted_or_added_to_by_anybody() {
    for place in both() {
        let mut ledger = place.open();
        ledger
            .issue(&rated("2026-10", &[("nts", "10")]), &issue(&inputs()))
            .unwrap();
        for sql in [
            "UPDATE page SET agency = 'x'",
            "DELETE FROM page",
            "UPDATE entry SET units = 0",
            "DELETE FROM entry",
            "UPDATE account SET name = 'x'",
            "DELETE FROM account",
            "INSERT INTO entry (page, position, account, units, line) VALUES (1, 9, 1, 0, 0)",
            "INSERT INTO entry (page, position, account, units, line) VALUES (77, 1, 1, 0, 0)",
            "INSERT INTO page SELECT * FROM page WHERE position = 1",
        ] {
            assert!(place.sql(sql).is_err(), "{}: {sql}", place.name);
        }
        assert!(ledger.verify().unwrap().agrees(), "{}", place.name);
    }
}

/// A page that nobody's program would write: what the schema itself says of it.
#[test]
fn the_schema_refuses_a_page_that_does_not_balance_or_leaves_a_gap() {
    for place in both() {
        let mut ledger = place.open();
        ledger
            .issue(&rated("2026-10", &[("nts", "10")]), &issue(&inputs()))
            .unwrap();
        let zeros = if place.name == "SQLite" {
            "zeroblob(32)"
        } else {
            "decode(repeat('00', 32), 'hex')"
        };
        let page = |position: u32, sequence: u32, previous: &str| {
            format!(
                "INSERT INTO page (position, issuer, kind, fiscal_year, sequence, number, agency, period, about, currency, places, total, \
                 entry_count, issued_at, content, previous, digest)
                 SELECT {position}, 'maru', 'Invoice', 2026, {sequence}, 'x', 'x', 'x', '', 'KRW', 0, 5, 1, '', content, {previous}, \
                 {zeros} FROM page WHERE position = 2;"
            )
        };
        let entry = "INSERT INTO entry (page, position, account, units, line) VALUES (3, 1, 1, 5, 0);";
        for (head, word) in [
            (page(3, 2, "digest"), "sum to zero"),
            (page(4, 2, "digest"), "pages have no gap"),
            (page(3, 3, "digest"), "numbers have no gap"),
            (page(3, 2, "previous"), "the one before it"),
        ] {
            // SQLite closes a page when its head is written, PostgreSQL when the transaction ends.
            let sql = if place.name == "SQLite" {
                format!("BEGIN; {entry} {head} COMMIT")
            } else {
                format!("{head} {entry}")
            };
            let error = place.sql(&sql).unwrap_err();
            assert!(error.contains(word), "{}: {error}", place.name);
        }
    }
}

#[test]
fn what_a_period_carries_into_the_next_one_is_kept() {
    for place in both() {
        let mut ledger = place.open();
        let october = rated("2026-10", &[("nts", "10")]);
        ledger.issue(&october, &issue(&inputs())).unwrap();
        let carry = |ledger: &mut Ledger, month: &str| ledger.carry("maru", month.parse().unwrap()).unwrap();
        assert_eq!(
            carry(&mut ledger, "2026-10").as_ref(),
            Some(october.carry()),
            "{}",
            place.name
        );
        assert_eq!(carry(&mut ledger, "2026-11"), None, "{}", place.name);
    }
}

#[test]
fn what_is_no_address_is_refused_without_repeating_a_password() {
    let error = Ledger::at("mysql://u:secret@host/db").unwrap_err().to_string();
    assert!(error.contains("postgresql://") && !error.contains("secret"), "{error}");
    let error = Ledger::at("postgresql://u:secret@127.0.0.1:1/db")
        .unwrap_err()
        .to_string();
    assert!(error.contains("refused") && !error.contains("secret"), "{error}");
}

#[test]
fn who_only_reads_changes_nothing_and_makes_nothing() {
    for place in both() {
        assert!(
            Ledger::to_read(&place.address).is_err(),
            "{}: there is no ledger yet",
            place.name
        );
        let october = rated("2026-10", &[("nts", "10")]);
        place.open().issue(&october, &issue(&inputs())).unwrap();
        let mut ledger = Ledger::to_read(&place.address).unwrap();
        assert_eq!(ledger.verify().unwrap().bills, 1, "{}", place.name);
        let error = ledger
            .issue(&rated("2026-11", &[("nts", "10")]), &issue(&inputs()))
            .unwrap_err();
        assert!(matches!(error, LedgerError::ReadOnly(_)), "{}: {error}", place.name);
        assert_eq!(place.open().verify().unwrap().bills, 1, "{}", place.name);
    }
}

#[test]
fn the_versions_of_usage_that_bills_name_are_all_known() {
    for place in both() {
        let mut ledger = place.open();
        assert_eq!(ledger.usage_versions().unwrap(), BTreeSet::new(), "{}", place.name);
        for (month, version) in [
            ("2026-10", Some(7)),
            ("2026-11", None),
            ("2026-12", Some(9)),
            ("2027-01", Some(9)),
        ] {
            let inputs = Inputs {
                usage_table_version: version,
                ..inputs()
            };
            ledger
                .issue(&rated(month, &[("nts", "5"), ("mois", "1")]), &issue(&inputs))
                .unwrap();
        }
        assert_eq!(
            ledger.usage_versions().unwrap(),
            BTreeSet::from([7, 9]),
            "{}",
            place.name
        );
    }
}

static STEPS: Mutex<Vec<Step>> = Mutex::new(Vec::new());

#[test]
fn whoever_watches_is_told_how_far_issuing_has_come() {
    let uses: Vec<_> = (0..150)
        .map(|agency| (format!("agency-{agency:03}"), "1".to_owned()))
        .collect();
    let mut ledger = Ledger::in_memory()
        .unwrap()
        .watched(|step| STEPS.lock().unwrap().push(step));
    ledger
        .issue(&rated_with(CARD, "2026-10", &uses), &issue(&inputs()))
        .unwrap();
    let written = [64, 128, 151].map(Step::Written); // a bill for each agency, and the closing
    let expected = [&[Step::Begun], &written[..], &[Step::Complete, Step::Committed]].concat();
    assert_eq!(*STEPS.lock().unwrap(), expected);
}
