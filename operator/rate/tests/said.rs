//! What lines say besides their amounts: what a person needs to work a bill out again.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod world;

use maru_crds::{AgencySystemSpec, SystemSubscriptionSpec};
use maru_meter::UsageRecord;
use maru_rate::{AllocationMethod, Carry, Charge, Currency, Line, Month, Period, Rated, Usage, World};
use world::{Card, record};

#[test]
fn a_currency_says_its_code_and_its_decimals() {
    for (code, places) in [("KRW", 0), ("EUR", 2), ("KWD", 3)] {
        let currency = Currency::read("currency", code).unwrap();
        assert_eq!((currency.code(), currency.places()), (code, places));
    }
}

#[test]
fn a_range_of_months_has_its_first_and_its_last_and_nothing_beyond() {
    let months = |text: &str| -> Vec<String> { Month::range(text).unwrap().iter().map(ToString::to_string).collect() };
    assert_eq!(months("2026-10"), ["2026-10"]);
    assert_eq!(months("2026-11..2027-01"), ["2026-11", "2026-12", "2027-01"]);
    assert_eq!(months("2000-01..2099-12").len(), 1200, "a hundred years");
    assert!(Month::range("2000-01..2100-01").is_err());
}

fn lines(rated: &Rated) -> Vec<&Line> {
    rated
        .statements()
        .iter()
        .flat_map(|statement| &statement.lines)
        .collect()
}

#[test]
fn a_line_of_use_says_the_unit_the_price_where_there_is_one_and_what_the_price_book_says() {
    let card = Card::of(
        "- {meter: plain, unit: core-hour, model: PerUnit, unitPrice: '2.5'}\n\
         - {meter: steps, unit: request, model: Graduated, tiers: [{upTo: '10', unitPrice: '1'}, {unitPrice: '0.5'}]}",
    );
    let free = UsageRecord {
        unit: "page".to_owned(),
        ..record("nts/a", "free", "3")
    };
    let rated = card.rate(
        "2026-10",
        &[record("nts/a", "plain", "4"), record("nts/a", "steps", "12"), free],
    );
    let found: Vec<(&str, &str, Option<String>, bool)> = lines(&rated)
        .iter()
        .map(|line| {
            let price = line.unit_price.as_ref().map(ToString::to_string);
            (
                line.meter.as_deref().unwrap(),
                line.unit.as_deref().unwrap(),
                price,
                line.pricing.is_some(),
            )
        })
        .collect();
    let expected = [
        ("free", "page", None, false),
        ("plain", "core-hour", Some("2.5".to_owned()), true),
        ("steps", "request", None, true),
    ];
    assert_eq!(found, expected);
}

/// A system of `mois` that costs 1,000 a month and is shared with `moel`, which has three times the weight.
fn shared(sharing: &str, retirement: &str) -> World {
    shared_with(sharing, retirement, "3")
}

/// The same, with another weight of the one that joins.
fn shared_with(sharing: &str, retirement: &str, weight: &str) -> World {
    let spec = format!(
        "cost: {{currency: KRW, operations: [{{name: run, monthly: '1000', from: '2026-01-01'}}]}}\nsharing: {{acceptsAll: true, driver: d, {sharing}}}\n{retirement}"
    );
    let spec: AgencySystemSpec = serde_saphyr::from_str(&spec).unwrap();
    let mut world = World::default();
    for agency in ["mois", "moel"] {
        world.add_agency(agency, [agency.to_owned()]);
    }
    world.add_system("mois", "docs", &spec).unwrap();
    let joined =
        serde_json::json!({"systemRef": {"namespace": "mois", "name": "docs"}, "weight": weight, "from": "2026-01-01"});
    let joined: SystemSubscriptionSpec = serde_json::from_value(joined).unwrap();
    world.add_subscription("moel", &joined).unwrap();
    world
}

fn october(world: &World, uses: &[(&str, &str)]) -> Rated {
    let one = |(agency, quantity): &(&str, &str)| UsageRecord {
        agency: (*agency).to_owned(),
        id: format!("{agency} {quantity}"),
        ..record("mois/docs", "d", quantity)
    };
    let records: Vec<UsageRecord> = uses.iter().map(one).collect();
    Card::of("- {meter: other, unit: u, model: PerUnit, unitPrice: '1'}").rate_in(
        world,
        "2026-10",
        &records,
        &Carry::default(),
    )
}

