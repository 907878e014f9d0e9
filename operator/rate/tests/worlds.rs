//! Random months: the engine and the model agree on every figure, and what must always hold holds.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod model;
mod scenarios;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use maru_crds::{AgencySystemSpec, CostPoolSpec, RateCardSpec, SystemSubscriptionSpec};
use maru_meter::{Exact, UsageRecord};
use maru_rate::{Carry, Course, Month, Period, RateError, Rated, Usage, World, card};
use model::{End, Item, Lines, NoUsage, Price, Scenario, Use, q};
use num_rational::BigRational as Q;
use proptest::prelude::*;
use scenarios::scenario;
use serde_json::{Value, json};

/// October 2026 in Seoul.
const START: &str = "2026-09-30T15:00:00Z";
const DAY: i64 = 86400;
const END: i64 = 31 * DAY;

fn at(second: i64) -> Timestamp {
    START.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(second)
}

/// A fraction that ends, as text.
fn text(number: &Q) -> String {
    let whole = number * q(1_000_000, 1);
    assert!(whole.is_integer());
    Exact::scaled(whole.to_integer().to_string().parse::<i64>().unwrap(), 6).to_string()
}

fn tiers(list: &[(Option<Q>, Q, Q)]) -> Vec<Value> {
    let tier = |(bound, price, fee): &(Option<Q>, Q, Q)| json!({"upTo": bound.as_ref().map(text), "unitPrice": text(price), "flatFee": text(fee)});
    list.iter().map(tier).collect()
}

fn item(item: &Item) -> Value {
    let mut value = match &item.price {
        Price::PerUnit { price, included } => {
            json!({"model": "PerUnit", "unitPrice": text(price), "included": text(included)})
        }
        Price::Graduated(list) => json!({"model": "Graduated", "tiers": tiers(list)}),
        Price::Volume(list) => json!({"model": "Volume", "tiers": tiers(list)}),
        Price::Package { size, price, included } => {
            json!({"model": "Package", "packageSize": text(size), "packagePrice": text(price), "included": text(included)})
        }
    };
    value["meter"] = json!(item.meter);
    value["unit"] = json!("unit");
    if item.in_dollars {
        value["currency"] = json!("USD");
    }
    value
}

fn card_of(scenario: &Scenario) -> RateCardSpec {
    let support =
        json!({"name": "support", "model": "Percentage", "of": ["m0", "m1"], "rate": text(&q(scenario.support, 1000))});
    let version = |(number, (from, items)): (i64, &(i64, Vec<Item>))| {
        let items: Vec<Value> = items.iter().map(item).chain([support.clone()]).collect();
        let minimum = (scenario.rules.minimum * number).to_string();
        json!({"from": at(*from), "items": items, "minimumCharge": minimum})
    };
    let dollar = |(from, worth): &(i64, Q)| json!({"from": at(*from), "currency": "USD", "rate": text(worth)});
    let tax = |(from, rate): &(i64, Q)| json!({"from": at(*from), "name": "VAT", "rate": text(rate)});
    serde_json::from_value(json!({
        "currency": "KRW", "timeZone": "Asia/Seoul",
        "versions": (1..).zip(&scenario.versions).map(version).collect::<Vec<_>>(),
        "exchangeRates": scenario.dollars.iter().map(dollar).collect::<Vec<_>>(),
        "taxes": scenario.taxes.iter().map(tax).collect::<Vec<_>>(),
    }))
    .unwrap()
}

