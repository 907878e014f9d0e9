//! What became known after a period was billed, worked out by hand, and held against bills on which all of it came in time.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod world;

use std::collections::BTreeMap;

use maru_crds::{AgencySystemSpec, SystemSubscriptionSpec};
use maru_meter::{Exact, UsageRecord};
use maru_rate::{Rated, World};
use proptest::prelude::*;
use serde_json::json;
use world::eventful::{cases, eventful, records, world};
use world::{Card, record};

const TIERS: &str = "- {meter: m, unit: u, model: Graduated, tiers: [{upTo: '100', unitPrice: '1'}, {unitPrice: '2'}]}";

fn known(record: UsageRecord, at: &str) -> UsageRecord {
    UsageRecord {
        id: format!("{} {at}", record.id),
        recorded_at: Some(at.parse().unwrap()),
        ..record
    }
}

fn of(agency: &str, record: UsageRecord) -> UsageRecord {
    UsageRecord {
        id: format!("{agency} {}", record.id),
        agency: agency.to_owned(),
        ..record
    }
}

/// The lines of a month's bills: agency, system, charge, what for, quantity, amount, and what is corrected.
fn lines(rated: &Rated) -> Vec<String> {
    let mut all = Vec::new();
    for statement in rated.statements() {
        for line in &statement.lines {
            let name = line.meter.as_deref().or(line.item.as_deref()).unwrap_or("-");
            let quantity = line.quantity.as_ref().map_or("-".to_owned(), ToString::to_string);
            let (system, charge) = (line.system.as_deref().unwrap_or("-"), line.charge.name());
            let corrects = line.corrects.as_deref().unwrap_or("new");
            let what = line
                .correction
                .map_or(String::new(), |half| format!(" {half:?} of {corrects}"));
            all.push(format!(
                "{} {system} {charge} {name} {quantity} {}{what}",
                statement.agency, line.amount
            ));
        }
    }
    all
}

#[test]
fn late_use_takes_the_whole_item_back_and_states_it_anew_with_the_tiers_it_then_reaches() {
    let card = Card::of(TIERS)
        .tax("2026-01-01T00:00:00+09:00", "0.10")
        .tax("2026-11-01T00:00:00+09:00", "0.20");
    let records = [
        record("nts/x", "m", "90"),
        known(record("nts/y", "m", "20"), "2026-11-20T00:00:00Z"),
        known(record("nts/x", "m", "10"), "2026-12-20T00:00:00Z"),
    ];
    let rated = card.course(&world(), "2026-10..2026-12", &records);
    assert_eq!(lines(&rated[0]), ["nts nts/x Usage m 90 90"]);
    // 110 units are 100 + 20 = 120; over 90:20 that is 98.18 and 21.82.
    let november = [
        "nts nts/x Usage m -90 -90 Reversal of 2026-10/1",
        "nts nts/x Usage m 90 98 Reentry of 2026-10/1",
        "nts nts/y Usage m 20 22 Reentry of 2026-10/1",
    ];
    assert_eq!(lines(&rated[1]), november);
    // 120 units are 100 + 40 = 140; over 100:20 that is 116.67 and 23.33. What November's bill stated is taken back now.
    let december = [
        "nts nts/x Usage m -90 -98 Reversal of 2026-11/2",
        "nts nts/x Usage m 100 117 Reentry of 2026-11/2",
        "nts nts/y Usage m -20 -22 Reversal of 2026-11/3",
        "nts nts/y Usage m 20 23 Reentry of 2026-11/3",
    ];
    assert_eq!(lines(&rated[2]), december);
    // The tax is that of October, on what is new: 10 % of 30 and of 20. The time is October's too.
    let taxes: Vec<_> = rated
        .iter()
        .map(|rated| rated.statements()[0].tax.to_string())
        .collect();
    assert_eq!(taxes, ["9", "3", "2"]);
    for line in &rated[1].statements()[0].lines {
        assert_eq!(line.interval, rated[0].interval());
        assert!(line.is_correction(rated[1].interval()));
    }
}

