//! What agencies pay for the platform itself, and what they save by sharing, worked out by hand.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod world;

use maru_crds::CostPoolSpec;
use maru_meter::UsageRecord;
use maru_rate::{Carry, Period, RateError, Usage, World, card};
use world::{Card, print, record};

const PRICES: &str = "- {meter: cpu.reserved, unit: core-hour, model: PerUnit, unitPrice: '10'}";

/// 60,000,000 over 60 months and 500,000 a month.
fn world(more: &str) -> World {
    let spec = format!(
        "{{currency: KRW, driver: cpu.reserved,
          builds: [{{name: servers, amount: '60000000', inServiceDate: '2026-01-01', months: 60}}],
          operations: [{{name: power, monthly: '500000', from: '2026-01-01'}}], {more}}}"
    );
    let spec: CostPoolSpec = serde_saphyr::from_str(&spec).unwrap();
    let mut world = World::default();
    for agency in ["mois", "nirs", "nts"] {
        world.add_agency(agency, [agency.to_owned()]);
    }
    world.add_cost_pool("data-centre", &spec).unwrap();
    world
}

fn used(agency: &str, quantity: &str) -> UsageRecord {
    UsageRecord {
        agency: agency.to_owned(),
        id: agency.to_owned(),
        ..record("nts/hometax", "cpu.reserved", quantity)
    }
}

