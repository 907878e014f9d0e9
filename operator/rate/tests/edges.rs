//! Moments that lie on a border, and what a person is told.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod world;

use maru_crds::{AgencySystemSpec, CostPoolSpec, SystemSubscriptionSpec};
use maru_meter::{Completeness, UsageRecord};
use maru_rate::{Carry, Rated, World};
use serde_json::json;
use world::{Card, record};

const PRICE: &str = "- {meter: m, unit: u, model: PerUnit, unitPrice: '1'}";

fn instant(system: &str, meter: &str, quantity: &str, at: &str) -> UsageRecord {
    let mut record = record(system, meter, quantity);
    (record.start, record.end) = (at.parse().unwrap(), at.parse().unwrap());
    record.id = format!("{} {at}", record.id);
    record
}

fn amounts(rated: &Rated) -> Vec<String> {
    let lines = rated.statements().iter().flat_map(|statement| &statement.lines);
    lines.map(|line| line.amount.to_string()).collect()
}

#[test]
fn an_instant_belongs_to_what_begins_at_it() {
    let card = Card::of(PRICE).version("2026-10-11T00:00:00+09:00", &PRICE.replace("'1'", "'1000'"));
    for (at, expected) in [
        ("2026-09-30T14:59:59.999999999Z", &[][..]),
        ("2026-09-30T15:00:00Z", &["1"]),
        ("2026-10-10T14:59:59.999999999Z", &["1"]),
        ("2026-10-10T15:00:00Z", &["1000"]),
        ("2026-10-31T14:59:59.999999999Z", &["1000"]),
        ("2026-10-31T15:00:00Z", &[]),
    ] {
        assert_eq!(
            amounts(&card.rate("2026-10", &[instant("nts/a", "m", "1", at)])),
            expected,
            "{at}"
        );
    }
}

#[test]
fn a_price_that_begins_with_the_month_or_with_the_next_one_makes_one_line() {
    let next = PRICE.replace("'1'", "'1000'");
    for (from, expected) in [
        ("2026-10-01T00:00:00+09:00", ["7000"]),
        ("2026-11-01T00:00:00+09:00", ["7"]),
    ] {
        let card = Card::of(PRICE).version(from, &next);
        assert_eq!(
            amounts(&card.rate("2026-10", &[record("nts/a", "m", "7")])),
            expected,
            "{from}"
        );
    }
}

fn shared() -> World {
    let spec =
        "{cost: {currency: KRW, operations: [{name: run, monthly: '1000', from: '2026-01-01', to: '2026-11-01'}]},
        sharing: {accepts: [{agency: moel}], driver: d}}";
    let spec: AgencySystemSpec = serde_saphyr::from_str(spec).unwrap();
    let mut world = World::default();
    for agency in ["mois", "moel", "nts"] {
        world.add_agency(agency, [agency.to_owned()]);
    }
    world.add_system("mois", "docs", &spec).unwrap();
    world
}

fn subscribe(world: &mut World, agency: &str, system: &str, from: &str, until: Option<&str>) {
    let (namespace, name) = system.split_once('/').unwrap();
    let spec = json!({"systemRef": {"namespace": namespace, "name": name}, "from": from, "until": until});
    let spec: SystemSubscriptionSpec = serde_json::from_value(spec).unwrap();
    world.add_subscription(agency, &spec).unwrap();
}

#[test]
fn driver_use_at_the_moment_of_joining_counts_and_at_that_of_leaving_no_longer() {
    let mut world = shared();
    subscribe(&mut world, "moel", "mois/docs", "2026-10-11", Some("2026-10-21"));
    for (at, counts) in [
        ("2026-10-10T14:59:59Z", false),
        ("2026-10-10T15:00:00Z", true),
        ("2026-10-20T14:59:59Z", true),
        ("2026-10-20T15:00:00Z", false),
    ] {
        let mut used = instant("mois/docs", "d", "3", at);
        used.agency = "moel".to_owned();
        let rated = Card::of(PRICE).rate_in(&world, "2026-10", &[used], &Carry::default());
        let warned = rated
            .warnings()
            .iter()
            .any(|said| said.contains("agency `moel` used 3 of driver `d`"));
        assert_eq!(warned, !counts, "{at}");
        let expected = if counts { ["1000", "0"] } else { ["244", "756"] }; // by weight: 10/31 and 1, of 1000
        assert_eq!(amounts(&rated), expected, "{at}");
    }
}

