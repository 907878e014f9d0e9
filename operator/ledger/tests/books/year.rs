//! A year in the life of an agency, month by month through the engine and the books: it joins a shared system, overruns its budget, disputes a
//! bill and is given a credit, hands its own system to another agency, and leaves. Every figure is held against the slow model.

use std::collections::BTreeMap;

use jiff::Timestamp;
use maru_crds::{Agency, AgencySystemSpec, SystemSubscriptionSpec};
use maru_ledger::{Credit, CreditedLine, Issue, Ledger, LedgerError, Page};
use maru_meter::{Exact, UsageRecord};
use maru_rate::{Billed, Carry, Charge, Month, Period, PriceBook, Rated, Reopened, Usage, World, card};
use num_bigint::BigInt;
use serde_json::json;

use crate::model::{End, Item, Lines, NoUsage, Price, Rules, Scenario, Use, q};
use crate::place::{both, inputs};

const PRICES: &str = "currency: KRW
timeZone: Asia/Seoul
versions:
- from: '2026-01-01T00:00:00+09:00'
  items: [{meter: m0, unit: u, model: PerUnit, unitPrice: '42.5'}, {name: support, model: Percentage, of: [m0], rate: '0.07'}]
- from: '2026-07-11T00:00:00+09:00'
  items: [{meter: m0, unit: u, model: PerUnit, unitPrice: '39.9'}, {name: support, model: Percentage, of: [m0], rate: '0.07'}]
taxes: [{from: '2026-01-01T00:00:00+09:00', name: VAT, rate: '0.1'}]";

/// When `b` takes part in `a/s0`: it joins in March, and leaves in October.
const JOINED: [&str; 2] = ["2026-03-10", "2026-10-15"];
/// From this month on the system of `b` is one of `c`.
const MOVED: i8 = 8;
const OVERRUN: i8 = 4;
const DAY: i64 = 86400;

fn moment(day: &str) -> Timestamp {
    format!("{day}T00:00:00+09:00").parse().unwrap()
}

fn number(month: Month) -> i8 {
    month.first_day().month()
}

