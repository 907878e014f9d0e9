//! What a system costs in a month: capital written off, interest, and what it costs to run.

use jiff::civil::Date;
use maru_crds::{Cost, RetirementPolicy};
use maru_meter::{Exact, Rounding};

use crate::amortise::{Tranche, date};
use crate::card::amount;
use crate::charge::Charge;
use crate::currency::Currency;
use crate::period::Month;
use crate::refusal::Refusal;

/// What it cost to build and costs to run a system, in one currency.
#[derive(Clone, Debug)]
pub(crate) struct CostPlan {
    pub(crate) currency: Currency,
    pub(crate) tranches: Vec<Tranche>,
    operations: Vec<Operation>,
}

/// A cost of running, for each period that begins from `from` on and before `to`.
#[derive(Clone, Debug)]
struct Operation {
    name: String,
    monthly: Exact,
    from: Date,
    to: Option<Date>,
}

/// A system's end.
#[derive(Clone, Debug)]
pub(crate) struct Retirement {
    pub(crate) date: Date,
    pub(crate) policy: RetirementPolicy,
}

/// A part of what a month costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CostItem {
    pub(crate) charge: Charge,
    pub(crate) name: String,
    /// In the plan's currency.
    pub(crate) amount: Exact,
}

impl CostPlan {
    pub(crate) fn read(field: &str, cost: &Cost) -> Result<Self, Refusal> {
        let currency = Currency::read(&format!("{field}.currency"), &cost.currency)?;
        let mut tranches: Vec<Tranche> = Vec::new();
        for (index, build) in cost.builds.iter().enumerate() {
            let field = format!("{field}.builds[{index}]");
            if tranches.iter().any(|tranche| tranche.name == build.name) {
                return Err(Refusal::new(
                    format!("{field}.name"),
                    format!("`{}` is there twice: allowed is one build of a name", build.name),
                ));
            }
            tranches.push(Tranche::read(&field, build, currency)?);
        }
        let mut operations: Vec<Operation> = Vec::new();
        for (index, operation) in cost.operations.iter().enumerate() {
            let at = |name: &str| format!("{field}.operations[{index}].{name}");
            if operations.iter().any(|known| known.name == operation.name) {
                return Err(Refusal::new(
                    at("name"),
                    format!(
                        "`{}` is there twice: allowed is one operation of a name",
                        operation.name
                    ),
                ));
            }
            operations.push(Operation {
                name: operation.name.clone(),
                monthly: amount(&at("monthly"), &operation.monthly)?,
                from: date(&at("from"), &operation.from)?,
                to: operation.to.as_ref().map(|text| date(&at("to"), text)).transpose()?,
            });
        }
        Ok(Self {
            currency,
            tranches,
            operations,
        })
    }

    /// The same plan in another currency's minor units, for amounts that are in whatever currency the bills are in.
    pub(crate) fn in_currency(&self, currency: Currency) -> Self {
        Self {
            currency,
            tranches: self
                .tranches
                .iter()
                .map(|tranche| tranche.in_currency(currency))
                .collect(),
            operations: self.operations.clone(),
        }
    }

    /// What a month costs, by tranche and operation. After the month of the retirement nothing; in it, besides the month's own, what no
    /// later month will write off.
    pub(crate) fn in_month(&self, month: Month, retirement: Option<&Retirement>, mode: Rounding) -> Vec<CostItem> {
        let last = retirement.map(|retirement| Month::of(retirement.date));
        if last.is_some_and(|last| month > last) {
            return Vec::new();
        }
        let mut items = Vec::new();
        let mut push = |charge: Charge, name: &str, amount: Exact| {
            if !amount.is_zero() {
                items.push(CostItem {
                    charge,
                    name: name.to_owned(),
                    amount,
                });
            }
        };
        for tranche in &self.tranches {
            if let Some(row) = tranche.row(month, mode) {
                push(Charge::Amortisation, &tranche.name, row.principal);
                push(Charge::Interest, &tranche.name, row.interest);
                push(Charge::CapitalCharge, &tranche.name, row.capital_charge);
            }
            let in_service = retirement.is_some_and(|retirement| tranche.in_service() <= retirement.date);
            if in_service && last == Some(month) {
                push(Charge::Retirement, &tranche.name, tranche.left_after(month, mode));
            }
        }
        for operation in &self.operations {
            let begins = month.first_day();
            if operation.from <= begins && operation.to.is_none_or(|to| begins < to) {
                push(Charge::Operations, &operation.name, operation.monthly.clone());
            }
        }
        items
    }
}

impl Retirement {
    pub(crate) fn read(field: &str, retirement: &maru_crds::Retirement) -> Result<Self, Refusal> {
        Ok(Self {
            date: date(&format!("{field}.date"), &retirement.date)?,
            policy: retirement.policy,
        })
    }
}
