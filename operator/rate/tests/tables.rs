//! Worked tables: each figure comes from the literature or from the calculation beside it.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod world;

use maru_crds::{AgencySystemSpec, CostPoolSpec, SystemSubscriptionSpec};
use maru_meter::UsageRecord;
use maru_rate::{Carry, Rated, World};
use serde_json::json;
use world::{Card, record};

fn at(mut record: UsageRecord, start: &str, end: &str) -> UsageRecord {
    (record.start, record.end) = (start.parse().unwrap(), end.parse().unwrap());
    record
}

/// A month's lines of the one bill: quantity and amount.
fn lines(rated: &Rated) -> Vec<(String, String)> {
    let lines = rated.statements().iter().flat_map(|statement| &statement.lines);
    let figures = lines.map(|line| {
        let quantity = line.quantity.as_ref().map(ToString::to_string);
        (quantity.unwrap_or_default(), line.amount.to_string())
    });
    figures.collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn tiers_as_the_literature_prices_them() {
    // The example with which Stripe's documentation tells volume from graduated prices: 1 to 5 at 7.00, 6 to 10 at 6.50, from 11 on at 6.00.
    let tiers = "tiers: [{upTo: '5', unitPrice: '7'}, {upTo: '10', unitPrice: '6.5'}, {unitPrice: '6'}]";
    let amount = |model: &str, quantity: &str| {
        let item = format!("- {{meter: m, unit: project, model: {model}, {tiers}}}");
        let rated = Card::of(&item)
            .currency("USD")
            .rate("2026-10", &[record("nts/a", "m", quantity)]);
        rated.statements()[0].total.to_string()
    };
    for (quantity, volume, graduated) in [
        ("0", "0", "0"),
        ("1", "7", "7"),
        ("5", "35", "35"),
        ("5.5", "35.75", "38.25"), // 5.5 × 6.5; 35 + 0.5 × 6.5
        ("6", "39", "41.5"),
        ("10", "65", "67.5"),
        ("10.001", "60.01", "67.51"), // 60.006; 67.506
        ("11", "66", "73.5"),
        ("20", "120", "127.5"),
        ("25", "150", "157.5"),
    ] {
        assert_eq!(amount("Volume", quantity), volume, "Volume {quantity}");
        assert_eq!(amount("Graduated", quantity), graduated, "Graduated {quantity}");
    }
}

#[test]
fn each_way_of_rounding_at_and_around_the_half() {
    let amount = |mode: &str, quantity: &str| {
        let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '1'}").rounding("Line", mode);
        card.rate("2026-10", &[record("nts/a", "m", quantity)]).statements()[0]
            .total
            .to_string()
    };
    for (quantity, half_up, half_even, down, up) in [
        ("0.5", "1", "0", "0", "1"),
        ("1.5", "2", "2", "1", "2"),
        ("2.5", "3", "2", "2", "3"),
        ("2.4999999999999999999999999999", "2", "2", "2", "3"),
        ("2.5000000000000000000000000001", "3", "3", "2", "3"),
        ("3", "3", "3", "3", "3"),
    ] {
        for (mode, expected) in [("HalfUp", half_up), ("HalfEven", half_even), ("Down", down), ("Up", up)] {
            assert_eq!(amount(mode, quantity), expected, "{mode} {quantity}");
        }
    }
}

#[test]
fn what_is_given_back_is_rounded_as_a_mirror_of_what_is_charged() {
    // 95 units at 3 are 285. Five more that came late make it 100 at 2.6, which is 260: 25 less, and a tenth of it in tax is 2.5 less.
    let item = "- {meter: m, unit: u, model: Volume, tiers: [{upTo: '95', unitPrice: '3'}, {unitPrice: '2.6'}]}";
    let mut late = record("nts/a", "m", "5");
    late.recorded_at = Some("2026-11-20T00:00:00Z".parse().unwrap());
    for (mode, tax) in [("HalfUp", "-3"), ("HalfEven", "-2"), ("Down", "-2"), ("Up", "-3")] {
        let card = Card::of(item)
            .rounding("Line", mode)
            .tax("2026-01-01T00:00:00+09:00", "0.10");
        let rated = card.course(
            &World::default(),
            "2026-10..2026-11",
            &[record("nts/a", "m", "95"), late.clone()],
        );
        let november = &rated[1].statements()[0];
        assert_eq!(
            (november.subtotal.to_string(), november.tax.to_string()),
            ("-25".to_owned(), tax.to_owned()),
            "{mode}"
        );
    }
}