fn october(world: &World, records: &[UsageRecord]) -> String {
    let rated = Card::of(PRICES).rate_in(world, "2026-10", records, &Carry::default());
    let bill = |statement: &maru_rate::Statement| format!("{}\n{}", statement.agency, print(statement));
    rated.statements().iter().map(bill).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_pool_is_split_by_use_one_line_a_kind() {
    // 1,000,000 and 500,000 over 1:2
    let expected = "\
mois
nts/hometax Usage cpu.reserved 100 1000
- Amortisation data-centre - 333333
- Operations data-centre - 166667
subtotal 501000 tax 0 total 501000
nts
nts/hometax Usage cpu.reserved 200 2000
- Amortisation data-centre - 666667
- Operations data-centre - 333333
subtotal 1002000 tax 0 total 1002000";
    assert_eq!(
        october(&world(""), &[used("mois", "100"), used("nts", "200")]),
        expected
    );
}

#[test]
fn a_pool_in_another_currency_is_converted_and_each_line_says_which_part_it_is() {
    let dollars = |power: &str| {
        let spec = format!(
            "{{currency: USD, driver: cpu.reserved, operations: [{{name: power, monthly: '{power}', from: '2026-11-01'}}]}}"
        );
        let mut world = World::default();
        world
            .add_cost_pool("abroad", &serde_saphyr::from_str(&spec).unwrap())
            .unwrap();
        world
    };
    let world = dollars("100.50");
    let card = Card::of(PRICES).exchange("2026-01-01T00:00:00+09:00", "USD", "1350.20");
    let november = |record: UsageRecord| UsageRecord {
        start: "2026-11-01T00:00:00Z".parse().unwrap(),
        end: "2026-11-01T01:00:00Z".parse().unwrap(),
        ..record
    };
    let records = [november(used("mois", "1")), november(used("nts", "2"))];
    // 100.50 × 1350.20 = 135695.1, by use 1:2.
    let rated = card.rate_in(&world, "2026-11", &records, &Carry::default());
    let found: Vec<String> = rated
        .statements()
        .iter()
        .flat_map(|statement| &statement.lines)
        .filter(|line| line.item.as_deref() == Some("abroad"))
        .map(|line| {
            let part = line.allocation.as_deref().unwrap();
            let basis = part.basis.as_deref().unwrap();
            let whole = [&part.total, &basis.used, &basis.all_used].map(ToString::to_string);
            format!(
                "{} of {} by {:?}, {} of {}",
                line.amount, whole[0], part.method, whole[1], whole[2]
            )
        })
        .collect();
    assert_eq!(
        found,
        ["45232 of 135695 by Use, 1 of 3", "90463 of 135695 by Use, 2 of 3"]
    );
    // A month in which it costs nothing needs no exchange rate.
    let rated = Card::of(PRICES).rate_in(&world, "2026-10", &[used("mois", "1")], &Carry::default());
    assert_eq!(rated.statements()[0].subtotal.to_string(), "10");
}

#[test]
fn what_nobody_used_is_a_line_of_its_own_for_the_platform_or_for_all_by_their_use() {
    // One core is 744 core-hours in October, of which 372 are used: half of 1,500,000 is idle.
    let records = [used("mois", "124"), used("nts", "248")];
    let capacity = "capacity: [{from: '2026-01-01', perHour: '1'}]";
    let platform = "\
mois
nts/hometax Usage cpu.reserved 124 1240
- Amortisation data-centre - 166667
- Operations data-centre - 83333
subtotal 251240 tax 0 total 251240
nirs
- Idle data-centre - 750000
subtotal 750000 tax 0 total 750000
nts
nts/hometax Usage cpu.reserved 248 2480
- Amortisation data-centre - 333333
- Operations data-centre - 166667
subtotal 502480 tax 0 total 502480";
    let idle = format!("idle: Platform, platformAgencyRef: {{name: nirs}}, {capacity}");
    assert_eq!(october(&world(&idle), &records), platform);
    let proportional = october(&world(&format!("idle: Proportional, {capacity}")), &records);
    assert!(proportional.contains("- Idle data-centre - 250000\n"), "{proportional}");
    assert!(proportional.contains("- Idle data-centre - 500000\n"), "{proportional}");
}

#[test]
fn a_capacity_that_changes_in_the_month_counts_by_the_time() {
    // Ten days of one core and 21 of three: 240 + 1512 = 1752 core-hours; 438 used, a quarter.
    let steps = "capacity: [{from: '2026-01-01', perHour: '1'}, {from: '2026-10-11', perHour: '3'}]";
    let bill = october(&world(steps), &[used("nts", "438")]);
    assert!(bill.contains("- Amortisation data-centre - 250000\n"), "{bill}");
    assert!(bill.contains("- Idle data-centre - 1125000\n"), "{bill}");
}

#[test]
fn more_use_than_there_was_is_an_error_and_never_clamped() {
    let world = world("capacity: [{from: '2026-01-01', perHour: '1'}]");
    let book = card::read(&Card::of(PRICES).spec()).unwrap();
    let period = Period::new("2026-10".parse().unwrap(), &book.zone).unwrap();
    let mut usage = Usage::new(&book, &world, period);
    usage.add(&used("nts", "744.5")).unwrap();
    let error = usage.rate().unwrap_err();
    assert!(matches!(error, RateError::NegativeIdle(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("744.5 of `cpu.reserved` were used and spec.capacity offers 744")
    );
}

#[test]
fn a_scope_leaves_out_other_agencies_and_systems() {
    let records = [used("mois", "100"), used("nts", "200")];
    let bill = october(&world("scope: {agencies: [{name: nts}]}"), &records);
    assert!(bill.contains("- Amortisation data-centre - 1000000\n"), "{bill}");
    let elsewhere = world("scope: {systems: [{namespace: mois, name: docs}]}, platformAgencyRef: {name: nirs}");
    let bill = october(&elsewhere, &records);
    assert!(
        bill.contains("nirs\n- Amortisation data-centre - 1000000\n- Operations data-centre - 500000\n"),
        "{bill}"
    );
}

#[test]
fn a_period_without_use_joins_the_next_one() {
    let world = world("");
    let first = Card::of(PRICES).rate_in(&world, "2026-10", &[], &Carry::default());
    assert_eq!(first.statements().len(), 0);
    assert!(
        first
            .warnings()
            .join("\n")
            .contains("nobody used `cpu.reserved`; 1000000 join the next period")
    );
    let mut later = used("nts", "5");
    (later.start, later.end) = (later.end, later.end);
    let second = Card::of(PRICES).rate_in(&world, "2026-11", &[later], first.carry());
    assert_eq!(second.statements()[0].subtotal.to_string(), "3000050");
    assert_eq!(second.carry(), &Carry::default());
}

#[test]
fn a_subscriber_sees_its_fee_beside_what_it_would_pay_alone() {
    let system = "{cost: {currency: KRW, operations: [{name: run, monthly: '1000000', from: '2026-01-01'}]}, sharing: {acceptsAll: true}}";
    let mut world = World::default();
    world
        .add_system("mois", "docs", &serde_saphyr::from_str(system).unwrap())
        .unwrap();
    let subscription = "{systemRef: {namespace: mois, name: docs}, weight: '3', from: '2026-01-01', standalone: {
        builds: [{name: own-build, amount: '9000000', inServiceDate: '2026-01-01', months: 60}],
        operations: [{name: own-team, monthly: '1200000', from: '2026-01-01'}]}}";
    world
        .add_subscription("moel", &serde_saphyr::from_str(subscription).unwrap())
        .unwrap();
    let rated = Card::of(PRICES).rate_in(&world, "2026-10", &[], &Carry::default());
    let [saving] = rated.savings() else {
        panic!("{:?}", rated.savings())
    };
    let figures = [&saving.fee, &saving.standalone, &saving.saving].map(ToString::to_string);
    assert_eq!((saving.agency.as_str(), saving.system.as_str()), ("moel", "mois/docs"));
    assert_eq!(figures, ["750000", "1350000", "600000"]);
}
