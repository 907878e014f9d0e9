//! Pages on their way into the books: found again where they were booked before, and given their place where not.

use std::collections::HashMap;

use maru_rate::{Carry, Month, Rated, Recovery, Statement};
use serde::{Deserialize, Serialize};

use crate::account::{Account, Entry};
use crate::digest::Digest;
use crate::error::LedgerError;
use crate::ledger::Issue;
use crate::page::{Page, PageKind, places, units};
use crate::record::{self, Head, Record};
use crate::store::{Books, Last};

/// What a period leaves for the next one and for the books.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Closing {
    pub(crate) carry: Carry,
    pub(crate) recoveries: Vec<Recovery>,
}

/// A page on its way into the books.
#[derive(Debug)]
pub(crate) enum Draft {
    /// Somebody's bill.
    Page(Box<Page>),
    /// What a period leaves.
    Closing {
        month: String,
        currency: String,
        places: u32,
        content: Vec<u8>,
        entries: Vec<Entry>,
    },
}

impl Closing {
    pub(crate) fn draft(&self, rated: &Rated) -> Result<Draft, LedgerError> {
        let places = places(rated);
        Ok(Draft::Closing {
            month: Month::to_string(&rated.month()),
            currency: rated.currency().code().to_owned(),
            places,
            content: record::pack(self)?,
            entries: self.entries(places)?,
        })
    }

    /// Where a standard rate brought in more than its system cost, the difference is owed to those who paid it, and the other way round.
    fn entries(&self, places: u32) -> Result<Vec<Entry>, LedgerError> {
        let mut entries = Vec::new();
        for recovery in &self.recoveries {
            let over = &recovery.charged - &recovery.cost;
            let units = units(
                &recovery.system,
                &over.round(places, maru_meter::Rounding::HalfUp),
                places,
            )?;
            if units == 0 {
                continue;
            }
            let system: std::sync::Arc<str> = recovery.system.as_str().into();
            let entry = |account, units| Entry {
                account,
                units,
                line: 0,
            };
            entries.push(entry(Account::Revenue(Some(system.clone())), units));
            entries.push(entry(Account::Recovery(system), -units));
        }
        Ok(entries)
    }
}

impl Draft {
    pub(crate) fn into_page(self) -> Option<Page> {
        match self {
            Self::Page(page) => Some(*page),
            Self::Closing { .. } => None,
        }
    }

    pub(crate) fn statement_mut(&mut self) -> Option<&mut Statement> {
        match self {
            Self::Page(page) => Some(&mut page.content.statement),
            Self::Closing { .. } => None,
        }
    }

    fn period(&self) -> &str {
        match self {
            Self::Page(page) => page.month(),
            Self::Closing { month, .. } => month,
        }
    }

    fn kind(&self) -> PageKind {
        match self {
            Self::Page(page) => page.kind,
            Self::Closing { .. } => PageKind::Closing,
        }
    }

    fn agency(&self) -> &str {
        match self {
            Self::Page(page) => &page.statement().agency,
            Self::Closing { .. } => "",
        }
    }

    fn about(&self) -> &str {
        match self {
            Self::Page(page) => &page.about,
            Self::Closing { .. } => "",
        }
    }

    fn content(&self) -> Result<Vec<u8>, LedgerError> {
        match self {
            Self::Page(page) => record::pack(&page.content),
            Self::Closing { content, .. } => Ok(content.clone()),
        }
    }

    fn entries(&self) -> &[Entry] {
        match self {
            Self::Page(page) => &page.entries,
            Self::Closing { entries, .. } => entries,
        }
    }

    fn money(&self) -> (&str, u32, i64) {
        match self {
            Self::Page(page) => (page.currency(), page.places, page.total()),
            Self::Closing { currency, places, .. } => (currency, *places, 0),
        }
    }

