//! What an agency pays for its use, worked out by hand.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod world;

use world::{Card, record};

#[test]
fn each_pricing_model_and_a_percentage_on_one_bill() {
    let card = Card::of(
        "- {meter: cpu.reserved, unit: core-hour, model: PerUnit, unitPrice: '42.5'}
- {meter: memory.reserved, unit: GiB-hour, model: PerUnit, unitPrice: '5.25', included: '100'}
- meter: requests.count
  unit: request
  model: Graduated
  tiers:
  - {upTo: '1000000', unitPrice: '0', flatFee: '0'}
  - {upTo: '10000000', unitPrice: '0.0005'}
  - {unitPrice: '0.0002', flatFee: '1000'}
- {meter: tokens.count, unit: token, model: Package, packageSize: '1000', packagePrice: '3'}
- {meter: build.minutes, unit: hour, model: PerUnit, unitPrice: '900', currency: USD, increment: '1'}
- {name: support, model: Percentage, of: [cpu.reserved, memory.reserved], rate: '0.07'}",
    )
    .exchange("2026-01-01T00:00:00+09:00", "USD", "1350.20")
    .tax("2026-01-01T00:00:00+09:00", "0.10");
    let bill = card.bill(
        "2026-10",
        &[
            record("nts/hometax", "cpu.reserved", "23.5"),       // 998.75 → 999
            record("nts/hometax", "memory.reserved", "160.5"),   // 60.5 × 5.25 = 317.625 → 318
            record("nts/hometax", "requests.count", "12000000"), // 9 M × 0.0005 + 2 M × 0.0002 + 1000 = 5900
            record("nts/hometax", "tokens.count", "2001"),       // 3 packages: 9
            record("nts/hometax", "build.minutes", "0.1"),       // each is a whole hour: 2 × 900 × 1350.20
            record("nts/hometax", "build.minutes", "0.9"),
        ],
    );
    let expected = "\
nts/hometax Usage build.minutes 2 2430360
nts/hometax Usage cpu.reserved 23.5 999
nts/hometax Usage memory.reserved 160.5 318
nts/hometax Usage requests.count 12000000 5900
nts/hometax Usage tokens.count 2001 9
nts/hometax Percentage support - 92
subtotal 2437678 tax 243768 total 2681446";
    assert_eq!(bill, expected); // 7 % of 1317 is 92.19; 10 % of 2437678 is 243767.8
}

#[test]
fn included_units_count_over_all_systems_and_the_amount_is_split_by_use() {
    let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '1', included: '50'}");
    // 60 units, 50 of them free: 10 over 20:20:20, and a tie of remainders goes to the smaller name
    let bill = card.bill(
        "2026-10",
        &[
            record("nts/a", "m", "20"),
            record("nts/b", "m", "20"),
            record("nts/c", "m", "20"),
        ],
    );
    assert_eq!(
        bill,
        "nts/a Usage m 20 4\nnts/b Usage m 20 3\nnts/c Usage m 20 3\nsubtotal 10 tax 0 total 10"
    );
}

#[test]
fn use_of_zero_gives_a_line_and_the_first_tiers_fee_to_the_first_system() {
    let card = Card::of("- {meter: m, unit: u, model: Graduated, tiers: [{unitPrice: '1', flatFee: '7'}]}");
    let bill = card.bill("2026-10", &[record("nts/b", "m", "0"), record("nts/a", "m", "0")]);
    assert_eq!(bill, "nts/a Usage m 0 7\nnts/b Usage m 0 0\nsubtotal 7 tax 0 total 7");
}

#[test]
fn use_without_a_price_is_on_the_bill_with_amount_zero_and_a_warning() {
    let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '1'}");
    let rated = card.rate("2026-10", &[record("nts/a", "other", "3")]);
    let line = &rated.statements()[0].lines[0];
    let reason = line.reason.as_deref();
    assert_eq!(
        (line.amount.to_string().as_str(), reason),
        ("0", Some("no item of the rate card prices `other`"))
    );
    let warned = rated
        .warnings()
        .iter()
        .any(|warning| warning.contains("`other` has use and no price"));
    assert!(warned, "{:?}", rated.warnings());
}