/// By agency: the amount, how it was split, and what the part comes from.
fn parts(rated: &Rated) -> Vec<(String, AllocationMethod, Option<String>)> {
    let shared = lines(rated)
        .into_iter()
        .filter(|line| line.charge == Charge::Operations);
    let part = |line: &Line| {
        let allocation = line.allocation.as_deref().unwrap();
        let basis = allocation.basis.as_deref().map(|basis| {
            let maru_rate::Basis {
                fixed,
                weight,
                weights,
                used,
                all_used,
            } = basis;
            format!("{fixed} × {weight}/{weights} and {used}/{all_used}")
        });
        (line.amount.to_string(), allocation.method, basis)
    };
    shared.map(part).collect()
}

#[test]
fn a_part_says_of_which_weights_and_which_use_it_comes() {
    let of = |sharing: &str, uses: &[(&str, &str)]| parts(&october(&shared(sharing, ""), uses));
    let both = [("moel", "1"), ("mois", "4")];
    let said = |amount: &str, method, basis: Option<&str>| (amount.to_owned(), method, basis.map(str::to_owned));
    let mixed = AllocationMethod::WeightAndUse;
    // 0.2 × 1000 by weight three to one, the rest by use one to four.
    let expected = [
        said("310", mixed, Some("0.2 × 3/4 and 1/5")),
        said("690", mixed, Some("0.2 × 1/4 and 4/5")),
    ];
    assert_eq!(of("fixedShare: '0.2'", &both), expected);
    let by_use = AllocationMethod::Use;
    let expected = [
        said("200", by_use, Some("0 × 3/4 and 1/5")),
        said("800", by_use, Some("0 × 1/4 and 4/5")),
    ];
    assert_eq!(of("fixedShare: '0'", &both), expected);
    let by_weight = AllocationMethod::Weight;
    let expected = [
        said("750", by_weight, Some("1 × 3/4 and 0/0")),
        said("250", by_weight, Some("1 × 1/4 and 0/0")),
    ];
    assert_eq!(of("fixedShare: '0.2', onNoUsage: ByWeight", &[]), expected);
    // With nobody's use the owner pays what is split by use: a ratio of nothing to nothing is no basis.
    let expected = [said("150", mixed, None), said("850", mixed, None)];
    assert_eq!(of("fixedShare: '0.2', onNoUsage: Owner", &[]), expected);
    let whole = of("fixedShare: '0', onNoUsage: Owner", &[]);
    assert!(
        whole.contains(&said("1000", AllocationMethod::Whole, None)),
        "{whole:?}"
    );
    // Where nobody has a weight, the owner pays what is split by weight, and use alone still is a basis.
    let weightless = |fixed: &str| {
        let sharing = format!("ownerWeight: '0', fixedShare: '{fixed}'");
        parts(&october(&shared_with(&sharing, "", "0"), &both))
    };
    let expected = [said("160", mixed, None), said("840", mixed, None)];
    assert_eq!(weightless("0.2"), expected);
    let expected = [
        said("200", by_use, Some("0 × 0/0 and 1/5")),
        said("800", by_use, Some("0 × 0/0 and 4/5")),
    ];
    assert_eq!(weightless("0"), expected);
}

#[test]
fn in_the_month_of_its_retirement_nothing_is_carried_into_a_month_that_does_not_come() {
    let amounts = |retirement: &str| -> Vec<String> {
        let world = shared("fixedShare: '0.2', onNoUsage: CarryForward", retirement);
        parts(&october(&world, &[]))
            .into_iter()
            .map(|(amount, ..)| amount)
            .collect()
    };
    assert_eq!(amounts(""), ["150", "50"], "the rest is carried");
    let ends = "retirement: {date: '2026-10-31', policy: Owner}";
    let all: i64 = amounts(ends).iter().map(|amount| amount.parse::<i64>().unwrap()).sum();
    assert!(all > 900, "all of the month is charged: {all}");
    assert_eq!(
        amounts("retirement: {date: '2026-11-30', policy: Owner}"),
        ["150", "50"],
        "a month remains"
    );
}

