//! A month in which everything stands as it is described, from its first to its last second.

use jiff::Timestamp;
use maru_bill::Bill;
use maru_crds::{AgencySystem, SystemKind};
use maru_desire::{Amounts, Resource, standing};
use maru_meter::{Completeness, Exact, UsageRecord};
use maru_rate::{Month, Period, Usage, World};

use super::country::Country;
use crate::problem::Problem;

/// Bytes in a GiB, and thousandths in a core.
const GIB: i64 = 1 << 30;
const MILLI: i64 = 1000;

/// The bills of such a month.
pub(super) struct Estimated {
    pub(super) month: Month,
    pub(super) bills: Vec<Bill>,
    /// What had to be assumed.
    pub(super) assumptions: Vec<String>,
    /// What billing would warn of.
    pub(super) warnings: Vec<String>,
}

/// The month that a moment is in, where the price book counts.
pub(super) fn present(country: &Country, card: &str, now: Timestamp) -> Result<Month, Problem> {
    let book = country.book(card)?;
    Ok(Month::of(now.to_zoned(book.zone).date()))
}

impl Estimated {
    /// The month, with the prices that hold in it.
    pub(super) fn work_out(country: &Country, card: &str, month: Month) -> Result<Self, Problem> {
        let (book, world) = (country.book(card)?, country.world()?);
        let period = Period::new(month, &book.zone)
            .ok_or_else(|| Problem::new(format!("--period: {month} is beyond the calendar")))?;
        let mut usage = Usage::new(&book, &world, period);
        for ((namespace, name), system) in &country.systems {
            for record in records(&world, (namespace, name), system, period) {
                usage.add(&record).map_err(Problem::new)?;
            }
        }
        let rated = usage.rate().map_err(Problem::new)?;
        let pages = maru_ledger::draft(&rated).map_err(Problem::new)?;
        Ok(Self {
            month,
            bills: pages.iter().map(Bill::of).collect(),
            assumptions: assumptions(country, card, period),
            warnings: rated.warnings().to_vec(),
        })
    }
}

/// What a system reserves, over the whole month.
fn records(world: &World, (namespace, name): (&str, &str), system: &AgencySystem, period: Period) -> Vec<UsageRecord> {
    let amounts = standing(system);
    let metered = [
        ("cpu.reserved", amounts.get(&Resource::Cpu), MILLI),
        ("memory.reserved", amounts.get(&Resource::Memory), GIB),
        ("storage.provisioned", amounts.get(&Resource::Storage), GIB),
        ("gpu.reserved", Amounts::devices(&amounts), 1),
    ];
    let hours = hours(period);
    let used = metered.into_iter().filter(|(_, amount, _)| *amount > 0);
    used.map(|(meter, amount, unit)| UsageRecord {
        id: format!("estimate/{namespace}/{name}/{meter}"),
        agency: world.owner(namespace).to_owned(),
        system: format!("{namespace}/{name}"),
        resource: String::new(),
        meter: meter.to_owned(),
        quantity: &Exact::ratio(amount, unit).unwrap_or_default() * &hours,
        unit: String::new(),
        start: period.interval.start,
        end: period.interval.end,
        source: "estimate".to_owned(),
        completeness: Completeness::Estimated,
        recorded_at: None,
    })
    .collect()
}

fn hours(period: Period) -> Exact {
    Exact::ratio(period.interval.length().as_secs(), 3600).unwrap_or_default()
}

fn assumptions(country: &Country, card: &str, period: Period) -> Vec<String> {
    let mut said = vec![
        format!(
            "{} has {} hours; prices, exchange rates and taxes are those of RateCard {card} in it",
            period.month,
            hours(period)
        ),
        "everything stands for the whole month: each component with its fixed number of pods, or the largest that it may have".to_owned(),
    ];

    let named = |which: &dyn Fn(&AgencySystem) -> bool| {
        let names = country.systems.iter().filter(|(_, system)| which(system));
        names
            .map(|((namespace, name), _)| format!("{namespace}/{name}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    for (which, what) in [
        (
            &(|system: &AgencySystem| !system.spec.jobs.is_empty()) as &dyn Fn(&AgencySystem) -> bool,
            "jobs are not counted, as nobody knows how long they run",
        ),
        (
            &|system| system.spec.kind() == SystemKind::Selector,
            "pods that a selector finds are not counted",
        ),
        (
            &|system| {
                system
                    .spec
                    .sharing
                    .as_ref()
                    .is_some_and(|sharing| sharing.driver.is_some())
            },
            "what is reported by use is not foreseen: shared costs are split as in a month without any",
        ),
    ] {
        let systems = named(which);
        if !systems.is_empty() {
            said.push(format!("{what}: {systems}"));
        }
    }
    said
}
