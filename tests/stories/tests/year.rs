//! A year in the life of an agency, on a real API server, a real PostgreSQL, a lake and a ledger, with an operator in trouble and billing that is
//! killed again and again: every figure of every bill is the one of a simple model that shares no code with the engine.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

#[path = "../../../operator/rate/tests/model/mod.rs"]
#[allow(dead_code, unused_imports, reason = "it knows more than this year needs")]
mod model;
#[path = "../../../operator/ledger/tests/books/twelve_months.rs"]
mod twelve_months;

use clap::Parser;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use maru_crds::{Agency, AgencySystem, Bill, BillingRun, DataGrant, SystemSubscription};
use maru_lake::Lake;
use maru_ledger::Ledger;
use maru_rate::{Month, Period, card};
use maru_stories::data::{ADMIN_PASSWORD, ask, condition, dataset, grant, make_admin, put, register_server, secret};
use maru_stories::{
    Billing, Faults, agency, agency_ready, among_crashes, apply, cluster_with_kinds, delete, eventually, is_gone,
    it_is, system, uid_of,
};
use maru_test_cluster::Cluster;
use maru_test_postgres::{Postgres, PostgresOptions};
use model::{Lines, Use};
use num_bigint::BigInt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use twelve_months::{JOINED, MOVED, OVERRUN, PRICES, before, expected, number, record, uses};

const SEED: u64 = 2026;
/// From this month on, `b` is not there.
const LEFT: i8 = 12;
const KEY: &str = "s1.data.a.businesses";

struct Year {
    cluster: Cluster,
    client: Client,
    server: Postgres,
    folder: tempfile::TempDir,
    ledger: String,
    /// What each agency owes by the model.
    owed: BTreeMap<&'static str, BigInt>,
    numbers: Vec<String>,
    /// How often something went wrong between the operator and the API server.
    troubles: u32,
}

/// The words of the other stories, in which the model's agencies and systems have other names.
fn named(object: &Value) -> Value {
    let mut text = object.to_string();
    for (theirs, ours) in [("nts", "a"), ("mois", "b"), ("registry", "s0"), ("docs", "s1")] {
        text = text.replace(&format!("\"{theirs}\""), &format!("\"{ours}\""));
    }
    serde_json::from_str(&text).unwrap()
}

fn letters() -> Value {
    named(&grant("letters", 7200))
}

/// A system whose pods do not matter here.
fn resting(namespace: &str, name: &str, more: &Value) -> Value {
    let mut resting = system(namespace, name);
    resting["spec"]["suspended"] = json!(true);
    for (field, value) in more.as_object().unwrap() {
        resting["spec"][field] = value.clone();
    }
    resting
}

fn shared_system() -> Value {
    resting(
        "a",
        "s0",
        &json!({
            "cost": {
                "currency": "KRW",
                "builds": [{"name": "build", "amount": "12000000", "inServiceDate": "2026-01-01", "months": 12}],
                "operations": [{"name": "run", "monthly": "300001", "from": "2026-01-01"}],
            },
            "sharing": {"acceptsAll": true, "fixedShare": "0.2", "driver": "d", "onNoUsage": "ByWeight"},
        }),
    )
}

impl Year {
    async fn begin() -> Self {
        let cluster = cluster_with_kinds().await;
        let client = cluster.client().unwrap();
        let server = Postgres::start(&PostgresOptions::default()).unwrap();
        make_admin(&server);
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.sqlite").display().to_string();
        let prices: Value = serde_saphyr::from_str(PRICES).unwrap();
        let card = json!({"apiVersion": "maru.dev/v1alpha1", "kind": "RateCard", "metadata": {"name": "platform"}, "spec": prices});
        put(&client, &card).await;
        Self {
            cluster,
            client,
            server,
            folder,
            ledger,
            owed: BTreeMap::new(),
            numbers: Vec::new(),
            troubles: 0,
        }
    }

    fn lake(&self) -> std::path::PathBuf {
        self.folder.path().join("lake")
    }

