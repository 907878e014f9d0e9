//! What containers really used, from a real Prometheus, which is away for two hours.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use maru_controller::meter::Prometheus;
use maru_controller::meter::used::{Agencies, Used};
use maru_lake::Lake;
use maru_meter::{Book, Completeness, Exact, Heard, Interval, Source, UsageRecord};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const CARD: &str = "apiVersion: maru.dev/v1alpha1
kind: RateCard
metadata: {name: platform}
spec:
  currency: KRW
  timeZone: UTC
  versions:
  - from: 2026-01-01T00:00:00Z
    items:
    - {meter: cpu.used, unit: core-hour, model: PerUnit, unitPrice: '123456'}
    - {meter: memory.used, unit: GiB-hour, model: PerUnit, unitPrice: '98765'}
    - {meter: cpu.reserved, unit: core-hour, model: PerUnit, unitPrice: '10'}
    - {meter: memory.reserved, unit: GiB-hour, model: PerUnit, unitPrice: '10'}
";

fn at(text: &str) -> Timestamp {
    format!("2026-01-05T{text}:00Z").parse().unwrap()
}

/// Does what waits for disks outside of the runtime.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// Pods with their container, what a second adds to its counter in milliseconds of a core, and from which minute to which it ran.
const PODS: [(&str, &str, &str, i64, i64, i64); 4] = [
    ("mois", "docs-1", "web", 137, -30, 600),
    ("mois", "docs-1", "helper", 11, -30, 600),
    ("nts", "tax-1", "web", 901, 70, 215),
    ("nts", "tax-2", "web", 333, 215, 600),
];

/// A sample each half minute, as a Prometheus would have taken it.
fn history() -> String {
    let mut text = String::new();
    let mut series = |name: &str, value: &dyn Fn(i64, i64) -> String| {
        for (namespace, pod, container, rate, from, to) in PODS {
            for half_minute in from * 2..to * 2 {
                let seconds = half_minute * 30 + 7;
                let moment = (at("00:00") + SignedDuration::from_secs(seconds)).as_second();
                let value = value(rate, seconds - from * 60);
                writeln!(
                    text,
                    r#"{name}{{namespace="{namespace}",pod="{pod}",container="{container}"}} {value} {moment}"#
                )
                .unwrap();
            }
        }
    };
    let thousandths = |number: i64| format!("{}.{:03}", number / 1000, number % 1000);
    series("# cpu\ncontainer_cpu_usage_seconds_total", &|rate, seconds| {
        thousandths(rate * seconds)
    });
    series("# memory\ncontainer_memory_working_set_bytes", &|rate, seconds| {
        (rate * 1_000_003 + seconds * 4099).to_string()
    });
    let lines = |name: &str| {
        let of = text.lines().filter(|line| line.starts_with(name));
        of.fold(String::new(), |all, line| all + line + "\n")
    };
    format!(
        "# TYPE container_cpu_usage_seconds counter\n{}# TYPE container_memory_working_set_bytes gauge\n{}# EOF\n",
        lines("container_cpu_usage_seconds_total"),
        lines("container_memory_working_set_bytes")
    )
}

/// A Prometheus with the history, which can be away.
struct Server {
    folder: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl Server {
    async fn with_history(folder: &Path) -> Self {
        let history_file = folder.join("history.txt");
        std::fs::write(&history_file, history()).unwrap();
        std::fs::write(folder.join("prometheus.yml"), "{}\n").unwrap();
        let made = Command::new(maru_test_cluster::promtool().await.unwrap())
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&history_file, &folder.join("data")])
            .output()
            .await
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (folder, process) = (folder.to_owned(), None);
        Self { folder, port, process }
    }

    async fn comes(&mut self) {
        let process = Command::new(maru_test_cluster::prometheus().await.unwrap())
            .arg(format!(
                "--config.file={}",
                self.folder.join("prometheus.yml").display()
            ))
            .arg(format!("--storage.tsdb.path={}", self.folder.join("data").display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.process = Some(process);
        while !self.is_ready().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "Prometheus ended: {ended:?}");
        }
    }

    async fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)).await else {
            return false;
        };
        let request = b"GET /-/ready HTTP/1.1\r\nHost: prometheus\r\nConnection: close\r\n\r\n";
        let mut answer = Vec::new();
        stream.write_all(request).await.is_ok()
            && stream.read_to_end(&mut answer).await.is_ok()
            && answer.starts_with(b"HTTP/1.1 200")
    }

    async fn goes(&mut self) {
        self.process.take().unwrap().kill().await.unwrap();
    }

    fn client(&self) -> Prometheus {
        Prometheus::at(&format!("http://127.0.0.1:{}/", self.port), None).unwrap()
    }
}

