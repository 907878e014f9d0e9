//! Where the ledger of a test is, and what is booked in it.

use std::sync::atomic::{AtomicU32, Ordering};

use maru_crds::RateCardSpec;
use maru_ledger::{Digest, Inputs, Issue, Ledger, Page};
use maru_meter::UsageRecord;
use maru_rate::{Period, Rated, Usage, World, card};

/// A ledger that is gone with the test.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) address: String,
    database: Option<String>,
    folder: tempfile::TempDir,
}

/// The same test on both stores.
pub(crate) fn both() -> [Place; 2] {
    [Place::sqlite(), Place::postgres()]
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            name: "SQLite",
            address: folder.path().join("ledger.sqlite").display().to_string(),
            database: None,
            folder,
        }
    }

    pub(crate) fn postgres() -> Self {
        static DATABASES: AtomicU32 = AtomicU32::new(0);
        let database = format!("ledger{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        Self {
            name: "PostgreSQL",
            address: maru_test_postgres::shared().create_database(&database).unwrap(),
            database: Some(database),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn open(&self) -> Ledger {
        Ledger::at(&self.address).unwrap()
    }

    /// What somebody with full rights on the database does to it.
    pub(crate) fn sql(&self, sql: &str) -> Result<String, String> {
        if let Some(database) = &self.database {
            let sql = format!("SET search_path TO maru_ledger; {sql}");
            return maru_test_postgres::shared()
                .sql(database, &sql)
                .map_err(|error| error.to_string());
        }
        let stranger = rusqlite::Connection::open(self.folder.path().join("ledger.sqlite")).unwrap();
        stranger
            .execute_batch(sql)
            .map(|()| String::new())
            .map_err(|error| error.to_string())
    }

    /// The same with all that guards the tables taken away first.
    pub(crate) fn tamper(&self, sql: &str) {
        let guards = if self.database.is_some() {
            "SET session_replication_role TO replica;".to_owned()
        } else {
            let triggers = [
                "page_is_final",
                "page_stays",
                "entry_is_final",
                "entry_stays",
                "entry_joins",
                "page_follows",
            ];
            triggers
                .map(|trigger| format!("DROP TRIGGER IF EXISTS {trigger};"))
                .concat()
                + "PRAGMA foreign_keys = OFF;"
        };
        self.sql(&format!("{guards} {sql}")).unwrap();
    }
}

pub(crate) const CARD: &str = "currency: KRW
timeZone: Asia/Seoul
versions:
- from: '2026-01-01T00:00:00+09:00'
  items: [{meter: m, unit: u, model: PerUnit, unitPrice: '10'}]
taxes: [{from: '2026-01-01T00:00:00+09:00', name: VAT, rate: '0.1'}]";

/// A month in which agencies used so much of meter `m`.
pub(crate) fn rated_with(card: &str, month: &str, uses: &[(String, String)]) -> Rated {
    let card: RateCardSpec = serde_saphyr::from_str(card).unwrap();
    let book = card::read(&card).unwrap();
    let world = World::default();
    let period = Period::new(month.parse().unwrap(), &book.zone).unwrap();
    let mut usage = Usage::new(&book, &world, period);
    for (index, (agency, quantity)) in uses.iter().enumerate() {
        let record: UsageRecord = serde_json::from_value(serde_json::json!({
            "id": index.to_string(), "agency": agency, "system": "a/b", "meter": "m", "quantity": quantity,
            "start": period.interval.start, "end": period.interval.end,
        }))
        .unwrap();
        usage.add(&record).unwrap();
    }
    usage.rate().unwrap()
}

pub(crate) fn rated(month: &str, uses: &[(&str, &str)]) -> Rated {
    rated_with(CARD, month, &pairs(uses))
}

pub(crate) fn inputs() -> Inputs {
    Inputs {
        rate_card: Digest::of(CARD.as_bytes()),
        usage_table_version: Some(7),
        ..Inputs::default()
    }
}

pub(crate) fn issue(inputs: &Inputs) -> Issue<'_> {
    Issue {
        issuer: "maru",
        fiscal_year: 2026,
        at: "2026-11-04T00:00:00Z".parse().unwrap(),
        inputs,
    }
}

pub(crate) fn numbers(pages: &[Page]) -> Vec<(String, String)> {
    pages
        .iter()
        .map(|page| (page.statement().agency.clone(), page.number().unwrap().to_owned()))
        .collect()
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}
