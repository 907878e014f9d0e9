//! What credit notes promise.

use maru_ledger::{Credit, CreditedLine, LedgerError, PageKind};
use maru_meter::Exact;

use crate::place::{CARD, both, inputs, issue, pairs, rated, rated_with};

fn line(line: u32, amount: &str) -> [CreditedLine; 1] {
    let amount = amount.parse().unwrap();
    [CreditedLine { line, amount }]
}

#[test]
fn partial_credits_add_up_to_the_bill_and_never_beyond() {
    for place in both() {
        let inputs = inputs();
        let mut ledger = place.open();
        // 100 and 10 of tax, taken back in thirds: the tax of each is rounded so that all of them make 10.
        ledger
            .issue(&rated("2026-10", &[("nts", "10")]), &issue(&inputs))
            .unwrap();
        let (mut totals, mut taxes) = (Vec::new(), Vec::new());
        for (reference, amount) in [("a", "33"), ("b", "33"), ("c", "34")] {
            let lines = line(1, amount);
            let credit = Credit {
                reference,
                reason: "outage",
                lines: &lines,
            };
            let note = ledger.credit("2026-000001", &credit, &issue(&inputs)).unwrap();
            assert_eq!(note.kind(), PageKind::CreditNote);
            assert_eq!(note.statement().lines[0].corrects.as_deref(), Some("2026-000001/1"));
            totals.push((note.number().unwrap().to_owned(), note.statement().total.to_string()));
            taxes.push(note.statement().lines[0].tax.to_string());
            let again = ledger.credit("2026-000001", &credit, &issue(&inputs)).unwrap();
            assert_eq!(again, note, "{}: the same credit is given once", place.name);
        }
        assert_eq!(
            totals,
            pairs(&[("2026-000002", "-36"), ("2026-000003", "-37"), ("2026-000004", "-37")]),
            "{}",
            place.name
        );
        assert_eq!(taxes, ["-3", "-4", "-3"], "{}", place.name);
        let month = ledger.pages("maru", "2026-10".parse().unwrap()).unwrap();
        let kinds: Vec<_> = month
            .iter()
            .map(|page| (page.number().unwrap(), page.kind(), page.credit_for()))
            .collect();
        let (note, of) = (PageKind::CreditNote, Some("2026-000001"));
        let expected = [
            ("2026-000001", PageKind::Invoice, None),
            ("2026-000002", note, of),
            ("2026-000003", note, of),
            ("2026-000004", note, of),
        ];
        assert_eq!(kinds, expected, "{}", place.name);
        let one = line(1, "1");
        let more = Credit {
            reference: "d",
            reason: "outage",
            lines: &one,
        };
        let error = ledger.credit("2026-000001", &more, &issue(&inputs)).unwrap_err();
        assert!(matches!(&error, LedgerError::Credit { .. }), "{}: {error}", place.name);
        for account in ["payable:nts", "revenue:a/b", "tax:VAT"] {
            assert_eq!(
                ledger.balance(account, "KRW").unwrap(),
                Exact::ZERO,
                "{}: {account}",
                place.name
            );
        }
        let verified = ledger.verify().unwrap();
        assert_eq!(
            (verified.bills, verified.disagreements),
            (4, Vec::new()),
            "{}",
            place.name
        );
    }
}

#[test]
fn a_bill_that_is_rounded_as_a_whole_is_taken_back_to_nothing_as_well() {
    let card = CARD
        .replace("versions:", "rounding: {at: Bill}\nversions:")
        .replace("'10'", "'0.333'");
    for place in both() {
        let inputs = inputs();
        let mut ledger = place.open();
        ledger
            .issue(
                &rated_with(&card, "2026-10", &pairs(&[("nts", "100")])),
                &issue(&inputs),
            )
            .unwrap();
        for (reference, amount) in [("a", "11.1"), ("b", "11.1"), ("c", "11.1")] {
            let lines = line(1, amount);
            let credit = Credit {
                reference,
                reason: "outage",
                lines: &lines,
            };
            ledger.credit("2026-000001", &credit, &issue(&inputs)).unwrap();
        }
        for account in ["payable:nts", "revenue:a/b", "tax:VAT", "rounding"] {
            assert_eq!(
                ledger.balance(account, "KRW").unwrap(),
                Exact::ZERO,
                "{}: {account}",
                place.name
            );
        }
        assert!(ledger.verify().unwrap().agrees(), "{}", place.name);
    }
}