#[test]
fn each_stretch_of_a_month_that_is_stated_anew_names_its_own_line() {
    let price = |price: &str| format!("- {{meter: m, unit: u, model: PerUnit, unitPrice: '{price}'}}");
    let card = Card::of(&price("1")).version("2026-10-16T12:00:00+09:00", &price("2"));
    let records = [
        record("nts/x", "m", "8"),
        known(record("nts/x", "m", "2"), "2026-11-20T00:00:00Z"),
    ];
    let rated = card.course(&world(), "2026-10..2026-11", &records);
    let november = [
        "nts nts/x Usage m -4 -4 Reversal of 2026-10/1",
        "nts nts/x Usage m 5 5 Reentry of 2026-10/1",
        "nts nts/x Usage m -4 -8 Reversal of 2026-10/2",
        "nts nts/x Usage m 5 10 Reentry of 2026-10/2",
    ];
    assert_eq!(lines(&rated[1]), november);
}

#[test]
fn what_becomes_known_within_72_hours_of_the_end_is_in_time() {
    let card = Card::of(TIERS);
    let amounts = |at: &str| -> Vec<String> {
        let records = [known(record("nts/x", "m", "5"), at)];
        let rated = card.course(&world(), "2026-10..2026-11", &records);
        let total = |rated: &Rated| rated.statements().iter().map(|s| &s.total).sum::<Exact>().to_string();
        rated.iter().map(total).collect()
    };
    // October ends in Seoul on the 31st at 15:00 UTC.
    assert_eq!(amounts("2026-10-05T00:00:00Z"), ["5", "0"]);
    assert_eq!(amounts("2026-11-03T15:00:00Z"), ["5", "0"]);
    assert_eq!(amounts("2026-11-03T15:00:00.000000001Z"), ["0", "5"]);
    assert_eq!(amounts("2026-12-03T15:00:00Z"), ["0", "5"]);
    assert_eq!(amounts("2026-12-03T15:00:01Z"), ["0", "0"]);
}

#[test]
fn an_item_that_was_never_billed_is_stated_without_anything_to_take_back() {
    let records = [known(record("nts/x", "m", "5"), "2026-11-20T00:00:00Z")];
    let rated = Card::of(TIERS).course(&world(), "2026-10..2026-11", &records);
    assert_eq!(lines(&rated[1]), ["nts nts/x Usage m 5 5 Reentry of new"]);
    assert!(rated[1].statements()[0].lines[0].is_correction(rated[1].interval()));
}

#[test]
fn a_record_across_two_months_is_late_for_the_first_and_in_time_for_the_second() {
    let mut across = record("nts/x", "m", "20");
    across.start = "2026-10-30T15:00:00Z".parse().unwrap(); // a day of each month
    across.end = "2026-11-01T15:00:00Z".parse().unwrap();
    let records = [known(across, "2026-11-20T00:00:00Z")];
    let rated = Card::of(TIERS).course(&world(), "2026-10..2026-11", &records);
    let november = ["nts nts/x Usage m 10 10 Reentry of new", "nts nts/x Usage m 10 10"];
    assert_eq!(lines(&rated[1]), november);
}

#[test]
fn what_no_bill_of_the_run_can_take_in_is_said() {
    let late = known(record("nts/x", "m", "5"), "2026-11-20T00:00:00Z");
    let october = Card::of(TIERS).course(&world(), "2026-10", std::slice::from_ref(&late));
    let warning = "usage records that became known after the bills were issued, and are left to a later period's: 1";
    assert!(
        october[0].warnings().iter().any(|said| said == warning),
        "{:?}",
        october[0].warnings()
    );
    let november = Card::of(TIERS).course(&world(), "2026-11", std::slice::from_ref(&late));
    assert_eq!(lines(&november[0]), Vec::<String>::new());
    let said = november[0].warnings().join("\n");
    assert!(
        said.contains("usage records of earlier periods that became known after those were issued: 1"),
        "{said}"
    );
    // It was known when October was issued: a bill of October has it, and nobody has to say so in November.
    let in_time = known(record("nts/x", "m", "5"), "2026-11-01T00:00:00Z");
    // And what became known after November was issued is for a bill of December.
    let later = known(record("nts/x", "m", "5"), "2026-12-20T00:00:00Z");
    // To the moment: known when October was issued, and used when November began.
    let at_issue = known(record("nts/x", "m", "5"), "2026-11-03T15:00:00Z");
    let mut at_border = known(record("nts/x", "m", "5"), "2026-11-20T00:00:00Z");
    (at_border.start, at_border.end) = (
        "2026-10-31T15:00:00Z".parse().unwrap(),
        "2026-10-31T16:00:00Z".parse().unwrap(),
    );
    for not_ours in [in_time, later, at_issue, at_border] {
        let november = Card::of(TIERS).course(&world(), "2026-11", &[not_ours]);
        assert_eq!(november[0].warnings(), Vec::<String>::new());
    }
}

