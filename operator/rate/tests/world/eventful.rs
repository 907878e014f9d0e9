//! Four months in which much happens, and random use of them.

use jiff::{SignedDuration, Timestamp};
use maru_crds::{AgencySystemSpec, CostPoolSpec, SystemSubscriptionSpec};
use maru_meter::{Exact, UsageRecord};
use maru_rate::World;
use proptest::prelude::*;
use serde_json::json;

use super::{Card, record};

pub(crate) fn world() -> World {
    let mut world = World::default();
    for agency in ["nts", "mois", "moel"] {
        world.add_agency(agency, [agency.to_owned()]);
    }
    world
}

const PRICES: &str =
    "- {meter: m, unit: u, model: Graduated, tiers: [{upTo: '100', unitPrice: '3', flatFee: '10'}, {unitPrice: '2'}]}
- {meter: k, unit: u, model: PerUnit, unitPrice: '1.5', included: '50', increment: '0.5'}
- {meter: v, unit: u, model: Volume, tiers: [{upTo: '80', unitPrice: '3'}, {unitPrice: '2'}]}
- {meter: p, unit: u, model: Package, packageSize: '30', packagePrice: '40'}
- {name: support, model: Percentage, of: [m, k], rate: '0.07'}";

/// Four months: a system that is shared and retired, one at a standard rate, a cost pool, and a price that changes.
pub(crate) fn eventful(on_no_usage: &str, retired: bool) -> (Card, World) {
    let card = Card::of(PRICES)
        .minimum("200")
        .version("2026-10-11T00:00:00+09:00", &PRICES.replace("'3'", "'4'"))
        .tax("2026-01-01T00:00:00+09:00", "0.10");
    let mut world = world();
    let retirement = if retired {
        "retirement: {date: '2026-11-20', policy: Subscribers}"
    } else {
        ""
    };
    for (name, rest) in [
        ("docs", format!("sharing: {{acceptsAll: true, fixedShare: '0.3', driver: d, onNoUsage: {on_no_usage}}}\n{retirement}")),
        ("mail", "sharing: {acceptsAll: true, driver: d, mode: StandardRate, standardRate: {fiscalYear: 2026, unitPrice: '7'}}".to_owned()),
    ] {
        let spec = format!(
            "cost:\n  currency: KRW\n  builds: [{{name: b, amount: '100000', inServiceDate: '2026-09-15', months: 7}}]\n  operations: [{{name: run, monthly: '1001', from: '2026-01-01'}}]\n{rest}"
        );
        let spec: AgencySystemSpec = serde_saphyr::from_str(&spec).unwrap();
        world.add_system("mois", name, &spec).unwrap();
        for (agency, from, until) in [("moel", "2026-01-01", None), ("nts", "2026-10-08", Some("2026-12-05"))] {
            let spec = json!({"systemRef": {"namespace": "mois", "name": name}, "weight": "3", "from": from, "until": until});
            let spec: SystemSubscriptionSpec = serde_json::from_value(spec).unwrap();
            world.add_subscription(agency, &spec).unwrap();
        }
    }
    let pool = "{currency: KRW, driver: k, operations: [{name: hall, monthly: '997', from: '2026-01-01'}]}";
    let pool: CostPoolSpec = serde_saphyr::from_str(pool).unwrap();
    world.add_cost_pool("hall", &pool).unwrap();
    (card, world)
}

const HOUR: i64 = 3600;

pub(crate) fn records() -> impl Strategy<Value = Vec<UsageRecord>> {
    let agency = prop::sample::select(vec!["moel", "mois", "nts"]);
    let system = prop::sample::select(vec!["mois/docs", "mois/mail", "nts/own"]);
    let meter = prop::sample::select(vec!["m", "k", "v", "p", "d", "d", "free"]);
    // Four months of hours, as lengths an instant, an hour and some days; known at once, or up to when December is issued.
    let one = (
        agency,
        system,
        meter,
        0u32..200_000,
        0i64..2930,
        prop::sample::select(vec![0, 1, 90]),
        0i64..3000,
    );
    let made = one.prop_map(|(agency, system, meter, thousandths, start, length, known)| {
        let begin: Timestamp = "2026-08-31T15:00:00Z".parse().unwrap();
        let at = |hours: i64| begin + SignedDuration::from_secs(hours * HOUR);
        let recorded = (known > 300).then(|| at(known.max(start + length).min(3000)));
        let mut record = record(system, meter, &Exact::scaled(i64::from(thousandths), 3).to_string());
        (record.agency, record.start, record.end) = (agency.to_owned(), at(start), at(start + length));
        record.recorded_at = recorded;
        record
    });
    prop::collection::vec(made, 0..25)
}

/// How many random cases are tried; `PROPTEST_CASES` asks for more.
pub(crate) fn cases(default: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(default),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