#[test]
fn an_operation_is_charged_until_the_month_before_its_end() {
    let world = shared();
    for (month, expected) in [
        ("2025-12", &[][..]),
        ("2026-01", &["1000"]),
        ("2026-10", &["1000"]),
        ("2026-11", &[]),
    ] {
        let rated = Card::of(PRICE).rate_in(&world, month, &[], &Carry::default());
        assert_eq!(amounts(&rated), expected, "{month}");
    }
}

#[test]
fn a_subscription_that_cannot_count_is_said_with_the_reason() {
    let mut world = shared();
    world.add_system("mois", "own", &AgencySystemSpec::default()).unwrap();
    subscribe(&mut world, "moel", "mois/docs", "2026-01-01", None);
    subscribe(&mut world, "nts", "mois/docs", "2026-01-01", None);
    subscribe(&mut world, "mois", "mois/docs", "2026-01-01", None);
    subscribe(&mut world, "nts", "mois/own", "2026-01-01", None);
    subscribe(&mut world, "nts", "mois/unheard", "2026-01-01", None);
    let rated = Card::of(PRICE).rate_in(&world, "2026-10", &[], &Carry::default());
    let expected = [
        "subscription of agency `mois` to mois/docs does not count: the owner takes part without one",
        "subscription of agency `nts` to mois/docs does not count: the owner does not accept it",
        "subscription of agency `nts` to mois/own does not count: no manifest describes that system as shared",
        "subscription of agency `nts` to mois/unheard does not count: no manifest describes that system as shared",
    ];
    assert_eq!(rated.warnings(), expected);
}

#[test]
fn a_standard_rate_of_another_year_is_charged_and_said() {
    let spec = "{cost: {currency: USD, operations: [{name: run, monthly: '10.00', from: '2026-01-01'}]},
        sharing: {driver: d, mode: StandardRate, standardRate: {fiscalYear: 2026, unitPrice: '0.5'}}}";
    let spec: AgencySystemSpec = serde_saphyr::from_str(spec).unwrap();
    let mut world = World::default();
    world.add_agency("nts", ["nts".to_owned()]);
    world.add_system("nts", "docs", &spec).unwrap();
    let card = Card::of(PRICE).exchange("2026-01-01T00:00:00+09:00", "USD", "1000");
    for (month, at, warned) in [
        ("2026-10", "2026-10-05T00:00:00Z", false),
        ("2027-10", "2027-10-05T00:00:00Z", true),
    ] {
        let rated = card.rate_in(&world, month, &[instant("nts/docs", "d", "4", at)], &Carry::default());
        assert_eq!(amounts(&rated), ["2000"]); // 4 × 0.5 dollars
        let said = rated
            .warnings()
            .iter()
            .any(|said| said.contains("the standard rate of nts/docs is for 2026"));
        assert_eq!(said, warned, "{month}");
        let recovery = &rated.recoveries()[0];
        // A year like this month costs 10 dollars and is 8 dollars behind: 18 dollars over 4 units.
        assert_eq!(
            (
                recovery.balance.to_string(),
                recovery.next_unit_price.as_ref().unwrap().to_string()
            ),
            ("-8000".into(), "4.5".into())
        );
    }
}

#[test]
fn a_balance_just_at_its_limit_is_not_past_it() {
    let recovery = |balance: i64, limit: Option<i64>| maru_rate::Recovery {
        system: "a/b".to_owned(),
        period: "2026-10".to_owned(),
        cost: 0.into(),
        charged: balance.into(),
        balance: balance.into(),
        limit: limit.map(Into::into),
        next_unit_price: None,
    };
    for (balance, limit, past) in [
        (100, Some(100), false),
        (101, Some(100), true),
        (-100, Some(100), false),
        (-101, Some(100), true),
        (0, Some(0), false),
        (1_000_000, None, false),
    ] {
        assert_eq!(recovery(balance, limit).is_past_limit(), past, "{balance} {limit:?}");
    }
}

#[test]
fn a_system_that_is_retired_leaves_its_account_to_be_settled_by_hand() {
    let spec = |retirement: &str| {
        let text = format!(
            "{{cost: {{currency: KRW, operations: [{{name: run, monthly: '10', from: '2026-01-01'}}]}}, {retirement}
            sharing: {{driver: d, mode: StandardRate, standardRate: {{fiscalYear: 2026, unitPrice: '1'}}}}}}"
        );
        serde_saphyr::from_str::<AgencySystemSpec>(&text).unwrap()
    };
    for (retirement, warned) in [("", false), ("retirement: {date: '2026-10-20', policy: Owner},", true)] {
        let mut world = World::default();
        world.add_system("nts", "docs", &spec(retirement)).unwrap();
        let rated = Card::of(PRICE).rate_in(&world, "2026-10", &[], &Carry::default());
        let said = rated
            .warnings()
            .iter()
            .any(|said| said.contains("no later rate can settle that"));
        assert_eq!(said, warned);
        assert_eq!(
            *rated.carry() == Carry::default(),
            warned,
            "nothing is carried out of the last month"
        );
    }
}

