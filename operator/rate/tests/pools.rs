//! What the agencies that share a system pay for it, worked out by hand.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod world;

use maru_crds::{AgencySystemSpec, SystemSubscriptionSpec};
use maru_meter::UsageRecord;
use maru_rate::{Carry, Rated, World};
use world::{Card, print, record};

const PRICES: &str = "- {meter: cpu.reserved, unit: core-hour, model: PerUnit, unitPrice: '10'}";

/// A system of `mois` that cost 4,800,000,000 to build over 60 months and 40,000,000 a month to run.
fn docs(sharing: &str, retirement: &str) -> World {
    let spec = format!(
        "cost:
  currency: KRW
  builds: [{{name: first-build, amount: '4800000000', inServiceDate: '2026-01-01', months: 60}}]
  operations: [{{name: maintenance, monthly: '40000000', from: '2026-01-01'}}]
{sharing}
{retirement}"
    );
    let spec: AgencySystemSpec = serde_saphyr::from_str(&spec).unwrap();
    let mut world = World::default();
    for agency in ["mois", "moel", "mohw"] {
        world.add_agency(agency, [agency.to_owned()]);
    }
    world.add_system("mois", "docs", &spec).unwrap();
    world
}

fn subscribe(world: &mut World, agency: &str, weight: &str, from: &str, until: Option<&str>) {
    let spec = serde_json::json!({
        "systemRef": {"namespace": "mois", "name": "docs"}, "weight": weight, "from": from, "until": until,
    });
    let spec: SystemSubscriptionSpec = serde_json::from_value(spec).unwrap();
    world.add_subscription(agency, &spec).unwrap();
}

fn used(agency: &str, meter: &str, quantity: &str) -> UsageRecord {
    UsageRecord {
        agency: agency.to_owned(),
        id: format!("{agency} {meter}"),
        ..record("mois/docs", meter, quantity)
    }
}

fn bills(rated: &Rated) -> String {
    let bill = |statement: &maru_rate::Statement| format!("{}\n{}", statement.agency, print(statement));
    rated.statements().iter().map(bill).collect::<Vec<_>>().join("\n")
}

fn october(world: &World, records: &[UsageRecord]) -> Rated {
    Card::of(PRICES).rate_in(world, "2026-10", records, &Carry::default())
}

#[test]
fn without_sharing_the_owner_pays_each_build_and_operation_as_a_line_of_its_own() {
    let rated = october(&docs("", ""), &[used("mois", "cpu.reserved", "100")]);
    let expected = "\
mois
mois/docs Usage cpu.reserved 100 1000
mois/docs Amortisation first-build - 80000000
mois/docs Operations maintenance - 40000000
subtotal 120001000 tax 0 total 120001000";
    assert_eq!(bills(&rated), expected);
}

#[test]
fn a_fixed_part_is_split_by_weight_and_the_rest_by_the_driver_one_line_a_kind() {
    let mut world = docs(
        "sharing: {acceptsAll: true, fixedShare: '0.20', driver: requests.count}",
        "",
    );
    subscribe(&mut world, "moel", "3", "2026-01-01", None);
    subscribe(&mut world, "mohw", "1", "2026-01-01", None);
    // weights 1:3:1, use 50:0:150. Ratios: mois 0.04 + 0.2, moel 0.12, mohw 0.04 + 0.6.
    let rated = october(
        &world,
        &[
            used("mois", "requests.count", "50"),
            used("mohw", "requests.count", "150"),
            used("mois", "cpu.reserved", "100"), // the system's own use of the platform
            used("mohw", "cpu.reserved", "7"),   // another agency's own
        ],
    );
    let expected = "\
moel
mois/docs Amortisation - - 9600000
mois/docs Operations - - 4800000
mois/docs Platform - - 120
subtotal 14400120 tax 0 total 14400120
mohw
mois/docs Usage cpu.reserved 7 70
mois/docs Amortisation - - 51200000
mois/docs Operations - - 25600000
mois/docs Platform - - 640
subtotal 76800710 tax 0 total 76800710
mois
mois/docs Amortisation - - 19200000
mois/docs Operations - - 9600000
mois/docs Platform - - 240
subtotal 28800240 tax 0 total 28800240";
    assert_eq!(bills(&rated), expected);
}

