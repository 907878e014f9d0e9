//! Writing off what it cost to build a system.

use jiff::civil::Date;
use maru_crds::{Build, DepreciationMethod};
use maru_meter::exact::non_zero;
use maru_meter::{Exact, Rounding};

use crate::card::{amount, share};
use crate::currency::Currency;
use crate::period::Month;
use crate::refusal::Refusal;

/// Capital that was paid at once and is written off over months: the first build of a system, or an enhancement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tranche {
    /// Such as `first-build`.
    pub name: String,
    amount: Exact,
    residual: Exact,
    in_service: Date,
    months: u32,
    method: Method,
    currency: Currency,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Method {
    /// The same part each month; with a rate, a charge on the opening book value.
    StraightLine(Option<Exact>),
    /// The same payment each month, at this interest of a year.
    Annuity(Exact),
}

/// One month of a tranche, in the tranche's currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// From 1.
    pub number: u32,
    /// The calendar month.
    pub month: Month,
    /// All of it: principal, interest and capital charge.
    pub payment: Exact,
    /// Interest of an annuity.
    pub interest: Exact,
    /// What is written off.
    pub principal: Exact,
    /// The charge on the opening book value, with `StraightLine`.
    pub capital_charge: Exact,
    /// The book value when the month ends.
    pub closing: Exact,
}

impl Tranche {
    /// Reads a build; `field` is its path in the manifest.
    pub fn read(field: &str, build: &Build, currency: Currency) -> Result<Self, Refusal> {
        let at = |name: &str| format!("{field}.{name}");
        let whole = |name: &str, text: &str| {
            let number = amount(&at(name), text)?;
            if number.round(currency.places(), Rounding::Down) == number {
                return Ok(number);
            }
            Err(Refusal::new(
                at(name),
                format!(
                    "{number} has parts of a minor unit: allowed in {currency} are {} decimals",
                    currency.places()
                ),
            ))
        };
        let (cost, residual) = (whole("amount", &build.amount)?, whole("residual", &build.residual)?);
        if residual > cost {
            return Err(Refusal::new(
                at("residual"),
                format!("{residual} is more than the amount: allowed is up to {cost}"),
            ));
        }
        let months = u32::try_from(build.months)
            .ok()
            .filter(|months| (1..=600).contains(months));
        let rate = build
            .annual_rate
            .as_ref()
            .map(|text| share(&at("annualRate"), text))
            .transpose()?;
        let method = match (build.method, rate) {
            (DepreciationMethod::StraightLine, rate) => Method::StraightLine(rate.filter(|rate| !rate.is_zero())),
            (DepreciationMethod::Annuity, Some(rate)) if rate.is_zero() => Method::StraightLine(None),
            (DepreciationMethod::Annuity, Some(rate)) => Method::Annuity(rate),
            (DepreciationMethod::Annuity, None) => {
                return Err(Refusal::new(
                    at("annualRate"),
                    "is missing: Annuity needs it, such as \"0.045\" for 4.5 %",
                ));
            }
        };
        Ok(Self {
            name: build.name.clone(),
            amount: cost,
            residual,
            in_service: date(&at("inServiceDate"), &build.in_service_date)?,
            months: months.ok_or_else(|| {
                Refusal::new(
                    at("months"),
                    format!("{} is not allowed: allowed are 1 to 600", build.months),
                )
            })?,
            method,
            currency,
        })
    }

    /// The same amounts in another currency's minor units.
    pub(crate) fn in_currency(&self, currency: Currency) -> Self {
        Self {
            currency,
            ..self.clone()
        }
    }

    /// What its amounts are in.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The day from which it is used.
    pub fn in_service(&self) -> Date {
        self.in_service
    }

    /// What is written off in all.
    pub fn cost(&self) -> Exact {
        &self.amount - &self.residual
    }

    /// The first month: the first period that begins on the day of service or later. None beyond the calendar.
    pub fn first_month(&self) -> Option<Month> {
        first_month(self.in_service)
    }

    /// The whole schedule. Principal sums to [`Self::cost`], whatever the method. `mode` rounds interest and payments.
    pub fn schedule(&self, mode: Rounding) -> Vec<Row> {
        let Some(first) = self.first_month() else {
            return Vec::new();
        };
        let rate = match &self.method {
            Method::StraightLine(_) => None,
            Method::Annuity(rate) => Some(monthly(rate)),
        };
        let payment = rate
            .as_ref()
            .map(|rate| self.annuity_payment(rate, mode))
            .unwrap_or_default();
        let mut rows: Vec<Row> = Vec::new();
        let (mut opening, mut month) = (self.amount.clone(), Some(first));
        for number in 1..=self.months {
            let Some(this) = month else { break };
            let row = match &rate {
                None => self.straight_line_row(number, this, &opening, mode),
                Some(rate) => self.annuity_row(number, this, &opening, &payment, rate, mode),
            };
            (opening, month) = (row.closing.clone(), this.next());
            rows.push(row);
        }
        rows
    }