#[test]
fn the_same_case_with_other_amounts_is_refused_and_names_the_note_that_was_given() {
    for place in both() {
        let inputs = inputs();
        let mut ledger = place.open();
        ledger
            .issue(&rated("2026-10", &[("nts", "10")]), &issue(&inputs))
            .unwrap();
        let mut credit = |amount| {
            let lines = line(1, amount);
            let credit = Credit {
                reference: "case-7",
                reason: "outage",
                lines: &lines,
            };
            ledger.credit("2026-000001", &credit, &issue(&inputs))
        };
        credit("33").unwrap();
        let error = credit("32").unwrap_err().to_string();
        let words =
            "case-7 was credited before with other amounts, as 2026-000002: allowed are the same ones, or another";
        assert!(error.contains(words), "{}: {error}", place.name);
        assert_eq!(ledger.verify().unwrap().bills, 2, "{}", place.name);
    }
}

#[test]
fn of_a_bill_in_cents_cents_are_taken_back_with_their_tax() {
    let card = CARD.replace("KRW", "EUR").replace("'10'", "'0.25'");
    for place in both() {
        let inputs = inputs();
        let mut ledger = place.open();
        // 2.50 and 0.25 of tax.
        ledger
            .issue(&rated_with(&card, "2026-10", &pairs(&[("nts", "10")])), &issue(&inputs))
            .unwrap();
        let lines = line(1, "1.25");
        let credit = Credit {
            reference: "a",
            reason: "outage",
            lines: &lines,
        };
        let note = ledger.credit("2026-000001", &credit, &issue(&inputs)).unwrap();
        let (tax, total) = (note.statement().tax.to_fixed(2), note.statement().total.to_fixed(2));
        assert_eq!((tax.as_str(), total.as_str()), ("-0.13", "-1.38"), "{}", place.name);
        assert!(ledger.verify().unwrap().agrees(), "{}", place.name);
    }
}

#[test]
fn what_cannot_be_credited_is_refused_and_says_what_is_allowed() {
    for place in both() {
        let inputs = inputs();
        let mut ledger = place.open();
        ledger
            .issue(&rated("2026-10", &[("nts", "10")]), &issue(&inputs))
            .unwrap();
        for (number, lines, words) in [
            ("2026-000009", line(1, "1"), "there is no such bill"),
            ("2026-000001", line(2, "1"), "allowed are 1 to 1"),
            ("2026-000001", line(0, "1"), "allowed are 1 to 1"),
            ("2026-000001", line(1, "101"), "up to 100"),
            ("2026-000001", line(1, "0"), "more than 0"),
            ("2026-000001", line(1, "-1"), "more than 0"),
            ("2026-000001", line(1, "0.5"), "0 decimal places"),
        ] {
            let credit = Credit {
                reference: "x",
                reason: "outage",
                lines: &lines,
            };
            let error = ledger.credit(number, &credit, &issue(&inputs)).unwrap_err().to_string();
            assert!(error.contains(words), "{}: {error}", place.name);
        }
        assert_eq!(ledger.verify().unwrap().bills, 1, "{}", place.name);
    }
}

#[test]
fn a_credit_note_is_not_credited_itself() {
    for place in both() {
        let inputs = inputs();
        let mut ledger = place.open();
        ledger
            .issue(&rated("2026-10", &[("nts", "10")]), &issue(&inputs))
            .unwrap();
        let lines = line(1, "40");
        let credit = Credit {
            reference: "a",
            reason: "outage",
            lines: &lines,
        };
        let note = ledger.credit("2026-000001", &credit, &issue(&inputs)).unwrap();
        let error = ledger
            .credit(note.number().unwrap(), &credit, &issue(&inputs))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("it is a CreditNote: allowed is an Invoice"),
            "{}: {error}",
            place.name
        );
    }
}
