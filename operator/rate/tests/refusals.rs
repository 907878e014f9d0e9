//! What a manifest may not say, with the field that is named and what is allowed there.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use maru_crds::{AgencySystemSpec, CostPoolSpec, RateCardSpec, SystemSubscriptionSpec};
use maru_rate::{World, card};

const CARD: &str = "currency: KRW
timeZone: Asia/Seoul
versions:
- from: '2026-01-01T00:00:00+09:00'
  minimumCharge: '5'
  items:
  - {meter: m, unit: u, model: PerUnit, unitPrice: '1', included: '2', increment: '3'}
  - {meter: g, unit: u, model: Graduated, tiers: [{upTo: '10', unitPrice: '1', flatFee: '4'}, {unitPrice: '2'}]}
  - {meter: p, unit: u, model: Package, packageSize: '6', packagePrice: '7'}
  - {name: support, model: Percentage, of: [m], rate: '0.07'}
- {from: '2026-02-01T00:00:00+09:00', items: []}
exchangeRates:
- {from: '2026-01-01T00:00:00+09:00', currency: USD, rate: '1350'}
- {from: '2026-02-01T00:00:00+09:00', currency: USD, rate: '1351'}
taxes:
- {from: '2026-01-01T00:00:00+09:00', name: VAT, rate: '0.10'}
- {from: '2026-02-01T00:00:00+09:00', name: VAT, rate: '0.11'}";

/// A part of the card, what stands in its place, and the refusal.
const CARDS: [[&str; 3]; 28] = [
    [
        "currency: KRW\n",
        "currency: XXX\n",
        "spec.currency: `XXX` is not a currency",
    ],
    [
        "Asia/Seoul",
        "Mars/Base",
        "spec.timeZone: `Mars/Base` is not a time zone",
    ],
    [
        "from: '2026-02-01T00:00:00+09:00', items",
        "from: '2026-01-01T00:00:00+09:00', items",
        "spec.versions[1].from: is not after the version before it",
    ],
    [
        "'2026-01-01T00:00:00+09:00'\n  minimum",
        "'2026-01-01T00:00:00'\n  minimum",
        "spec.versions[0].from: `2026-01-01T00:00:00` is not a moment",
    ],
    [
        "minimumCharge: '5'",
        "minimumCharge: '-5'",
        "spec.versions[0].minimumCharge: -5 is negative",
    ],
    [
        "unitPrice: '1', included",
        "unitPrice: one, included",
        "spec.versions[0].items[0].unitPrice: ",
    ],
    [
        "unitPrice: '1', included",
        "included",
        "spec.versions[0].items[0].unitPrice: is missing",
    ],
    [
        "included: '2'",
        "included: '-2'",
        "spec.versions[0].items[0].included: -2 is negative",
    ],
    [
        "increment: '3'",
        "increment: '0'",
        "spec.versions[0].items[0].increment: is 0",
    ],
    [
        "{meter: m, unit: u, model: PerUnit",
        "{meter: m, model: PerUnit",
        "spec.versions[0].items[0].unit: is missing",
    ],
    [
        "{meter: m, unit: u, model: PerUnit",
        "{name: x, unit: u, model: PerUnit",
        "spec.versions[0].items[0].meter: is missing",
    ],
    [
        "{meter: m, unit: u, model: PerUnit",
        "{meter: m, unit: u, currency: ZZZ, model: PerUnit",
        "spec.versions[0].items[0].currency: `ZZZ` is not a currency",
    ],
    [
        "{meter: p,",
        "{meter: m,",
        "spec.versions[0].items[2]: `m` is there twice",
    ],
    [
        "{meter: p,",
        "{name: other, meter: m,",
        "spec.versions[0].items[2].meter: `m` is priced twice",
    ],
    [
        "upTo: '10', ",
        "",
        "spec.versions[0].items[1].tiers[0].upTo: allowed is a bound on every tier but the last",
    ],
    [
        "{unitPrice: '2'}",
        "{upTo: '20', unitPrice: '2'}",
        "spec.versions[0].items[1].tiers[1].upTo: allowed is a bound on every tier but the last",
    ],
    [
        "{unitPrice: '2'}",
        "{upTo: '10', unitPrice: '2'}, {unitPrice: '3'}",
        "spec.versions[0].items[1].tiers[1].upTo: 10 is not above the tier before it, 10",
    ],
    [
        "upTo: '10'",
        "upTo: '0'",
        "spec.versions[0].items[1].tiers[0].upTo: is 0",
    ],
    [
        "flatFee: '4'",
        "flatFee: '-4'",
        "spec.versions[0].items[1].tiers[0].flatFee: -4 is negative",
    ],
    [
        "[{upTo: '10', unitPrice: '1', flatFee: '4'}, {unitPrice: '2'}]",
        "[]",
        "spec.versions[0].items[1].tiers: is empty",
    ],
    [
        "packageSize: '6'",
        "packageSize: '0'",
        "spec.versions[0].items[2].packageSize: is 0",
    ],
    [
        "packageSize: '6', ",
        "",
        "spec.versions[0].items[2].packageSize: is missing",
    ],
    [
        ", packagePrice: '7'",
        "",
        "spec.versions[0].items[2].packagePrice: is missing",
    ],
    ["of: [m]", "of: []", "spec.versions[0].items[3].of: is empty"],
    [
        "of: [m]",
        "of: [n]",
        "spec.versions[0].items[3].of: `n` has no item in this version",
    ],
    [
        "currency: USD, rate: '1351'",
        "currency: KRW, rate: '1'",
        "spec.exchangeRates[1].currency: is the card's own, KRW",
    ],
    [
        "from: '2026-02-01T00:00:00+09:00', currency",
        "from: '2026-01-01T00:00:00+09:00', currency",
        "spec.exchangeRates[1].from: is there twice",
    ],
    [
        "rate: '0.11'",
        "rate: '1.1'",
        "spec.taxes[1].rate: 1.1 is more than the whole",
    ],
];

