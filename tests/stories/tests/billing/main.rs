//! A month is drafted, closed and issued, told against the real API server, a real lake and both kinds of ledgers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

mod terminal;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, Config, ResourceExt};
use maru_crds::{Agency, AgencySystem, Bill, BillingRun, RateCard};
use maru_lake::Lake;
use maru_meter::UsageRecord;
use maru_stories::{Billing, agency, cluster_with_kinds, eventually, it_is, system, told};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use terminal::{credited, exported, it_is_estimated, verified};

fn card(name: &str, price: &str) -> Value {
    json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "RateCard", "metadata": {"name": name},
        "spec": {
            "currency": "KRW", "timeZone": "Asia/Seoul",
            "versions": [{"from": "2026-01-01T00:00:00+09:00",
                "items": [{"meter": "cpu.reserved", "unit": "core-hour", "model": "PerUnit", "unitPrice": price}]}],
            "taxes": [{"from": "2026-01-01T00:00:00+09:00", "name": "VAT", "rate": "0.10"}],
        },
    })
}

fn run(name: &str, card: &str, action: &str) -> BillingRun {
    run_of("2026-10", name, card, action)
}

fn run_of(period: &str, name: &str, card: &str, action: &str) -> BillingRun {
    serde_json::from_value(json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "BillingRun", "metadata": {"name": name},
        "spec": {"rateCardRef": {"name": card}, "period": period, "action": action},
    }))
    .unwrap()
}

/// Ten core-hours in an hour that begins at `start`.
fn used(agency: &str, start: Timestamp) -> UsageRecord {
    serde_json::from_value(json!({
        "id": format!("pods/{agency}/cpu.reserved/{start}"), "agency": agency, "system": format!("{agency}/docs"),
        "resource": format!("pod/{agency}/web"), "meter": "cpu.reserved", "quantity": "10", "unit": "core-hour",
        "start": start, "end": start + jiff::SignedDuration::from_hours(1), "source": "pods",
    }))
    .unwrap()
}

/// 100 core-hours of each agency in the first hours of October in Seoul, and some of another month.
fn use_some(lake: &Path) {
    let record = |agency: &str, hour: i64, month: &str| -> UsageRecord {
        let start: Timestamp = format!("{month}T15:00:00Z").parse().unwrap();
        used(agency, start + jiff::SignedDuration::from_hours(hour))
    };
    let mut records = Vec::new();
    for agency in ["mois", "nts"] {
        records.extend((0..10).map(|hour| record(agency, hour, "2026-09-30")));
        records.push(record(agency, 0, "2026-11-15"));
    }
    let append = || Lake::open(lake).unwrap().append(&records).unwrap();
    let appended = std::thread::scope(|scope| scope.spawn(append).join().unwrap());
    assert_eq!(appended.added, 22);
}

/// A file that a writer left behind some hours ago.
fn left_behind(lake: &Path, hours: u64) -> PathBuf {
    let path = lake.join(format!("day=2026-10-01/part-{hours}.parquet"));
    std::fs::write(&path, "PAR1").unwrap();
    let then = std::time::SystemTime::now() - Duration::from_secs(hours * 3600 + 60);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(then)
        .unwrap();
    path
}

/// An hour in which nothing was used is known as well as this.
fn an_hour_is(lake: &Path, completeness: &str) {
    let start: Timestamp = "2026-10-05T04:00:00Z".parse().unwrap();
    let record = UsageRecord {
        quantity: "0".parse().unwrap(),
        completeness: completeness.parse().unwrap(),
        ..used("nts", start)
    };
    let append = || Lake::open(lake).unwrap().append(&[record]).unwrap();
    std::thread::scope(|scope| scope.spawn(append).join().unwrap());
}

async fn create<K>(client: &Client, object: &Value)
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::Serialize + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object.clone()).unwrap();
    Api::<K>::all(client.clone())
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
}

/// Two agencies with a system each, prices, and usage.
async fn a_country(client: &Client, lake: &Path) {
    for name in ["mois", "nts"] {
        create::<Namespace>(
            client,
            &json!({"metadata": {"name": name, "labels": {"maru.dev/agency": name}}}),
        )
        .await;
        create::<Agency>(client, &agency(name)).await;
        let docs: AgencySystem = serde_json::from_value(system(name, "docs")).unwrap();
        let systems = Api::<AgencySystem>::namespaced(client.clone(), name);
        systems.create(&PostParams::default(), &docs).await.unwrap();
    }
    create::<RateCard>(client, &card("platform", "42.5")).await;
    create::<RateCard>(client, &card("dearer", "100")).await;
    use_some(lake);
}

