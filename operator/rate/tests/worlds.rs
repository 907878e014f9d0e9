//! Random months: the engine and the model agree on every figure, and what must always hold holds.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod model;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use maru_crds::{AgencySystemSpec, RateCardSpec, SystemSubscriptionSpec};
use maru_meter::{Exact, UsageRecord};
use maru_rate::{Period, Rated, Usage, World, card};
use model::{Item, Lines, Price, Scenario, Use, q};
use num_rational::BigRational as Q;
use proptest::prelude::*;
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
    let version = |(from, items): &(i64, Vec<Item>)| {
        let items: Vec<Value> = items.iter().map(item).chain([support.clone()]).collect();
        json!({"from": at(*from), "items": items})
    };
    let dollar = |(from, worth): &(i64, Q)| json!({"from": at(*from), "currency": "USD", "rate": text(worth)});
    let tax = |(from, rate): &(i64, Q)| json!({"from": at(*from), "name": "VAT", "rate": text(rate)});
    serde_json::from_value(json!({
        "currency": "KRW", "timeZone": "Asia/Seoul",
        "versions": scenario.versions.iter().map(version).collect::<Vec<_>>(),
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
    let spec: AgencySystemSpec = serde_json::from_value(json!({
        "cost": {"currency": "KRW", "builds": builds, "operations": operations},
        "sharing": {"acceptsAll": true, "fixedShare": text(&q(scenario.fixed_share, 1000)), "driver": "d"},
    }))
    .unwrap();
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
        }))
        .unwrap();
        world.add_subscription(agency, &spec).unwrap();
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
    let book = card::read(&card_of(scenario)).unwrap();
    let period = Period::new("2026-10".parse().unwrap(), &book.zone).unwrap();
    assert_eq!(period.interval.length().as_secs(), END);
    let mut usage = Usage::new(&book, world, period);
    for record in records {
        usage.add(record).unwrap();
    }
    usage.rate().unwrap()
}

fn records(scenario: &Scenario) -> Vec<UsageRecord> {
    scenario
        .uses
        .iter()
        .enumerate()
        .map(|(number, one)| record(number, one))
        .collect()
}

/// The engine's lines in the form of the model's.
fn lines_of(rated: &Rated) -> Lines {
    let mut lines = Lines::new();
    for statement in rated.statements() {
        for line in &statement.lines {
            let name = line.meter.as_deref().or(line.item.as_deref()).unwrap_or("-").to_owned();
            let start = line.interval.start.duration_since(at(0)).as_secs();
            let key = (
                statement.agency.clone(),
                line.system.as_deref().unwrap().to_owned(),
                line.charge.name().to_owned(),
                name,
                start,
            );
            let before = lines.insert(key, line.amount.to_string().parse().unwrap());
            assert!(before.is_none(), "one line for each system, charge, name and time");
        }
    }
    lines
}

fn decimal(most: i64) -> impl Strategy<Value = Q> {
    (0..=most * 1000).prop_map(|thousandths| q(thousandths, 1000))
}

fn tier_list() -> impl Strategy<Value = Vec<(Option<Q>, Q, Q)>> {
    (
        prop::collection::btree_set(1i64..500_000, 0..4),
        prop::collection::vec((decimal(20), 0i64..50), 5),
    )
        .prop_map(|(bounds, prices)| {
            let bounds = bounds.into_iter().map(|bound| Some(q(bound, 1000))).chain([None]);
            bounds
                .zip(prices)
                .map(|(bound, (price, fee))| (bound, price, q(fee, 1)))
                .collect()
        })
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let prices = (
        decimal(50),
        decimal(300),
        tier_list(),
        tier_list(),
        1i64..5000,
        decimal(30),
        decimal(100),
    );
    (prices, any::<[bool; 4]>()).prop_map(|((price, included, graduated, volume, size, package, free), dollars)| {
        let prices = [
            Price::PerUnit { price, included },
            Price::Graduated(graduated),
            Price::Volume(volume),
            Price::Package {
                size: q(size, 100),
                price: package,
                included: free,
            },
        ];
        let items = ["m0", "m1", "m2", "m3"].into_iter().zip(prices).zip(dollars);
        items
            .map(|((meter, price), in_dollars)| Item {
                meter,
                in_dollars,
                price,
            })
            .collect()
    })
}