fn read(text: &str) -> Result<(), String> {
    let spec: RateCardSpec = serde_saphyr::from_str(text).unwrap();
    card::read(&spec).map(|_| ()).map_err(|refusal| refusal.to_string())
}

#[test]
fn a_price_book_that_makes_no_sense_is_refused_by_the_field() {
    assert_eq!(read(CARD), Ok(()));
    for [right, wrong, refusal] in CARDS {
        assert!(CARD.contains(right), "{right}");
        let said = read(&CARD.replacen(right, wrong, 1)).unwrap_err();
        assert!(said.starts_with(refusal), "{wrong}: {said}");
    }
    // What is just within bounds is right.
    for (right, wrong) in [
        ("rate: '0.11'", "rate: '1'"),
        ("rate: '0.07'", "rate: '0'"),
        ("included: '2'", "included: '0'"),
    ] {
        assert_eq!(read(&CARD.replacen(right, wrong, 1)), Ok(()), "{wrong}");
    }
    let no_versions = "currency: KRW\ntimeZone: Asia/Seoul\nversions: []";
    assert!(read(no_versions).unwrap_err().starts_with("spec.versions: is empty"));
}

const SYSTEM: &str = "cost:
  currency: KRW
  builds:
  - {name: one, amount: '100', residual: '100', inServiceDate: '2026-01-01', months: 600, method: Annuity, annualRate: '1'}
  - {name: two, amount: '100', inServiceDate: '2026-01-01', months: 1}
  operations:
  - {name: run, monthly: '5', from: '2026-01-01', to: '2026-02-01'}
  - {name: team, monthly: '6', from: '2026-01-01'}
sharing: {acceptsAll: true, fixedShare: '1', driver: d, ownerWeight: '0', mode: StandardRate, standardRate: {fiscalYear: 2026, unitPrice: '7', carryForwardLimit: '8'}}
retirement: {date: '2026-12-31', policy: Owner}";

const SYSTEMS: [[&str; 3]; 18] = [
    [
        "name: two",
        "name: one",
        "spec.cost.builds[1].name: `one` is there twice",
    ],
    [
        "name: team",
        "name: run",
        "spec.cost.operations[1].name: `run` is there twice",
    ],
    [
        "amount: '100', residual",
        "amount: '100.5', residual",
        "spec.cost.builds[0].amount: 100.5 has parts of a minor unit",
    ],
    [
        "residual: '100'",
        "residual: '101'",
        "spec.cost.builds[0].residual: 101 is more than the amount: allowed is up to 100",
    ],
    [
        "months: 600",
        "months: 601",
        "spec.cost.builds[0].months: 601 is not allowed: allowed are 1 to 600",
    ],
    [
        "months: 1}",
        "months: 0}",
        "spec.cost.builds[1].months: 0 is not allowed",
    ],
    [", annualRate: '1'", "", "spec.cost.builds[0].annualRate: is missing"],
    [
        "annualRate: '1'",
        "annualRate: '1.01'",
        "spec.cost.builds[0].annualRate: 1.01 is more than the whole",
    ],
    [
        "inServiceDate: '2026-01-01', months: 600",
        "inServiceDate: '2026-1-1', months: 600",
        "spec.cost.builds[0].inServiceDate: `2026-1-1` is not a date",
    ],
    [
        "monthly: '5'",
        "monthly: '-5'",
        "spec.cost.operations[0].monthly: -5 is negative",
    ],
    [
        "to: '2026-02-01'",
        "to: '2026-02-30'",
        "spec.cost.operations[0].to: `2026-02-30` is not a date",
    ],
    [
        "fixedShare: '1'",
        "fixedShare: '1.5'",
        "spec.sharing.fixedShare: 1.5 is more than the whole",
    ],
    [
        "ownerWeight: '0'",
        "ownerWeight: '-1'",
        "spec.sharing.ownerWeight: -1 is negative",
    ],
    ["driver: d, ", "", "spec.sharing.driver: is missing"],
    [
        ", standardRate: {fiscalYear: 2026, unitPrice: '7', carryForwardLimit: '8'}",
        "",
        "spec.sharing.standardRate: is missing",
    ],
    [
        "unitPrice: '7'",
        "unitPrice: '-7'",
        "spec.sharing.standardRate.unitPrice: -7 is negative",
    ],
    [
        "carryForwardLimit: '8'",
        "carryForwardLimit: '-8'",
        "spec.sharing.standardRate.carryForwardLimit: -8 is negative",
    ],
    [
        "date: '2026-12-31'",
        "date: 31.12.2026",
        "spec.retirement.date: `31.12.2026` is not a date",
    ],
];