    /// The month's row; none outside of the schedule.
    pub fn row(&self, month: Month, mode: Rounding) -> Option<Row> {
        let number = u32::try_from(month.months_since(self.first_month()?) + 1).ok()?;
        if number == 0 || number > self.months {
            return None;
        }
        if matches!(self.method, Method::Annuity(_)) {
            return self.schedule(mode).into_iter().nth(number as usize - 1);
        }
        let opening = &self.amount - &self.straight_line_until(number - 1);
        Some(self.straight_line_row(number, month, &opening, mode))
    }

    /// What is not yet written off when a month ends.
    pub fn left_after(&self, month: Month, mode: Rounding) -> Exact {
        let Some(first) = self.first_month() else {
            return self.cost();
        };
        if month < first {
            return self.cost();
        }
        self.row(month, mode)
            .map_or(Exact::ZERO, |row| &row.closing - &self.residual)
    }

    /// `floor(C·k/n)` in minor units, so that the months sum to the cost exactly.
    fn straight_line_until(&self, number: u32) -> Exact {
        let part = (&self.cost() * &Exact::from(number)).over(non_zero_months(self.months));
        part.round(self.currency.places(), Rounding::Down)
    }

    fn straight_line_row(&self, number: u32, month: Month, opening: &Exact, mode: Rounding) -> Row {
        let principal = &self.straight_line_until(number) - &self.straight_line_until(number - 1);
        let capital_charge = match &self.method {
            Method::StraightLine(Some(rate)) => (opening * &monthly(rate)).round(self.currency.places(), mode),
            _ => Exact::ZERO,
        };
        Row {
            number,
            month,
            payment: &principal + &capital_charge,
            interest: Exact::ZERO,
            closing: opening - &principal,
            principal,
            capital_charge,
        }
    }

    /// `P = (amount − residual·vⁿ)·r / (1 − vⁿ)`, to the minor unit.
    fn annuity_payment(&self, rate: &Exact, mode: Rounding) -> Exact {
        let growth = (&Exact::ONE + rate).power(self.months); // 1/vⁿ, which keeps the fraction whole
        let above = &(&(&self.amount * &growth) - &self.residual) * rate;
        let payment = above.checked_div(&(&growth - &Exact::ONE)).unwrap_or_default();
        payment.round(self.currency.places(), mode)
    }

    /// A month of an annuity; the last one takes what is left.
    fn annuity_row(
        &self,
        number: u32,
        month: Month,
        opening: &Exact,
        payment: &Exact,
        rate: &Exact,
        mode: Rounding,
    ) -> Row {
        let interest = (opening * rate).round(self.currency.places(), mode);
        let principal = if number == self.months {
            opening - &self.residual
        } else {
            payment - &interest
        };
        Row {
            number,
            month,
            payment: &principal + &interest,
            interest,
            closing: opening - &principal,
            principal,
            capital_charge: Exact::ZERO,
        }
    }
}

/// The first month that begins on a day or later.
pub(crate) fn first_month(day: Date) -> Option<Month> {
    let month = Month::of(day);
    if month.first_day() == day {
        Some(month)
    } else {
        month.next()
    }
}

fn monthly(annual: &Exact) -> Exact {
    annual.over(non_zero(12))
}

fn non_zero_months(months: u32) -> std::num::NonZeroU64 {
    std::num::NonZeroU64::new(u64::from(months)).unwrap_or(std::num::NonZeroU64::MIN)
}

