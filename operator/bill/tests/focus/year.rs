//! A year of a small government: four agencies, three systems, a data centre, prices and a tax that change, two credit notes. Issued in a
//! ledger in memory, so that bills have numbers.

use jiff::tz::TimeZone;
use maru_bill::Bill;
use maru_ledger::{Credit, CreditedLine, Inputs, Issue, Ledger};
use maru_meter::UsageRecord;
use maru_rate::{Carry, Month, Period, PriceBook, Usage, World, card};

const CARD: &str = "
currency: KRW
timeZone: Asia/Seoul
rounding: {at: Line, mode: HalfUp}
versions:
- from: '2026-01-01T00:00:00+09:00'
  minimumCharge: '900000'
  items: &items
  - {meter: cpu.reserved, unit: core-hour, model: PerUnit, unitPrice: '42.5'}
  - {meter: memory.reserved, unit: GiB-hour, model: PerUnit, unitPrice: '5.25', included: '100'}
  - {meter: storage.provisioned, unit: GiB-hour, model: PerUnit, unitPrice: '0.031'}
  - {meter: dataset.stored, unit: GiB-hour, model: Volume, tiers: [{upTo: '5000', unitPrice: '0.2'}, {unitPrice: '0.1', flatFee: '10'}]}
  - {meter: requests.count, unit: request, model: Graduated, tiers: [{upTo: '100000', unitPrice: '0'}, {unitPrice: '0.0005', flatFee: '1000'}]}
  - {meter: tokens.count, unit: token, model: Package, packageSize: '1000', packagePrice: '3'}
  - {meter: build.minutes, unit: hour, model: PerUnit, unitPrice: '0.9', currency: USD, increment: '1'}
  - {name: support, model: Percentage, of: [cpu.reserved, memory.reserved], rate: '0.07'}
- from: '2026-07-15T00:00:00+09:00'
  items:
  - {meter: cpu.reserved, unit: core-hour, model: PerUnit, unitPrice: '40'}
  - {meter: memory.reserved, unit: GiB-hour, model: PerUnit, unitPrice: '5'}
exchangeRates: [{from: '2026-01-01T00:00:00+09:00', currency: USD, rate: '1350.20'}]
taxes: [{from: '2026-01-01T00:00:00+09:00', name: VAT, rate: '0.10'}, {from: '2026-10-01T00:00:00+09:00', name: VAT, rate: '0.11'}]
";

const DOCS: &str = "
cost:
  currency: KRW
  builds:
  - {name: first-build, amount: '4800000000', inServiceDate: '2026-01-01', months: 60, annualRate: '0.045'}
  - {name: search, amount: '900000000', residual: '1000', inServiceDate: '2026-04-01', months: 36, method: Annuity, annualRate: '0.06'}
  operations: [{name: maintenance, monthly: '40000000', from: '2026-01-01'}]
sharing: {acceptsAll: true, fixedShare: '0.20', driver: requests.count, onNoUsage: CarryForward}
";
const PORTAL: &str = "
cost: {currency: KRW, operations: [{name: team, monthly: '3000000', from: '2026-01-01'}]}
sharing: {acceptsAll: true, driver: logins.count, mode: StandardRate, standardRate: {fiscalYear: 2026, unitPrice: '31.20'}}
";
const HOMETAX: &str = "
cost:
  currency: KRW
  builds: [{name: old-build, amount: '120000000', inServiceDate: '2026-01-01', months: 48}]
retirement: {date: '2026-09-10', policy: Owner}
";
const DATA_CENTRE: &str = "
currency: KRW
driver: cpu.reserved
builds: [{name: servers, amount: '60000000', inServiceDate: '2026-01-01', months: 60}]
operations: [{name: power, monthly: '500000', from: '2026-01-01'}]
capacity: [{from: '2026-01-01', perHour: '8'}]
idle: Proportional
";