#[test]
fn a_line_is_as_complete_as_the_least_complete_of_what_it_is_made_of() {
    let spec: CostPoolSpec = serde_saphyr::from_str(
        "{currency: KRW, driver: m, operations: [{name: hall, monthly: '10', from: '2026-01-01'}]}",
    )
    .unwrap();
    let mut world = shared();
    world.add_cost_pool("hall", &spec).unwrap();
    let percentage = format!("{PRICE}\n- {{name: support, model: Percentage, of: [m], rate: '0.5'}}");
    let marked = |system: &str, meter: &str, at: &str, completeness: Completeness| UsageRecord {
        completeness,
        agency: "mois".to_owned(),
        ..instant(system, meter, "2", at)
    };
    for (one, other, expected) in [
        (Completeness::Complete, Completeness::Complete, Completeness::Complete),
        (Completeness::Complete, Completeness::Estimated, Completeness::Estimated),
        (Completeness::Missing, Completeness::Estimated, Completeness::Missing),
    ] {
        let records = ["mois/own", "mois/docs"]
            .into_iter()
            .zip(["m", "d"])
            .flat_map(|(system, meter)| {
                let early = marked(system, meter, "2026-10-05T00:00:00Z", one);
                [early, marked(system, meter, "2026-10-06T00:00:00Z", other)]
            });
        let rated = Card::of(&percentage).rate_in(&world, "2026-10", &records.collect::<Vec<_>>(), &Carry::default());
        let lines: Vec<_> = rated
            .statements()
            .iter()
            .flat_map(|statement| &statement.lines)
            .collect();
        assert_eq!(
            lines.len(),
            4,
            "use, a percentage, the system's and the pool's operations"
        );
        assert!(
            lines.iter().all(|line| line.completeness == expected),
            "{one:?} {other:?}"
        );
    }
}

#[test]
fn only_use_says_in_what_unit_and_the_price_book_says_what_is_right() {
    let card = Card::of(PRICE);
    let spoken = |unit: &str| UsageRecord {
        unit: unit.to_owned(),
        ..record("nts/a", "m", "1")
    };
    for unit in ["", "u"] {
        assert_eq!(amounts(&card.rate("2026-10", &[spoken(unit)])), ["1"]);
    }
    let book = maru_rate::card::read(&card.spec()).unwrap();
    let world = World::default();
    let period = maru_rate::Period::new("2026-10".parse().unwrap(), &book.zone).unwrap();
    let error = maru_rate::Usage::new(&book, &world, period)
        .add(&spoken("v"))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("unit `v` of meter `m` is not the price book's; allowed is `u`, or none"),
        "{error}"
    );
    let late = UsageRecord {
        recorded_at: Some("2026-11-20T00:00:00Z".parse().unwrap()),
        ..spoken("v")
    };
    let mut course = maru_rate::Course::new(&book, &world, [period], maru_rate::Course::GRACE);
    assert_eq!(course.add(&late).unwrap_err(), error);
}

#[test]
fn a_run_of_months_says_what_whoever_sums_use_beforehand_must_mind() {
    let rounded = "- {meter: m, unit: u, model: PerUnit, unitPrice: '1', increment: '10'}";
    let card = Card::of(rounded).version("2026-10-15T12:00:00+09:00", rounded);
    let book = maru_rate::card::read(&card.spec()).unwrap();
    let world = World::default();
    let periods =
        ["2026-10", "2026-11"].map(|month| maru_rate::Period::new(month.parse().unwrap(), &book.zone).unwrap());
    let course = maru_rate::Course::new(&book, &world, periods, maru_rate::Course::GRACE);
    let at = |text: &str| -> jiff::Timestamp { text.parse().unwrap() };
    let (october, november) = (at("2026-10-01T00:00:00+09:00"), at("2026-11-01T00:00:00+09:00"));
    let end = at("2026-12-01T00:00:00+09:00");
    let interval = course.interval().unwrap();
    assert_eq!((interval.start, interval.end), (october, end));
    assert_eq!(course.cuts(), [october, at("2026-10-15T12:00:00+09:00"), november]);
    assert_eq!(course.one_by_one(), ["m"]);
    let grace = jiff::SignedDuration::from_hours(72);
    assert_eq!(course.issues(), [(november, november + grace), (end, end + grace)]);
}

