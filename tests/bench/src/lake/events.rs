//! Systems that report their use, as fast as it is taken: a real API server says who they are, sender and server are one process.

use std::error::Error;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Client;
use kube::api::{Api, PostParams};
use maru_controller::{Metrics, ingest};
use maru_lake::Lake;
use maru_meter::UsageRecord;
use maru_test_cluster::{Cluster, ClusterOptions};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::Found;

/// Connections that send at once.
const SENDERS: u64 = 16;
/// Events in a request.
const BATCH: u64 = 1_000;

/// As the operator does.
const JOIN_EVERY: Duration = Duration::from_secs(5);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Sends for so many seconds. The first duration that it gives is the 99th percentile of the answers.
pub(super) fn send(folder: &Path, seconds: u64) -> Result<Found, Box<dyn Error>> {
    let lake = Arc::new(Lake::open(folder)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let found = runtime.block_on(run(lake, Duration::from_secs(seconds)));
    let found = found.map_err(|error| error.to_string())?;
    Ok(Found {
        result: first(folder)?.as_secs_f64().to_string(),
        ..found
    })
}

/// How long the first event of another day takes in a process that knows none yet.
fn first(folder: &Path) -> Result<Duration, Box<dyn Error>> {
    let lake = Lake::open(folder)?;
    let event: UsageRecord = serde_json::from_value(json!({
        "id": "events/mois/docs/8:/gateway/first", "agency": "nts", "system": "mois/docs", "meter": "requests.count",
        "quantity": "1", "start": "2026-11-03T00:00:00Z", "end": "2026-11-03T00:00:00Z", "source": "events",
    }))?;
    let began = Instant::now();
    lake.append(&[event])?;
    Ok(began.elapsed())
}

async fn run(lake: Arc<Lake>, time: Duration) -> Outcome<Found> {
    let cluster = Cluster::start(ClusterOptions::simulated(0)).await?;
    let client = cluster.client()?;
    let token: Arc<str> = account(&client).await?.into();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let shutdown = CancellationToken::new();
    let metrics = Arc::new(Metrics::default());
    let serving = tokio::spawn(ingest::serve(
        listener,
        None,
        client.clone(),
        Arc::clone(&lake),
        metrics,
        shutdown.clone(),
    ));
    let joining = tokio::spawn(join(Arc::clone(&lake), shutdown.clone()));
    let began = Instant::now();
    let batches = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| tokio::spawn(sender(address, Arc::clone(&token), Arc::clone(&batches), began, time)))
        .collect();
    let (mut answers, mut count) = (Vec::new(), 0);
    for sender in senders {
        let (times, sent) = sender.await??;
        answers.extend(times);
        count += sent;
    }
    let seconds = began.elapsed().as_secs_f64();
    shutdown.cancel();
    serving.await??;
    joining.await??;
    cluster.stop().await?;
    answers.sort();
    let place = (answers.len() * 99 / 100).min(answers.len().saturating_sub(1));
    Ok(Found {
        seconds,
        first_seconds: answers.get(place).map_or(0.0, Duration::as_secs_f64),
        count,
        ..Found::default()
    })
}

/// Joins files, as the operator does beside it.
async fn join(lake: Arc<Lake>, shutdown: CancellationToken) -> Outcome<()> {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(JOIN_EVERY) => {}
        }
        let lake = Arc::clone(&lake);
        tokio::task::spawn_blocking(move || lake.join()).await??;
    }
}

/// A system's service account, and a token of it.
async fn account(client: &Client) -> Outcome<String> {
    let namespace: Namespace =
        serde_json::from_value(json!({"metadata": {"name": "mois", "labels": {"maru.dev/agency": "mois"}}}))?;
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await?;
    let account: ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": "docs", "labels": {"maru.dev/system": "docs"}}}))?;
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "mois");
    accounts.create(&PostParams::default(), &account).await?;
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(vec![ingest::AUDIENCE.to_owned()]),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request("docs", &PostParams::default(), &request)
        .await?;
    let token = answer.status.and_then(|status| status.token);
    Ok(token.ok_or("no token was given")?)
}

/// Sends batch after batch, each when the one before is answered. How long each answer took, and how many events were recorded.
async fn sender(
    to: SocketAddr,
    token: Arc<str>,
    batches: Arc<AtomicU64>,
    began: Instant,
    time: Duration,
) -> Outcome<(Vec<Duration>, u64)> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut answers, mut count) = (Vec::new(), 0);
    while began.elapsed() < time {
        let body = batch(batches.fetch_add(1, Ordering::Relaxed))?;
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: maru\r\nAuthorization: Bearer {token}\r\nContent-Type: application/cloudevents-batch+json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let sent = Instant::now();
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let answer = answer(&mut stream).await?;
        answers.push(sent.elapsed());
        if answer != format!("{{\"recorded\":{BATCH}}}") {
            return Err(format!("a batch was answered with {answer}").into());
        }
        count += BATCH;
    }
    Ok((answers, count))
}

fn batch(number: u64) -> Result<String, std::fmt::Error> {
    let now = jiff::Timestamp::now();
    let mut body = "[".to_owned();
    for event in 0..BATCH {
        let separator = if event == 0 { "" } else { "," };
        let quantity = 1 + (number + event) % 900;
        write!(
            body,
            r#"{separator}{{"specversion":"1.0","id":"{number}-{event}","source":"/gateway/7","type":"dev.maru.usage.v1","time":"{now}","data":{{"meter":"requests.count","quantity":"{quantity}","unit":"request"}}}}"#
        )?;
    }
    body.push(']');
    Ok(body)
}

/// Reads one answer and gives its body.
async fn answer(stream: &mut TcpStream) -> Outcome<String> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err("the connection ended without an answer".into());
        }
        let text = std::str::from_utf8(&bytes)?;
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.ok_or("an answer has no length")? {
                return Ok(body.to_owned());
            }
        }
    }
}
