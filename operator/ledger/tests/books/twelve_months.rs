//! A year of three agencies as the slow model has it: what they use month by month, what becomes known late, and what each owes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maru_meter::{Exact, UsageRecord};
use maru_rate::{Month, Period};
use num_bigint::BigInt;
use serde_json::json;

use crate::model::{End, Item, Lines, NoUsage, Price, Rules, Scenario, Use, q};

pub(crate) const PRICES: &str = "currency: KRW
timeZone: Asia/Seoul
versions:
- from: '2026-01-01T00:00:00+09:00'
  items: [{meter: m0, unit: u, model: PerUnit, unitPrice: '42.5'}, {name: support, model: Percentage, of: [m0], rate: '0.07'}]
- from: '2026-07-11T00:00:00+09:00'
  items: [{meter: m0, unit: u, model: PerUnit, unitPrice: '39.9'}, {name: support, model: Percentage, of: [m0], rate: '0.07'}]
taxes: [{from: '2026-01-01T00:00:00+09:00', name: VAT, rate: '0.1'}]";

/// When `b` takes part in `a/s0`: it joins in March, and leaves in October.
pub(crate) const JOINED: [&str; 2] = ["2026-03-10", "2026-10-15"];
/// From this month on the system of `b` is one of `c`.
pub(crate) const MOVED: i8 = 8;
pub(crate) const OVERRUN: i8 = 4;
const DAY: i64 = 86400;

pub(crate) fn moment(day: &str) -> Timestamp {
    format!("{day}T00:00:00+09:00").parse().unwrap()
}

pub(crate) fn number(month: Month) -> i8 {
    month.first_day().month()
}

/// What is used in a month, and what of it becomes known when its bills are issued.
pub(crate) fn uses(month: Month) -> (Vec<Use>, Vec<Use>) {
    let number = number(month);
    let many = i64::from(number);
    let one = |agency, system, meter, quantity, day: i64| Use {
        agency,
        system,
        meter,
        quantity,
        start: day * DAY,
        end: day * DAY + 5 * 3600,
    };
    let mut uses = vec![one("a", "a/s0", "d", q(100 + many, 1), 4)];
    if (3..=10).contains(&number) {
        uses.push(one("b", "a/s0", "d", q(7 * many, 2), 11));
    }
    let (agency, system) = if number < MOVED { ("b", "b/s1") } else { ("c", "c/s1") };
    let times = if number == OVERRUN { 10 } else { 1 };
    let own = q((1000 * many + 1) * times, 2);
    // Over the eleventh of July, when the price changes.
    uses.push(Use {
        end: 20 * DAY,
        ..one(agency, system, "m0", own, 3)
    });
    let late = (number == 10).then(|| one("c", "c/s1", "m0", q(2665, 8), 8));
    (uses, late.into_iter().collect())
}

/// The month as the model has it.
fn scenario(period: Period, uses: Vec<Use>) -> Scenario {
    let begin = period.interval.start;
    let second = |at: Timestamp| at.duration_since(begin).as_secs();
    let version = |day: &str, price| {
        let item = Item {
            meter: "m0",
            in_dollars: false,
            price: Price::PerUnit {
                price,
                included: q(0, 1),
            },
        };
        (second(moment(day)), vec![item])
    };
    Scenario {
        end: second(period.interval.end),
        versions: vec![version("2026-01-01", q(85, 2)), version("2026-07-11", q(399, 10))],
        dollars: Vec::new(),
        taxes: vec![(second(moment("2026-01-01")), q(1, 10))],
        support: 70,
        uses,
        pool: vec![("Amortisation", 1_000_000), ("Operations", 300_001)],
        fixed_share: 200,
        joins: vec![("b", 3, second(moment(JOINED[0])), second(moment(JOINED[1])))],
        rules: Rules {
            no_usage: NoUsage::ByWeight,
            standard_rate: None,
            end: End::Never,
            hall: None,
            minimum: 0,
            alone: (0, 1, 0),
        },
    }
}

/// The month before.
pub(crate) fn before(month: Month) -> Month {
    Month::of(month.first_day().yesterday().unwrap())
}

pub(crate) fn record(period: Period, one: &Use) -> UsageRecord {
    let at = |second: i64| period.interval.start + jiff::SignedDuration::from_secs(second);
    let thousandths = (&one.quantity * q(1000, 1)).to_integer().to_string();
    serde_json::from_value(json!({
        "id": format!("{} {} {} {}", one.agency, one.meter, one.quantity, at(one.start)),
        "agency": one.agency, "system": one.system, "meter": one.meter,
        "quantity": Exact::scaled(thousandths.parse::<i64>().unwrap(), 3), "start": at(one.start), "end": at(one.end),
    }))
    .unwrap()
}

/// What the model says of a month.
pub(crate) struct Expected {
    /// Lines of the month's own.
    pub(crate) own: Lines,
    /// What is corrected of the month before, by the second of that month.
    pub(crate) corrected: Lines,
    /// What each agency owes, with tax.
    pub(crate) totals: BTreeMap<&'static str, BigInt>,
}

/// What the model says of a month whose bills follow those of the month before.
pub(crate) fn expected(month: Month, zone: &TimeZone) -> Expected {
    let period = |month| Period::new(month, zone).unwrap();
    let earlier = period(before(month));
    let own = scenario(period(month), uses(month).0).lines();
    let (in_time, late) = uses(before(month));
    let mut corrected = Lines::new();
    if !late.is_empty() {
        let known: Vec<Use> = in_time.iter().chain(&late).cloned().collect();
        corrected = scenario(earlier, known).lines();
        for (key, amount) in scenario(earlier, in_time).lines() {
            *corrected.entry(key).or_default() -= amount;
        }
        corrected.retain(|_, amount| *amount != 0.into());
    }
    let totals = ["a", "b", "c"].map(|agency| {
        let of = |lines: &Lines| -> BigInt {
            let own = lines.iter().filter(|((whose, ..), _)| whose == agency);
            own.map(|(_, amount)| amount).sum()
        };
        let subtotal = of(&own) + of(&corrected);
        let tax = num_rational::BigRational::from_integer(subtotal.clone()) * q(1, 10);
        (agency, subtotal + tax.round().to_integer())
    });
    Expected {
        own,
        corrected,
        totals: totals.into(),
    }
}