/// Zone, month, its time, when the price changes, and the hours before and after.
const MONTHS: [[&str; 7]; 6] = [
    // Amsterdam goes back an hour on 25 October: 24 days of 24 hours before it, 745 in all.
    [
        "Europe/Amsterdam",
        "2026-10",
        "2026-09-30T22:00:00Z",
        "2026-10-31T23:00:00Z",
        "2026-10-25T00:00:00+02:00",
        "576",
        "169",
    ],
    // It goes forward on 29 March: 28 days before, 743 in all.
    [
        "Europe/Amsterdam",
        "2026-03",
        "2026-02-28T23:00:00Z",
        "2026-03-31T22:00:00Z",
        "2026-03-29T00:00:00+01:00",
        "672",
        "71",
    ],
    // Lord Howe Island goes forward by half an hour on 4 October: three days, then 23.5 hours and 27 days.
    [
        "Australia/Lord_Howe",
        "2026-10",
        "2026-09-30T13:30:00Z",
        "2026-10-31T13:00:00Z",
        "2026-10-04T00:00:00+10:30",
        "72",
        "671.5",
    ],
    // And back on 5 April: four days, then 24.5 hours and 25 days.
    [
        "Australia/Lord_Howe",
        "2026-04",
        "2026-03-31T13:00:00Z",
        "2026-04-30T13:30:00Z",
        "2026-04-05T00:00:00+11:00",
        "96",
        "624.5",
    ],
    // A zone that is half an hour off, without changes.
    [
        "Asia/Kolkata",
        "2026-11",
        "2026-10-31T18:30:00Z",
        "2026-11-30T18:30:00Z",
        "2026-11-02T00:00:00+05:30",
        "24",
        "696",
    ],
    // The leap day.
    [
        "Asia/Seoul",
        "2028-02",
        "2028-01-31T15:00:00Z",
        "2028-02-29T15:00:00Z",
        "2028-02-29T00:00:00+09:00",
        "672",
        "24",
    ],
];

#[test]
fn a_month_in_which_the_clock_changes_is_cut_by_the_hours_that_passed() {
    let items = |price: &str| format!("- {{meter: m, unit: hour, model: PerUnit, unitPrice: '{price}'}}");
    for [zone, month, start, end, change, before, after] in MONTHS {
        let number = |text: &str| text.parse::<maru_meter::Exact>().unwrap();
        let all = &number(before) + &number(after);
        let card = Card::of(&items("1"))
            .version(change, &items("2"))
            .zone(zone)
            .currency("EUR");
        let rated = card.rate(month, &[at(record("nts/a", "m", &all.to_string()), start, end)]);
        let twice = (&number(after) * &number("2")).to_string();
        assert_eq!(
            lines(&rated),
            pairs(&[(before, before), (after, &twice)]),
            "{zone} {month}"
        );
        assert_eq!(
            (rated.interval().start.to_string(), rated.interval().end.to_string()),
            (start.to_owned(), end.to_owned())
        );
    }
}

#[test]
fn a_record_across_the_end_of_a_month_in_a_half_hour_zone_is_cut_at_the_half_hour() {
    let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '10'}").zone("Asia/Kolkata");
    // One hour, of which half is October's and half November's.
    let across = at(
        record("nts/a", "m", "3"),
        "2026-10-31T18:00:00Z",
        "2026-10-31T19:00:00Z",
    );
    for month in ["2026-10", "2026-11"] {
        assert_eq!(
            lines(&card.rate(month, std::slice::from_ref(&across))),
            pairs(&[("1.5", "15")])
        );
    }
    assert_eq!(card.rate("2026-12", &[across]).statements().len(), 0);
}

#[test]
fn who_joins_in_a_month_with_a_clock_change_weighs_by_the_hours_that_it_had() {
    let mut world = World::default();
    let spec = "{cost: {currency: EUR, operations: [{name: run, monthly: '814.00', from: '2026-01-01'}]}, sharing: {acceptsAll: true}}";
    let spec: AgencySystemSpec = serde_saphyr::from_str(spec).unwrap();
    world.add_system("a", "s", &spec).unwrap();
    let spec = json!({"systemRef": {"namespace": "a", "name": "s"}, "from": "2026-03-29"});
    let spec: SystemSubscriptionSpec = serde_json::from_value(spec).unwrap();
    world.add_subscription("b", &spec).unwrap();
    let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '1'}")
        .zone("Europe/Amsterdam")
        .currency("EUR");
    // Two days of 24 hours and one of 23, of 743: the weights are 743 and 71, of 814.
    let rated = card.rate_in(&world, "2026-03", &[], &Carry::default());
    assert_eq!(lines(&rated), pairs(&[("", "743"), ("", "71")]));
}