fn world_of(scenario: &Scenario) -> World {
    let operations: Vec<Value> = scenario
        .pool
        .iter()
        .filter(|(kind, _)| *kind == "Operations")
        .map(|(_, amount)| json!({"name": "run", "monthly": amount.to_string(), "from": "2026-01-01"}))
        .collect();
    let builds: Vec<Value> = scenario
        .pool
        .iter()
        .filter(|(kind, _)| *kind == "Amortisation")
        .map(|(_, amount)| json!({"name": "build", "amount": (amount * 12).to_string(), "inServiceDate": "2026-01-01", "months": 12}))
        .collect();
    let rules = &scenario.rules;
    let mut spec = json!({
        "cost": {"currency": "KRW", "builds": builds, "operations": operations},
        "sharing": {
            "acceptsAll": true, "fixedShare": text(&q(scenario.fixed_share, 1000)), "driver": "d", "onNoUsage": format!("{:?}", rules.no_usage),
        },
    });
    if let Some(price) = &rules.standard_rate {
        spec["sharing"]["mode"] = json!("StandardRate");
        spec["sharing"]["standardRate"] = json!({"fiscalYear": 2026, "unitPrice": text(price)});
    }
    spec["retirement"] = match rules.end {
        End::Never => Value::Null,
        End::Before => json!({"date": "2026-09-30", "policy": "Owner"}),
        End::Now(owner_alone) => {
            json!({"date": "2026-10-01", "policy": if owner_alone { "Owner" } else { "Subscribers" }})
        }
    };
    let spec: AgencySystemSpec = serde_json::from_value(spec).unwrap();
    let mut world = World::default();
    for agency in ["a", "b", "c"] {
        world.add_agency(agency, [agency.to_owned()]);
    }
    world.add_system("a", "s0", &spec).unwrap();
    world.add_system("b", "s1", &AgencySystemSpec::default()).unwrap();
    for (agency, weight, from, until) in &scenario.joins {
        let day = |second: i64| {
            at(second)
                .to_zoned(jiff::tz::TimeZone::get("Asia/Seoul").unwrap())
                .date()
                .to_string()
        };
        let spec: SystemSubscriptionSpec = serde_json::from_value(json!({
            "systemRef": {"namespace": "a", "name": "s0"}, "weight": weight.to_string(), "from": day(*from), "until": day(*until),
            "standalone": {
                "builds": [{"name": "own", "amount": rules.alone.0.to_string(), "inServiceDate": "2026-01-01", "months": rules.alone.1}],
                "operations": [{"name": "team", "monthly": rules.alone.2.to_string(), "from": "2026-01-01"}],
            },
        }))
        .unwrap();
        world.add_subscription(agency, &spec).unwrap();
    }
    if let Some(hall) = &rules.hall {
        let per_hour = |units: i64| json!([{"from": "2026-01-01", "perHour": units.to_string()}]);
        let spec: CostPoolSpec = serde_json::from_value(json!({
            "currency": "KRW", "driver": "m1", "operations": [{"name": "hall", "monthly": hall.monthly.to_string(), "from": "2026-01-01"}],
            "idle": if hall.platform_pays_idle { "Platform" } else { "Proportional" }, "platformAgencyRef": {"name": "c"},
            "capacity": hall.capacity.map_or_else(|| json!([]), per_hour),
        }))
        .unwrap();
        world.add_cost_pool("hall", &spec).unwrap();
    }
    world
}

fn record(number: usize, one: &Use) -> UsageRecord {
    serde_json::from_value(json!({
        "id": number.to_string(), "agency": one.agency, "system": one.system, "meter": one.meter,
        "quantity": text(&one.quantity), "start": at(one.start), "end": at(one.end),
    }))
    .unwrap()
}

fn rate(scenario: &Scenario, records: &[UsageRecord]) -> Rated {
    rate_in(&world_of(scenario), scenario, records)
}

fn rate_in(world: &World, scenario: &Scenario, records: &[UsageRecord]) -> Rated {
    try_rate_in(world, scenario, records).unwrap()
}

fn try_rate_in(world: &World, scenario: &Scenario, records: &[UsageRecord]) -> Result<Rated, RateError> {
    let book = card::read(&card_of(scenario)).unwrap();
    let period = Period::new("2026-10".parse().unwrap(), &book.zone).unwrap();
    assert_eq!(period.interval.length().as_secs(), END);
    let mut usage = Usage::new(&book, world, period);
    for record in records {
        usage.add(record).unwrap();
    }
    usage.rate()
}

fn records(scenario: &Scenario) -> Vec<UsageRecord> {
    scenario
        .uses
        .iter()
        .enumerate()
        .map(|(number, one)| record(number, one))
        .collect()
}

fn key_of(agency: &str, line: &maru_rate::Line) -> (String, String, String, String, i64) {
    let name = line.meter.as_deref().or(line.item.as_deref()).unwrap_or("-");
    let start = line.interval.start.duration_since(at(0)).as_secs();
    let system = line.system.as_deref().unwrap_or("-");
    (
        agency.to_owned(),
        system.to_owned(),
        line.charge.name().to_owned(),
        name.to_owned(),
        start,
    )
}