    /// Whether the page is booked already, and then takes its number. One with other figures is an error.
    pub(crate) fn is_known(&mut self, known: &Known<'_>) -> Result<bool, LedgerError> {
        let Some((head, content)) = known.get(&(self.kind().name(), self.agency(), self.about())) else {
            return Ok(false);
        };
        if !record::same(content, &self.content()?)? {
            return Err(LedgerError::Issued {
                number: head.number.clone().unwrap_or_else(|| "(closing)".to_owned()),
                agency: self.agency().to_owned(),
                month: self.period().to_owned(),
            });
        }
        self.issued(head)?;
        Ok(true)
    }

    /// What corrects a line names one that was issued to the same agency.
    pub(crate) fn check_references(&self, books: &mut dyn Books, issuer: &str) -> Result<(), LedgerError> {
        let Self::Page(page) = self else { return Ok(()) };
        let mut lines_of: HashMap<&str, usize> = HashMap::new();
        for corrects in page
            .statement()
            .lines
            .iter()
            .filter_map(|line| line.corrects.as_deref())
        {
            let dangling = || LedgerError::Dangling {
                agency: page.statement().agency.clone(),
                corrects: corrects.to_owned(),
            };
            let (number, line) = corrects.rsplit_once('/').ok_or_else(dangling)?;
            let line: usize = line.parse().map_err(|_| dangling())?;
            if !lines_of.contains_key(number) {
                let bill = books.bill(issuer, number)?;
                let bill = bill.map(|(head, content)| record::page(head, &content)).transpose()?;
                let bill = bill.filter(|bill| bill.statement().agency == page.statement().agency);
                lines_of.insert(number, bill.map_or(0, |bill| bill.statement().lines.len()));
            }
            if !(1..=lines_of[number]).contains(&line) {
                return Err(dangling());
            }
        }
        Ok(())
    }

    pub(crate) fn issued(&mut self, head: &Head) -> Result<(), LedgerError> {
        if let Self::Page(page) = self {
            page.number.clone_from(&head.number);
            page.inputs = head.inputs.as_deref().map(serde_json::from_str).transpose()?;
            page.digest = Some(head.digest);
            page.issued_at = Some(head.issued_at.clone());
        }
        Ok(())
    }

    /// Takes the next place in the books.
    pub(crate) fn record<'a>(
        &'a self,
        last: &mut Last,
        issue: &Issue<'_>,
        inputs: &str,
    ) -> Result<Record<'a>, LedgerError> {
        let (currency, places, total) = self.money();
        let sequence = (self.kind() != PageKind::Closing).then(|| last.sequence + 1);
        let content = self.content()?;
        let mut head = Head {
            position: last.position + 1,
            issuer: issue.issuer.to_owned(),
            kind: self.kind().name(),
            fiscal_year: issue.fiscal_year,
            sequence,
            number: sequence.map(|sequence| number(issue.fiscal_year, sequence)),
            agency: self.agency().to_owned(),
            period: self.period().to_owned(),
            about: self.about().to_owned(),
            currency: currency.to_owned(),
            places,
            total,
            entry_count: i64::try_from(self.entries().len()).unwrap_or(i64::MAX),
            issued_at: issue.at.to_string(),
            inputs: Some(inputs.to_owned()),
            previous: last.digest,
            digest: Digest::default(),
        };
        head.digest = head.seal(Digest::of(&content), Digest::of(&record::seal_entries(self.entries())));
        last.position = head.position;
        last.digest = head.digest;
        last.sequence = sequence.unwrap_or(last.sequence);
        Ok(Record {
            head,
            content,
            entries: self.entries(),
        })
    }
}

/// Makes pages that depend on what is booked.
pub(crate) type More<'a> = dyn Fn(&[(Head, Vec<u8>)]) -> Result<Vec<Draft>, LedgerError> + 'a;

/// The pages of a period, by what tells them apart.
pub(crate) type Known<'a> = HashMap<(&'a str, &'a str, &'a str), &'a (Head, Vec<u8>)>;

pub(crate) fn key(head: &Head) -> (&str, &str, &str) {
    (head.kind, &head.agency, &head.about)
}