#[test]
fn a_price_a_tax_and_an_exchange_rate_that_change_in_one_month_cut_the_use_in_proportion_to_time() {
    // 31 days of October, 744 units. From the 11th price 2, from the 16th USD at 1500, from the 21st tax 20 %.
    let items = |price: &str| {
        format!(
            "- {{meter: m, unit: u, model: PerUnit, unitPrice: '{price}', currency: USD}}
- {{meter: k, unit: u, model: PerUnit, unitPrice: '1'}}"
        )
    };
    let card = Card::of(&items("1"))
        .version("2026-10-11T00:00:00+09:00", &items("2"))
        .exchange("2026-01-01T00:00:00+09:00", "USD", "1000")
        .exchange("2026-10-16T00:00:00+09:00", "USD", "1500")
        .tax("2026-01-01T00:00:00+09:00", "0.10")
        .tax("2026-10-21T00:00:00+09:00", "0.20");
    let bill = card.bill("2026-10", &[record("nts/a", "m", "744"), record("nts/a", "k", "744")]);
    let expected = "\
nts/a Usage k 240 240
nts/a Usage k 240 240
nts/a Usage k 264 264
nts/a Usage m 240 240000
nts/a Usage m 120 240000
nts/a Usage m 120 360000
nts/a Usage m 264 792000
subtotal 1632744 tax 242501 total 1875245";
    // 10 % of 480 + 840000 is 84048; 20 % of 264 + 792000 is 158452.8, so 158453
    assert_eq!(bill, expected);
}

#[test]
fn tiers_and_included_units_carry_over_from_one_price_version_to_the_next() {
    let tiers = |low: &str, high: &str| {
        format!(
            "- meter: m
  unit: u
  model: Graduated
  tiers: [{{upTo: '100', unitPrice: '{low}', flatFee: '5'}}, {{unitPrice: '{high}', flatFee: '50'}}]"
        )
    };
    let card = Card::of(&tiers("3", "2")).version("2026-10-16T12:00:00+09:00", &tiers("4", "1"));
    // 80 before: 80 × 3 + 5. 80 after: 20 × 4 + 60 × 1 + 50.
    let bill = card.bill("2026-10", &[record("nts/a", "m", "160")]);
    assert_eq!(
        bill,
        "nts/a Usage m 80 245\nnts/a Usage m 80 190\nsubtotal 435 tax 0 total 435"
    );

    let included =
        |price: &str| format!("- {{meter: m, unit: u, model: PerUnit, unitPrice: '{price}', included: '100'}}");
    let card = Card::of(&included("3")).version("2026-10-16T12:00:00+09:00", &included("4"));
    let bill = card.bill("2026-10", &[record("nts/a", "m", "160")]);
    assert_eq!(
        bill,
        "nts/a Usage m 80 0\nnts/a Usage m 80 240\nsubtotal 240 tax 0 total 240"
    );
}

#[test]
fn volume_looks_each_version_up_by_the_whole_periods_quantity() {
    let volume = |low: &str, high: &str| {
        format!(
            "- meter: m
  unit: u
  model: Volume
  tiers: [{{upTo: '100', unitPrice: '{low}'}}, {{unitPrice: '{high}'}}]"
        )
    };
    let card = Card::of(&volume("3", "2")).version("2026-10-16T12:00:00+09:00", &volume("30", "20"));
    let bill = card.bill("2026-10", &[record("nts/a", "m", "160")]);
    assert_eq!(
        bill,
        "nts/a Usage m 80 160\nnts/a Usage m 80 1600\nsubtotal 1760 tax 0 total 1760"
    );
}

#[test]
fn the_minimum_charge_fills_up_what_is_missing() {
    let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '1'}").minimum("1000");
    let bill = card.bill("2026-10", &[record("nts/a", "m", "160")]);
    assert_eq!(
        bill,
        "nts/a Usage m 160 160\n- Minimum - - 840\nsubtotal 1000 tax 0 total 1000"
    );
    let bill = card.bill("2026-10", &[record("nts/a", "m", "1000")]);
    assert_eq!(bill, "nts/a Usage m 1000 1000\nsubtotal 1000 tax 0 total 1000");
}

#[test]
fn rounding_at_the_bill_keeps_six_decimals_on_lines_and_still_adds_up() {
    let items = "- {meter: m, unit: u, model: PerUnit, unitPrice: '0.3333333'}
- {meter: n, unit: u, model: PerUnit, unitPrice: '0.1'}";
    let card = Card::of(items)
        .rounding("Bill", "HalfUp")
        .tax("2026-01-01T00:00:00+09:00", "0.10");
    // lines 0.333333 and 0.1 sum to 0.433333, tax 0.0433333, together 0.4766663: total 0, tax 0
    let bill = card.bill("2026-10", &[record("nts/a", "m", "1"), record("nts/a", "n", "1")]);
    assert_eq!(
        bill,
        "nts/a Usage m 1 0.333333\nnts/a Usage n 1 0.1\nsubtotal 0 tax 0 total 0"
    );
    // 13.5 and tax 1.35 are 14.85: total 15, tax 1, subtotal the difference
    let bill = card.bill("2026-10", &[record("nts/a", "n", "135")]);
    assert_eq!(bill, "nts/a Usage n 135 13.5\nsubtotal 14 tax 1 total 15");
}