/// The engine's lines in the form of the model's.
fn lines_of(rated: &Rated) -> Lines {
    let mut lines = Lines::new();
    for statement in rated.statements() {
        for line in &statement.lines {
            let key = key_of(&statement.agency, line);
            let before = lines.insert(key, line.amount.to_string().parse().unwrap());
            assert!(before.is_none(), "one line for each system, charge, name and time");
        }
    }
    lines
}

/// How many random cases are tried; `PROPTEST_CASES` asks for more.
fn cases(default: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(default),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// The same month with room for all that was used, and for what was used at its end, which is the next month's.
fn roomy(mut scenario: Scenario) -> Scenario {
    let too_much = scenario.hall_is_too_small() || scenario.uses.iter().any(|one| one.end >= scenario.end);
    if too_much && let Some(hall) = &mut scenario.rules.hall {
        hall.capacity = None;
    }
    scenario
}

/// October and November, in which a part of October's use became known when October was issued.
fn late_november(scenario: &Scenario, records: &[UsageRecord]) -> Rated {
    let (world, book) = (world_of(scenario), card::read(&card_of(scenario)).unwrap());
    let months = Month::range("2026-10..2026-11").unwrap();
    let periods = months.into_iter().map(|month| Period::new(month, &book.zone).unwrap());
    let mut course = Course::new(&book, &world, periods, Course::GRACE);
    for record in records {
        course.add(record).unwrap();
    }
    course.rate(&Carry::default()).unwrap().pop().unwrap()
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn the_engine_and_the_model_agree_on_every_figure(scenario in scenario()) {
        let (world, records) = (world_of(&scenario), records(&scenario));
        let rated = try_rate_in(&world, &scenario, &records);
        if scenario.hall_is_too_small() {
            prop_assert!(matches!(rated, Err(RateError::NegativeIdle(_))));
            return Ok(());
        }
        let rated = rated.unwrap();
        let lines = lines_of(&rated);
        prop_assert_eq!(&lines, &scenario.lines());
        let platform = scenario.platform();
        let carry = serde_json::to_value(rated.carry()).unwrap();
        let carried = carry["pools"].get(model::SHARED).map_or("0", |amount| amount.as_str().unwrap());
        prop_assert_eq!(carried, scenario.carried(platform.clone()).to_string());
        let recovered: Vec<_> = rated.recoveries().iter().map(|one| (one.charged.to_string(), one.cost.to_string())).collect();
        let expected = scenario.recovered(platform).map(|(charged, cost)| (charged.to_string(), cost.to_string()));
        prop_assert_eq!(recovered, Vec::from_iter(expected));
        let figures = |saving: &maru_rate::Saving| {
            let figures = [&saving.fee, &saving.standalone, &saving.saving].map(|amount| amount.to_string().parse().unwrap());
            (saving.agency.clone(), figures)
        };
        let savings: BTreeMap<String, [num_bigint::BigInt; 3]> = rated.savings().iter().map(figures).collect();
        prop_assert_eq!(savings, scenario.savings(&lines));
        for statement in rated.statements() {
            prop_assert_eq!(statement.tax.to_string(), scenario.tax_of(&statement.agency, &lines).to_string());
        }
    }

    #[test]
    fn a_bill_always_adds_up(scenario in scenario()) {
        let scenario = roomy(scenario);
        let rated = rate(&scenario, &records(&scenario));
        for statement in rated.statements() {
            let amounts: Exact = statement.lines.iter().map(|line| &line.amount).sum();
            let taxes: Exact = statement.lines.iter().map(|line| &line.tax).sum();
            prop_assert_eq!((&amounts, &taxes), (&statement.subtotal, &statement.tax));
            prop_assert_eq!(&statement.subtotal + &statement.tax, statement.total.clone());
        }
        let mut all_now = scenario.clone();
        (all_now.rules.standard_rate, all_now.rules.end, all_now.rules.no_usage) = (None, End::Never, NoUsage::ByWeight);
        all_now.rules.hall = None;
        let rated = rate(&all_now, &records(&all_now));
        for (kind, total) in &scenario.pool {
            let lines = rated.statements().iter().flat_map(|statement| &statement.lines);
            let parts: Exact = lines.filter(|line| line.charge.name() == *kind).map(|line| &line.amount).sum();
            prop_assert_eq!(parts, Exact::from(*total));
        }
    }

    #[test]
    fn neither_the_order_of_records_nor_a_cut_in_time_changes_a_bill(scenario in scenario(), cuts in prop::collection::vec(0i64..=100, 25)) {
        let scenario = roomy(scenario);
        let records = records(&scenario);
        let rated = rate(&scenario, &records);
        let mut backwards = records;
        backwards.reverse();
        let reversed = rate(&scenario, &backwards);
        prop_assert_eq!(rated.statements(), reversed.statements());

        let mut cut = scenario.clone();
        cut.uses = scenario.uses.iter().zip(cuts).flat_map(|(one, percent)| {
            let middle = one.start + (one.end - one.start) * percent / 100;
            let length = (one.end - one.start).max(1);
            let first = Use { end: middle, quantity: &one.quantity * q(middle - one.start, length), ..one.clone() };
            let second = Use { start: middle, quantity: &one.quantity - &first.quantity, ..one.clone() };
            // Only quantities that a record can say, and no instant out of a stretch of time.
            let fits = (&first.quantity * q(1_000_000, 1)).is_integer() && one.start < middle && middle < one.end;
            if fits { vec![first, second] } else { vec![one.clone()] }
        }).collect();
        let cut_records = self::records(&cut);
        let cut_rated = rate(&cut, &cut_records);
        prop_assert_eq!(rated.statements(), cut_rated.statements());
    }

    #[test]
    fn what_came_late_is_billed_as_the_model_says_that_it_differs(scenario in scenario(), late in prop::collection::vec(any::<bool>(), 25)) {
        let scenario = roomy(scenario);
        let mut records = records(&scenario);
        let mut known = scenario.clone();
        known.uses.clear();
        for ((record, one), late) in records.iter_mut().zip(&scenario.uses).zip(late) {
            if late {
                record.recorded_at = Some("2026-11-20T00:00:00Z".parse().unwrap());
            } else {
                known.uses.push(one.clone());
            }
        }
        let mut expected = scenario.lines();
        for (key, amount) in known.lines() {
            *expected.entry(key).or_default() -= amount;
        }
        expected.retain(|_, amount| *amount != 0.into());
        let november = late_november(&scenario, &records);
        let mut corrections = Lines::new();
        for statement in november.statements() {
            for line in statement.lines.iter().filter(|line| line.is_correction(november.interval())) {
                *corrections.entry(key_of(&statement.agency, line)).or_default() += line.amount.to_string().parse::<num_bigint::BigInt>().unwrap();
            }
        }
        corrections.retain(|_, amount| *amount != 0.into());
        prop_assert_eq!(corrections, expected);
    }

    #[test]
    fn more_use_never_lowers_what_an_agency_pays_for_a_per_unit_or_graduated_item(scenario in scenario(), which in 0usize..25, more in 1i64..1_000_000) {
        let mut larger = scenario.clone();
        let Some(one) = larger.uses.get_mut(which).filter(|one| ["m0", "m1"].contains(&one.meter)) else { return Ok(()) };
        one.quantity += q(more, 1000);
        // One price throughout: with several, more use early moves what comes later into another price's tiers.
        let only = |mut scenario: Scenario| {
            scenario.versions.truncate(1);
            scenario.dollars.truncate(1);
            scenario.taxes.truncate(1);
            scenario
        };
        let (before, after) = (only(scenario), only(larger));
        // What an agency pays for an item over all its systems. Nothing is shared here: where a system is, the owner's own use of it goes into
        // the pool, and of a total that rises the part that stays on the owner's bill may fall, as the pool's part rises by more.
        let mut world = World::default();
        for agency in ["a", "b", "c"] {
            world.add_agency(agency, [agency.to_owned()]);
        }
        let sums = |scenario: &Scenario| -> BTreeMap<(String, String), num_bigint::BigInt> {
            let mut sums = BTreeMap::new();
            let rated = rate_in(&world, scenario, &records(scenario));
            for ((agency, _, charge, name, _), amount) in lines_of(&rated) {
                if charge == "Usage" {
                    *sums.entry((agency, name)).or_insert_with(|| 0.into()) += amount;
                }
            }
            sums
        };
        let (low, high) = (sums(&before), sums(&after));
        for (key, amount) in low {
            prop_assert!(high[&key] >= amount, "{:?}", key);
        }
    }
}