#[test]
fn what_a_retirement_leaves_is_what_each_build_in_service_has_not_yet_written_off() {
    let spec = "cost:
  currency: KRW
  builds:
  - {name: one, amount: '1200', residual: '240', inServiceDate: '2026-01-01', months: 12} # 80 a month, three of 960
  - {name: two, amount: '500', inServiceDate: '2026-03-01', months: 5} # its first month is the last one
  - {name: three, amount: '50', inServiceDate: '2026-03-15', months: 5} # on the day, and nothing of it is written off
  - {name: four, amount: '70', inServiceDate: '2026-03-16', months: 5} # a day too late: it never was in service
  - {name: five, amount: '30', inServiceDate: '2025-12-01', months: 3} # all of it is written off
retirement: {date: '2026-03-15', policy: Owner}";
    let spec: AgencySystemSpec = serde_saphyr::from_str(spec).unwrap();
    let mut world = World::default();
    world.add_system("nts", "docs", &spec).unwrap();
    let lines = |month: &str| -> Vec<String> {
        let rated = Card::of(PRICE).rate_in(&world, month, &[], &Carry::default());
        let lines = rated.statements().iter().flat_map(|statement| &statement.lines);
        lines
            .map(|line| {
                format!(
                    "{} {} {}",
                    line.charge.name(),
                    line.item.as_deref().unwrap_or("-"),
                    line.amount
                )
            })
            .collect()
    };
    assert_eq!(lines("2026-02"), ["Amortisation five 10", "Amortisation one 80"]);
    let march = [
        "Amortisation one 80",
        "Amortisation two 100",
        "Retirement one 720",
        "Retirement three 50",
        "Retirement two 400",
    ];
    assert_eq!(lines("2026-03"), march);
    assert_eq!(lines("2026-04"), Vec::<String>::new());
}

#[test]
fn an_instant_at_the_end_of_the_month_weighs_in_the_next_one() {
    let pool = "{currency: KRW, driver: d, operations: [{name: hall, monthly: '10', from: '2026-01-01'}]}";
    let pool: CostPoolSpec = serde_saphyr::from_str(pool).unwrap();
    let mut world = shared();
    world.add_cost_pool("hall", &pool).unwrap();
    let used = UsageRecord {
        agency: "nts".to_owned(), // which takes no part in the system, and pays for the hall
        ..instant("mois/docs", "d", "3", "2026-10-31T15:00:00Z")
    };
    let said = |month: &str| {
        Card::of(PRICE)
            .rate_in(&world, month, std::slice::from_ref(&used), &Carry::default())
            .warnings()
            .join("; ")
    };
    assert_eq!(
        said("2026-10"),
        "cost pool hall: nobody used `d`; 10 join the next period"
    );
    let november = said("2026-11");
    assert!(
        november.starts_with("agency `nts` used 3 of driver `d` of mois/docs while it took no part"),
        "{november}"
    );
    assert!(!november.contains("nobody used"), "{november}");
}

#[test]
fn what_weighs_nothing_does_not_make_a_pool_less_complete() {
    let mut world = shared();
    subscribe(&mut world, "moel", "mois/docs", "2026-10-21", None);
    let mut early = record("mois/docs", "d", "3");
    early.end = "2026-10-10T15:00:00Z".parse().unwrap(); // over before it takes part
    (early.agency, early.completeness) = ("moel".to_owned(), Completeness::Missing);
    let rated = Card::of(PRICE).rate_in(&world, "2026-10", &[early], &Carry::default());
    let lines: Vec<_> = rated
        .statements()
        .iter()
        .flat_map(|statement| &statement.lines)
        .collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.completeness == Completeness::Complete));
}

#[test]
fn nobody_is_warned_of_what_is_as_it_should_be() {
    let mut world = shared();
    subscribe(&mut world, "moel", "mois/docs", "2026-01-01", None);
    let used = |agency: &str, system: &str, meter: &str| UsageRecord {
        agency: agency.to_owned(),
        ..record(system, meter, "3")
    };
    let all = [
        used("moel", "mois/docs", "d"),
        used("mois", "mois/docs", "m"),
        used("nts", "nts/a", "m"),
    ];
    let rated = Card::of(PRICE).rate_in(&world, "2026-10", &all, &Carry::default());
    assert_eq!(rated.warnings(), Vec::<String>::new());
    let rated = Card::of(PRICE).rate_in(&world, "2026-10", &[used("moef", "moef/a", "m")], &Carry::default());
    assert_eq!(
        rated.warnings(),
        ["agency `moef` is named by usage only: no manifest describes it"]
    );
}