/// A calendar day.
pub(crate) fn date(field: &str, text: &str) -> Result<Date, Refusal> {
    let form = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    text.parse().ok().filter(|_| form).ok_or_else(|| {
        Refusal::new(
            field,
            format!("`{text}` is not a date: allowed is YYYY-MM-DD, such as 2026-01-31"),
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tranche(amount: &str, residual: &str, months: i32, method: DepreciationMethod, rate: Option<&str>) -> Tranche {
        let build = Build {
            name: "first-build".to_owned(),
            amount: amount.to_owned(),
            residual: residual.to_owned(),
            in_service_date: "2026-01-01".to_owned(),
            months,
            method,
            annual_rate: rate.map(str::to_owned),
        };
        Tranche::read(
            "spec.cost.builds[0]",
            &build,
            Currency::read("currency", "KRW").unwrap(),
        )
        .unwrap()
    }

    fn row(row: &Row) -> [String; 5] {
        [
            &row.payment,
            &row.interest,
            &row.principal,
            &row.capital_charge,
            &row.closing,
        ]
        .map(Exact::to_string)
    }

    #[test]
    fn a_day_is_written_in_one_way() {
        assert_eq!(date("from", "2026-01-31").unwrap().to_string(), "2026-01-31");
        for text in [
            "20260131",
            "2026-1-31",
            "+002026-01-31",
            "2026-01-31T00:00:00",
            "2026-02-30",
            "2026/01/31",
            "",
        ] {
            assert!(date("from", text).is_err(), "{text}");
        }
    }

    #[test]
    fn straight_line_is_by_cumulative_floor() {
        let rows = tranche("1000", "0", 7, DepreciationMethod::StraightLine, None).schedule(Rounding::HalfUp);
        let principal: Vec<_> = rows.iter().map(|row| row.principal.to_string()).collect();
        assert_eq!(principal, ["142", "143", "143", "143", "143", "143", "143"]);
        assert_eq!(rows[6].closing, Exact::ZERO);
        assert_eq!(rows[6].month.to_string(), "2026-07");
    }

    #[test]
    fn a_capital_charge_is_on_the_opening_book_value() {
        let rows =
            tranche("4800000000", "0", 60, DepreciationMethod::StraightLine, Some("0.045")).schedule(Rounding::HalfUp);
        assert_eq!(row(&rows[0]), ["98000000", "0", "80000000", "18000000", "4720000000"]);
        assert_eq!(row(&rows[1]), ["97700000", "0", "80000000", "17700000", "4640000000"]);
    }

    #[test]
    fn an_annuity_pays_the_same_each_month_and_the_last_takes_what_is_left() {
        // 1,000,000 at 12 % over 12 months: the textbook payment is 88,848.79.
        let rows = tranche("1000000", "0", 12, DepreciationMethod::Annuity, Some("0.12")).schedule(Rounding::HalfUp);
        assert_eq!(row(&rows[0]), ["88849", "10000", "78849", "0", "921151"]);
        assert_eq!(row(&rows[1]), ["88849", "9212", "79637", "0", "841514"]);
        assert_eq!(row(&rows[11]), ["88847", "880", "87967", "0", "0"]);
    }

    #[test]
    fn an_annuity_with_a_residual_ends_at_the_residual() {
        let rows =
            tranche("1000000", "200000", 24, DepreciationMethod::Annuity, Some("0.06")).schedule(Rounding::HalfUp);
        assert_eq!(rows[23].closing.to_string(), "200000");
        assert_eq!(rows[0].payment.to_string(), "36456"); // 36,456.49
    }

    #[test]
    fn no_interest_is_straight_line() {
        let annuity = tranche("1000", "0", 7, DepreciationMethod::Annuity, Some("0")).schedule(Rounding::HalfUp);
        assert_eq!(
            annuity,
            tranche("1000", "0", 7, DepreciationMethod::StraightLine, None).schedule(Rounding::HalfUp)
        );
    }

    #[test]
    fn the_first_month_begins_on_the_day_of_service_or_later() {
        let month = |day: &str| first_month(day.parse().unwrap()).unwrap().to_string();
        assert_eq!(
            (month("2026-01-01"), month("2026-01-02"), month("2026-12-31")),
            ("2026-01".into(), "2026-02".into(), "2027-01".into())
        );
    }

    proptest! {
        #[test]
        fn principal_sums_to_the_cost(
            amount in 0i64..10_000_000_000, part in 0i64..=100, months in 1i32..=120, rate in 0u32..=300, annuity: bool,
        ) {
            let residual = amount * part / 100;
            let method = if annuity { DepreciationMethod::Annuity } else { DepreciationMethod::StraightLine };
            let rate = format!("0.{rate:03}");
            let tranche = tranche(&amount.to_string(), &residual.to_string(), months, method, Some(&rate));
            let rows = tranche.schedule(Rounding::HalfUp);
            prop_assert_eq!(rows.len(), usize::try_from(months).unwrap());
            prop_assert_eq!(rows.iter().map(|row| &row.principal).sum::<Exact>(), tranche.cost());
            prop_assert_eq!(rows.last().unwrap().closing.clone(), Exact::from(residual));
            prop_assert!(rows.iter().all(|row| tranche.row(row.month, Rounding::HalfUp).as_ref() == Some(row)));
            prop_assert!(rows.iter().all(|row| row.payment == &(&row.principal + &row.interest) + &row.capital_charge));
        }
    }
}