    /// What people do at the beginning of a month.
    async fn people_act(&self, month: Month) {
        let client = &self.client;
        match number(month) {
            1 => {
                let mut leaves = agency("b");
                leaves["spec"]["deletionPolicy"] = json!("Delete");
                leaves["spec"]["budget"] = json!({"currency": "KRW", "monthlyAmount": "1000000"});
                for agency in [agency("a"), leaves, agency("c")] {
                    apply(client, &agency).await;
                }
                apply(client, &shared_system()).await;
                apply(client, &resting("b", "s1", &json!({}))).await;
                register_server(client, &self.server, ADMIN_PASSWORD, json!({"mode": "Disable"})).await;
                put(client, &named(&dataset())).await;
            }
            3 => {
                let accepts = json!({"acceptedGrants": [{"namespace": "a", "name": "letters"}]});
                apply(client, &resting("b", "s1", &accepts)).await;
                put(client, &letters()).await;
                put(client, &json!({
                    "apiVersion": "maru.dev/v1alpha1", "kind": "SystemSubscription", "metadata": {"name": "s0", "namespace": "b"},
                    "spec": {"systemRef": {"namespace": "a", "name": "s0"}, "weight": "3", "from": JOINED[0], "until": JOINED[1]},
                }))
                .await;
            }
            MOVED => {
                delete(&Api::<AgencySystem>::namespaced(client.clone(), "b"), "s1").await;
                delete(&Api::<DataGrant>::namespaced(client.clone(), "a"), "letters").await;
                apply(client, &resting("c", "s1", &json!({}))).await;
            }
            LEFT => {
                delete(&Api::<SystemSubscription>::namespaced(client.clone(), "b"), "s0").await;
                delete(&Api::<Agency>::all(client.clone()), "b").await;
            }
            _ => {}
        }
    }

    /// What comes of it, once the trouble is over.
    async fn it_came_to_be(&self, month: Month, uri: &mut String) {
        let client = &self.client;
        let agency_object = json!({"apiVersion": "maru.dev/v1alpha1", "kind": "Agency", "metadata": {"name": "b"}});
        match number(month) {
            1 => {
                for agency in ["a", "b", "c"] {
                    agency_ready(client, agency, 60).await;
                }
                condition(client, &named(&dataset()), "Ready", "True", "Ready").await;
            }
            3 => {
                condition(client, &letters(), "Ready", "True", "Ready").await;
                uri.clone_from(&secret(client, "b", KEY).await.unwrap()["uri"]);
                assert_eq!(
                    ask(uri.clone(), self.shared_data().await).await,
                    Ok(0),
                    "the other's data is read"
                );
            }
            OVERRUN => drop(condition(client, &agency_object, "WithinBudget", "False", "BudgetExceeded").await),
            5 => drop(condition(client, &agency_object, "WithinBudget", "True", "WithinBudget").await),
            MOVED => {
                is_gone(&Api::<AgencySystem>::namespaced(client.clone(), "b"), "s1", 60).await;
                eventually("who was moved to read nothing more", 60, async || {
                    match ask(uri.clone(), "SELECT 1".to_owned()).await {
                        Err(_) => Ok(()),
                        Ok(rows) => Err(format!("{rows} rows")),
                    }
                })
                .await;
            }
            LEFT => {
                is_gone(&Api::<Agency>::all(client.clone()), "b", 60).await;
                eventually("the namespace to be gone", 60, async || {
                    uid_of(client, "b").await.map_or(Ok(()), Err)
                })
                .await;
            }
            _ => {}
        }
    }

    async fn shared_data(&self) -> String {
        let grants = Api::<DataGrant>::namespaced(self.client.clone(), "a");
        let found = grants.get("letters").await.unwrap();
        format!(
            "SELECT name FROM {}.business",
            found.status.unwrap().view_schema.unwrap()
        )
    }

