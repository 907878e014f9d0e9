//! The ledger: what is booked, and how a period is issued into it.

use std::path::Path;

use jiff::Timestamp;
use maru_rate::{Carry, Month, Rated, Statement};

use crate::corrects::Numbers;
use crate::digest::Inputs;
use crate::draft::{Closing, Draft, Known, More, key};
use crate::error::LedgerError;
use crate::page::{Page, PageKind, draft};
use crate::record::{self, Record};
use crate::store::{Books, PostgresStore, SqliteStore, Store, UseFor};

/// Pages that are handed to the store at once: enough to keep a server busy, few enough to stay small in memory.
const AT_ONCE: usize = 64;

/// Money at rest: double entry, append-only, numbers without gaps. Its methods block; an async caller gives them a thread of their own
/// (`tokio::task::spawn_blocking`).
#[derive(Debug)]
pub struct Ledger {
    pub(crate) store: Box<dyn Store>,
    on_step: Option<fn(Step)>,
}

/// Who issues, and in which year's sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue<'a> {
    /// The issuing body; each has number sequences of its own.
    pub issuer: &'a str,
    /// The fiscal year that the sequence belongs to, such as 2026.
    pub fiscal_year: i16,
    /// When, as bills will say.
    pub at: Timestamp,
    /// What the figures were made from.
    pub inputs: &'a Inputs,
}

/// How far issuing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The transaction has begun; what was issued before is known.
    Begun,
    /// So many pages are written and not yet committed.
    Written(usize),
    /// Everything is written; next comes the commit.
    Complete,
    /// The commit has returned.
    Committed,
}

impl Ledger {
    /// Opens the ledger at an address, and brings its schema up to date: the path of a SQLite file, which is made when it is not there, or
    /// `postgresql://USER:PASSWORD@HOST/DATABASE`. A server is reached with TLS where the address says `sslmode=require`, and then its
    /// certificate is checked, against the system's authorities or those of `sslrootcert=FILE`.
    pub fn at(address: &str) -> Result<Self, LedgerError> {
        if is_server(address) {
            return Ok(Self::with(PostgresStore::open(address, UseFor::Writing)?));
        }
        Self::open(file(address)?)
    }

    /// The same for a ledger that is there and is only read: nothing is made, changed or brought up to date.
    pub fn to_read(address: &str) -> Result<Self, LedgerError> {
        if is_server(address) {
            return Ok(Self::with(PostgresStore::open(address, UseFor::Reading)?));
        }
        let path = file(address)?;
        if !path.is_file() {
            return Err(LedgerError::Missing(path.display().to_string()));
        }
        Ok(Self::with(SqliteStore::open_to_read(path)?))
    }

