//! A page: one agency's statement as balanced entries.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use maru_meter::{Exact, Interval, Rounding};
use maru_rate::book::Rounded;
use maru_rate::split::largest_remainder;
use maru_rate::{Charge, Currency, Month, Rated, Statement};
use serde::{Deserialize, Serialize};

use crate::account::{Account, Entry};
use crate::digest::{Digest, Inputs};
use crate::error::LedgerError;

/// Decimal places of a page whose lines are not rounded.
const PLACES_AT_BILL: u32 = 6;

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PageKind {
    /// A bill.
    Invoice,
    /// A bill that takes an issued one back, in whole or in part.
    CreditNote,
    /// What a period leaves for the books and for the next period; nobody's bill.
    Closing,
}

impl PageKind {
    /// Its name in the books.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invoice => "Invoice",
            Self::CreditNote => "CreditNote",
            Self::Closing => "Closing",
        }
    }

    pub(crate) fn read(name: &str) -> Result<Self, LedgerError> {
        [Self::Invoice, Self::CreditNote, Self::Closing]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| LedgerError::Stored(format!("`{name}` is not a kind of page")))
    }
}

impl fmt::Display for PageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One agency's statement, booked. Only this crate makes pages, and none whose entries do not balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub(crate) kind: PageKind,
    pub(crate) number: Option<String>,
    pub(crate) about: String,
    pub(crate) inputs: Option<Inputs>,
    pub(crate) digest: Option<Digest>,
    pub(crate) issued_at: Option<String>,
    pub(crate) places: u32,
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
    /// An invoice or a credit note.
    pub fn kind(&self) -> PageKind {
        self.kind
    }

    /// The bill's number; none on a draft.
    pub fn number(&self) -> Option<&str> {
        self.number.as_deref()
    }

    /// The number of the bill that a credit note gives back from; none on a bill.
    pub fn credit_for(&self) -> Option<&str> {
        let (bill, _) = self.about.split_once('/')?;
        (self.kind == PageKind::CreditNote).then_some(bill)
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

    /// How many decimal places the entries' amounts have.
    pub fn places(&self) -> u32 {
        self.places
    }

    /// What it was made from; none on a draft, and on what was issued before inputs were kept.
    pub fn inputs(&self) -> Option<&Inputs> {
        self.inputs.as_ref()
    }

    /// When it was issued; none on a draft.
    pub fn issued_at(&self) -> Option<&str> {
        self.issued_at.as_deref()
    }

    /// The fingerprint of this page and all before it; none on a draft.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    pub(crate) fn new(kind: PageKind, content: Content, places: u32) -> Result<Self, LedgerError> {
        let entries = entries(&content.statement, places)?;
        let sum: i128 = entries.iter().map(|entry| i128::from(entry.units)).sum();
        if sum != 0 {
            return Err(LedgerError::Unbalanced {
                agency: content.statement.agency,
                sum,
            });
        }
        Ok(Self {
            kind,
            number: None,
            about: String::new(),
            inputs: None,
            digest: None,
            issued_at: None,
            places,
            content,
            entries,
        })
    }

    /// What the agency owes, in units of the last decimal place.
    pub(crate) fn total(&self) -> i64 {
        self.entries.first().map_or(0, |entry| entry.units)
    }
}

/// How many decimal places the entries of a rated period have.
pub(crate) fn places(rated: &Rated) -> u32 {
    match rated.rounded() {
        Rounded::Line => rated.currency().places(),
        Rounded::Bill => PLACES_AT_BILL.max(rated.currency().places()),
    }
}

/// How many decimal places a statement needs that was stored without saying so.
pub(crate) fn places_of(statement: &Statement, currency: &str) -> u32 {
    let places = Currency::read("currency", currency).map_or(0, Currency::places);
    let whole = |amount: &Exact| Exact::scaled(amount.units(places, Rounding::Down), places) == *amount;
    if statement.lines.iter().all(|line| whole(&line.amount)) {
        places
    } else {
        PLACES_AT_BILL.max(places)
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
        Page::new(PageKind::Invoice, content, places(rated))
    };
    rated.statements().iter().map(page).collect()
}

/// An amount as whole units of the last decimal place.
pub(crate) fn units(agency: &str, amount: &Exact, places: u32) -> Result<i64, LedgerError> {
    let units = amount.units(places, Rounding::Down);
    let whole = Exact::scaled(units.clone(), places) == *amount;
    i64::try_from(units)
        .ok()
        .filter(|_| whole)
        .ok_or_else(|| LedgerError::Amount {
            agency: agency.to_owned(),
            amount: amount.clone(),
            places,
        })
}

/// The agency owes the total; each line is what its system earned; the tax is owed to the tax office. Where a line writes capital off, that is
/// booked beside it. The first entry is what the agency owes.
fn entries(statement: &Statement, places: u32) -> Result<Vec<Entry>, LedgerError> {
    let minor = |amount: &Exact| units(&statement.agency, amount, places);
    let total = minor(&statement.total)?;
    let mut entries = Vec::with_capacity(statement.lines.len() + 2);
    entries.push(Entry {
        account: Account::Payable(statement.agency.as_str().into()),
        units: total,
        line: 0,
    });
    let mut left = i128::from(total);
    for (line, number) in statement.lines.iter().zip(1u32..) {
        let units = minor(&line.amount)?;
        if units == 0 {
            continue;
        }
        left -= i128::from(units);
        let mut book = |account, units| {
            entries.push(Entry {
                account,
                units,
                line: number,
            });
        };
        book(Account::Revenue(line.system.clone()), -units);
        let system = line.system.clone().or_else(|| line.item.clone());
        if let (Charge::Amortisation | Charge::Retirement, Some(system)) = (line.charge, system) {
            book(Account::Amortisation(Arc::clone(&system)), units);
            book(Account::AccumulatedAmortisation(system), -units);
        }
    }
    for (name, tax) in taxes(statement, places) {
        let units = minor(&tax)?;
        left -= i128::from(units);
        entries.push(Entry {
            account: Account::Tax(name.into()),
            units: -units,
            line: 0,
        });
    }
    if left != 0 {
        let units = i64::try_from(-left).map_err(|_| LedgerError::Unbalanced {
            agency: statement.agency.clone(),
            sum: left,
        })?;
        entries.push(Entry {
            account: Account::Rounding,
            units,
            line: 0,
        });
    }
    Ok(entries)
}

/// What of a statement's tax is which tax. Where taxes were not rounded, the rounded sum is spread over them.
fn taxes(statement: &Statement, places: u32) -> Vec<(&str, Exact)> {
    if statement.tax.is_zero() {
        return Vec::new();
    }
    let mut parts: BTreeMap<&str, Exact> = BTreeMap::new();
    for part in &statement.taxes {
        *parts.entry(part.name.as_str()).or_default() += &part.amount;
    }
    let weights: Vec<Exact> = parts.values().cloned().collect();
    let amounts = largest_remainder(&statement.tax, places, &weights);
    parts.into_keys().zip(amounts).collect()
}

#[cfg(test)]
pub(crate) mod tests;