    /// A month of people, of an operator in trouble, and of bills.
    async fn live(&mut self, month: Month, uri: &mut String) {
        it_is(&format!("{month}-25T00:00:00Z"));
        if number(month) != OVERRUN && number(month) != 5 {
            self.among_trouble(month, uri).await;
        }
        let late = if number(month) == 1 {
            Vec::new()
        } else {
            uses(before(month)).1
        };
        self.is_used(month, &uses(month).0);
        self.is_used(before(month), &late);
        let name = format!("month-{month}");
        let run: Value = json!({
            "apiVersion": "maru.dev/v1alpha1", "kind": "BillingRun", "metadata": {"name": name},
            "spec": {"rateCardRef": {"name": "platform"}, "period": month.to_string(), "action": "Issue"},
        });
        put(&self.client, &run).await;
        let billing = Billing::start(&self.cluster.config(), &self.lake(), &self.ledger);
        self.said(&name, "Open").await;
        drop(billing);
        if number(month) == OVERRUN || number(month) == 5 {
            self.among_trouble(month, uri).await;
        }
        self.is_issued(month, &name).await;
    }

    /// People act while everything may fail between the operator and the API server, and then nothing does.
    async fn among_trouble(&mut self, month: Month, uri: &mut String) {
        let faults = Faults::seeded(SEED + u64::from(number(month).unsigned_abs()));
        let story = async {
            self.people_act(month).await;
            faults.calm();
            self.it_came_to_be(month, uri).await;
        };
        let (operator, crashes) = among_crashes(&self.cluster, &faults, story).await;
        operator.kill();
        self.troubles += crashes + faults.happened().values().sum::<u32>();
    }

    fn is_used(&self, month: Month, uses: &[Use]) {
        let book = card::read(&serde_saphyr::from_str(PRICES).unwrap()).unwrap();
        let period = Period::new(month, &book.zone).unwrap();
        let records: Vec<_> = uses.iter().map(|one| record(period, one)).collect();
        let append = || Lake::open(self.lake()).unwrap().append(&records).unwrap().added;
        let added = std::thread::scope(|scope| scope.spawn(append).join().unwrap());
        assert_eq!(added, uses.len());
    }

    async fn said(&self, run: &str, reason: &str) {
        let api = Api::<BillingRun>::all(self.client.clone());
        eventually(&format!("{run} to be {reason}"), 60, async || {
            let status = api.get(run).await.unwrap().status.unwrap_or_default();
            let ready = status.conditions.iter().find(|one| one.type_ == "Ready");
            let is_so = ready.is_some_and(|ready| ready.reason == reason);
            is_so.then_some(()).ok_or_else(|| format!("{ready:?}"))
        })
        .await;
    }

    /// The month is over, and whoever issues its bills is killed on the way; in the end they are the model's.
    async fn is_issued(&mut self, month: Month, name: &str) {
        let next = month.first_day().checked_add(jiff::Span::new().months(1)).unwrap();
        it_is(&format!("{next}T00:00:00Z").replace("-01T", "-04T"));
        for kill in 0..u64::from(number(month).unsigned_abs()) % 4 {
            let billing = Billing::start(&self.cluster.config(), &self.lake(), &self.ledger);
            tokio::time::sleep(Duration::from_millis(30 + 70 * kill)).await;
            drop(billing);
        }
        let billing = Billing::start(&self.cluster.config(), &self.lake(), &self.ledger);
        self.said(name, "Issued").await;
        drop(billing);
        let book = card::read(&serde_saphyr::from_str(PRICES).unwrap()).unwrap();
        let period = |month| Period::new(month, &book.zone).unwrap();
        let model = expected(month, &book.zone);
        let bills = self.bills(&format!("invoice-{month}")).await;
        let lines =
            |of: Period, own: bool| lines_of(&bills, of, |start| (start >= period(month).interval.start) == own);
        assert_eq!(lines(period(month), true), model.own, "{month}");
        let mut corrected = lines(period(before(month)), false);
        corrected.retain(|_, amount| *amount != 0.into());
        assert_eq!(corrected, model.corrected, "{month}");
        for (agency, total) in model.totals {
            let bill = bills.iter().find(|bill| bill.spec.agency == agency);
            let said = bill.map_or("0", |bill| &bill.spec.total);
            assert_eq!(said, total.to_string(), "{month} {agency}");
            *self.owed.entry(agency).or_default() += total;
        }
        self.numbers
            .extend(bills.iter().filter_map(|bill| bill.spec.number.clone()));
    }

