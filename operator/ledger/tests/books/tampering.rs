//! Whoever changes the books with full rights on the database is seen.

use crate::place::{both, inputs, issue, rated};

/// What is done to the books of three bills, and a word of what is said of it.
const KINDS: [(&str, &str); 16] = [
    (
        "UPDATE entry SET units = units + 1 WHERE page = 1 AND position = 2",
        "differ by 1",
    ),
    ("UPDATE entry SET units = -units WHERE page = 1", "its total is"),
    (
        "UPDATE entry SET units = 0 WHERE page = 1 AND position > 1",
        "differ by",
    ),
    (
        "DELETE FROM entry WHERE page = 1 AND position = 3",
        "2 entries are there of the 3",
    ),
    ("DELETE FROM entry WHERE page = 1", "none of its 3 entries"),
    (
        "INSERT INTO entry (page, position, account, units, line) VALUES (1, 4, 1, 0, 0)",
        "1 entries are there beyond",
    ),
    (
        "INSERT INTO entry (page, position, account, units, line) VALUES (9, 1, 1, 0, 0)",
        "the page is not",
    ),
    (
        "UPDATE entry SET account = 1 WHERE page = 2 AND position = 1",
        "fingerprint",
    ),
    ("UPDATE page SET agency = 'other' WHERE position = 1", "fingerprint"),
    ("UPDATE page SET total = total + 1 WHERE position = 1", "its total is"),
    ("UPDATE page SET inputs = NULL WHERE position = 2", "fingerprint"),
    (
        "UPDATE page SET content = (SELECT content FROM page WHERE position = 2) WHERE position = 1",
        "fingerprint",
    ),
    (
        "DELETE FROM entry WHERE page = 2; DELETE FROM page WHERE position = 2",
        "the next number of the year is 2026-000002 and this is 2026-000003: numbers have a gap",
    ),
    (
        "DELETE FROM entry WHERE page = 2; DELETE FROM page WHERE position = 2",
        "pages are missing",
    ),
    (
        "UPDATE page SET previous = digest WHERE position = 3",
        "chain is broken",
    ),
    (
        "UPDATE page SET number = '2026-000009' WHERE position = 1",
        "its number is not 2026-000001",
    ),
];

#[test]
fn each_kind_of_tampering_is_found_and_named() {
    for (sql, words) in KINDS {
        for place in both() {
            let inputs = inputs();
            let mut ledger = place.open();
            ledger
                .issue(
                    &rated("2026-10", &[("a", "1"), ("b", "2"), ("c", "3")]),
                    &issue(&inputs),
                )
                .unwrap();
            assert!(ledger.verify().unwrap().agrees(), "{}", place.name);
            place.tamper(sql);
            let verified = ledger.verify().unwrap();
            assert!(!verified.agrees(), "{}", place.name);
            let said: Vec<String> = verified.disagreements.iter().map(ToString::to_string).collect();
            assert!(
                said.iter().any(|said| said.contains(words)),
                "{}: {sql}: {said:#?}",
                place.name
            );
        }
    }
}

#[test]
fn what_was_changed_is_called_as_people_call_it() {
    let kinds = [
        ("number = '2026-000002'", "bill 2026-000002 of maru (b, 2026-10)"),
        ("number IS NULL", "closing of 2026-10 by maru"),
    ];
    for (page, name) in kinds {
        for place in both() {
            let mut ledger = place.open();
            ledger
                .issue(&rated("2026-10", &[("a", "1"), ("b", "2")]), &issue(&inputs()))
                .unwrap();
            place.tamper(&format!("UPDATE page SET total = total + 1 WHERE {page}"));
            let said = ledger.verify().unwrap().disagreements;
            assert!(
                !said.is_empty() && said.iter().all(|said| said.page == name),
                "{}: {said:?}",
                place.name
            );
        }
    }
}

#[test]
fn a_bill_whose_content_was_exchanged_does_not_verify() {
    for place in both() {
        let mut ledger = place.open();
        ledger
            .issue(&rated("2026-10", &[("a", "1"), ("b", "2")]), &issue(&inputs()))
            .unwrap();
        assert_eq!(ledger.verify_bill("maru", "2026-000001").unwrap(), Some(Vec::new()));
        assert_eq!(ledger.verify_bill("maru", "2026-000009").unwrap(), None);
        place.tamper("UPDATE page SET content = (SELECT content FROM page WHERE position = 2) WHERE position = 1");
        let said = ledger.verify_bill("maru", "2026-000001").unwrap().unwrap();
        assert!(
            said.iter().any(|said| said.what.contains("its head says 11")),
            "{}: {said:?}",
            place.name
        );
        // Whoever makes the head say the same is seen by the fingerprint.
        place.tamper("UPDATE page SET total = 22 WHERE position = 1");
        let said = ledger.verify_bill("maru", "2026-000001").unwrap().unwrap();
        assert_eq!(said.len(), 1, "{}: {said:?}", place.name);
        assert!(said[0].what.contains("fingerprint"), "{}: {said:?}", place.name);
    }
}