#[test]
fn one_minor_unit_among_many_goes_to_one_of_them_in_every_currency() {
    for (currency, unit) in [("KRW", "1"), ("EUR", "0.01"), ("KWD", "0.001")] {
        let mut world = World::default();
        let spec = format!(
            "{{cost: {{currency: {currency}, operations: [{{name: run, monthly: '{unit}', from: '2026-01-01'}}]}}, sharing: {{acceptsAll: true}}}}"
        );
        let spec: AgencySystemSpec = serde_saphyr::from_str(&spec).unwrap();
        world.add_system("m", "s", &spec).unwrap();
        for agency in ["Z", "z", "a10", "a9", "é"] {
            let spec = json!({"systemRef": {"namespace": "m", "name": "s"}, "from": "2026-01-01"});
            let spec: SystemSubscriptionSpec = serde_json::from_value(spec).unwrap();
            world.add_subscription(agency, &spec).unwrap();
        }
        let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '1'}").currency(currency);
        let rated = card.rate_in(&world, "2026-10", &[], &Carry::default());
        let owed: Vec<(&str, String)> = rated
            .statements()
            .iter()
            .map(|s| (s.agency.as_str(), s.total.to_string()))
            .collect();
        // Capital letters come before small ones in byte order, digits go one by one, and letters with accents come last.
        let nothing = |agency| (agency, "0".to_owned());
        let rest = ["a10", "a9", "m", "z", "é"].map(nothing);
        assert_eq!(owed, [&[("Z", unit.to_owned())], &rest[..]].concat(), "{currency}");
    }
}

#[test]
fn a_price_that_changes_twice_in_a_month_together_with_a_tax_and_an_exchange_rate() {
    let item = |price: &str| {
        format!("- {{meter: m, unit: u, model: PerUnit, unitPrice: '{price}', included: '24', currency: USD}}")
    };
    // 31 days, one unit an hour; 24 are free, which is the first day. Each stretch, its days, price, dollar and tax:
    //   1 to 10: 240 − 24 = 216 at 1 and 1000;  11 to 15: 120 at 2 and 1000;  16 to 20: 120 at 2 and 1500;
    //  21 to 25: 120 at 3 and 1500, tax 20 %;   26 to 31: 144 at 3 and 1500.5, tax 20 %
    let card = Card::of(&item("1"))
        .version("2026-10-11T00:00:00+09:00", &item("2"))
        .version("2026-10-21T00:00:00+09:00", &item("3"))
        .exchange("2026-01-01T00:00:00+09:00", "USD", "1000")
        .exchange("2026-10-16T00:00:00+09:00", "USD", "1500")
        .exchange("2026-10-26T00:00:00+09:00", "USD", "1500.5")
        .tax("2026-01-01T00:00:00+09:00", "0.10")
        .tax("2026-10-21T00:00:00+09:00", "0.20");
    let rated = card.rate("2026-10", &[record("nts/a", "m", "744")]);
    let expected = [
        ("240", "216000"),
        ("120", "240000"),
        ("120", "360000"),
        ("120", "540000"),
        ("144", "648216"),
    ];
    assert_eq!(lines(&rated), pairs(&expected));
    let bill = &rated.statements()[0];
    // 10 % of 816000 and 20 % of 1188216, which is 237643.2
    let figures = [&bill.subtotal, &bill.tax, &bill.total].map(ToString::to_string);
    assert_eq!(figures, ["2004216", "319243", "2323459"]);
    let taxes: Vec<_> = bill
        .taxes
        .iter()
        .map(|tax| (tax.base.to_string(), tax.amount.to_string()))
        .collect();
    assert_eq!(taxes, pairs(&[("816000", "81600"), ("1188216", "237643")]));
}