    async fn bills(&self, name: &str) -> Vec<Bill> {
        let all = Api::<Bill>::all(self.client.clone())
            .list(&ListParams::default())
            .await
            .unwrap();
        all.items.into_iter().filter(|bill| bill.name_any() == name).collect()
    }

    /// The bill of April is disputed: half a million of it is given back, with its tax.
    async fn dispute(&mut self) {
        let april = self.bills("invoice-2026-04").await;
        let bill = april.iter().find(|bill| bill.spec.agency == "b").unwrap();
        let usage = bill
            .spec
            .lines
            .iter()
            .position(|line| line.charge.name() == "Usage")
            .unwrap();
        let line = format!("{}=500000", usage + 1);
        let number = bill.spec.number.clone().unwrap();
        let arguments = [
            "kubectl-maru",
            "credit",
            &number,
            "--line",
            &line,
            "--reference",
            "case-7",
            "--reason",
            "metered twice",
            "--ledger",
            &self.ledger,
            "-o",
            "json",
        ];
        let command = maru_cli::Cli::try_parse_from(arguments).unwrap();
        let printed = std::thread::scope(|scope| scope.spawn(|| command.run().unwrap()).join().unwrap());
        let note: Value = serde_json::from_slice(&printed.bytes).unwrap();
        assert_eq!(note["bills"][0]["total"], "-550000");
        self.numbers
            .push(note["bills"][0]["number"].as_str().unwrap().to_owned());
        *self.owed.entry("b").or_default() -= 550_000;
    }

    /// The books agree with the model and with themselves, no number is missing, and nothing of who left is there.
    async fn end(self) {
        let (ledger, owed) = (self.ledger.clone(), self.owed.clone());
        let checked = move || {
            let mut ledger = Ledger::open(Path::new(&ledger)).unwrap();
            for (agency, owed) in owed {
                let booked = ledger.balance(&format!("payable:{agency}"), "KRW").unwrap();
                assert_eq!(booked.to_string(), owed.to_string(), "{agency}");
            }
            let verified = ledger.verify().unwrap();
            assert!(verified.agrees(), "{:?}", verified.disagreements);
        };
        tokio::task::spawn_blocking(checked).await.unwrap();
        let mut by_year: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for number in &self.numbers {
            let (year, place) = number.split_once('-').unwrap();
            by_year.entry(year).or_default().push(place);
        }
        for (year, mut places) in by_year {
            places.sort_unstable();
            let all: Vec<String> = (1..=places.len()).map(|place| format!("{place:06}")).collect();
            assert_eq!(places, all, "{year}: no number is missing");
        }
        assert!(self.troubles > 20, "{} things went wrong", self.troubles);
        let logins = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'maru_user%'";
        assert_eq!(self.server.sql("postgres", logins).unwrap(), "1", "the owner's own");
        self.cluster.stop().await.unwrap();
    }
}

/// The lines of bills in the form of the model's, by the second of the month that they are for.
fn lines_of(bills: &[Bill], of: Period, wanted: impl Fn(jiff::Timestamp) -> bool) -> Lines {
    let mut lines = Lines::new();
    for bill in bills {
        for line in &bill.spec.lines {
            let start: jiff::Timestamp = line.period_start.parse().unwrap();
            if !wanted(start) {
                continue;
            }
            let name = line.meter.as_deref().or(line.item.as_deref()).unwrap_or("-");
            let key = (
                bill.spec.agency.clone(),
                line.system.as_deref().unwrap_or("-").to_owned(),
                line.charge.name().to_owned(),
                name.to_owned(),
                start.duration_since(of.interval.start).as_secs(),
            );
            *lines.entry(key).or_default() += line.amount.parse::<BigInt>().unwrap();
        }
    }
    lines
}

#[tokio::test]
async fn a_year_comes_to_what_the_model_says_whatever_an_agency_does_and_whatever_fails_in_it() {
    let mut year = Year::begin().await;
    let mut uri = String::new();
    for month in Month::range("2026-01..2026-12").unwrap() {
        year.live(month, &mut uri).await;
        if number(month) == 5 {
            year.dispute().await;
        }
    }
    year.end().await;
}
