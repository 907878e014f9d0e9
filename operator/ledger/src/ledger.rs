//! The ledger: what is booked, and how a period is issued into it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use maru_rate::{Carry, Month, Rated, Recovery};
use serde::{Deserialize, Serialize};

use crate::account::{Account, Entry};
use crate::digest::{Digest, Inputs};
use crate::error::LedgerError;
use crate::page::{Page, PageKind, draft, places, units};
use crate::record::{self, Head, Record};
use crate::store::{Books, Last, PostgresStore, SqliteStore, Store};

/// Pages that are handed to the store at once: enough to keep a server busy, few enough to stay small in memory.
const AT_ONCE: usize = 64;

/// Money at rest: double entry, append-only, numbers without gaps.
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

/// What a period leaves for the next one and for the books.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Closing {
    carry: Carry,
    recoveries: Vec<Recovery>,
}

impl Ledger {
    /// Opens the ledger at an address, and brings its schema up to date: the path of a SQLite file, which is made when it is not there, or
    /// `postgresql://USER:PASSWORD@HOST/DATABASE`. A server is reached with TLS where the address says `sslmode=require`, and then its
    /// certificate is checked, against the system's authorities or those of `sslrootcert=FILE`.
    pub fn at(address: &str) -> Result<Self, LedgerError> {
        if address.starts_with("postgresql://") || address.starts_with("postgres://") {
            return Ok(Self::with(PostgresStore::open(address)?));
        }
        let path = address.strip_prefix("sqlite:").unwrap_or(address);
        if path.is_empty() || path.contains("://") {
            let scheme = address.split("://").next().unwrap_or_default();
            return Err(LedgerError::Address(format!("{scheme}:…"))); // the rest may hold a password
        }
        Self::open(&PathBuf::from(path))
    }

    /// The same for a ledger that must be there: no file is made.
    pub fn at_existing(address: &str) -> Result<Self, LedgerError> {
        let path = address.strip_prefix("sqlite:").unwrap_or(address);
        if !path.contains("://") && !Path::new(path).is_file() {
            return Err(LedgerError::Missing(path.to_owned()));
        }
        Self::at(address)
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
            for draft in drafts.iter_mut() {
                if !draft.is_known(&known)? {
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
    /// Where a standard rate brought in more than its system cost, the difference is owed to those who paid it, and the other way round.
    fn draft(&self, rated: &Rated) -> Result<Draft, LedgerError> {
        let places = places(rated);
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
        Ok(Draft::Closing {
            month: Month::to_string(&rated.month()),
            currency: rated.currency().code().to_owned(),
            places,
            content: record::pack(self)?,
            entries,
        })
    }
}

impl Draft {
    pub(crate) fn into_page(self) -> Option<Page> {
        match self {
            Self::Page(page) => Some(*page),
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
    fn is_known(&mut self, known: &Known<'_>) -> Result<bool, LedgerError> {
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

    fn issued(&mut self, head: &Head) -> Result<(), LedgerError> {
        if let Self::Page(page) = self {
            page.number.clone_from(&head.number);
            page.inputs = head.inputs.as_deref().map(serde_json::from_str).transpose()?;
            page.digest = Some(head.digest);
        }
        Ok(())
    }

    /// Takes the next place in the books.
    fn record<'a>(&'a self, last: &mut Last, issue: &Issue<'_>, inputs: &str) -> Result<Record<'a>, LedgerError> {
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
type More<'a> = dyn Fn(&[(Head, Vec<u8>)]) -> Result<Vec<Draft>, LedgerError> + 'a;

/// The pages of a period, by what tells them apart.
type Known<'a> = HashMap<(&'a str, &'a str, &'a str), &'a (Head, Vec<u8>)>;

fn key(head: &Head) -> (&str, &str, &str) {
    (head.kind, &head.agency, &head.about)
}

/// Such as `2026-000123`.
pub(crate) fn number(fiscal_year: i16, sequence: i64) -> String {
    format!("{fiscal_year:04}-{sequence:06}")
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