/// Such as `2026-000123`.
pub(crate) fn number(fiscal_year: i16, sequence: i64) -> String {
    format!("{fiscal_year:04}-{sequence:06}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use maru_meter::{Completeness, Exact, Interval};
    use maru_rate::{Charge, Line};

    use super::*;
    use crate::digest::Inputs;
    use crate::ledger::Ledger;
    use crate::page::Content;

    /// A bill of one line that corrects another one, or none.
    fn bill(agency: &str, month: &str, amount: i64, corrects: Option<&str>) -> Draft {
        let start = jiff::Timestamp::UNIX_EPOCH;
        let interval = Interval { start, end: start };
        let line = Line {
            system: Some(Arc::from("a/b")),
            charge: Charge::Usage,
            meter: Some(Arc::from("m")),
            item: None,
            quantity: None,
            unit: None,
            unit_price: None,
            amount: Exact::from(amount),
            tax: Exact::ZERO,
            interval,
            taxed_at: interval.start,
            completeness: Completeness::Complete,
            corrects: corrects.map(str::to_owned),
            correction: None,
            reason: None,
            pricing: None,
            allocation: None,
        };
        let content = Content {
            month: month.to_owned(),
            interval,
            currency: "KRW".to_owned(),
            statement: Statement {
                agency: agency.to_owned(),
                lines: vec![line],
                taxes: Vec::new(),
                subtotal: Exact::from(amount),
                tax: Exact::ZERO,
                total: Exact::from(amount),
                savings: Vec::new(),
            },
        };
        Draft::Page(Box::new(Page::new(PageKind::Invoice, content, 0).unwrap()))
    }

    fn book(ledger: &mut Ledger, month: &str, draft: Draft) -> Result<(), LedgerError> {
        let issue = Issue {
            issuer: "maru",
            fiscal_year: 2026,
            at: jiff::Timestamp::UNIX_EPOCH,
            inputs: &Inputs::default(),
        };
        ledger.book_with(month, &issue, &mut vec![draft], &|_| Ok(Vec::new()))
    }

    #[test]
    fn a_correction_names_a_line_that_was_issued_to_the_same_agency() {
        let mut ledger = Ledger::in_memory().unwrap();
        book(&mut ledger, "2026-10", bill("nts", "2026-10", 10, None)).unwrap();
        for (agency, corrects) in [
            ("nts", "2026-000001/2"),
            ("nts", "2026-000001/0"),
            ("nts", "2026-000009/1"),
            ("nts", "2026-000001"),
            ("nts", "2026-000001/x"),
            ("moel", "2026-000001/1"),
        ] {
            let error = book(&mut ledger, "2026-11", bill(agency, "2026-11", -10, Some(corrects))).unwrap_err();
            assert!(error.to_string().contains(corrects), "{error}");
            assert_eq!(ledger.verify().unwrap().bills, 1);
        }
        book(
            &mut ledger,
            "2026-11",
            bill("nts", "2026-11", -10, Some("2026-000001/1")),
        )
        .unwrap();
        assert!(ledger.balance("payable:nts", "KRW").unwrap().is_zero());
    }

    #[test]
    fn what_a_standard_rate_brought_in_beyond_the_cost_is_owed_to_those_who_paid_it() {
        let recovery = |cost: i64, charged: i64| Recovery {
            system: "mois/docs".to_owned(),
            period: "2026-10".to_owned(),
            cost: Exact::from(cost),
            charged: Exact::from(charged),
            balance: Exact::from(charged - cost),
            limit: None,
            next_unit_price: None,
        };
        let entries = |recovery| {
            let closing = Closing {
                carry: Carry::default(),
                recoveries: vec![recovery],
            };
            let entries = closing.entries(0).unwrap();
            entries
                .iter()
                .map(|entry| (entry.account.to_string(), entry.units))
                .collect::<Vec<_>>()
        };
        let named = |revenue, owed| {
            vec![
                ("revenue:mois/docs".to_owned(), revenue),
                ("recovery:mois/docs".to_owned(), owed),
            ]
        };
        assert_eq!(entries(recovery(100, 130)), named(30, -30));
        assert_eq!(entries(recovery(130, 100)), named(-30, 30));
        assert_eq!(entries(recovery(100, 100)), []);
    }
}