async fn bills(client: &Client) -> BTreeMap<String, Bill> {
    let listed = Api::<Bill>::all(client.clone())
        .list(&ListParams::default())
        .await
        .unwrap();
    let named = |bill: Bill| (format!("{}/{}", bill.namespace().unwrap(), bill.name_any()), bill);
    listed.items.into_iter().map(named).collect()
}

/// Waits until a run says a reason, and gives its status.
async fn said(client: &Client, name: &str, reason: &str) -> maru_crds::BillingRunStatus {
    let api = Api::<BillingRun>::all(client.clone());
    eventually(&format!("run {name} to be {reason}"), 60, async || {
        let status = api.get(name).await.unwrap().status.unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        match ready {
            Some(ready) if ready.reason == reason => Ok(status),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

async fn an_open_month_is_drafted(client: &Client) {
    let runs = Api::<BillingRun>::all(client.clone());
    runs.create(&PostParams::default(), &run("october", "platform", "Issue"))
        .await
        .unwrap();
    let status = said(client, "october", "Open").await;
    // 100 core-hours × 42.5 = 4,250, and 10 % tax.
    assert_eq!(status.total.as_deref(), Some("9350"));
    let drafts = bills(client).await;
    let spec = &drafts["mois/invoice-2026-10"].spec;
    assert_eq!(
        (spec.subtotal.as_str(), spec.total.as_str(), &spec.number),
        ("4250", "4675", &None)
    );
    let agency = Api::<Agency>::all(client.clone()).get("mois").await.unwrap();
    let budget = agency.status.unwrap().budget.unwrap();
    assert_eq!((budget.period.as_str(), budget.spent.as_str()), ("2026-10", "4675"));
    // 10 of 31 days are over: at its end it will be 3.1 times as much.
    assert_eq!(budget.forecast.as_deref(), Some("14493"));

    runs.create(&PostParams::default(), &run("what-if", "dearer", "Preview"))
        .await
        .unwrap();
    assert_eq!(
        said(client, "what-if", "Previewed").await.total.as_deref(),
        Some("22000")
    );
    assert_eq!(bills(client).await, drafts, "a preview leaves no trace");
}

async fn it_is_issued_once(config: &Config, client: &Client, lake: &Path, ledger: &str, folder: &Path) {
    // Killed again and again on the way.
    for millis in [5, 40, 80, 120, 160, 200, 300] {
        let billing = Billing::start(config, lake, ledger);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        drop(billing);
    }
    let billing = Billing::start(config, lake, ledger);
    let status = said(client, "october", "Issued").await;
    assert_eq!((status.bills, status.total.as_deref()), (Some(2), Some("9350")));
    assert_eq!(status.first_number.as_deref(), Some("2026-000001"));
    assert_eq!(status.last_number.as_deref(), Some("2026-000002"));
    assert_eq!(status.doubtful_hours, [], "the hole is closed");
    let billed = status.conditions.iter().find(|one| one.type_ == "Reconciled").unwrap();
    assert_eq!(
        (billed.status.as_str(), billed.reason.as_str()),
        ("True", "Agrees"),
        "{}",
        billed.message
    );
    let issued = bills(client).await;
    let numbers: Vec<_> = issued.values().map(|bill| bill.spec.number.clone().unwrap()).collect();
    assert_eq!(numbers, ["2026-000001", "2026-000002"]);
    assert!(
        issued
            .values()
            .all(|bill| bill.spec.digest.is_some() && bill.spec.issued_at.is_some())
    );
    drop(billing);

    let file = exported(client, folder).await;
    for number in numbers {
        let text = verified(&number, ledger, &file, lake);
        assert!(text.contains("are those that the bill names"), "{text}");
    }

    // Another hour, another operator: nothing is written.
    it_is("2026-11-04T20:00:00Z");
    let runs = Api::<BillingRun>::all(client.clone());
    let before = runs.get("october").await.unwrap();
    let billing = Billing::start(config, lake, ledger);
    runs.create(&PostParams::default(), &run("again", "platform", "Issue"))
        .await
        .unwrap();
    said(client, "again", "Issued").await;
    eventually("it to be told under `kubectl describe`", 20, async || {
        let told = told(client, "again").await;
        let notes: Vec<_> = told
            .iter()
            .map(|event| (event.reason.as_deref(), event.note.as_deref()))
            .collect();
        let issued = "2 bills are issued, 2026-000001 to 2026-000002";
        if notes == [(Some("Issued"), Some(issued))] {
            Ok(())
        } else {
            Err(format!("{notes:?}"))
        }
    })
    .await;
    assert_eq!(bills(client).await, issued);
    assert_eq!(runs.get("october").await.unwrap(), before);
    drop(billing);
}

/// A record that nobody says came late: it is one of October's that was not there when October was issued.
fn october_becomes_known_better(lake: &Path) {
    let more = [used("nts", "2026-10-05T00:00:00Z".parse().unwrap())];
    let work = || {
        let lake = Lake::open(lake).unwrap();
        lake.compact("2026-10-20T00:00:00Z".parse().unwrap()).unwrap();
        lake.append(&more).unwrap()
    };
    let appended = std::thread::scope(|scope| scope.spawn(work).join().unwrap());
    assert_eq!(appended.added, 1);
}

/// What a bill's lines say: amount, what they correct, and the half of the correction.
fn said_on(bill: &Bill) -> Vec<(&str, Option<&str>)> {
    let lines = bill.spec.lines.iter();
    lines
        .map(|line| (line.amount.as_str(), line.corrects.as_deref()))
        .collect()
}

async fn the_next_month_corrects_it(config: &Config, client: &Client, lake: &Path, ledger: &str, folder: &Path) {
    october_becomes_known_better(lake);
    it_is("2026-11-20T00:00:00Z");
    let runs = Api::<BillingRun>::all(client.clone());
    let billing = Billing::start(config, lake, ledger);
    let november = run_of("2026-11", "november", "platform", "Issue");
    runs.create(&PostParams::default(), &november).await.unwrap();
    said(client, "november", "Open").await;
    // 100 core-hours of October are taken back and 110 stated anew, at 42.5; 10 are November's own.
    let expected = [
        ("-4250", Some("2026-000002/1")),
        ("4675", Some("2026-000002/1")),
        ("425", None),
    ];
    assert_eq!(said_on(&bills(client).await["nts/invoice-2026-11"]), expected);
    drop(billing);

    it_is("2026-12-04T00:00:00Z");
    let billing = Billing::start(config, lake, ledger);
    let status = said(client, "november", "Issued").await;
    assert_eq!((status.bills, status.total.as_deref()), (Some(2), Some("1403")));
    let issued = bills(client).await;
    let (mois, nts) = (&issued["mois/invoice-2026-11"], &issued["nts/invoice-2026-11"]);
    assert_eq!(said_on(nts), expected);
    assert_eq!(said_on(mois), [("425", None)], "nobody else's bill is touched");
    assert_eq!((nts.spec.subtotal.as_str(), nts.spec.total.as_str()), ("850", "935"));
    drop(billing);

    let file = exported(client, folder).await;
    for number in ["2026-000001", "2026-000002", "2026-000003", "2026-000004"] {
        let text = verified(number, ledger, &file, lake);
        assert!(text.contains("are those that the bill names"), "{text}");
    }
}

async fn a_dispute_ends_in_a_credit_note(config: &Config, client: &Client, lake: &Path, ledger: &str) {
    let note = credited(ledger, "1=100", "case-7").unwrap();
    let total = |note: &Value| note["total"].as_str().unwrap().to_owned();
    assert_eq!((total(&note).as_str(), &note["kind"]), ("-110", &json!("CreditNote")));
    let number = note["number"].as_str().unwrap().to_owned();
    assert!(number.ends_with("-000001") || number == "2026-000005", "{number}");
    assert_eq!(credited(ledger, "1=100", "case-7").unwrap(), note, "it is given once");
    for (line, said) in [
        ("1", "more than 0 and up to 325"),
        ("2=1", "allowed are 1 to 1"),
        ("one", "such as 3"),
    ] {
        let told = credited(ledger, line, "case-8").unwrap_err();
        assert!(told.contains(said), "{told}");
    }
    let billing = Billing::start(config, lake, ledger);
    let name = format!("mois/credit-note-{number}");
    let shown = eventually("the credit note to be shown", 30, async || {
        bills(client)
            .await
            .remove(&name)
            .ok_or_else(|| "it is not there".to_owned())
    })
    .await;
    assert_eq!(shown.spec.credit_for.as_deref(), Some("2026-000003"));
    assert_eq!((shown.spec.total.as_str(), shown.spec.number), ("-110", Some(number)));
    let status = said(client, "november", "Issued").await;
    assert_eq!(
        (status.bills, status.total.as_deref()),
        (Some(2), Some("1403")),
        "the run says what it issued"
    );
    drop(billing);
}

#[tokio::test]
async fn a_month_is_drafted_and_issued_once_wherever_the_operator_is_killed_and_the_next_one_corrects_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.sqlite").display().to_string();
    let server = maru_test_postgres::Postgres::start(&maru_test_postgres::PostgresOptions::default()).unwrap();
    for ledger in [file, server.create_database("ledger").unwrap()] {
        let cluster = cluster_with_kinds().await;
        let (config, client) = (cluster.config(), cluster.client().unwrap());
        let lake = tempfile::tempdir().unwrap();
        a_country(&client, lake.path()).await;

        it_is("2026-10-10T15:00:00Z");
        let (left, young) = (left_behind(lake.path(), 25), left_behind(lake.path(), 23));
        let billing = Billing::start(&config, lake.path(), &ledger);
        an_open_month_is_drafted(&client).await;
        eventually("what nobody needs to be deleted", 30, async || {
            if left.exists() {
                Err("it is there".to_owned())
            } else {
                Ok(())
            }
        })
        .await;
        assert!(young.exists(), "somebody may read it still");
        drop(billing);
        it_is_estimated(cluster.kubeconfig(), folder.path());

        // The month is over, the grace is not.
        it_is("2026-11-02T00:00:00Z");
        an_hour_is(lake.path(), "Missing");
        let billing = Billing::start(&config, lake.path(), &ledger);
        let strict = json!({"spec": {"rateCardRef": {"name": "platform"}, "period": "2026-10", "action": "Issue", "requireComplete": true, "grace": "0h"},
            "apiVersion": "maru.dev/v1alpha1", "kind": "BillingRun", "metadata": {"name": "strict"}});
        // A Prometheus is there as well, and has not been asked since the twentieth.
        let place = json!({"next": "2026-10-20T00:00:00Z", "marked": "2026-10-20T00:00:00Z"});
        let folder_of_usage = lake.path().to_owned();
        let kept = tokio::task::spawn_blocking(move || {
            let usage = Lake::open(&folder_of_usage).unwrap();
            usage.keep("prometheus", place.to_string().as_bytes()).unwrap();
        });
        kept.await.unwrap();
        create::<BillingRun>(&client, &strict).await;
        let status = said(&client, "strict", "Incomplete").await;
        let why = &status.conditions[0].message;
        for source in ["pods: ", "volumes: ", "prometheus: recorded up to 2026-10-20T00:00:00Z"] {
            assert!(why.contains(source), "{why}");
        }
        assert!(why.contains("cpu.reserved of nts has a hole"), "{why}");
        let open = said(&client, "october", "Open").await;
        for status in [&status, &open] {
            let hours = &status.doubtful_hours[0];
            let said = (
                hours.meter.as_str(),
                hours.estimated,
                hours.missing,
                hours.first.as_str(),
            );
            assert_eq!(said, ("cpu.reserved", 0, 1, "2026-10-05T04:00:00Z"));
            assert_eq!(status.sources[0].recorded_until, "2026-10-20T00:00:00Z");
        }
        assert!(bills(&client).await.values().all(|bill| bill.spec.number.is_none()));
        drop(billing);
        let runs = Api::<BillingRun>::all(client.clone());
        runs.delete("strict", &kube::api::DeleteParams::default())
            .await
            .unwrap();

        // What was not seen is known after all.
        an_hour_is(lake.path(), "Complete");
        it_is("2026-11-03T15:00:00Z");
        it_is_issued_once(&config, &client, lake.path(), &ledger, folder.path()).await;
        the_next_month_corrects_it(&config, &client, lake.path(), &ledger, folder.path()).await;
        a_dispute_ends_in_a_credit_note(&config, &client, lake.path(), &ledger).await;
        cluster.stop().await.unwrap();
    }
}
