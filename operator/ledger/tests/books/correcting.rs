//! What was billed wrong is taken back on a later bill, by the number of the bill that it stood on.

use maru_ledger::{Credit, CreditedLine, LedgerError};
use maru_meter::{Exact, UsageRecord};
use maru_rate::{Carry, Course, Month, Period, Rated, World, card};

use crate::place::{CARD, both, inputs, issue};

/// October and November, in which October's second record became known when October was issued.
fn two_months() -> Vec<Rated> {
    let book = card::read(&serde_saphyr::from_str(CARD).unwrap()).unwrap();
    let world = World::default();
    let months = Month::range("2026-10..2026-11").unwrap();
    let periods = months.into_iter().map(|month| Period::new(month, &book.zone).unwrap());
    let mut course = Course::new(&book, &world, periods, Course::GRACE);
    for (id, agency, recorded) in [
        ("1", "moel", None),
        ("2", "nts", None),
        ("3", "nts", Some("2026-11-20T00:00:00Z")),
    ] {
        let record: UsageRecord = serde_json::from_value(serde_json::json!({
            "id": id, "agency": agency, "system": "a/b", "meter": "m", "quantity": "7",
            "start": "2026-10-05T00:00:00Z", "end": "2026-10-05T00:00:00Z", "recordedAt": recorded,
        }))
        .unwrap();
        course.add(&record).unwrap();
    }
    course.rate(&Carry::default()).unwrap()
}

#[test]
fn a_correction_is_issued_with_the_number_of_the_bill_that_it_corrects() {
    for place in both() {
        let (inputs, rated) = (inputs(), two_months());
        let mut ledger = place.open();
        let early = ledger.issue(&rated[1], &issue(&inputs)).unwrap_err();
        assert!(
            matches!(&early, LedgerError::Dangling { corrects, .. } if corrects == "2026-10/1"),
            "{early}"
        );
        ledger.issue(&rated[0], &issue(&inputs)).unwrap();
        let draft = ledger.draft("maru", &rated[1]).unwrap();
        let november = ledger.issue(&rated[1], &issue(&inputs)).unwrap();
        let says = |page: &maru_ledger::Page| (page.statement().clone(), page.entries().to_vec());
        assert!(
            draft.iter().all(|page| page.number().is_none()) && draft.iter().map(says).eq(november.iter().map(says)),
            "{}: a draft says what is issued then",
            place.name
        );
        let lines = |page: &maru_ledger::Page| -> Vec<(String, String)> {
            let lines = page.statement().lines.iter();
            lines
                .map(|line| (line.corrects.clone().unwrap(), line.amount.to_string()))
                .collect()
        };
        let number = || "2026-000002/1".to_owned(); // moel has the first one
        assert_eq!(
            lines(&november[0]),
            [(number(), "-70".to_owned()), (number(), "140".to_owned())],
            "{}",
            place.name
        );
        assert_eq!(
            ledger.issue(&rated[1], &issue(&inputs)).unwrap(),
            november,
            "{}",
            place.name
        );
        // 14 units at 10 and a tenth of tax, over both bills.
        assert_eq!(
            ledger.balance("payable:nts", "KRW").unwrap(),
            Exact::from(154),
            "{}",
            place.name
        );
        assert!(ledger.verify().unwrap().agrees(), "{}", place.name);
        let again = ledger.with_numbers("maru", &rated[1].statements()[0]).unwrap();
        assert_eq!(&again, november[0].statement(), "{}", place.name);
    }
}

#[test]
fn a_correction_names_the_bill_also_where_it_was_credited_in_part() {
    for place in both() {
        let (inputs, rated) = (inputs(), two_months());
        let mut ledger = place.open();
        ledger.issue(&rated[0], &issue(&inputs)).unwrap();
        let lines = [CreditedLine {
            line: 1,
            amount: Exact::from(10),
        }];
        let credit = Credit {
            reference: "a",
            reason: "outage",
            lines: &lines,
        };
        ledger.credit("2026-000002", &credit, &issue(&inputs)).unwrap();
        let november = ledger.issue(&rated[1], &issue(&inputs)).unwrap();
        let corrects = november[0].statement().lines[0].corrects.as_deref();
        assert_eq!(corrects, Some("2026-000002/1"), "{}", place.name);
    }
}