/// A system of `mois` that costs 1000 a month and is used by `moel` and `nts` too.
fn shared(sharing: &str) -> World {
    let mut world = world();
    let spec = format!(
        "{{cost: {{currency: KRW, operations: [{{name: run, monthly: '1000', from: '2026-01-01'}}]}}, sharing: {{{sharing}}}}}"
    );
    let spec: AgencySystemSpec = serde_saphyr::from_str(&spec).unwrap();
    world.add_system("mois", "docs", &spec).unwrap();
    for agency in ["moel", "nts"] {
        let spec = json!({"systemRef": {"namespace": "mois", "name": "docs"}, "from": "2026-01-01"});
        let spec: SystemSubscriptionSpec = serde_json::from_value(spec).unwrap();
        world.add_subscription(agency, &spec).unwrap();
    }
    world
}

#[test]
fn late_use_of_a_driver_corrects_the_part_of_everyone_who_shares() {
    let world = shared("acceptsAll: true, driver: d");
    let records = [
        of("moel", record("mois/docs", "d", "1")),
        of("mois", record("mois/docs", "d", "3")),
        known(of("nts", record("mois/docs", "d", "4")), "2026-11-20T00:00:00Z"),
    ];
    let rated = Card::of(TIERS).course(&world, "2026-10..2026-11", &records);
    let november: Vec<String> = lines(&rated[1])
        .into_iter()
        .filter(|line| line.contains("2026-10"))
        .collect();
    // 1:3:0 were billed as 250, 750, 0; with the late four it is 1:3:4.
    let expected = [
        "moel mois/docs Operations - - -250 Reversal of 2026-10/1",
        "moel mois/docs Operations - - 125 Reentry of 2026-10/1",
        "mois mois/docs Operations - - -750 Reversal of 2026-10/1",
        "mois mois/docs Operations - - 375 Reentry of 2026-10/1",
        "nts mois/docs Operations - - 0 Reversal of 2026-10/1",
        "nts mois/docs Operations - - 500 Reentry of 2026-10/1",
    ];
    assert_eq!(november, expected);
}

#[test]
fn late_use_of_the_platform_by_a_shared_system_corrects_that_kind_and_no_other() {
    let world = shared("acceptsAll: true");
    let records = [
        of("mois", record("mois/docs", "m", "9")),
        known(of("mois", record("mois/docs", "m", "3")), "2026-11-20T00:00:00Z"),
    ];
    let rated = Card::of(TIERS).course(&world, "2026-10..2026-11", &records);
    let november: Vec<String> = lines(&rated[1])
        .into_iter()
        .filter(|line| line.starts_with("moel"))
        .collect();
    let expected = [
        "moel mois/docs Operations - - 334",
        "moel mois/docs Platform - - -3 Reversal of 2026-10/2",
        "moel mois/docs Platform - - 4 Reentry of 2026-10/2",
    ];
    assert_eq!(november, expected);
}