#[test]
fn currencies_with_none_two_and_three_decimals_keep_them() {
    let items = "- {meter: m, unit: u, model: PerUnit, unitPrice: '0.3335'}";
    for (currency, amount) in [("EUR", "0.33"), ("KWD", "0.334"), ("JPY", "0")] {
        let bill = Card::of(items)
            .currency(currency)
            .bill("2026-10", &[record("nts/a", "m", "1")]);
        assert_eq!(
            bill,
            format!("nts/a Usage m 1 {amount}\nsubtotal {amount} tax 0 total {amount}")
        );
    }
}

#[test]
fn a_third_of_a_record_rounds_as_a_fraction_and_not_as_a_decimal() {
    let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '1.5'}");
    let mut cut = record("nts/a", "m", "1");
    cut.start = "2026-09-30T13:00:00Z".parse().unwrap(); // three hours, of which October in Seoul has the last
    cut.end = "2026-09-30T16:00:00Z".parse().unwrap();
    let bill = card.bill("2026-10", &[cut]);
    assert_eq!(
        bill,
        "nts/a Usage m 0.3333333333333333333333333333 1\nsubtotal 1 tax 0 total 1"
    );
}

#[test]
fn prices_in_a_currency_without_a_rate_are_an_error_that_names_the_field() {
    let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '1', currency: USD}");
    let error = card.try_rate("2026-10", &[record("nts/a", "m", "1")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("spec.exchangeRates: nothing is said of USD"),
        "{error}"
    );
}

#[test]
fn each_part_of_a_record_that_is_cut_is_rounded_up_to_the_increment() {
    let items = |increment: &str| {
        format!(
            "- {{meter: m, unit: hour, model: PerUnit, unitPrice: '100', increment: '{increment}'}}
- {{meter: k, unit: hour, model: PerUnit, unitPrice: '1', currency: USD, increment: '1'}}"
        )
    };
    // Two days of 0.8 each, of which the second begins at the change: 0.8 is a whole hour before it and two halves after it.
    let card = Card::of(&items("1"))
        .version("2026-10-11T00:00:00+09:00", &items("0.5"))
        .exchange("2026-01-01T00:00:00+09:00", "USD", "1000")
        .exchange("2026-10-20T00:00:00+09:00", "USD", "2000");
    let mut across = record("nts/a", "m", "1.6");
    across.start = "2026-10-09T15:00:00Z".parse().unwrap();
    across.end = "2026-10-11T15:00:00Z".parse().unwrap();
    let bill = card.bill("2026-10", std::slice::from_ref(&across));
    assert_eq!(
        bill,
        "nts/a Usage m 1 100\nnts/a Usage m 1 100\nsubtotal 200 tax 0 total 200"
    );
    // The dollar changes on the 20th: that cuts what is priced in dollars and nothing else.
    let around = |meter: &str| {
        let mut around = record("nts/a", meter, "1.2");
        around.start = "2026-10-18T15:00:00Z".parse().unwrap();
        around.end = "2026-10-20T15:00:00Z".parse().unwrap();
        card.bill("2026-10", &[around])
    };
    assert_eq!(around("m"), "nts/a Usage m 1.5 150\nsubtotal 150 tax 0 total 150");
    assert_eq!(
        around("k"),
        "nts/a Usage k 1 1000\nnts/a Usage k 1 2000\nsubtotal 3000 tax 0 total 3000"
    );
    // The month cuts too: one of three hours is October's, and 0.7 / 3 is rounded up by itself.
    let mut before = record("nts/a", "m", "0.7");
    before.start = "2026-09-30T13:00:00Z".parse().unwrap();
    before.end = "2026-09-30T16:00:00Z".parse().unwrap();
    assert_eq!(
        card.bill("2026-10", &[before]),
        "nts/a Usage m 1 100\nsubtotal 100 tax 0 total 100"
    );
    // An instant is not cut.
    let mut instant = record("nts/a", "m", "0.7");
    (instant.start, instant.end) = (across.end, across.end);
    assert_eq!(
        card.bill("2026-10", &[instant]),
        "nts/a Usage m 1 100\nsubtotal 100 tax 0 total 100"
    );
}

#[test]
fn where_the_bill_is_rounded_a_line_bears_the_tax_of_its_own_rate() {
    let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '1'}")
        .rounding("Bill", "HalfUp")
        .tax("2026-01-01T00:00:00+09:00", "0.10")
        .tax("2026-10-16T12:00:00+09:00", "0.20");
    let rated = card.rate("2026-10", &[record("nts/a", "m", "2000")]);
    let taxes: Vec<_> = rated.statements()[0]
        .lines
        .iter()
        .map(|line| line.tax.to_string())
        .collect();
    assert_eq!(taxes, ["100", "200"]);
}

#[test]
fn a_tax_of_nothing_is_no_tax_and_cuts_nothing() {
    let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '1'}").tax("2026-10-11T00:00:00+09:00", "0");
    let rated = card.rate("2026-10", &[record("nts/a", "m", "7")]);
    assert_eq!(rated.statements()[0].lines.len(), 1);
    assert!(rated.statements()[0].taxes.is_empty());
}