#[test]
fn a_line_at_the_standard_rate_says_the_rate() {
    let rate = "mode: StandardRate, standardRate: {fiscalYear: 2026, unitPrice: '31.20'}";
    let rated = october(&shared(rate, ""), &[("moel", "10")]);
    let said: Vec<String> = lines(&rated)
        .iter()
        .filter(|line| line.charge == Charge::StandardRate)
        .map(|line| line.unit_price.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(said, ["31.2", "31.2"]);
}

#[test]
fn parts_of_records_with_all_kinds_of_denominators_add_up_exactly() {
    // The price changes at one o'clock; of each record another part lies before it.
    let card = Card::of("- {meter: m, unit: u, model: PerUnit, unitPrice: '1000000'}").version(
        "2026-10-05T01:00:00+09:00",
        "- {meter: m, unit: u, model: PerUnit, unitPrice: '0'}",
    );
    let across = |minutes: i64| {
        let begin: jiff::Timestamp = "2026-10-04T15:00:00Z".parse().unwrap();
        UsageRecord {
            id: format!("{minutes}"),
            start: begin,
            end: begin + jiff::SignedDuration::from_mins(60 + minutes),
            ..record("nts/a", "m", "1")
        }
    };
    // 60/63 + 60/66 + 60/70 + 60/130 of a million.
    let rated = card.rate("2026-10", &[3, 6, 10, 70].map(across));
    let amounts: Vec<String> = lines(&rated).iter().map(|line| line.amount.to_string()).collect();
    assert_eq!(amounts, ["3180153", "0"]);
}

#[test]
fn in_whatever_order_records_before_and_after_a_change_come_there_is_a_line_for_each_side() {
    let price = |price: &str| format!("- {{meter: m, unit: u, model: PerUnit, unitPrice: '{price}'}}");
    let card = Card::of(&price("1")).version("2026-10-11T00:00:00+09:00", &price("1000"));
    let at = |number: usize, day: &str| {
        let begin: jiff::Timestamp = format!("2026-10-{day}T00:00:00Z").parse().unwrap();
        UsageRecord {
            id: number.to_string(),
            start: begin,
            end: begin,
            ..record("nts/a", "m", "1")
        }
    };
    for days in [
        ["05", "20", "05", "20"],
        ["20", "05", "20", "05"],
        ["20", "20", "05", "05"],
        ["05", "05", "20", "20"],
    ] {
        let records: Vec<UsageRecord> = days.iter().enumerate().map(|(number, day)| at(number, day)).collect();
        let rated = card.rate("2026-10", &records);
        let amounts: Vec<String> = lines(&rated).iter().map(|line| line.amount.to_string()).collect();
        assert_eq!(amounts, ["2", "2000"], "{days:?}");
    }
}

#[test]
fn whoever_sums_beforehand_is_told_of_changes_inside_of_the_month_and_of_no_others() {
    let item = "- {meter: m, unit: u, model: PerUnit, unitPrice: '1'}";
    let card = Card::of(item)
        .version("2026-10-11T00:00:00+09:00", item)
        .version("2026-11-11T00:00:00+09:00", item);
    let book = maru_rate::card::read(&card.spec()).unwrap();
    let world = shared("fixedShare: '0.2'", "");
    let period = Period::new("2026-10".parse().unwrap(), &book.zone).unwrap();
    let cuts: Vec<String> = Usage::new(&book, &world, period)
        .cuts()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        cuts,
        ["2026-10-10T15:00:00Z"],
        "whoever joined in January did so before"
    );
}

#[test]
fn use_that_nothing_prices_names_the_first_unit_of_several_whatever_comes_first() {
    let card = Card::of("- {meter: other, unit: u, model: PerUnit, unitPrice: '1'}");
    let in_unit = |unit: &str| UsageRecord {
        id: format!("with-{unit}"),
        unit: unit.to_owned(),
        ..record("nts/a", "free", "1")
    };
    for units in [["b", "a", "c", ""], ["", "c", "b", "a"], ["a", "", "b", "c"]] {
        let rated = card.rate("2026-10", &units.map(in_unit));
        let said: Vec<&str> = lines(&rated).iter().map(|line| line.unit.as_deref().unwrap()).collect();
        assert_eq!(said, ["a"], "{units:?}");
    }
}