/// The bills of the year and the zone of their periods.
pub(crate) fn bills() -> (Vec<Bill>, TimeZone) {
    let book = card::read(&read(&CARD.replace("&items", ""))).unwrap();
    let (world, mut ledger) = (world(), Ledger::in_memory().unwrap());
    let (mut carry, mut bills) = (Carry::default(), Vec::new());
    for number in 1..=12 {
        let month: Month = format!("2026-{number:02}").parse().unwrap();
        let inputs = Inputs::default();
        let rated = rate(&book, &world, month, &carry);
        carry = rated.carry().clone();
        let issue = Issue {
            issuer: "maru",
            fiscal_year: 2026,
            at: rated.interval().end,
            inputs: &inputs,
        };
        let pages = ledger.issue(&rated, &issue).unwrap();
        bills.extend(pages.iter().map(Bill::of));
        if number % 5 == 0 {
            let credit = Credit {
                reference: "case-17",
                reason: "an outage",
                lines: &[CreditedLine {
                    line: 1,
                    amount: "100".parse().unwrap(),
                }],
            };
            let note = ledger.credit(pages[1].number().unwrap(), &credit, &issue).unwrap();
            bills.push(Bill::of(&note));
        }
    }
    (bills, book.zone.clone())
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_saphyr::from_str(text).unwrap()
}

fn world() -> World {
    let mut world = World::default();
    for agency in ["moel", "mohw", "mois", "nts"] {
        world.add_agency(agency, [agency.to_owned()]);
    }
    world.add_system("mois", "docs", &read(DOCS)).unwrap();
    world.add_system("mois", "portal", &read(PORTAL)).unwrap();
    world.add_system("nts", "hometax", &read(HOMETAX)).unwrap();
    for (agency, system, weight, from, until) in [
        ("moel", "docs", "1200", "2026-01-01", "2026-08-15"),
        ("nts", "docs", "300", "2026-03-10", "2027-03-10"),
        ("mohw", "portal", "1", "2026-02-01", "2027-02-01"),
    ] {
        let spec = serde_json::json!({
            "systemRef": {"namespace": "mois", "name": system}, "weight": weight, "from": from, "until": until,
        });
        let spec = serde_json::from_value(spec).unwrap();
        world.add_subscription(agency, &spec).unwrap();
    }
    world.add_cost_pool("data-centre", &read(DATA_CENTRE)).unwrap();
    world
}

fn rate(book: &PriceBook, world: &World, month: Month, carry: &Carry) -> maru_rate::Rated {
    let period = Period::new(month, &book.zone).unwrap();
    let mut usage = Usage::new(book, world, period);
    let seed = month.to_string().bytes().map(u64::from).sum::<u64>();
    let use_of = [
        ("mois", "mois/docs", "cpu.reserved", "310.25"),
        ("moel", "mois/docs", "requests.count", "81234"),
        ("nts", "mois/docs", "requests.count", "1999"),
        ("mois", "mois/docs", "requests.count", "5120"),
        ("mohw", "mois/portal", "logins.count", "2051"),
        ("nts", "nts/hometax", "cpu.reserved", "120.333"),
        ("nts", "nts/hometax", "memory.reserved", "480.5"),
        ("nts", "nts/hometax", "storage.provisioned", "7440"),
        ("nts", "nts/hometax", "dataset.stored", "6000.125"),
        ("nts", "nts/hometax", "requests.count", "150000"),
        ("nts", "nts/hometax", "tokens.count", "1234567"),
        ("nts", "nts/hometax", "build.minutes", "0.25"),
        ("mohw", "unassigned", "cpu.reserved", "3"),
        ("moel", "unassigned", "disk.spun", "3.333333333333"),
    ];
    for (place, (agency, system, meter, quantity)) in use_of.into_iter().enumerate() {
        // In June nobody uses the shared documents: what the use would split is carried into July.
        if meter == "requests.count" && system == "mois/docs" && month.to_string() == "2026-06" {
            continue;
        }
        let record: UsageRecord = serde_json::from_value(serde_json::json!({
            "id": format!("{month}/{place}"), "agency": agency, "system": system, "meter": meter,
            "quantity": format!("{}{quantity}", (seed + place as u64) % 3), "start": period.interval.start, "end": period.interval.end,
            "completeness": if place % 7 == 6 { "Estimated" } else { "Complete" },
        }))
        .unwrap();
        usage.add(&record).unwrap();
    }
    usage.rate_after(carry).unwrap()
}
