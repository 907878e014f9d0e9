//! Rate cards and usage in a few words.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of it")]

pub(crate) mod eventful;

use std::fmt::Write;

use maru_crds::RateCardSpec;
use maru_meter::UsageRecord;
use maru_rate::{Billed, Carry, Course, Month, Period, RateError, Rated, Reopened, Statement, Usage, World, card};

/// A rate card that is written piece by piece.
pub(crate) struct Card {
    currency: String,
    zone: String,
    rounding: (String, String),
    versions: Vec<(String, String, String)>,
    exchange: String,
    taxes: String,
}

impl Card {
    /// One version from the beginning of 2026 in Seoul, in won.
    pub(crate) fn of(items: &str) -> Self {
        Self {
            currency: "KRW".to_owned(),
            zone: "Asia/Seoul".to_owned(),
            rounding: ("Line".to_owned(), "HalfUp".to_owned()),
            versions: vec![("2026-01-01T00:00:00+09:00".to_owned(), items.to_owned(), "0".to_owned())],
            exchange: String::new(),
            taxes: String::new(),
        }
    }

    pub(crate) fn version(mut self, from: &str, items: &str) -> Self {
        self.versions.push((from.to_owned(), items.to_owned(), "0".to_owned()));
        self
    }

    pub(crate) fn minimum(mut self, amount: &str) -> Self {
        amount.clone_into(&mut self.versions.last_mut().unwrap().2);
        self
    }

    pub(crate) fn currency(mut self, code: &str) -> Self {
        code.clone_into(&mut self.currency);
        self
    }

    pub(crate) fn zone(mut self, name: &str) -> Self {
        name.clone_into(&mut self.zone);
        self
    }

    pub(crate) fn rounding(mut self, at: &str, mode: &str) -> Self {
        self.rounding = (at.to_owned(), mode.to_owned());
        self
    }

    pub(crate) fn exchange(mut self, from: &str, currency: &str, rate: &str) -> Self {
        writeln!(
            self.exchange,
            "- {{from: '{from}', currency: {currency}, rate: '{rate}'}}"
        )
        .unwrap();
        self
    }

    pub(crate) fn tax(mut self, from: &str, rate: &str) -> Self {
        writeln!(self.taxes, "- {{from: '{from}', name: VAT, rate: '{rate}'}}").unwrap();
        self
    }

    pub(crate) fn spec(&self) -> RateCardSpec {
        let mut text = format!(
            "currency: {}\ntimeZone: {}\nrounding: {{at: {}, mode: {}}}\nversions:\n",
            self.currency, self.zone, self.rounding.0, self.rounding.1
        );
        for (from, items, minimum) in &self.versions {
            let items = items.replace('\n', "\n  ");
            writeln!(
                text,
                "- from: '{from}'\n  minimumCharge: '{minimum}'\n  items:\n  {items}"
            )
            .unwrap();
        }
        for (name, list) in [("exchangeRates", &self.exchange), ("taxes", &self.taxes)] {
            if !list.is_empty() {
                writeln!(text, "{name}:\n{list}").unwrap();
            }
        }
        serde_saphyr::from_str(&text).unwrap()
    }

    /// Rates a month in a world.
    pub(crate) fn rate_in(
        &self,
        world: &World,
        month: &str,
        records: &[UsageRecord],
        carry: &maru_rate::Carry,
    ) -> Rated {
        let book = card::read(&self.spec()).unwrap();
        let period = Period::new(month.parse().unwrap(), &book.zone).unwrap();
        let mut usage = Usage::new(&book, world, period);
        for record in records {
            usage.add(record).unwrap();
        }
        usage.rate_after(carry).unwrap()
    }

    /// Rates months one after the other, each issued 72 hours after its end.
    pub(crate) fn course(&self, world: &World, months: &str, records: &[UsageRecord]) -> Vec<Rated> {
        let book = card::read(&self.spec()).unwrap();
        let months = maru_rate::Month::range(months).unwrap();
        let periods = months.into_iter().map(|month| Period::new(month, &book.zone).unwrap());
        let mut course = Course::new(&book, world, periods, Course::GRACE);
        for record in records {
            course.add(record).unwrap();
        }
        course.rate(&maru_rate::Carry::default()).unwrap()
    }

