//! What is booked for which line, worked out by hand.

use maru_meter::Completeness;
use maru_rate::Line;
use maru_rate::charge::TaxPart;

use super::*;

/// A line of system `a/b`.
pub(crate) fn line(charge: Charge, amount: &str) -> Line {
    let start = jiff::Timestamp::UNIX_EPOCH;
    Line {
        system: Some(Arc::from("a/b")),
        charge,
        meter: None,
        item: Some(Arc::from("first-build")),
        quantity: None,
        unit: None,
        unit_price: None,
        amount: amount.parse().unwrap(),
        tax: Exact::ZERO,
        interval: Interval { start, end: start },
        taxed_at: start,
        completeness: Completeness::Complete,
        corrects: None,
        correction: None,
        reason: None,
        pricing: None,
        allocation: None,
    }
}

/// A bill of `nts` for October 2026; taxes by name and amount.
pub(crate) fn bill(lines: Vec<Line>, taxes: &[(&str, &str)], total: &str, places: u32) -> Result<Page, LedgerError> {
    let interval = lines[0].interval;
    let taxes: Vec<TaxPart> = taxes
        .iter()
        .map(|(name, amount)| TaxPart {
            name: (*name).to_owned(),
            rate: Exact::ZERO,
            base: Exact::ZERO,
            amount: amount.parse().unwrap(),
        })
        .collect();
    let tax: Exact = taxes.iter().map(|part| &part.amount).sum();
    let total: Exact = total.parse().unwrap();
    let statement = Statement {
        agency: "nts".to_owned(),
        lines,
        taxes,
        subtotal: &total - &tax,
        tax,
        total,
        savings: Vec::new(),
    };
    let content = Content {
        month: "2026-10".to_owned(),
        interval,
        currency: "KRW".to_owned(),
        statement,
    };
    Page::new(PageKind::Invoice, content, places)
}

fn booked(page: &Page) -> Vec<(String, i64, u32)> {
    let entries = page.entries().iter();
    entries
        .map(|entry| (entry.account.to_string(), entry.units, entry.line))
        .collect()
}

fn named(entries: &[(&str, i64, u32)]) -> Vec<(String, i64, u32)> {
    entries
        .iter()
        .map(|(account, units, line)| ((*account).to_owned(), *units, *line))
        .collect()
}

#[test]
fn what_is_written_off_is_booked_beside_what_it_earns() {
    let lines = vec![
        line(Charge::Usage, "5"),
        line(Charge::Amortisation, "80"),
        line(Charge::Retirement, "15"),
        line(Charge::Interest, "7"),
        line(Charge::Usage, "0"),
    ];
    let expected = named(&[
        ("payable:nts", 107, 0),
        ("revenue:a/b", -5, 1),
        ("revenue:a/b", -80, 2),
        ("amortisation:a/b", 80, 2),
        ("accumulated-amortisation:a/b", -80, 2),
        ("revenue:a/b", -15, 3),
        ("amortisation:a/b", 15, 3),
        ("accumulated-amortisation:a/b", -15, 3),
        ("revenue:a/b", -7, 4),
    ]);
    assert_eq!(booked(&bill(lines, &[], "107", 0).unwrap()), expected);
}

#[test]
fn what_is_for_all_systems_is_earned_by_none_of_them() {
    let everywhere = Line {
        system: None,
        ..line(Charge::Minimum, "9")
    };
    let expected = named(&[("payable:nts", 9, 0), ("revenue", -9, 1)]);
    assert_eq!(booked(&bill(vec![everywhere], &[], "9", 0).unwrap()), expected);
}

#[test]
fn each_tax_has_its_account_and_two_rates_of_one_tax_share_it() {
    let taxes = [("VAT", "10"), ("levy", "3"), ("VAT", "2")];
    let page = bill(vec![line(Charge::Usage, "100")], &taxes, "115", 0).unwrap();
    let expected = named(&[
        ("payable:nts", 115, 0),
        ("revenue:a/b", -100, 1),
        ("tax:VAT", -12, 0),
        ("tax:levy", -3, 0),
    ]);
    assert_eq!(booked(&page), expected);
}

#[test]
fn a_tax_that_comes_to_nothing_is_not_booked() {
    let page = bill(vec![line(Charge::Usage, "4")], &[("VAT", "0")], "4", 0).unwrap();
    assert_eq!(booked(&page), named(&[("payable:nts", 4, 0), ("revenue:a/b", -4, 1)]));
}

#[test]
fn an_amount_that_is_no_whole_unit_or_too_large_is_not_booked() {
    for (amount, places, allowed) in [
        ("0.5", 0, "amounts of 0 decimal places"),
        ("0.125", 2, "amounts of 2 decimal places"),
        ("9223372036854775808", 0, "below 9.2"),
    ] {
        let error = bill(vec![line(Charge::Usage, amount)], &[], amount, places)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(amount) && error.contains("`nts`") && error.contains(allowed),
            "{error}"
        );
    }
    let most = "9223372036854775807";
    assert_eq!(
        bill(vec![line(Charge::Usage, most)], &[], most, 0).unwrap().total(),
        i64::MAX
    );
}

#[test]
fn a_stored_statement_tells_how_many_places_it_needs() {
    let whole = bill(vec![line(Charge::Usage, "5")], &[], "5", 0).unwrap();
    let parts = bill(vec![line(Charge::Usage, "5.25")], &[], "5", 6).unwrap();
    assert_eq!(places_of(whole.statement(), "KRW"), 0);
    assert_eq!(places_of(whole.statement(), "EUR"), 2);
    assert_eq!(places_of(parts.statement(), "KRW"), 6);
    assert_eq!(places_of(parts.statement(), "EUR"), 2);
    assert_eq!(booked(&parts)[2], ("rounding".to_owned(), 250_000, 0));
}