/// The reservations of the pods, as the metering of pods has them up to a moment.
fn reserve(lake: &Lake, until: Timestamp) {
    let mut book = Book::new(Source::Pods, at("00:00"), SignedDuration::ZERO);
    for (namespace, pod, container, _, from, to) in PODS {
        if container == "helper" {
            continue;
        }
        book.namespace(namespace, Some(namespace));
        let moment = |minutes: i64| at("00:00") + SignedDuration::from_mins(minutes);
        let mut status = json!({"phase": "Running", "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": moment(from)}]});
        if moment(to) < until {
            status["phase"] = json!("Succeeded");
            status["containerStatuses"] = json!([{"name": container, "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "finishedAt": moment(to)}}}]);
        }
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": pod, "namespace": namespace, "uid": format!("{namespace}-{pod}"),
                "labels": {"maru.dev/system": pod.split('-').next().unwrap()}},
            "spec": {"containers": [{"name": container, "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]},
            "status": status,
        }))
        .unwrap();
        if moment(from) < until {
            book.see(&maru_meter::pods::observe(&pod).0, until, Heard::Live);
        }
    }
    book.is_current(until);
    loop {
        let batch = book.due(until, 10_000);
        if batch.is_empty() {
            break;
        }
        lake.append(&batch.records).unwrap();
        book.written(&batch);
    }
    lake.keep(Source::Pods.name(), &serde_json::to_vec(&book.checkpoint("1")).unwrap())
        .unwrap();
}

/// Looks every half hour from one moment to another. Says what the last look came to.
async fn look(lake: &Arc<Lake>, used: &mut Used, from: &str, to: &str) -> Result<(), String> {
    let agencies: Agencies = ["mois", "nts"].map(|name| (name.to_owned(), name.to_owned())).into();
    let (mut now, mut last) = (at(from), Ok(()));
    while now <= at(to) {
        aside(|| reserve(lake, now));
        last = used.turn(now, &agencies).await.map_err(|error| error.to_string());
        now += SignedDuration::from_mins(30);
    }
    last
}

fn open(folder: &Path) -> Arc<Lake> {
    aside(|| Arc::new(Lake::open(folder).unwrap()))
}

/// The bills of the month from a lake, as JSON.
fn bills(folder: &Path, lake: &Path) -> Value {
    let card = folder.join("card.yaml");
    std::fs::write(&card, CARD).unwrap();
    let arguments = ["kubectl-maru", "rate", "--period", "2026-01", "-o", "json", "-f"].map(PathBuf::from);
    let arguments = arguments.into_iter().chain([card, "--usage".into(), lake.to_owned()]);
    let cli = maru_cli::Cli::parse_from(arguments);
    serde_json::from_slice(&aside(|| cli.run().unwrap()).bytes).unwrap()
}

/// The completeness of the lines for what was used, by agency and meter.
fn said(bills: &Value) -> BTreeMap<(String, String), String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut said = BTreeMap::new();
    for bill in bills["bills"].as_array().unwrap() {
        for line in bill["lines"].as_array().unwrap() {
            if ["cpu.used", "memory.used"].contains(&text(&line["meter"]).as_str()) {
                said.insert(
                    (text(&bill["agency"]), text(&line["meter"])),
                    text(&line["completeness"]),
                );
            }
        }
    }
    said
}

fn used_records(lake: &Lake) -> Vec<UsageRecord> {
    let period = Interval {
        start: at("00:00"),
        end: at("10:00"),
    };
    let mut records = lake.read(period).unwrap();
    records.retain(|record| record.source == "prometheus");
    records
}

#[tokio::test]
async fn after_two_hours_without_prometheus_the_bill_is_the_one_without_the_outage() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::with_history(folder.path()).await;
    server.comes().await;
    let [undisturbed, disturbed] = ["undisturbed", "disturbed"].map(|name| folder.path().join(name));

    let lake = open(&undisturbed);
    look(
        &lake,
        &mut Used::new(Arc::clone(&lake), server.client(), at("00:00")),
        "00:30",
        "08:30",
    )
    .await
    .unwrap();
    let expected = bills(folder.path(), &undisturbed);
    assert!(
        said(&expected).values().all(|completeness| completeness == "Complete"),
        "{expected}"
    );
    assert_eq!(said(&expected).len(), 4);
    let tax: Vec<UsageRecord> = aside(|| used_records(&lake))
        .into_iter()
        .filter(|record| record.meter == "cpu.used" && record.resource == "pod/nts/tax-1")
        .collect();
    // From minute 70 to the last sample, 23 seconds before minute 215, at 0.901 cores.
    let whole: Exact = tax.iter().map(|record| &record.quantity).sum();
    let seconds = (215 - 70) * 60 - 23;
    assert_eq!(
        whole.round(9, maru_meter::Rounding::HalfEven),
        Exact::ratio(901 * seconds, 3_600_000)
            .unwrap()
            .round(9, maru_meter::Rounding::HalfEven)
    );

    let lake = open(&disturbed);
    let mut used = Used::new(Arc::clone(&lake), server.client(), at("00:00"));
    look(&lake, &mut used, "00:30", "02:30").await.unwrap();
    server.goes().await;
    let error = look(&lake, &mut used, "03:00", "05:00").await.unwrap_err();
    assert!(error.contains("does not answer"), "{error}");
    assert_eq!(used.closed(), Some(at("02:00")));
    let meanwhile = bills(folder.path(), &disturbed);
    assert_eq!(said(&meanwhile).len(), 4, "{meanwhile}");
    assert!(
        said(&meanwhile).values().all(|completeness| completeness == "Missing"),
        "{meanwhile}"
    );

    // It is taken up by somebody who knows only the lake.
    drop(used);
    server.comes().await;
    let mut used = Used::new(Arc::clone(&lake), server.client(), at("05:00"));
    look(&lake, &mut used, "05:30", "08:30").await.unwrap();
    assert_eq!(bills(folder.path(), &disturbed), expected);
    assert!(
        aside(|| used_records(&lake))
            .iter()
            .all(|record| record.completeness == Completeness::Complete)
    );
    server.goes().await;
}