#[test]
fn the_life_of_a_system_from_its_first_month_to_its_retirement() {
    // In service on 10 January, so that February is its first month: 1200 over 12 months. Enhanced in March: 600 over 6 months, with 1 % a month
    // of what is not yet written off. `moel` joins on 16 April with weight 2 and leaves on 11 June. Retired on 20 July.
    let spec = "cost:
  currency: KRW
  builds:
  - {name: first-build, amount: '1200', inServiceDate: '2026-01-10', months: 12}
  - {name: search, amount: '600', inServiceDate: '2026-03-01', months: 6, annualRate: '0.12'}
  operations: [{name: run, monthly: '10', from: '2026-01-01'}]
sharing: {acceptsAll: true}
retirement: {date: '2026-07-20', policy: Subscribers}";
    let spec: AgencySystemSpec = serde_saphyr::from_str(spec).unwrap();
    let mut world = World::default();
    world.add_system("mois", "docs", &spec).unwrap();
    let spec = json!({"systemRef": {"namespace": "mois", "name": "docs"}, "weight": "2", "from": "2026-04-16", "until": "2026-06-11"});
    let spec: SystemSubscriptionSpec = serde_json::from_value(spec).unwrap();
    world.add_subscription("moel", &spec).unwrap();
    let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '1'}");
    let bills = card.course(&world, "2026-01..2026-08", &[]).into_iter().map(|rated| {
        let line = |line: &maru_rate::Line| format!("{} {}", line.charge.name(), line.amount);
        let bill = |bill: &maru_rate::Statement| {
            let lines: Vec<String> = bill.lines.iter().map(line).collect();
            format!("{}: {}", bill.agency, lines.join(", "))
        };
        rated.statements().iter().map(bill).collect::<Vec<_>>().join("; ")
    });
    let expected = [
        "mois: Operations 10",
        "mois: Amortisation 100, Operations 10",
        "mois: Amortisation 200, CapitalCharge 6, Operations 10",
        // 15 of April's 30 days: the weights are 1 and 1.
        "moel: Amortisation 100, CapitalCharge 3, Operations 5; mois: Amortisation 100, CapitalCharge 2, Operations 5",
        // 2 and 1: 133.33 and 66.67, 2.67 and 1.33, 6.67 and 3.33
        "moel: Amortisation 133, CapitalCharge 3, Operations 7; mois: Amortisation 67, CapitalCharge 1, Operations 3",
        // Ten of June's 30 days: 2/3 and 1, which is 0.4 and 0.6.
        "moel: Amortisation 80, CapitalCharge 1, Operations 4; mois: Amortisation 120, CapitalCharge 2, Operations 6",
        // Six months of the first build and five of the other are written off: 600 and 100 are left.
        "mois: Amortisation 200, CapitalCharge 2, Operations 10, Retirement 700",
        "",
    ];
    assert_eq!(bills.collect::<Vec<_>>(), expected);
}

#[test]
fn a_capacity_counts_the_hours_that_a_month_really_has() {
    let spec = "{currency: EUR, driver: m, operations: [{name: hall, monthly: '743.50', from: '2026-01-01'}],
        idle: Proportional, capacity: [{from: '2026-01-01', perHour: '1'}]}";
    let spec: CostPoolSpec = serde_saphyr::from_str(spec).unwrap();
    let mut world = World::default();
    world.add_cost_pool("hall", &spec).unwrap();
    let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '0'}")
        .zone("Australia/Lord_Howe")
        .currency("EUR");
    // October on Lord Howe Island has 743.5 hours: 100 units cost 100.00, and 643.50 are what nobody used.
    let used = at(
        record("nts/a", "m", "100"),
        "2026-10-10T00:00:00Z",
        "2026-10-11T00:00:00Z",
    );
    let rated = card.rate_in(&world, "2026-10", &[used], &Carry::default());
    assert_eq!(lines(&rated), pairs(&[("100", "0"), ("", "100"), ("", "643.5")]));
}

#[test]
fn a_rate_of_the_next_year_recovers_what_this_one_left_open() {
    let spec = "{cost: {currency: KRW, operations: [{name: run, monthly: '1000', from: '2026-01-01'}]},
        sharing: {acceptsAll: true, driver: d, mode: StandardRate, standardRate: {fiscalYear: 2026, unitPrice: '8', carryForwardLimit: '300'}}}";
    let spec: AgencySystemSpec = serde_saphyr::from_str(spec).unwrap();
    let mut world = World::default();
    world.add_system("mois", "docs", &spec).unwrap();
    let used = |day: &str, quantity: &str| {
        let mut used = at(record("mois/docs", "d", quantity), day, day);
        (used.agency, used.id) = ("mois".to_owned(), day.to_owned());
        used
    };
    let records = [
        used("2026-11-05T00:00:00Z", "100"),
        used("2026-12-05T00:00:00Z", "50"),
        used("2027-01-05T00:00:00Z", "200"),
    ];
    let rated =
        Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '1'}").course(&world, "2026-11..2027-01", &records);
    let said: Vec<String> = rated
        .iter()
        .flat_map(Rated::recoveries)
        .map(|one| {
            let next = one.next_unit_price.as_ref().unwrap();
            format!(
                "charged {} balance {} past {} next {next}",
                one.charged,
                one.balance,
                one.is_past_limit()
            )
        })
        .collect();
    let expected = [
        "charged 800 balance -200 past false next 12",       // (1000 + 200) / 100
        "charged 400 balance -800 past true next 18.666667", // (2000 + 800) / 150
        "charged 1600 balance -200 past false next 6",       // a new year: (1000 + 200) / 200
    ];
    assert_eq!(said, expected);
    let warned: Vec<bool> = rated
        .iter()
        .map(|one| {
            one.warnings()
                .iter()
                .any(|said| said.contains("carryForwardLimit allows 300"))
        })
        .collect();
    assert_eq!(warned, [false, true, false]);
}
