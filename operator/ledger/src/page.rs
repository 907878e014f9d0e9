//! A page: one agency's statement as balanced entries.

use maru_meter::{Exact, Interval, Rounding};
use maru_rate::{Currency, Month, Rated, Statement};
use serde::{Deserialize, Serialize};

use crate::error::LedgerError;

/// An account that money is booked to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Account {
    /// What an agency owes.
    Payable(String),
    /// What the service earned.
    Revenue,
    /// What is owed to the tax office.
    Tax(String),
}

impl Account {
    /// Its name in the books, such as `payable:nts`.
    pub fn name(&self) -> String {
        match self {
            Self::Payable(agency) => format!("payable:{agency}"),
            Self::Revenue => "revenue".to_owned(),
            Self::Tax(name) => format!("tax:{name}"),
        }
    }
}

/// An amount booked to an account, in minor units of the currency: debits above zero, credits below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub account: Account,
    /// How much.
    pub minor_units: i64,
}

/// One agency's statement, booked. Only this crate makes pages, and none whose entries do not balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub(crate) number: Option<String>,
    pub(crate) content: Content,
    pub(crate) entries: Vec<Entry>,
}

/// What a page says, apart from its number. It is stored as it is and compared when a period is issued again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Content {
    pub(crate) month: String,
    pub(crate) interval: Interval,
    pub(crate) currency: String,
    pub(crate) statement: Statement,
}

impl Page {
    /// The bill's number; none on a draft.
    pub fn number(&self) -> Option<&str> {
        self.number.as_deref()
    }

    /// Such as `2026-10`.
    pub fn month(&self) -> &str {
        &self.content.month
    }

    /// The period's time.
    pub fn interval(&self) -> Interval {
        self.content.interval
    }

    /// The currency's code.
    pub fn currency(&self) -> &str {
        &self.content.currency
    }

    /// Lines and totals.
    pub fn statement(&self) -> &Statement {
        &self.content.statement
    }

    /// Its entries; they sum to zero.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn new(content: Content, places: u32) -> Result<Self, LedgerError> {
        let entries = entries(&content.statement, places)?;
        let sum: i128 = entries.iter().map(|entry| i128::from(entry.minor_units)).sum();
        if sum != 0 {
            return Err(LedgerError::Unbalanced {
                agency: content.statement.agency,
                sum,
            });
        }
        Ok(Self {
            number: None,
            content,
            entries,
        })
    }
}

/// The pages of a rated period, balanced and not issued: what a draft or a preview shows. Nothing is stored.
pub fn draft(rated: &Rated) -> Result<Vec<Page>, LedgerError> {
    let page = |statement: &Statement| {
        let content = Content {
            month: Month::to_string(&rated.month()),
            interval: rated.interval(),
            currency: rated.currency().code().to_owned(),
            statement: statement.clone(),
        };
        Page::new(content, Currency::places(rated.currency()))
    };
    rated.statements().iter().map(page).collect()
}

/// The agency owes the total; the service earned the subtotal; the rest is owed to the tax office.
fn entries(statement: &Statement, places: u32) -> Result<Vec<Entry>, LedgerError> {
    let minor = |amount: &Exact| {
        let units = amount.units(places, Rounding::Down);
        let whole = Exact::scaled(units.clone(), places) == *amount;
        let units = i64::try_from(units).ok().filter(|_| whole);
        units.ok_or_else(|| LedgerError::Amount {
            agency: statement.agency.clone(),
            amount: amount.clone(),
        })
    };
    let mut entries = vec![
        Entry {
            account: Account::Payable(statement.agency.clone()),
            minor_units: minor(&statement.total)?,
        },
        Entry {
            account: Account::Revenue,
            minor_units: -minor(&statement.subtotal)?,
        },
    ];
    if !statement.tax.is_zero() {
        let names: std::collections::BTreeSet<&str> = statement.taxes.iter().map(|tax| tax.name.as_str()).collect();
        let name = names.into_iter().collect::<Vec<_>>().join("+");
        entries.push(Entry {
            account: Account::Tax(name),
            minor_units: -minor(&statement.tax)?,
        });
    }
    Ok(entries)
}