#[test]
fn who_joins_and_who_leaves_in_the_month_weighs_by_the_seconds_it_took_part() {
    let mut world = docs("sharing: {accepts: [{agency: moel}, {agency: mohw}]}", "");
    subscribe(&mut world, "moel", "1", "2026-10-11", None); // 21 of 31 days
    subscribe(&mut world, "mohw", "1", "2026-01-01", Some("2026-10-11")); // 10 of 31 days
    // weights 31:21:10 of 62
    let rated = october(&world, &[]);
    let totals: Vec<_> = rated
        .statements()
        .iter()
        .map(|s| (s.agency.as_str(), s.total.to_string()))
        .collect();
    // 80,000,000 and 40,000,000 over 21:10:31; the remainders are 0.77, 0.23 and 0; 0.38, 0.61 and 0
    assert_eq!(
        totals,
        [
            ("moel", "40645161".into()),
            ("mohw", "19354839".into()),
            ("mois", "60000000".into())
        ]
    );
}

#[test]
fn the_owner_takes_part_once_whatever_subscription_it_has() {
    let mut world = docs("sharing: {acceptsAll: true}", "");
    subscribe(&mut world, "moel", "1", "2026-01-01", None);
    subscribe(&mut world, "mois", "8", "2026-01-01", None);
    let halves: Vec<_> = october(&world, &[])
        .statements()
        .iter()
        .map(|statement| statement.total.to_string())
        .collect();
    assert_eq!(halves, ["60000000", "60000000"]);
}

#[test]
fn driver_use_counts_only_while_its_agency_takes_part() {
    let mut world = docs("sharing: {accepts: [{agency: moel}], driver: requests.count}", "");
    subscribe(&mut world, "moel", "1", "2026-10-11", None);
    subscribe(&mut world, "mohw", "1", "2026-01-01", None); // not accepted
    let rated = october(
        &world,
        &[
            used("mois", "requests.count", "210"),
            used("moel", "requests.count", "310"), // 210 of them while it took part
            used("mohw", "requests.count", "1000"),
        ],
    );
    let totals: Vec<_> = rated
        .statements()
        .iter()
        .map(|s| (s.agency.as_str(), s.total.to_string()))
        .collect();
    assert_eq!(totals, [("moel", "60000000".into()), ("mois", "60000000".into())]);
    let warnings = rated.warnings().join("\n");
    assert!(
        warnings.contains("agency `moel` used 100 of driver `requests.count` of mois/docs while it took no part"),
        "{warnings}"
    );
    assert!(warnings.contains("agency `mohw` used 1000 of driver"), "{warnings}");
    assert!(
        warnings.contains("subscription of agency `mohw` to mois/docs does not count: the owner does not accept it"),
        "{warnings}"
    );
}

#[test]
fn a_period_without_use_goes_by_weight_to_the_owner_or_into_the_next_period() {
    let world = |rule: &str| {
        let mut world = docs(
            &format!("sharing: {{acceptsAll: true, fixedShare: '0.5', driver: requests.count, onNoUsage: {rule}}}"),
            "",
        );
        subscribe(&mut world, "moel", "3", "2026-01-01", None);
        world
    };
    let totals = |rated: &Rated| -> Vec<String> { rated.statements().iter().map(|s| s.total.to_string()).collect() };
    assert_eq!(totals(&october(&world("ByWeight"), &[])), ["90000000", "30000000"]); // moel, mois
    assert_eq!(totals(&october(&world("Owner"), &[])), ["45000000", "75000000"]);
    let carry = world("CarryForward");
    let first = october(&carry, &[]);
    assert_eq!(totals(&first), ["45000000", "15000000"]);
    let mut later = used("moel", "requests.count", "1");
    (later.start, later.end) = (
        "2026-11-01T00:00:00Z".parse().unwrap(),
        "2026-11-01T00:00:00Z".parse().unwrap(),
    );
    let second = Card::of(PRICES).rate_in(&carry, "2026-11", &[later], first.carry());
    let expected = "\
moel
mois/docs Amortisation - - 70000000
mois/docs Operations - - 35000000
mois/docs CarryForward - - 52500000
subtotal 157500000 tax 0 total 157500000
mois
mois/docs Amortisation - - 10000000
mois/docs Operations - - 5000000
mois/docs CarryForward - - 7500000
subtotal 22500000 tax 0 total 22500000";
    assert_eq!(bills(&second), expected);
    assert_eq!(second.carry(), &Carry::default());
}

