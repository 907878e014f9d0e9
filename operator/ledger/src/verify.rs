//! Re-adding everything that is booked.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use crate::digest::Digest;
use crate::draft::number;
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::record::{self, Head, seal_entries, seal_entry};
use crate::store::{StoredEntry, Visitor};

/// What was looked at, and what does not agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Pages of every kind.
    pub pages: u64,
    /// Bills: invoices and credit notes.
    pub bills: u64,
    /// Entries.
    pub entries: u64,
    /// The fingerprint of the last page, which stands for all of them. Whoever noted it down earlier sees whether history was rewritten.
    pub head: Digest,
    /// In the order of the books.
    pub disagreements: Vec<Disagreement>,
}

impl Verified {
    /// Whether everything agrees.
    pub fn agrees(&self) -> bool {
        self.disagreements.is_empty()
    }
}

/// Notes which versions of the usage table pages name.
#[derive(Default)]
struct Named {
    versions: BTreeSet<u64>,
    wrong: Option<LedgerError>,
}

impl Visitor for Named {
    fn account(&mut self, _: i64, _: String) {}

    fn page(&mut self, head: Head, _: &[u8]) {
        // What cannot be read may name any version: then none is given, so that nothing is deleted for it.
        match record::inputs(&head) {
            Ok(inputs) => self
                .versions
                .extend(inputs.and_then(|inputs| inputs.usage_table_version)),
            Err(error) => self.wrong = Some(error),
        }
    }

    fn entry(&mut self, _: StoredEntry) {}
}

/// Something in the books that does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// Which page: its number, or what it is where it has none.
    pub page: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.page, self.what)
    }
}

impl Ledger {
    /// Adds every entry of every page again and says each thing that does not agree: entries that do not sum to zero or not to the page's
    /// total, that are missing or too many; gaps in pages or numbers; and pages whose fingerprint is not that of what they hold and of the
    /// page before.
    pub fn verify(&mut self) -> Result<Verified, LedgerError> {
        let mut audit = Audit::default();
        self.store.scan(&mut audit)?;
        Ok(audit.finish())
    }

    /// The versions of the usage table that pages name: what must stay readable for bills to be worked out again.
    pub fn usage_versions(&mut self) -> Result<BTreeSet<u64>, LedgerError> {
        let mut named = Named::default();
        self.store.scan(&mut named)?;
        match named.wrong {
            Some(error) => Err(error),
            None => Ok(named.versions),
        }
    }

    /// Whether a bill's lines give the entries and the fingerprint that were booked. Nothing where there is no such bill.
    pub fn verify_bill(&mut self, issuer: &str, number: &str) -> Result<Option<Vec<Disagreement>>, LedgerError> {
        let Some((head, content)) = self.store.bill(issuer, number)? else {
            return Ok(None);
        };
        let page = record::page(head.clone(), &content)?;
        let mut disagreements = Vec::new();
        let mut say = |what: String| {
            disagreements.push(Disagreement {
                page: head.name(),
                what,
            });
        };
        if page.total() != head.total {
            say(format!(
                "its lines come to {} and its head says {}",
                page.total(),
                head.total
            ));
        }
        let entries = Digest::of(&seal_entries(page.entries()));
        if head.seal(Digest::of(&content), entries) != head.digest {
            say("its lines do not give the fingerprint that was booked: something was changed afterwards".to_owned());
        }
        Ok(Some(disagreements))
    }
}

impl Head {
    /// How a page is called where something is said about it.
    fn name(&self) -> String {
        match &self.number {
            Some(number) => format!("bill {number} of {} ({}, {})", self.issuer, self.agency, self.period),
            None => format!("closing of {} by {}", self.period, self.issuer),
        }
    }
}

/// Looks at everything once. Entries come in nearly the order of pages, so that those of few pages are held at a time.
#[derive(Default)]
struct Audit {
    accounts: HashMap<i64, String>,
    pages: Vec<AuditedPage>,
    /// Where in `pages` a position is.
    at: HashMap<i64, usize>,
    /// The page whose entries are coming, and those that came.
    page: i64,
    wanted: usize,
    entries: Vec<StoredEntry>,
    /// Entries of pages that were left before they were complete.
    aside: HashMap<i64, Vec<StoredEntry>>,
    bytes: Vec<u8>,
    verified: Verified,
}

struct AuditedPage {
    head: Head,
    content: Digest,
    /// Set when all its entries were there.
    closed: bool,
    wrong: Vec<String>,
}

impl Visitor for Audit {
    fn account(&mut self, id: i64, name: String) {
        self.accounts.insert(id, name);
    }

    fn page(&mut self, head: Head, content: &[u8]) {
        self.at.insert(head.position, self.pages.len());
        self.pages.push(AuditedPage {
            head,
            content: Digest::of(content),
            closed: false,
            wrong: Vec::new(),
        });
    }

    fn entry(&mut self, entry: StoredEntry) {
        self.verified.entries += 1;
        if entry.page != self.page {
            self.turn_to(entry.page);
        }
        self.entries.push(entry);
        if self.entries.len() == self.wanted {
            self.close();
        }
    }
}

