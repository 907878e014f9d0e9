//! Rates one million quantities for 2,000 agencies and says how long it took:
//! `cargo run --release -p maru-rate --example million`.
#![allow(clippy::unwrap_used, reason = "a measurement")]

use std::io::Write;
use std::time::Instant;

use maru_crds::RateCardSpec;
use maru_meter::{Completeness, Exact, UsageRecord};
use maru_rate::{Period, Usage, World, card};

const CARD: &str = r#"{"currency": "KRW", "timeZone": "Asia/Seoul", "versions": [{"from": "2026-01-01T00:00:00+09:00", "items": [
  {"meter": "m0", "unit": "u", "model": "PerUnit", "unitPrice": "42.5"},
  {"meter": "m1", "unit": "u", "model": "PerUnit", "unitPrice": "5.25", "included": "100"},
  {"meter": "m2", "unit": "u", "model": "Graduated", "tiers": [{"upTo": "1000000", "unitPrice": "0.1"}, {"unitPrice": "0.05", "flatFee": "10"}]},
  {"meter": "m3", "unit": "u", "model": "Package", "packageSize": "1000", "packagePrice": "3"},
  {"meter": "m4", "unit": "u", "model": "PerUnit", "unitPrice": "0.31", "currency": "USD"},
  {"name": "support", "model": "Percentage", "of": ["m0", "m1"], "rate": "0.07"}]}],
 "exchangeRates": [{"from": "2026-01-01T00:00:00+09:00", "currency": "USD", "rate": "1350.20"}],
 "taxes": [{"from": "2026-01-01T00:00:00+09:00", "name": "VAT", "rate": "0.1"}]}"#;

fn main() {
    let card: RateCardSpec = serde_json::from_str(CARD).unwrap();
    let book = card::read(&card).unwrap();
    let world = World::default();
    let period = Period::new("2026-10".parse().unwrap(), &book.zone).unwrap();
    let mut out = std::io::stdout().lock();

    let mut record = UsageRecord {
        id: "x".to_owned(),
        agency: String::new(),
        system: String::new(),
        resource: String::new(),
        meter: String::new(),
        quantity: Exact::ZERO,
        unit: String::new(),
        start: period.interval.start,
        end: period.interval.end,
        source: String::new(),
        completeness: Completeness::Complete,
        recorded_at: None,
    };
    let mut usage = Usage::new(&book, &world, period);
    let started = Instant::now();
    let mut adding = std::time::Duration::ZERO;
    for number in 0..1_000_000u64 {
        let (agency, system, meter) = (number % 2000, number / 2000 % 100, number / 200_000);
        record.agency = format!("agency-{agency}");
        record.system = format!("agency-{agency}/system-{system}");
        record.meter = format!("m{meter}");
        record.quantity = Exact::scaled(number * 7919 % 1_000_000_007, 6);
        let before = Instant::now();
        usage.add(&record).unwrap();
        adding += before.elapsed();
    }
    let made = started.elapsed();
    let started = Instant::now();
    let rated = usage.rate().unwrap();
    let rating = started.elapsed();
    let lines: usize = rated.statements().iter().map(|statement| statement.lines.len()).sum();
    writeln!(
        out,
        "{} bills, {lines} lines; adding {adding:?} (with making {made:?}), rating {rating:?}",
        rated.statements().len()
    )
    .unwrap();
}