#[test]
fn a_system_that_is_retired_early_leaves_its_book_value_to_whom_the_policy_names() {
    let world = |policy: &str| {
        let end = format!("retirement: {{date: '2026-10-20', policy: {policy}}}");
        let mut world = docs("sharing: {acceptsAll: true}", &end);
        subscribe(&mut world, "moel", "1", "2026-01-01", None);
        world
    };
    // Ten of 60 months are written off by the end of October: 4,000,000,000 are left.
    let retirement = |rated: &Rated| -> Vec<(String, String)> {
        let lines = rated
            .statements()
            .iter()
            .flat_map(|s| s.lines.iter().map(|line| (s.agency.clone(), line)));
        lines
            .filter(|(_, line)| line.charge.name() == "Retirement")
            .map(|(agency, line)| (agency, line.amount.to_string()))
            .collect()
    };
    assert_eq!(
        retirement(&october(&world("Owner"), &[])),
        [("mois".into(), "4000000000".into())]
    );
    let halves = [
        ("moel".to_owned(), "2000000000".to_owned()),
        ("mois".to_owned(), "2000000000".to_owned()),
    ];
    assert_eq!(retirement(&october(&world("Subscribers"), &[])), halves);
    let after = Card::of(PRICES).rate_in(&world("Owner"), "2026-11", &[], &Carry::default());
    assert_eq!(bills(&after), "");
}

#[test]
fn a_standard_rate_charges_the_driver_and_tells_what_it_did_not_recover() {
    let rate = "standardRate: {fiscalYear: 2026, unitPrice: '31.20'}";
    let mut world = docs(
        &format!("sharing: {{acceptsAll: true, driver: requests.count, mode: StandardRate, {rate}}}"),
        "",
    );
    subscribe(&mut world, "moel", "1", "2026-01-01", None);
    let rated = october(&world, &[used("moel", "requests.count", "1000001")]);
    let expected = "\
moel
mois/docs StandardRate requests.count 1000001 31200031
subtotal 31200031 tax 0 total 31200031
mois
mois/docs StandardRate requests.count 0 0
subtotal 0 tax 0 total 0";
    assert_eq!(bills(&rated), expected);
    let recovery = &rated.recoveries()[0];
    assert_eq!(
        (recovery.cost.to_string(), recovery.charged.to_string()),
        ("120000000".into(), "31200031".into())
    );
}

#[test]
fn a_cost_in_another_currency_is_converted_at_the_rate_when_the_period_ends() {
    let spec: AgencySystemSpec = serde_saphyr::from_str(
        "cost:
  currency: USD
  builds: [{name: first-build, amount: '1000.00', inServiceDate: '2026-10-01', months: 3}]",
    )
    .unwrap();
    let mut world = World::default();
    world.add_system("mois", "docs", &spec).unwrap();
    let card = Card::of(PRICES)
        .exchange("2026-01-01T00:00:00+09:00", "USD", "1000")
        .exchange("2026-10-31T00:00:00+09:00", "USD", "1350.2");
    let rated = card.rate_in(&world, "2026-10", &[], &Carry::default());
    assert_eq!(rated.statements()[0].total.to_string(), "450062"); // 333.33 × 1350.2 = 450062.166
}