#[test]
fn what_a_month_carried_on_is_taken_back_where_it_should_not_have_been_carried() {
    let world = shared("acceptsAll: true, driver: d, onNoUsage: CarryForward");
    let mut november = of("moel", record("mois/docs", "d", "1"));
    november.start = "2026-11-05T00:00:00Z".parse().unwrap();
    november.end = november.start;
    let mut december = november.clone();
    december.start = "2026-12-05T00:00:00Z".parse().unwrap();
    december.end = december.start;
    let records = [
        november,
        december,
        known(of("nts", record("mois/docs", "d", "1")), "2026-12-20T00:00:00Z"),
    ];
    let rated = Card::of(TIERS).course(&world, "2026-10..2026-12", &records);
    let corrected: Vec<String> = lines(&rated[2])
        .into_iter()
        .filter(|line| line.contains(" of 2026"))
        .collect();
    // October carried all of its 1000 into November, where `moel` alone used the driver. In truth `nts` alone used it in October.
    let expected = [
        "moel mois/docs Operations - - 0 Reversal of 2026-10/1",
        "moel mois/docs Operations - - 0 Reentry of 2026-10/1",
        "moel mois/docs CarryForward - - -1000 Reversal of 2026-11/2",
        "mois mois/docs Operations - - 0 Reversal of 2026-10/1",
        "mois mois/docs Operations - - 0 Reentry of 2026-10/1",
        "mois mois/docs CarryForward - - 0 Reversal of 2026-11/2",
        "nts mois/docs Operations - - 0 Reversal of 2026-10/1",
        "nts mois/docs Operations - - 1000 Reentry of 2026-10/1",
        "nts mois/docs CarryForward - - 0 Reversal of 2026-11/2",
    ];
    assert_eq!(corrected, expected);
}

#[test]
fn late_use_at_a_standard_rate_is_recovered_in_the_month_that_bills_it() {
    let world =
        shared("acceptsAll: true, driver: d, mode: StandardRate, standardRate: {fiscalYear: 2026, unitPrice: '100'}");
    let records = [
        of("moel", record("mois/docs", "d", "7")),
        known(of("nts", record("mois/docs", "d", "2")), "2026-11-20T00:00:00Z"),
    ];
    let rated = Card::of(TIERS).course(&world, "2026-10..2026-11", &records);
    let said = |rated: &Rated| -> Vec<String> {
        let recoveries = rated.recoveries().iter();
        recoveries
            .map(|one| {
                format!(
                    "{} cost {} charged {} balance {}",
                    one.period, one.cost, one.charged, one.balance
                )
            })
            .collect()
    };
    assert_eq!(said(&rated[0]), ["2026-10 cost 1000 charged 700 balance -300"]);
    let november = [
        "2026-10 cost 0 charged 200 balance -100",
        "2026-11 cost 1000 charged 0 balance -1100",
    ];
    assert_eq!(said(&rated[1]), november);
    // What came late for something else changes nothing here, and there is nothing to say of October.
    let elsewhere = [
        records[0].clone(),
        known(record("nts/x", "m", "1"), "2026-11-20T00:00:00Z"),
    ];
    let rated = Card::of(TIERS).course(&world, "2026-10..2026-11", &elsewhere);
    assert_eq!(said(&rated[1]), ["2026-11 cost 1000 charged 0 balance -1300"]);
}

/// Everything that is billed, by agency, system, charge, what for and time. What was taken back and what stands cancel out.
fn sums<'a>(all: impl IntoIterator<Item = &'a Rated>) -> BTreeMap<String, Exact> {
    let mut sums: BTreeMap<String, Exact> = BTreeMap::new();
    for rated in all {
        for statement in rated.statements() {
            for line in &statement.lines {
                let name = line.meter.as_deref().or(line.item.as_deref()).unwrap_or("-");
                let (system, charge, from) = (line.system.as_deref(), line.charge.name(), line.interval.start);
                let key = format!("{} {system:?} {charge} {name} {from}", statement.agency);
                *sums.entry(key).or_default() += &line.amount;
            }
        }
    }
    sums.retain(|_, sum| !sum.is_zero());
    sums
}

/// Quantities as well; a line without one counts as nothing.
fn quantities<'a>(all: impl IntoIterator<Item = &'a Rated>) -> BTreeMap<String, Exact> {
    let mut sums: BTreeMap<String, Exact> = BTreeMap::new();
    for statement in all.into_iter().flat_map(Rated::statements) {
        for line in &statement.lines {
            if let Some(quantity) = &line.quantity {
                let meter = line.meter.as_deref().unwrap_or("-");
                let key = format!("{} {:?} {meter} {}", statement.agency, line.system, line.interval.start);
                *sums.entry(key).or_default() += quantity;
            }
        }
    }
    sums.retain(|_, sum| !sum.is_zero());
    sums
}

