//! What issuing bills promises.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use maru_crds::RateCardSpec;
use maru_ledger::{Issue, Ledger, LedgerError};
use maru_meter::UsageRecord;
use maru_rate::{Period, Rated, Usage, World, card};

fn rated(month: &str, uses: &[(&str, &str)]) -> Rated {
    let card: RateCardSpec = serde_saphyr::from_str(
        "currency: KRW
timeZone: Asia/Seoul
versions:
- from: '2026-01-01T00:00:00+09:00'
  items: [{meter: m, unit: u, model: PerUnit, unitPrice: '10'}]
taxes: [{from: '2026-01-01T00:00:00+09:00', name: VAT, rate: '0.1'}]",
    )
    .unwrap();
    let book = card::read(&card).unwrap();
    let world = World::default();
    let period = Period::new(month.parse().unwrap(), &book.zone).unwrap();
    let mut usage = Usage::new(&book, &world, period);
    for (agency, quantity) in uses {
        let record: UsageRecord = serde_json::from_value(serde_json::json!({
            "id": agency, "agency": agency, "system": "a/b", "meter": "m", "quantity": quantity,
            "start": period.interval.start, "end": period.interval.end,
        }))
        .unwrap();
        usage.add(&record).unwrap();
    }
    usage.rate().unwrap()
}

fn issue() -> Issue<'static> {
    Issue {
        issuer: "maru",
        fiscal_year: 2026,
        at: "2026-11-04T00:00:00Z".parse().unwrap(),
    }
}

fn numbers(pages: &[maru_ledger::Page]) -> Vec<(String, String)> {
    pages
        .iter()
        .map(|page| (page.statement().agency.clone(), page.number().unwrap().to_owned()))
        .collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn numbers_have_no_gap_and_issuing_twice_is_issuing_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let october = rated("2026-10", &[("nts", "1"), ("moel", "2")]);
    let first = Ledger::open(&path).unwrap().issue(&october, &issue()).unwrap();
    assert_eq!(
        numbers(&first),
        pairs(&[("moel", "2026-000001"), ("nts", "2026-000002")])
    );
    let mut ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.issue(&october, &issue()).unwrap(), first);
    let november = ledger.issue(&rated("2026-11", &[("nts", "1")]), &issue()).unwrap();
    assert_eq!(numbers(&november), pairs(&[("nts", "2026-000003")]));
    let verified = ledger.verify().unwrap();
    assert_eq!((verified.bills, verified.entries), (3, 9));
    assert_eq!(ledger.page("maru", "2026-000002").unwrap().unwrap(), first[1]);
}

#[test]
fn every_issue_is_booked_in_balance() {
    let mut ledger = Ledger::in_memory().unwrap();
    ledger
        .issue(&rated("2026-10", &[("nts", "10"), ("moel", "20")]), &issue())
        .unwrap();
    let balance = |account: &str| ledger.balance(account, "KRW").unwrap();
    assert_eq!(
        [
            balance("payable:nts"),
            balance("payable:moel"),
            balance("revenue"),
            balance("tax:VAT")
        ],
        [110, 220, -300, -30]
    );
}

#[test]
fn a_period_that_was_issued_is_not_issued_with_other_figures() {
    let mut ledger = Ledger::in_memory().unwrap();
    ledger.issue(&rated("2026-10", &[("nts", "10")]), &issue()).unwrap();
    let error = ledger
        .issue(&rated("2026-10", &[("moel", "5"), ("nts", "11")]), &issue())
        .unwrap_err();
    assert!(matches!(error, LedgerError::Issued { .. }), "{error}");
    assert_eq!(ledger.verify().unwrap().bills, 1); // moel's bill went back with it, and its number is not lost
    let pages = ledger.issue(&rated("2026-11", &[("moel", "5")]), &issue()).unwrap();
    assert_eq!(numbers(&pages), pairs(&[("moel", "2026-000002")]));
}

#[test]
fn two_issuers_at_once_give_the_same_bills_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    Ledger::open(&path).unwrap();
    let october = rated("2026-10", &[("a", "1"), ("b", "2"), ("c", "3")]);
    let issued: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| Ledger::open(&path).unwrap().issue(&october, &issue()).unwrap()))
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(issued.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(Ledger::open(&path).unwrap().verify().unwrap().bills, 3);
}

#[test]
fn what_is_booked_cannot_be_changed_or_deleted_by_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    Ledger::open(&path)
        .unwrap()
        .issue(&rated("2026-10", &[("nts", "10")]), &issue())
        .unwrap();
    let stranger = rusqlite::Connection::open(&path).unwrap();
    for sql in [
        "UPDATE bill SET agency = 'x'",
        "DELETE FROM bill",
        "UPDATE entry SET minor_units = 0",
        "DELETE FROM entry",
    ] {
        assert!(stranger.execute(sql, []).is_err(), "{sql}");
    }
}