#[test]
fn who_joins_with_the_month_or_leaves_with_it_is_no_change_inside_of_it() {
    let cuts = |from: &str, until: &str| -> Vec<String> {
        let mut world = shared("fixedShare: '0.2'", "");
        world.add_agency("mohw", ["mohw".to_owned()]);
        let joined = serde_json::json!({
            "systemRef": {"namespace": "mois", "name": "docs"}, "weight": "1", "from": from, "until": until,
        });
        let joined: SystemSubscriptionSpec = serde_json::from_value(joined).unwrap();
        world.add_subscription("mohw", &joined).unwrap();
        let card = Card::of("- {meter: other, unit: u, model: PerUnit, unitPrice: '1'}");
        let book = maru_rate::card::read(&card.spec()).unwrap();
        let period = Period::new("2026-10".parse().unwrap(), &book.zone).unwrap();
        Usage::new(&book, &world, period)
            .cuts()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(cuts("2026-10-01", "2026-11-01"), Vec::<String>::new());
    let inside = ["2026-10-01T15:00:00Z", "2026-10-30T15:00:00Z"];
    assert_eq!(cuts("2026-10-02", "2026-10-31"), inside);
}

fn joining(from: &str, until: Option<&str>, standalone: Option<&str>) -> SystemSubscriptionSpec {
    let mut subscription = serde_json::json!({
        "systemRef": {"namespace": "mois", "name": "docs"}, "weight": "1", "from": from,
    });
    if let Some(until) = until {
        subscription["until"] = until.into();
    }
    if let Some(monthly) = standalone {
        subscription["standalone"] =
            serde_json::json!({"operations": [{"name": "own", "monthly": monthly, "from": "2026-01-01"}]});
    }
    serde_json::from_value(subscription).unwrap()
}

#[test]
fn what_is_said_of_subscriptions_does_not_hang_on_which_was_applied_first() {
    let warnings = |agencies: &[&str]| {
        let mut world = shared("fixedShare: '1'", "");
        let spec = "cost: {currency: KRW}\nsharing: {accepts: [{agency: moel}], driver: d, fixedShare: '1'}";
        let spec: AgencySystemSpec = serde_saphyr::from_str(spec).unwrap();
        world.add_system("mois", "docs", &spec).unwrap();
        for agency in agencies {
            world.add_agency(agency, [(*agency).to_owned()]);
            world
                .add_subscription(agency, &joining("2026-01-01", None, None))
                .unwrap();
        }
        october(&world, &[]).warnings().to_vec()
    };
    let said = warnings(&["a", "b", "nts"]);
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said.iter()
            .all(|warning| warning.ends_with("the owner does not accept it"))
    );
    assert_eq!(warnings(&["nts", "b", "a"]), said);
    assert_eq!(warnings(&["b", "nts", "a"]), said);
}

#[test]
fn a_saving_is_beside_what_standing_alone_would_cost_now_and_not_what_it_would_have_cost_once() {
    let mut world = shared("fixedShare: '1'", "");
    world.add_agency("mohw", ["mohw".to_owned()]);
    for subscription in [
        joining("2026-01-01", Some("2026-04-01"), Some("900")),
        joining("2026-10-01", None, Some("700")),
    ] {
        world.add_subscription("mohw", &subscription).unwrap();
    }
    let rated = october(&world, &[]);
    let alone: Vec<(&str, String)> = rated
        .savings()
        .iter()
        .map(|saving| (saving.agency.as_str(), saving.standalone.to_string()))
        .collect();
    assert_eq!(alone, [("mohw", "700".to_owned())]);
}

#[test]
fn a_schedule_has_the_tranches_of_every_system() {
    let mut world = World::default();
    for name in ["docs", "mail"] {
        let spec = format!(
            "cost: {{currency: KRW, builds: [{{name: first-{name}, amount: '10', inServiceDate: '2026-01-01', months: 5}}]}}"
        );
        let spec: AgencySystemSpec = serde_saphyr::from_str(&spec).unwrap();
        world.add_system("mois", name, &spec).unwrap();
    }
    let found: Vec<(&str, &str)> = world
        .tranches()
        .map(|(system, tranche)| (system, tranche.name.as_str()))
        .collect();
    assert_eq!(found, [("mois/docs", "first-docs"), ("mois/mail", "first-mail")]);
}