#[test]
fn an_owner_saves_nothing_by_sharing_with_itself() {
    let mut world = shared();
    let spec = json!({
        "systemRef": {"namespace": "mois", "name": "docs"}, "from": "2026-01-01",
        "standalone": {"operations": [{"name": "own", "monthly": "5", "from": "2026-01-01"}]},
    });
    let spec: SystemSubscriptionSpec = serde_json::from_value(spec).unwrap();
    world.add_subscription("mois", &spec).unwrap();
    world.add_subscription("moel", &spec).unwrap();
    let rated = Card::of(PRICE).rate_in(&world, "2026-10", &[], &Carry::default());
    let agencies: Vec<&str> = rated.savings().iter().map(|saving| saving.agency.as_str()).collect();
    assert_eq!(agencies, ["moel"]);
}

#[test]
fn a_standard_rate_that_brought_in_too_much_is_never_below_zero_the_next_time() {
    let spec = "{cost: {currency: KRW, operations: [{name: run, monthly: '1000', from: '2026-01-01'}]}, retirement: {date: '2026-11-20', policy: Owner},
        sharing: {driver: d, mode: StandardRate, standardRate: {fiscalYear: 2026, unitPrice: '1'}}}";
    let spec: AgencySystemSpec = serde_saphyr::from_str(spec).unwrap();
    let mut world = World::default();
    world.add_agency("nts", ["nts".to_owned()]);
    world.add_system("nts", "docs", &spec).unwrap();
    let rate = |month: &str, quantity: &str, at: &str| {
        Card::of(PRICE).rate_in(
            &world,
            month,
            &[instant("nts/docs", "d", quantity, at)],
            &Carry::default(),
        )
    };
    for (quantity, next) in [("2000", "0"), ("2001", "0"), ("1999", "0.0005")] {
        // 2000 − 1000 too much, as much as a month costs; with one less, one is left over 1999 units.
        let rated = rate("2026-10", quantity, "2026-10-05T00:00:00Z");
        assert_eq!(
            rated.recoveries()[0].next_unit_price.as_ref().unwrap().to_string(),
            next,
            "{quantity}"
        );
    }
    // In the month of its retirement a balance of nothing needs nobody.
    assert_eq!(
        rate("2026-11", "1000", "2026-11-05T00:00:00Z").warnings(),
        Vec::<String>::new()
    );
    assert_eq!(rate("2026-11", "1001", "2026-11-05T00:00:00Z").warnings().len(), 1);
}

#[test]
fn what_was_carried_into_a_pool_that_is_no_longer_there_is_not_lost() {
    let world = |system: &str, pools: bool| {
        let mut world = World::default();
        world.add_agency("mois", ["mois".to_owned()]);
        let cost =
            "cost: {currency: KRW, operations: [{name: run, monthly: '1000', from: '2026-01-01', to: '2026-11-01'}]}";
        let spec: AgencySystemSpec = serde_saphyr::from_str(&format!("{{{cost}, {system}}}")).unwrap();
        world.add_system("mois", "docs", &spec).unwrap();
        if pools {
            let pool = "{currency: KRW, driver: d, operations: [{name: hall, monthly: '10', from: '2026-01-01', to: '2026-11-01'}]}";
            world
                .add_cost_pool("hall", &serde_saphyr::from_str(pool).unwrap())
                .unwrap();
        }
        world
    };
    let sharing = "sharing: {driver: d, onNoUsage: CarryForward}";
    let october = Card::of(PRICE).rate_in(&world(sharing, true), "2026-10", &[], &Carry::default());
    assert_eq!(amounts(&october), ["0"]);
    for after in [
        "external: {location: elsewhere}",
        &format!("{sharing}, retirement: {{date: '2026-10-20', policy: Owner}}"),
    ] {
        let november = Card::of(PRICE).rate_in(&world(after, false), "2026-11", &[], october.carry());
        let line = &november.statements()[0].lines[0];
        assert_eq!(
            (line.charge.name(), line.amount.to_string()),
            ("CarryForward", "1000".to_owned()),
            "{after}"
        );
        let said = november.warnings().join("; ");
        assert!(
            said.contains(
                "1000 were carried into the pool of mois/docs, which has none now: its owner, `mois`, pays it"
            ),
            "{said}"
        );
        assert!(
            said.contains("10 were carried into the pool of hall, which has none now"),
            "{said}"
        );
        let december = Card::of(PRICE).rate_in(&world(after, true), "2026-12", &[], november.carry());
        assert!(
            december
                .warnings()
                .join("; ")
                .contains("cost pool hall: nobody used `d`; 10 join the next period")
        );
    }
}
