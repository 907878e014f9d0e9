//! Billed months that are opened again from the books: nothing is corrected but what late use changes.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod world;

use maru_rate::{Billed, Carry, Correction, Period, Rated, Reopened, Usage, World, card};
use proptest::prelude::*;
use world::eventful::{cases, eventful, records, world};
use world::{Card, as_written, record};

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn months_by_the_books_come_to_the_same_bills_as_months_that_are_worked_out_together(
        records in records(),
        on_no_usage in prop::sample::select(vec!["ByWeight", "Owner", "CarryForward"]),
        retired: bool,
    ) {
        let (card, world) = eventful(on_no_usage, retired);
        let together = card.course(&world, "2026-09..2026-12", &records);
        let by_the_books = card.by_the_books(&world, "2026-09..2026-12", &records);
        for (one, other) in together.iter().zip(&by_the_books) {
            let written = |rated: &Rated| rated.statements().iter().map(as_written).collect::<Vec<_>>();
            prop_assert_eq!(written(one), written(other));
            prop_assert_eq!(one.carry(), other.carry());
            prop_assert_eq!(one.recoveries(), other.recoveries());
        }
    }
}

/// November's bills, after October's were issued in one world; and then October was known again in another one.
fn november(then: &World, now: &World, late: &[maru_meter::UsageRecord]) -> Rated {
    let card = Card::of(
        "- {meter: m, unit: u, model: PerUnit, unitPrice: '2'}\n- {meter: k, unit: u, model: PerUnit, unitPrice: '3'}",
    );
    let in_time = [record("nts/own", "m", "10"), record("nts/own", "k", "10")];
    let october = card.rate_in(then, "2026-10", &in_time, &Carry::default());
    let book = card::read(&card.spec()).unwrap();
    let of = |month: &str, records: &[&[maru_meter::UsageRecord]]| {
        let mut usage = Usage::new(&book, now, Period::new(month.parse().unwrap(), &book.zone).unwrap());
        for record in records.iter().copied().flatten() {
            usage.add(record).unwrap();
        }
        usage
    };
    let billed = Billed {
        before: of("2026-10", &[&in_time]),
        now: of("2026-10", &[&in_time, late]),
    };
    let mut reopened = Reopened::new(&book, Carry::default(), [billed]);
    for (statement, number) in october.statements().iter().zip(1..) {
        reopened.bill(&format!("2026-00000{number}"), statement);
    }
    reopened.rate(of("2026-11", &[]), october.carry()).unwrap()
}

/// With a system that everyone pays for, or without it.
fn with_docs(there: bool) -> World {
    let mut world = world();
    if there {
        let spec = "cost:\n  currency: KRW\n  operations: [{name: run, monthly: '900', from: '2026-01-01'}]";
        let spec = serde_saphyr::from_str(spec).unwrap();
        world.add_system("nts", "docs", &spec).unwrap();
    }
    world
}

fn lines(rated: &Rated) -> Vec<String> {
    let lines = rated.statements().iter().flat_map(|statement| &statement.lines);
    lines
        .map(|line| {
            let what = line.meter.as_deref().or(line.item.as_deref()).unwrap_or("-");
            let corrects = line.corrects.as_deref().unwrap_or("new");
            match line.correction {
                Some(Correction::Reversal) => format!("{what} {} takes back {corrects}", line.amount),
                Some(Correction::Reentry) => format!("{what} {} for {corrects}", line.amount),
                None => format!("{what} {}", line.amount),
            }
        })
        .collect()
}

#[test]
fn late_use_corrects_its_own_meter_by_the_number_of_the_bill() {
    let world = with_docs(false);
    let late = [record("nts/own", "m", "5")];
    assert_eq!(
        lines(&november(&world, &world, &late)),
        ["m -20 takes back 2026-000001/2", "m 30 for 2026-000001/2"]
    );
}

#[test]
fn without_late_use_nothing_is_corrected_whatever_people_deleted_since() {
    assert_eq!(lines(&november(&with_docs(true), &with_docs(false), &[])), [""; 0]);
}

#[test]
fn a_system_that_was_deleted_since_stays_on_the_bill_of_the_past_also_where_late_use_is_corrected() {
    let late = [record("nts/own", "m", "5")];
    let rated = november(&with_docs(true), &with_docs(false), &late);
    assert_eq!(
        lines(&rated),
        ["m -20 takes back 2026-000001/3", "m 30 for 2026-000001/3"]
    );
}