#[test]
fn a_system_that_makes_no_sense_is_refused_by_the_field() {
    let add = |text: &str| {
        let spec: AgencySystemSpec = serde_saphyr::from_str(text).unwrap();
        let added = World::default().add_system("mois", "docs", &spec);
        added.map_err(|refusal| refusal.to_string())
    };
    assert_eq!(add(SYSTEM), Ok(()));
    for [right, wrong, refusal] in SYSTEMS {
        assert!(SYSTEM.contains(right), "{right}");
        let said = add(&SYSTEM.replacen(right, wrong, 1)).unwrap_err();
        assert!(said.starts_with(refusal), "{wrong}: {said}");
    }
}

#[test]
fn subscriptions_of_an_agency_to_a_system_follow_each_other() {
    let subscription = |from: &str, until: &str| -> SystemSubscriptionSpec {
        let until = if until.is_empty() {
            String::new()
        } else {
            format!(", until: '{until}'")
        };
        let text = format!("{{systemRef: {{namespace: mois, name: docs}}, from: '{from}'{until}}}");
        serde_saphyr::from_str(&text).unwrap()
    };
    // Beside one from March to May: what does not touch it is right, in whatever order they come.
    for (from, until, right) in [
        ("2026-06-01", "", true),
        ("2026-05-31", "", false),
        ("2026-01-01", "2026-03-01", true),
        ("2026-01-01", "2026-03-02", false),
        ("2026-01-01", "", false),
        ("2026-04-01", "2026-04-02", false),
    ] {
        let (one, other) = (subscription("2026-03-01", "2026-06-01"), subscription(from, until));
        for (first, second) in [(&one, &other), (&other, &one)] {
            let mut world = World::default();
            world.add_subscription("moel", first).unwrap();
            let said = world
                .add_subscription("moel", second)
                .map_err(|refusal| refusal.to_string());
            assert_eq!(said.is_ok(), right, "{from} {until}: {said:?}");
            assert!(world.add_subscription("nts", second).is_ok());
        }
    }
    for until in ["2026-03-01", "2026-02-28"] {
        let said = World::default()
            .add_subscription("moel", &subscription("2026-03-01", until))
            .unwrap_err();
        assert!(said.to_string().starts_with("spec.until: is not after from"), "{said}");
    }
}

#[test]
fn a_cost_pool_that_makes_no_sense_is_refused_by_the_field() {
    let pool = "{currency: KRW, driver: d, idle: Platform, platformAgencyRef: {name: nirs}, operations: [{name: run, monthly: '5', from: '2026-01-01'}],
        capacity: [{from: '2026-01-01', perHour: '0'}, {from: '2026-02-01', perHour: '2'}]}";
    let add = |text: &str| {
        let spec: CostPoolSpec = serde_saphyr::from_str(text).unwrap();
        World::default()
            .add_cost_pool("hall", &spec)
            .map_err(|refusal| refusal.to_string())
    };
    assert_eq!(add(pool), Ok(()));
    for [right, wrong, refusal] in [
        [
            "from: '2026-02-01', perHour",
            "from: '2026-01-01', perHour",
            "spec.capacity[1].from: is not after the one before it",
        ],
        [
            "perHour: '2'",
            "perHour: '-2'",
            "spec.capacity[1].perHour: -2 is negative",
        ],
        [
            "platformAgencyRef: {name: nirs}, ",
            "",
            "spec.platformAgencyRef: is missing",
        ],
        [
            "currency: KRW",
            "currency: GOLD",
            "spec.currency: `GOLD` is not a currency",
        ],
    ] {
        assert!(pool.contains(right), "{right}");
        let said = add(&pool.replacen(right, wrong, 1)).unwrap_err();
        assert!(said.starts_with(refusal), "{wrong}: {said}");
    }
    // Who pays for what nobody used is asked only where there is such a thing.
    let proportional = pool.replace("idle: Platform, platformAgencyRef: {name: nirs}", "idle: Proportional");
    assert_eq!(add(&proportional), Ok(()));
    assert_eq!(add("{currency: KRW, driver: d, idle: Platform}"), Ok(()));
}
