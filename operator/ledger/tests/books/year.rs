//! A year in the life of an agency, month by month through the engine and the books: it joins a shared system, overruns its budget, disputes a
//! bill and is given a credit, hands its own system to another agency, and leaves. Every figure is held against the slow model.

use std::collections::BTreeMap;

use maru_crds::{Agency, AgencySystemSpec, SystemSubscriptionSpec};
use maru_ledger::{Credit, CreditedLine, Issue, Ledger, LedgerError, Metered, Page};
use maru_meter::Exact;
use maru_rate::{Billed, Carry, Charge, Month, Period, PriceBook, Rated, Reopened, Usage, World, card};
use num_bigint::BigInt;
use serde_json::json;

use crate::model::{Lines, Use};
use crate::place::{both, inputs};
use crate::twelve_months::{JOINED, MOVED, OVERRUN, PRICES, before, expected, moment, number, record, uses};

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
    let before = before(month);
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

    let expected = expected(month, &book.zone);
    assert_eq!(lines_of(&rated, period, false), expected.own, "{month}");
    assert_eq!(lines_of(&rated, earlier, true), expected.corrected, "{month}");
    for (agency, total) in expected.totals {
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
    let pages = ledger.issue(&rated, &issue).unwrap();
    let mut metered = Metered::new(period.interval);
    for one in &uses(month).0 {
        metered.add(&record(period, one), &world);
    }
    assert_eq!(metered.unbilled(&pages), [], "{month}: all of it stands on a bill");
    pages
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
