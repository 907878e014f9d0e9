//! Which billed months are opened again: those of which more usage is in the lake than their bills took in.
//!
//! What counts is what the table held when the last month was issued, and not what a record says of when it became known: a record
//! that an operator brings weeks late says nothing of it.

use super::report::Trouble;
use super::work::Working;
use maru_ledger::{Ledger, Page, PageKind};
use maru_rate::{Billed, Carry, Month, Period, Rated, Reopened};

/// The months that a run's bills may correct.
pub(super) struct Earlier<'a> {
    pub(super) reopened: Reopened<'a>,
    /// What the month before the run's left.
    pub(super) carry: Carry,
}

impl<'a> Working<'a> {
    /// The billed months from the first of which more is known on.
    pub(super) fn earlier(&self, ledger: &mut Ledger, version: Option<u64>) -> Result<Earlier<'a>, Trouble> {
        let last = before(self.period.month)?;
        let Some(carry) = self.carry(ledger, last)? else {
            return Ok(Earlier {
                reopened: Reopened::new(self.book, Carry::default(), []),
                carry: Carry::default(),
            });
        };
        let billed_from = version_of(&ledger.pages(&self.settings.issuer, last)?);
        let mut months = Vec::new();
        if let Some(more_from) = self.lake.more_since(billed_from, version)? {
            let mut month = last;
            let mut there = true;
            while there && self.period_of(month)?.interval.end > more_from {
                months.push(month);
                month = before(month)?;
                there = self.carry(ledger, month)?.is_some();
            }
        }
        months.reverse();
        let mut billed = Vec::new();
        for month in &months {
            let period = self.period_of(*month)?;
            billed.push(Billed {
                before: self.usage(period, billed_from, None)?,
                now: self.usage(period, version, None)?,
            });
        }
        let began_with = match months.first() {
            Some(first) => self.carry(ledger, before(*first)?)?,
            None => None,
        };
        let mut reopened = Reopened::new(self.book, began_with.unwrap_or_default(), billed);
        for month in months {
            for page in ledger.pages(&self.settings.issuer, month)? {
                reopened_with(&mut reopened, &page);
            }
        }
        Ok(Earlier { reopened, carry })
    }

    fn carry(&self, ledger: &mut Ledger, month: Month) -> Result<Option<Carry>, Trouble> {
        Ok(ledger.carry(&self.settings.issuer, month)?)
    }

    /// The first period that bills depend on: their own, or the earliest that they correct.
    pub(super) fn first_period(&self, rated: &Rated) -> Result<Period, Trouble> {
        let lines = rated.statements().iter().flat_map(|statement| &statement.lines);
        let corrected = lines.filter(|line| line.correction.is_some());
        let first = corrected.map(|line| line.interval.start).min();
        match first {
            Some(start) => self.period_of(Month::of(start.to_zoned(self.book.zone.clone()).date())),
            None => Ok(self.period),
        }
    }

    fn period_of(&self, month: Month) -> Result<Period, Trouble> {
        let beyond = || Trouble::Refused(format!("spec.period: {month} is beyond the calendar"));
        Period::new(month, &self.book.zone).ok_or_else(beyond)
    }
}

/// Credit notes correct nothing that is rated.
fn reopened_with(reopened: &mut Reopened<'_>, page: &Page) {
    if let Some(number) = page.number().filter(|_| page.kind() == PageKind::Invoice) {
        reopened.bill(number, page.statement());
    }
}

/// The version of the usage table that bills were made from.
fn version_of(pages: &[Page]) -> Option<u64> {
    let invoices = pages.iter().filter(|page| page.kind() == PageKind::Invoice);
    let versions = invoices.filter_map(|page| page.inputs()?.usage_table_version);
    versions.max()
}

fn before(month: Month) -> Result<Month, Trouble> {
    let before = month.first_day().yesterday();
    before
        .map(Month::of)
        .map_err(|error| Trouble::Refused(format!("spec.period: {error}")))
}