#[test]
fn each_line_of_a_pool_says_which_part_of_the_whole_it_is_and_by_what_it_was_split() {
    let parts = |sharing: &str, records: &[UsageRecord]| -> Vec<String> {
        let mut world = docs(sharing, "");
        subscribe(&mut world, "moel", "3", "2026-01-01", None);
        let rated = october(&world, records);
        let lines = rated.statements().iter().flat_map(|statement| &statement.lines);
        let lines = lines.filter(|line| line.charge.name() == "Operations");
        let parts = lines.map(|line| line.allocation.as_ref().unwrap());
        parts
            .map(|part| format!("{} {} of {}", part.method.name(), part.ratio, part.total))
            .collect()
    };
    // moel, then mois; weights 3:1
    assert_eq!(
        parts("sharing: {acceptsAll: true}", &[]),
        ["Weight 0.75 of 40000000", "Weight 0.25 of 40000000"]
    );
    let driver = "sharing: {acceptsAll: true, driver: requests.count}";
    assert_eq!(
        parts(
            driver,
            &[used("moel", "requests.count", "1"), used("mois", "requests.count", "4")]
        ),
        ["Use 0.2 of 40000000", "Use 0.8 of 40000000"]
    );
    let all_fixed = "sharing: {acceptsAll: true, fixedShare: '1', driver: requests.count}";
    assert_eq!(
        parts(all_fixed, &[used("mois", "requests.count", "1")]),
        ["Weight 0.75 of 40000000", "Weight 0.25 of 40000000"]
    );
    let mixed = "sharing: {acceptsAll: true, fixedShare: '0.4', driver: requests.count, onNoUsage: Owner}";
    assert_eq!(
        parts(mixed, &[used("moel", "requests.count", "1")]),
        ["WeightAndUse 0.9 of 40000000", "WeightAndUse 0.1 of 40000000"] // 0.4 × 3/4 + 0.6, 0.4 × 1/4
    );
    assert_eq!(
        parts(mixed, &[]),
        ["WeightAndUse 0.3 of 40000000", "WeightAndUse 0.7 of 40000000"]
    );
}

/// A record of a month after October.
fn in_month(record: UsageRecord, day: &str) -> UsageRecord {
    let start = format!("{day}T00:00:00Z").parse().unwrap();
    UsageRecord {
        id: format!("{} {day}", record.id),
        start,
        end: start,
        ..record
    }
}

#[test]
fn after_the_month_of_its_retirement_a_system_has_no_pool_and_its_owner_pays_what_it_still_uses() {
    let records = [
        in_month(used("mois", "cpu.reserved", "100"), "2026-11-05"),
        in_month(used("moel", "cpu.reserved", "7"), "2026-11-05"),
        in_month(used("moel", "requests.count", "1000"), "2026-11-05"),
    ];
    let rate = "mode: StandardRate, standardRate: {fiscalYear: 2026, unitPrice: '31.20'}";
    for mode in ["mode: Actual", rate] {
        let mut world = docs(
            &format!("sharing: {{acceptsAll: true, driver: requests.count, {mode}}}"),
            "retirement: {date: '2026-10-20', policy: Owner}",
        );
        subscribe(&mut world, "moel", "1", "2026-01-01", None);
        let november = Card::of(PRICES).rate_in(&world, "2026-11", &records, &Carry::default());
        let expected = "\
moel
mois/docs Usage cpu.reserved 7 70
subtotal 70 tax 0 total 70
mois
mois/docs Usage cpu.reserved 100 1000
subtotal 1000 tax 0 total 1000";
        assert_eq!(bills(&november), expected, "{mode}");
        assert!(november.recoveries().is_empty(), "{mode}");
        let warnings = november.warnings().join("\n");
        assert!(
            warnings.contains("agency `moel` used 1000 of driver `requests.count` of mois/docs"),
            "{warnings}"
        );
    }
}

#[test]
fn what_an_agency_would_pay_alone_is_written_off_in_minor_units_as_any_build_is() {
    let mut world = docs("sharing: {acceptsAll: true}", "");
    // 1000 over 7 months: floor(1000/7) is 142 in the first month, where the exact part is 142.857.
    let spec = serde_json::json!({
        "systemRef": {"namespace": "mois", "name": "docs"}, "from": "2026-01-01",
        "standalone": {"builds": [{"name": "own", "amount": "1000", "inServiceDate": "2026-10-01", "months": 7}]},
    });
    let spec: SystemSubscriptionSpec = serde_json::from_value(spec).unwrap();
    world.add_subscription("moel", &spec).unwrap();
    let rated = october(&world, &[]);
    assert_eq!(rated.savings()[0].standalone.to_string(), "142");
    assert_eq!(rated.statements()[0].savings, rated.savings());
    assert!(rated.statements()[1].savings.is_empty());
}