/// What is used in a month, and what of it becomes known when its bills are issued.
fn uses(month: Month) -> (Vec<Use>, Vec<Use>) {
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

/// Who there is in a month: the system of `b` is another one's from August on.
fn world(month: Month) -> World {
    let mut world = World::default();
    for agency in ["a", "b", "c"] {
        world.add_agency(agency, [agency.to_owned()]);
    }
    let shared: AgencySystemSpec = serde_json::from_value(json!({
        "cost": {
            "currency": "KRW",
            "builds": [{"name": "build", "amount": "12000000", "inServiceDate": "2026-01-01", "months": 12}],
            "operations": [{"name": "run", "monthly": "300001", "from": "2026-01-01"}],
        },
        "sharing": {"acceptsAll": true, "fixedShare": "0.2", "driver": "d", "onNoUsage": "ByWeight"},
    }))
    .unwrap();
    world.add_system("a", "s0", &shared).unwrap();
    let owner = if number(month) < MOVED { "b" } else { "c" };
    world.add_system(owner, "s1", &AgencySystemSpec::default()).unwrap();
    let joined: SystemSubscriptionSpec = serde_json::from_value(json!({
        "systemRef": {"namespace": "a", "name": "s0"}, "weight": "3", "from": JOINED[0], "until": JOINED[1],
    }))
    .unwrap();
    world.add_subscription("b", &joined).unwrap();
    world
}

fn record(period: Period, one: &Use) -> UsageRecord {
    let at = |second: i64| period.interval.start + jiff::SignedDuration::from_secs(second);
    let thousandths = (&one.quantity * q(1000, 1)).to_integer().to_string();
    serde_json::from_value(json!({
        "id": format!("{} {} {} {}", one.agency, one.meter, one.quantity, at(one.start)),
        "agency": one.agency, "system": one.system, "meter": one.meter,
        "quantity": Exact::scaled(thousandths.parse::<i64>().unwrap(), 3), "start": at(one.start), "end": at(one.end),
    }))
    .unwrap()
}

fn used<'a>(book: &'a PriceBook, world: &'a World, period: Period, uses: &[&[Use]]) -> Usage<'a> {
    let mut usage = Usage::new(book, world, period);
    for one in uses.iter().copied().flatten() {
        usage.add(&record(period, one)).unwrap();
    }
    usage
}

/// Lines in the form of the model's, by the second of the month that they are for; those of the bill's own month, or the others.
fn lines_of(rated: &Rated, of: Period, corrections: bool) -> Lines {
    let mut lines = Lines::new();
    for statement in rated.statements() {
        for line in statement
            .lines
            .iter()
            .filter(|line| line.correction.is_some() == corrections)
        {
            let name = line.meter.as_deref().or(line.item.as_deref()).unwrap_or("-");
            let key = (
                statement.agency.clone(),
                line.system.as_deref().unwrap_or("-").to_owned(),
                line.charge.name().to_owned(),
                name.to_owned(),
                line.interval.start.duration_since(of.interval.start).as_secs(),
            );
            *lines.entry(key).or_default() += line.amount.to_string().parse::<BigInt>().unwrap();
        }
    }
    if corrections {
        lines.retain(|_, amount| *amount != 0.into());
    }
    lines
}

/// What each agency owes by the model.
type Owed = BTreeMap<&'static str, BigInt>;

/// Issues a month and holds it against the model. Gives the bills.
fn close(ledger: &mut Ledger, book: &PriceBook, month: Month, owed: &mut Owed) -> Vec<Page> {
    let period = Period::new(month, &book.zone).unwrap();
    let world = world(month);
    let (own, _) = uses(month);
    let before = Month::of(month.first_day().yesterday().unwrap());
    let earlier = Period::new(before, &book.zone).unwrap();
    let (in_time, late) = uses(before);
    let carry = ledger.carry("maru", before).unwrap().unwrap_or_default();
    let billed = (!late.is_empty()).then(|| Billed {
        before: used(book, &world, earlier, &[&in_time]),
        now: used(book, &world, earlier, &[&in_time, &late]),
    });
    let mut reopened = Reopened::new(book, Carry::default(), billed);
    for page in ledger.pages("maru", before).unwrap() {
        reopened.bill(page.number().unwrap(), page.statement());
    }
    let rated = reopened.rate(used(book, &world, period, &[&own]), &carry).unwrap();

    let model = scenario(period, own);
    let expected = model.lines();
    assert_eq!(lines_of(&rated, period, false), expected, "{month}");
    let mut corrected = Lines::new();
    if !late.is_empty() {
        let known: Vec<Use> = in_time.iter().chain(&late).cloned().collect();
        corrected = scenario(earlier, known).lines();
        for (key, amount) in scenario(earlier, in_time).lines() {
            *corrected.entry(key).or_default() -= amount;
        }
        corrected.retain(|_, amount| *amount != 0.into());
    }
    assert_eq!(lines_of(&rated, earlier, true), corrected, "{month}");
    for agency in ["a", "b", "c"] {
        let of = |lines: &Lines| -> BigInt {
            let own = lines.iter().filter(|((whose, ..), _)| whose == agency);
            own.map(|(_, amount)| amount).sum()
        };
        let subtotal = of(&expected) + of(&corrected);
        let tax = num_rational::BigRational::from_integer(subtotal.clone()) * q(1, 10);
        let total = &subtotal + tax.round().to_integer();
        let statement = rated.statements().iter().find(|statement| statement.agency == agency);
        let said = statement.map_or_else(|| "0".to_owned(), |statement| statement.total.to_string());
        assert_eq!(said, total.to_string(), "{month} {agency}");
        *owed.entry(agency).or_default() += total;
    }
    let (inputs, at) = (inputs(), period.interval.end);
    let issue = Issue {
        issuer: "maru",
        fiscal_year: 2026,
        at,
        inputs: &inputs,
    };
    ledger.issue(&rated, &issue).unwrap()
}

/// Whether more than it planned was spent, and nothing new may begin.
fn is_blocked(bill: &Page) -> bool {
    let agency: Agency = serde_json::from_value(json!({
        "metadata": {"name": "b"},
        "spec": {
            "tier": "Central", "securityGrade": "Moderate",
            "quota": {"cpu": "8", "memory": "16Gi", "storage": "64Gi", "pods": 50},
            "budget": {"currency": "KRW", "monthlyAmount": "1000000", "onExceeded": "BlockNew"},
        },
        "status": {"budget": {"period": bill.month(), "currency": bill.currency(), "spent": bill.statement().total}},
    }))
    .unwrap();
    maru_desire::blocks_new(&agency).is_some()
}

/// The agency disputes its bill of April: half a million of the use is taken back, with its tax, once, and never more than was billed.
fn dispute(ledger: &mut Ledger, april: &Page, owed: &mut Owed) {
    let lines = &april.statement().lines;
    let place = lines.iter().position(|line| line.charge == Charge::Usage).unwrap();
    let line = u32::try_from(place + 1).unwrap();
    let inputs = inputs();
    let issue = Issue {
        issuer: "maru",
        fiscal_year: 2026,
        at: moment("2026-05-20"),
        inputs: &inputs,
    };
    let mut credit = |reference, amount: Exact| {
        let lines = [CreditedLine { line, amount }];
        let credit = Credit {
            reference,
            reason: "metered twice",
            lines: &lines,
        };
        ledger.credit(april.number().unwrap(), &credit, &issue)
    };
    let note = credit("case-7", Exact::from(500_000)).unwrap();
    assert_eq!(note.statement().total, Exact::from(-550_000));
    assert_eq!(
        credit("case-7", Exact::from(500_000)).unwrap(),
        note,
        "it is given once"
    );
    let beyond = credit("case-8", lines[place].amount.clone()).unwrap_err();
    assert!(matches!(beyond, LedgerError::Credit { .. }), "{beyond}");
    *owed.entry("b").or_default() -= 550_000;
}

#[test]
fn a_year_comes_to_what_the_model_says_whatever_an_agency_does_in_it() {
    let book = card::read(&serde_saphyr::from_str(PRICES).unwrap()).unwrap();
    for place in both() {
        let mut ledger = place.open();
        let (mut owed, mut numbers) = (Owed::new(), Vec::new());
        for month in Month::range("2026-01..2026-12").unwrap() {
            let pages = close(&mut ledger, &book, month, &mut owed);
            numbers.extend(pages.iter().map(|page| page.number().unwrap().to_owned()));
            let own = pages.iter().find(|page| page.statement().agency == "b");
            assert_eq!(
                own.is_some(),
                number(month) <= 10,
                "{}: who left gets no bill",
                place.name
            );
            if let Some(own) = own {
                assert_eq!(is_blocked(own), number(month) == OVERRUN, "{} {month}", place.name);
            }
            if number(month) == 5 {
                let april = ledger.pages("maru", "2026-04".parse().unwrap()).unwrap();
                let april = april.iter().find(|page| page.statement().agency == "b").unwrap();
                dispute(&mut ledger, april, &mut owed);
                numbers.push(format!("2026-{:06}", numbers.len() + 1));
            }
        }
        let expected: Vec<String> = (1..=numbers.len()).map(|number| format!("2026-{number:06}")).collect();
        assert_eq!(numbers, expected, "{}: no number is missing", place.name);
        for (agency, owed) in owed {
            let booked = ledger.balance(&format!("payable:{agency}"), "KRW").unwrap();
            assert_eq!(booked.to_string(), owed.to_string(), "{}: {agency}", place.name);
        }
        let verified = ledger.verify().unwrap();
        assert!(verified.agrees(), "{}: {:?}", place.name, verified.disagreements);
    }
}