impl Audit {
    /// Lays the entries of the page at hand aside, if there are any, and takes up those of another one.
    fn turn_to(&mut self, page: i64) {
        if !self.entries.is_empty() {
            let entries = std::mem::take(&mut self.entries);
            self.aside.entry(self.page).or_default().extend(entries);
        }
        self.page = page;
        self.entries = self.aside.remove(&page).unwrap_or_default();
        let wanted = self.at.get(&page).map(|index| self.pages[*index].head.entry_count);
        self.wanted = wanted
            .and_then(|wanted| usize::try_from(wanted).ok())
            .unwrap_or(usize::MAX);
    }

    /// All entries of the page at hand are there, as far as its head says.
    fn close(&mut self) {
        let Some(page) = self.at.get(&self.page).map(|index| &mut self.pages[*index]) else {
            return;
        };
        if page.closed {
            return; // more than the head says; they are left over and said at the end
        }
        self.entries.sort_by_key(|entry| entry.position); // they nearly always are: then this only looks
        self.bytes.clear();
        for entry in &self.entries {
            let account = self.accounts.get(&entry.account).map_or("", String::as_str);
            seal_entry(&mut self.bytes, account, entry.units, entry.line);
        }
        page.check(&self.entries, Digest::of(&self.bytes));
        self.entries.clear();
    }

    fn finish(mut self) -> Verified {
        self.turn_to(-1);
        for page in &mut self.pages {
            if !page.closed && page.head.entry_count == 0 {
                page.check(&[], Digest::of(&[]));
            }
        }
        let mut left: Vec<(i64, usize)> = self
            .aside
            .iter()
            .map(|(page, entries)| (*page, entries.len()))
            .collect();
        left.sort_unstable();
        for (position, count) in left {
            self.left_over(position, count);
        }
        self.chain();
        for page in &mut self.pages {
            if !page.closed && page.wrong.is_empty() {
                page.wrong
                    .push(format!("none of its {} entries are there", page.head.entry_count));
            }
            let name = page.head.name();
            let said = page.wrong.drain(..).map(|what| Disagreement {
                page: name.clone(),
                what,
            });
            self.verified.disagreements.extend(said);
            self.verified.pages += 1;
            self.verified.bills += u64::from(page.head.number.is_some());
            self.verified.head = page.head.digest;
        }
        self.verified
    }

    fn left_over(&mut self, position: i64, count: usize) {
        match self.at.get(&position).map(|index| &mut self.pages[*index]) {
            Some(page) if page.closed => page.wrong.push(format!(
                "{count} entries are there beyond the {} that it was issued with",
                page.head.entry_count
            )),
            Some(page) => page.wrong.push(format!(
                "{count} entries are there of the {} that it was issued with",
                page.head.entry_count
            )),
            None => self.verified.disagreements.push(Disagreement {
                page: format!("page {position}"),
                what: format!("{count} entries are there and the page is not"),
            }),
        }
    }

    /// Each page follows the one before it, and each number the one before it.
    fn chain(&mut self) {
        let mut before: (i64, Digest) = Default::default();
        let mut sequences: HashMap<(String, i16), i64> = HashMap::new();
        for page in &mut self.pages {
            let head = &page.head;
            if head.position != before.0 + 1 {
                page.wrong.push(format!(
                    "it is page {} and comes after page {}: pages are missing",
                    head.position, before.0
                ));
            }
            if head.previous != before.1 {
                page.wrong
                    .push("it follows another page than the one before it: the chain is broken".to_owned());
            }
            before = (head.position, head.digest);
            let Some(sequence) = head.sequence else { continue };
            let last = sequences.entry((head.issuer.clone(), head.fiscal_year)).or_default();
            if sequence != *last + 1 {
                let (from, to) = (number(head.fiscal_year, *last + 1), number(head.fiscal_year, sequence));
                page.wrong.push(format!(
                    "the next number of the year is {from} and this is {to}: numbers have a gap"
                ));
            }
            *last = sequence;
            if head.number.as_deref() != Some(number(head.fiscal_year, sequence).as_str()) {
                page.wrong
                    .push(format!("its number is not {}", number(head.fiscal_year, sequence)));
            }
        }
    }
}

impl AuditedPage {
    fn check(&mut self, entries: &[StoredEntry], sealed: Digest) {
        self.closed = true;
        let sum: i128 = entries.iter().map(|entry| i128::from(entry.units)).sum();
        if sum != 0 {
            self.wrong.push(format!("its debits and credits differ by {sum}"));
        }
        let first = entries.first().map_or(0, |entry| entry.units);
        if self.head.number.is_some() && first != self.head.total {
            self.wrong.push(format!(
                "its total is {} and {first} is booked as owed",
                self.head.total
            ));
        }
        if self.head.seal(self.content, sealed) != self.head.digest {
            let what = "what it holds does not give the fingerprint that was booked: it was changed afterwards";
            self.wrong.push(what.to_owned());
        }
    }
}