    /// The same month by month, with nothing but the books between them: what was issued, read back as it was written.
    pub(crate) fn by_the_books(&self, world: &World, months: &str, records: &[UsageRecord]) -> Vec<Rated> {
        let book = card::read(&self.spec()).unwrap();
        let months = Month::range(months).unwrap();
        let periods: Vec<Period> = months
            .into_iter()
            .map(|month| Period::new(month, &book.zone).unwrap())
            .collect();
        let known_by = |period: Period, at: Period| {
            let mut usage = Usage::new(&book, world, period);
            let issued = at.interval.end + Course::GRACE;
            for record in records
                .iter()
                .filter(|record| record.recorded_at.is_none_or(|known| known <= issued))
            {
                usage.add(record).unwrap();
            }
            usage
        };
        let mut all: Vec<Rated> = Vec::new();
        for (place, period) in periods.iter().enumerate() {
            let billed = periods[..place].iter().map(|earlier| Billed {
                before: known_by(*earlier, periods[place - 1]),
                now: known_by(*earlier, *period),
            });
            let mut reopened = Reopened::new(&book, Carry::default(), billed);
            for rated in &all {
                for statement in rated.statements() {
                    reopened.bill(&rated.month().to_string(), &as_written(statement));
                }
            }
            let carry = all.last().map_or(Carry::default(), |rated| rated.carry().clone());
            all.push(reopened.rate(known_by(*period, *period), &carry).unwrap());
        }
        all
    }

    pub(crate) fn try_rate(&self, month: &str, records: &[UsageRecord]) -> Result<Rated, RateError> {
        let book = card::read(&self.spec()).unwrap();
        let mut world = World::default();
        world.add_agency("nts", ["nts".to_owned()]);
        let period = Period::new(month.parse().unwrap(), &book.zone).unwrap();
        let mut usage = Usage::new(&book, &world, period);
        for record in records {
            usage.add(record).unwrap();
        }
        usage.rate()
    }

    pub(crate) fn rate(&self, month: &str, records: &[UsageRecord]) -> Rated {
        self.try_rate(month, records).unwrap()
    }

    /// The one bill, a line each: system, charge, what for, quantity, amount.
    pub(crate) fn bill(&self, month: &str, records: &[UsageRecord]) -> String {
        let rated = self.rate(month, records);
        assert_eq!(rated.statements().len(), 1);
        print(&rated.statements()[0])
    }
}

/// A statement as the ledger gives it back.
pub(crate) fn as_written(statement: &Statement) -> Statement {
    serde_json::from_value(serde_json::to_value(statement).unwrap()).unwrap()
}

pub(crate) fn print(statement: &maru_rate::Statement) -> String {
    let mut text = String::new();
    for line in &statement.lines {
        let name = line.meter.as_deref().or(line.item.as_deref()).unwrap_or("-");
        let quantity = line.quantity.as_ref().map_or("-".to_owned(), ToString::to_string);
        let system = line.system.as_deref().unwrap_or("-");
        writeln!(
            text,
            "{system} {} {name} {quantity} {}",
            line.charge.name(),
            line.amount
        )
        .unwrap();
    }
    write!(
        text,
        "subtotal {} tax {} total {}",
        statement.subtotal, statement.tax, statement.total
    )
    .unwrap();
    text
}

/// Use of `nts` over the whole of October 2026 in Seoul.
pub(crate) fn record(system: &str, meter: &str, quantity: &str) -> UsageRecord {
    serde_json::from_value(serde_json::json!({
        "id": format!("{system} {meter} {quantity}"), "agency": "nts", "system": system, "meter": meter, "quantity": quantity,
        "start": "2026-09-30T15:00:00Z", "end": "2026-10-31T15:00:00Z",
    }))
    .unwrap()
}
