//! Everything that was metered stands on a bill, once; and what does not is found.

use maru_crds::AgencySystemSpec;
use maru_ledger::{Metered, draft};
use maru_meter::{Interval, UsageRecord};
use maru_rate::{Period, Usage, World, card};
use proptest::prelude::*;

use crate::place::CARD;

fn period() -> Period {
    Period::new(
        "2026-10".parse().unwrap(),
        &jiff::tz::TimeZone::get("Asia/Seoul").unwrap(),
    )
    .unwrap()
}

/// Use of an hour that begins so many minutes after the month, or before it.
fn record(agency: &str, minute: i64, quantity: &str) -> UsageRecord {
    let start = period().interval.start + jiff::SignedDuration::from_mins(minute);
    serde_json::from_value(serde_json::json!({
        "id": format!("{agency}/{minute}"), "agency": agency, "system": "docs", "meter": "m", "quantity": quantity,
        "start": start, "end": start + jiff::SignedDuration::from_hours(1),
    }))
    .unwrap()
}

/// What is said of bills that were made from some records while the lake holds others.
fn unbilled(billed: &[UsageRecord], held: &[UsageRecord], world: &World) -> Vec<String> {
    let book = card::read(&serde_saphyr::from_str(CARD).unwrap()).unwrap();
    let mut usage = Usage::new(&book, world, period());
    for record in billed {
        usage.add(record).unwrap();
    }
    let pages = draft(&usage.rate().unwrap()).unwrap();
    let mut metered = Metered::new(period().interval);
    for record in held {
        metered.add(record, world);
    }
    metered.unbilled(&pages).iter().map(ToString::to_string).collect()
}

fn world() -> World {
    let mut world = World::default();
    for agency in ["nts", "mois"] {
        world.add_agency(agency, [agency.to_owned()]);
        world.add_system(agency, "docs", &AgencySystemSpec::default()).unwrap();
    }
    world
}

#[test]
fn a_record_that_is_on_no_bill_one_that_is_gone_and_one_of_an_agency_with_no_bill_are_found() {
    let (first, second) = (record("nts", 0, "5"), record("nts", 60, "7"));
    let both = [first.clone(), second.clone()];
    let world = world();
    assert_eq!(unbilled(&both, &both, &world), Vec::<String>::new());
    let missing = "m of nts/docs by nts: 12 metered, 5 billed";
    assert_eq!(unbilled(&both[..1], &both, &world), [missing]);
    let gone = "m of nts/docs by nts: 5 metered, 12 billed";
    assert_eq!(unbilled(&both, &both[..1], &world), [gone]);
    let elsewhere = [first, second, record("mois", 0, "1")];
    assert_eq!(
        unbilled(&both, &elsewhere, &world),
        ["m of mois/docs by mois: 1 metered, 0 billed"]
    );
}

#[test]
fn of_a_record_over_the_months_border_only_its_part_in_the_month_counts() {
    // Twenty minutes of the hour lie in the month.
    let across = [record("nts", -40, "3")];
    assert_eq!(unbilled(&across, &across, &world()), Vec::<String>::new());
    assert_eq!(
        unbilled(&[], &across, &world()),
        ["m of nts/docs by nts: 1 metered, 0 billed"]
    );
    let length = period().interval;
    let outside = [record("nts", -60, "3"), record("nts", length.length().as_mins(), "3")];
    assert_eq!(unbilled(&[], &outside, &world()), Vec::<String>::new());
    let instant = UsageRecord {
        end: length.start,
        start: length.start,
        ..record("nts", 0, "2")
    };
    let after = UsageRecord {
        start: length.end,
        end: length.end,
        ..record("nts", 1, "3")
    };
    let Interval { start, end } = length;
    assert!(start < end);
    assert_eq!(
        unbilled(&[], &[instant, after], &world()),
        ["m of nts/docs by nts: 2 metered, 0 billed"]
    );
}

#[test]
fn use_of_a_system_whose_cost_is_shared_is_answered_for_by_the_shares() {
    let mut world = World::default();
    world.add_agency("nts", ["nts".to_owned()]);
    let shared: AgencySystemSpec = serde_json::from_value(serde_json::json!({
        "cost": {"currency": "KRW", "operations": [{"name": "run", "monthly": "1000", "from": "2026-01-01"}]},
        "sharing": {"acceptsAll": true},
    }))
    .unwrap();
    world.add_system("nts", "docs", &shared).unwrap();
    let used = [record("nts", 0, "5")];
    assert_eq!(unbilled(&used, &used, &world), Vec::<String>::new());
}

proptest! {
    /// Whatever was used: bills of it agree with it, and with one record more or less they do not.
    #[test]
    fn random_months_agree_and_a_changed_one_does_not(
        uses in proptest::collection::btree_map((any::<bool>(), -90i64..45_000), (1u32..10_000, 0u32..1000), 1..20),
        pick in any::<prop::sample::Index>(),
    ) {
        let records: Vec<UsageRecord> = uses
            .iter()
            .map(|((first, minute), (whole, part))| {
                record(if *first { "nts" } else { "mois" }, *minute, &format!("{whole}.{part:03}"))
            })
            .collect();
        let world = world();
        prop_assert_eq!(unbilled(&records, &records, &world), Vec::<String>::new());
        let inside = |record: &UsageRecord| record.end > period().interval.start && record.start < period().interval.end;
        let mut fewer = records.clone();
        let taken = fewer.remove(pick.index(records.len()));
        let expected = usize::from(inside(&taken));
        prop_assert_eq!(unbilled(&fewer, &records, &world).len(), expected);
        prop_assert_eq!(unbilled(&records, &fewer, &world).len(), expected);
    }
}