/// What standard rates brought in and what the systems cost, over all months.
fn recovered(all: &[Rated]) -> (BTreeMap<String, (Exact, Exact)>, Option<Exact>) {
    let mut sums: BTreeMap<String, (Exact, Exact)> = BTreeMap::new();
    for one in all.iter().flat_map(Rated::recoveries) {
        let (cost, charged) = sums.entry(one.system.clone()).or_default();
        *cost += &one.cost;
        *charged += &one.charged;
    }
    let balance = all.last().unwrap().recoveries().last().map(|one| one.balance.clone());
    (sums, balance)
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn late_use_leaves_the_same_sums_as_use_in_time(
        records in records(),
        on_no_usage in prop::sample::select(vec!["ByWeight", "Owner", "CarryForward"]),
        retired: bool,
    ) {
        let (card, world) = eventful(on_no_usage, retired);
        let late = card.course(&world, "2026-09..2026-12", &records);
        let in_time: Vec<UsageRecord> = records
            .into_iter()
            .map(|record| UsageRecord { recorded_at: None, ..record })
            .collect();
        let in_time = card.course(&world, "2026-09..2026-12", &in_time);
        prop_assert_eq!(sums(&late), sums(&in_time));
        prop_assert_eq!(quantities(&late), quantities(&in_time));
        prop_assert_eq!(recovered(&late), recovered(&in_time));
        prop_assert_eq!(late[3].carry(), in_time[3].carry());
        for statement in late.iter().flat_map(Rated::statements) {
            let amounts: Exact = statement.lines.iter().map(|line| &line.amount).sum();
            let taxes: Exact = statement.lines.iter().map(|line| &line.tax).sum();
            prop_assert_eq!((&amounts, &taxes), (&statement.subtotal, &statement.tax));
            prop_assert_eq!(&statement.subtotal + &statement.tax, statement.total.clone());
            // One rate: the tax is the tenth of the subtotal, corrections and all.
            let tenth = (&statement.subtotal * &"0.1".parse::<Exact>().unwrap()).round(0, maru_meter::Rounding::HalfUp);
            prop_assert_eq!(&statement.tax, &tenth);
        }
    }

    #[test]
    fn what_a_correction_takes_back_is_what_the_line_that_it_names_said(records in records(), retired: bool) {
        let (card, world) = eventful("CarryForward", retired);
        let rated = card.course(&world, "2026-09..2026-12", &records);
        let mut stated: BTreeMap<String, Exact> = BTreeMap::new();
        for month in &rated {
            for statement in month.statements() {
                for (line, number) in statement.lines.iter().zip(1..) {
                    let key = format!("{} {}/{number}", statement.agency, month.month());
                    match line.correction {
                        Some(maru_rate::Correction::Reversal) => {
                            let corrected = format!("{} {}", statement.agency, line.corrects.as_deref().unwrap());
                            let amount = stated.remove(&corrected);
                            prop_assert_eq!(amount, Some(-&line.amount), "{}", corrected);
                        }
                        _ => { stated.insert(key, line.amount.clone()); }
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_to_be_said_of_a_month_only_as_it_is_corrected_is_said_on_the_next_bill() {
    let world = shared("acceptsAll: true, driver: d, fixedShare: '0'");
    let of = |agency: &str, known_at: &str| UsageRecord {
        agency: agency.to_owned(),
        id: agency.to_owned(),
        ..known(record("mois/docs", "d", "5"), known_at)
    };
    let records = [of("moel", "2026-10-20T00:00:00Z"), of("mohw", "2026-11-20T00:00:00Z")];
    let card = Card::of("- {meter: d, unit: u, model: PerUnit, unitPrice: '0'}");
    let rated = card.course(&world, "2026-10..2026-12", &records);
    let said = |month: usize| -> Vec<&String> {
        let all = rated[month].warnings().iter();
        all.filter(|warning| warning.contains("took no part")).collect()
    };
    assert_eq!(said(0), Vec::<&String>::new(), "nobody knew it then");
    let words = "2026-10 as it is corrected: agency `mohw` used 5 of driver `d` of mois/docs while it took no part";
    assert!(said(1).len() == 1 && said(1)[0].starts_with(words), "{:?}", said(1));
    assert_eq!(said(2), Vec::<&String>::new(), "and once is enough");
}