fn uses() -> impl Strategy<Value = Vec<Use>> {
    let system = prop::sample::select(vec!["a/s0", "b/s1", "c/s2"]);
    let meter = prop::sample::select(vec!["m0", "m1", "m2", "m3", "d"]);
    let agency = prop::sample::select(vec!["a", "b", "c"]);
    let one = (
        agency,
        system,
        meter,
        decimal(400),
        -2 * DAY..END + DAY,
        prop_oneof![Just(0i64), 1..3 * DAY, Just(3600i64)],
    );
    let made = one.prop_map(|(agency, system, meter, quantity, start, length)| {
        // The driver of a/s0 is used there only; elsewhere it would be a meter without a price.
        let system = if meter == "d" { "a/s0" } else { system };
        Use {
            agency,
            system,
            meter,
            quantity,
            start,
            end: start + length,
        }
    });
    prop::collection::vec(made, 0..25)
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let changes = |most: usize| prop::collection::btree_set(1..END, 0..most);
    let starts =
        |first: i64, more: std::collections::BTreeSet<i64>| std::iter::once(first).chain(more).collect::<Vec<_>>();
    let prices = (changes(3), prop::collection::vec(items(), 3))
        .prop_map(move |(more, items)| starts(-DAY, more).into_iter().zip(items).collect::<Vec<_>>());
    let dollars = (changes(3), prop::collection::vec(1i64..2000, 3)).prop_map(move |(more, worths)| {
        starts(-DAY, more)
            .into_iter()
            .zip(worths.into_iter().map(|worth| q(worth * 10 + 1, 10)))
            .collect::<Vec<_>>()
    });
    let taxes = (changes(2), prop::collection::vec(0i64..250, 2)).prop_map(move |(more, rates)| {
        starts(-DAY, more)
            .into_iter()
            .zip(rates.into_iter().map(|rate| q(rate, 1000)))
            .collect::<Vec<_>>()
    });
    let joins = (0i64..5, -3i64..33, 1i64..40, 0i64..5, -3i64..33, 1i64..40).prop_map(|(wb, fb, lb, wc, fc, lc)| {
        vec![
            ("b", wb, fb * DAY, (fb + lb) * DAY),
            ("c", wc, fc * DAY, (fc + lc) * DAY),
        ]
    });
    let pool = (0i64..10_000_000, 0i64..10_000_000)
        .prop_map(|(build, run)| vec![("Amortisation", build), ("Operations", run)]);
    (prices, dollars, taxes, 0i64..300, uses(), pool, 0i64..=1000, joins).prop_map(
        |(versions, dollars, taxes, support, uses, pool, fixed_share, joins)| Scenario {
            end: END,
            versions,
            dollars,
            taxes,
            support,
            uses,
            pool,
            fixed_share,
            joins,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_and_the_model_agree_on_every_figure(scenario in scenario()) {
        let rated = rate(&scenario, &records(&scenario));
        let lines = lines_of(&rated);
        prop_assert_eq!(&lines, &scenario.lines());
        for statement in rated.statements() {
            prop_assert_eq!(statement.tax.to_string(), scenario.tax_of(&statement.agency, &lines).to_string());
        }
    }

    #[test]
    fn a_bill_always_adds_up(scenario in scenario()) {
        let rated = rate(&scenario, &records(&scenario));
        for statement in rated.statements() {
            let amounts: Exact = statement.lines.iter().map(|line| &line.amount).sum();
            let taxes: Exact = statement.lines.iter().map(|line| &line.tax).sum();
            prop_assert_eq!((&amounts, &taxes), (&statement.subtotal, &statement.tax));
            prop_assert_eq!(&statement.subtotal + &statement.tax, statement.total.clone());
        }
        for (kind, total) in &scenario.pool {
            let lines = rated.statements().iter().flat_map(|statement| &statement.lines);
            let parts: Exact = lines.filter(|line| line.charge.name() == *kind).map(|line| &line.amount).sum();
            prop_assert_eq!(parts, Exact::from(*total));
        }
    }

    #[test]
    fn neither_the_order_of_records_nor_a_cut_in_time_changes_a_bill(scenario in scenario(), cuts in prop::collection::vec(0i64..=100, 25)) {
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