    /// Opens a ledger file and brings its schema up to date; makes it when it is not there.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Ok(Self::with(SqliteStore::open(path)?))
    }

    /// A ledger that is gone when it is dropped.
    pub fn in_memory() -> Result<Self, LedgerError> {
        Ok(Self::with(SqliteStore::in_memory()?))
    }

    fn with(store: impl Store + 'static) -> Self {
        Self {
            store: Box::new(store),
            on_step: None,
        }
    }

    /// Calls `watch` at each step of issuing, for progress, and for tests that end the process there.
    #[must_use]
    pub fn watched(mut self, watch: fn(Step)) -> Self {
        self.on_step = Some(watch);
        self
    }

    /// Issues the bills of a rated period in one transaction: all of them with their numbers, or none. Issuing the same again gives the
    /// same bills with the same numbers and books nothing.
    pub fn issue(&mut self, rated: &Rated, issue: &Issue<'_>) -> Result<Vec<Page>, LedgerError> {
        let closing = Closing {
            carry: rated.carry().clone(),
            recoveries: rated.recoveries().to_vec(),
        };
        let mut drafts: Vec<Draft> = draft(rated)?
            .into_iter()
            .map(|page| Draft::Page(Box::new(page)))
            .collect();
        drafts.push(closing.draft(rated)?);
        self.book_with(&Month::to_string(&rated.month()), issue, &mut drafts, &|_| {
            Ok(Vec::new())
        })?;
        Ok(drafts.into_iter().filter_map(Draft::into_page).collect())
    }

    /// Books pages in one transaction, except those that are booked already. Those that depend on what is booked are made by `more`.
    pub(crate) fn book_with(
        &mut self,
        period: &str,
        issue: &Issue<'_>,
        drafts: &mut Vec<Draft>,
        more: &More<'_>,
    ) -> Result<(), LedgerError> {
        let on_step = self.on_step;
        let step = |step| {
            if let Some(watch) = on_step {
                watch(step);
            }
        };
        let inputs = serde_json::to_string(issue.inputs)?;
        let given = drafts.len();
        self.store.write(&mut |books| {
            drafts.truncate(given);
            let known = books.known(issue.issuer, period)?;
            step(Step::Begun);
            drafts.extend(more(&known)?);
            let known: Known<'_> = known.iter().map(|page| (key(&page.0), page)).collect();
            let mut new: Vec<&mut Draft> = Vec::new();
            let mut numbers = Numbers::default();
            for draft in drafts.iter_mut() {
                if let Some(statement) = draft.statement_mut() {
                    numbers.put(statement, |period| books.known(issue.issuer, period))?;
                }
                if !draft.is_known(&known)? {
                    draft.check_references(books, issue.issuer)?;
                    new.push(draft);
                }
            }
            add_all(books, &mut new, issue, &inputs, &step)?;
            step(Step::Complete);
            Ok(())
        })?;
        step(Step::Committed);
        Ok(())
    }

    /// The issued page of a number.
    pub fn page(&mut self, issuer: &str, number: &str) -> Result<Option<Page>, LedgerError> {
        let Some((head, content)) = self.store.bill(issuer, number)? else {
            return Ok(None);
        };
        record::page(head, &content).map(Some)
    }

    /// The bills of an issued period, by number: invoices and the credit notes on them. Corrections reverse their lines.
    pub fn pages(&mut self, issuer: &str, month: Month) -> Result<Vec<Page>, LedgerError> {
        let stored = self.store.pages(issuer, &month.to_string())?;
        let bills = stored.into_iter().filter(|(head, _)| head.number.is_some());
        bills.map(|(head, content)| record::page(head, &content)).collect()
    }

    /// A statement as the ledger would issue it and give it back: with the numbers of the bills that it corrects in place of their periods, and
    /// fractions that have no end as far as they are written down.
    pub fn with_numbers(&mut self, issuer: &str, statement: &Statement) -> Result<Statement, LedgerError> {
        let mut statement: Statement = serde_json::from_slice(&serde_json::to_vec(statement)?)?;
        Numbers::default().put(&mut statement, |period| self.store.pages(issuer, period))?;
        Ok(statement)
    }

    /// The pages of a rated period as the ledger would issue them: balanced, with the numbers of the bills that they correct, and without
    /// numbers of their own. Nothing is stored.
    pub fn draft(&mut self, issuer: &str, rated: &Rated) -> Result<Vec<Page>, LedgerError> {
        let mut pages = draft(rated)?;
        let mut numbers = Numbers::default();
        for page in &mut pages {
            numbers.put(&mut page.content.statement, |period| self.store.pages(issuer, period))?;
        }
        Ok(pages)
    }

    /// What the pools of an issued period carry into the next one; nothing where the period was not issued.
    pub fn carry(&mut self, issuer: &str, month: Month) -> Result<Option<Carry>, LedgerError> {
        let kind = PageKind::Closing.name();
        let Some((_, content)) = self.store.unnumbered(issuer, kind, &month.to_string())? else {
            return Ok(None);
        };
        let closing: Closing = serde_json::from_slice(&record::unpack(&content)?)?;
        Ok(Some(closing.carry))
    }

    /// What is booked to an account, such as `payable:nts`: debits less credits, in the currency.
    pub fn balance(&mut self, account: &str, currency: &str) -> Result<maru_meter::Exact, LedgerError> {
        let sums = self.store.balance(account, currency)?;
        let exact = |(units, places): (i128, u32)| maru_meter::Exact::scaled(units, places);
        Ok(sums.into_iter().map(exact).sum())
    }
}

fn is_server(address: &str) -> bool {
    address.starts_with("postgresql://") || address.starts_with("postgres://")
}

/// The path that an address is.
fn file(address: &str) -> Result<&Path, LedgerError> {
    let path = address.strip_prefix("sqlite:").unwrap_or(address);
    if path.is_empty() || path.contains("://") {
        let scheme = address.split("://").next().unwrap_or_default();
        return Err(LedgerError::Address(format!("{scheme}:…"))); // the rest may hold a password
    }
    Ok(Path::new(path))
}

fn add_all(
    books: &mut dyn Books,
    drafts: &mut [&mut Draft],
    issue: &Issue<'_>,
    inputs: &str,
    step: &dyn Fn(Step),
) -> Result<(), LedgerError> {
    if drafts.is_empty() {
        return Ok(());
    }
    let mut last = books.last(issue.issuer, issue.fiscal_year)?;
    let mut written = 0;
    for some in drafts.chunks_mut(AT_ONCE) {
        let mut heads = Vec::with_capacity(some.len());
        {
            let records: Result<Vec<Record<'_>>, LedgerError> = some
                .iter()
                .map(|draft| draft.record(&mut last, issue, inputs))
                .collect();
            let records = records?;
            books.add(&records)?;
            heads.extend(records.into_iter().map(|record| record.head));
        }
        for (draft, head) in some.iter_mut().zip(&heads) {
            draft.issued(head)?;
        }
        written += some.len();
        step(Step::Written(written));
    }
    Ok(())
}
