//! Use that systems report themselves: a real API server says who sends, a real lake keeps it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, PostParams};
use maru_controller::{Metrics, ingest};
use maru_lake::Lake;
use maru_meter::Interval;
use maru_stories::events::{BATCH, ONE, account, event, post, send, token};
use maru_stories::{cluster_with_kinds, eventually};
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves events into a lake.
async fn endpoint(client: &Client, lake: &Path) -> SocketAddr {
    encrypted_endpoint(client, lake, None).await
}

/// Serves events into a lake, with the certificate in a folder.
async fn encrypted_endpoint(client: &Client, lake: &Path, certificate: Option<PathBuf>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lake = std::thread::scope(|scope| scope.spawn(|| Arc::new(Lake::open(lake).unwrap())).join().unwrap());
    let metrics = Arc::new(Metrics::default());
    tokio::spawn(ingest::serve(
        listener,
        certificate,
        client.clone(),
        lake,
        metrics,
        CancellationToken::new(),
    ));
    address
}

/// Agency, system and quantity of everything in the lake.
fn recorded(lake: &Path) -> Vec<(String, String, String)> {
    let now = jiff::Timestamp::now();
    let period = Interval {
        start: now - jiff::SignedDuration::from_hours(48),
        end: now + jiff::SignedDuration::from_hours(48),
    };
    let read = || Lake::open(lake).unwrap().read(period).unwrap();
    let records = std::thread::scope(|scope| scope.spawn(read).join().unwrap());
    let mut seen: Vec<_> = records
        .into_iter()
        .map(|record| (record.agency, record.system, record.quantity.to_string()))
        .collect();
    seen.sort();
    seen
}

#[tokio::test]
async fn a_system_reports_its_own_use_and_no_other_and_each_event_counts_once() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let lake = tempfile::tempdir().unwrap();
    for name in ["mois", "nts"] {
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": name, "labels": {"maru.dev/agency": name}}})).unwrap();
        Api::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        account(&client, name, "docs", Some("docs")).await;
    }
    account(&client, "mois", "somebody", None).await;
    let [one, other] = [
        endpoint(&client, lake.path()).await,
        endpoint(&client, lake.path()).await,
    ];
    let docs = token(&client, "mois", "docs", ingest::AUDIENCE).await;

    // Nobody, somebody with a token for something else, and somebody without a system.
    let first = event("1", "5");
    assert_eq!(send(one, None, ONE, &first).await.0, 401);
    assert_eq!(send(one, Some("made-up"), ONE, &first).await.0, 401);
    let elsewhere = token(&client, "mois", "docs", "somewhere.else").await;
    assert_eq!(send(one, Some(&elsewhere), ONE, &first).await.0, 401);
    let somebody = token(&client, "mois", "somebody", ingest::AUDIENCE).await;
    assert_eq!(send(one, Some(&somebody), ONE, &first).await.0, 403);

    // Once and again, here and there, is once; with other content it is refused.
    for to in [one, other, one] {
        let (status, said) = send(to, Some(&docs), ONE, &first).await;
        assert_eq!((status, said["recorded"].as_u64()), (200, Some(1)), "{said}");
    }
    let mut changed = first.clone();
    changed["data"]["quantity"] = json!("6");
    let (status, said) = send(other, Some(&docs), ONE, &changed).await;
    assert_eq!(status, 409, "{said}");
    assert!(
        said["refused"][0]["reason"].as_str().unwrap().contains("other content"),
        "{said}"
    );

    // A sender that stamps each attempt anew is refused as well, also over midnight.
    let mut restamped = first.clone();
    let before: jiff::Timestamp = first["time"].as_str().unwrap().parse().unwrap();
    restamped["time"] = json!((before - jiff::SignedDuration::from_hours(25)).to_string());
    assert_eq!(send(one, Some(&docs), ONE, &restamped).await.0, 409);

    // Another system's name is refused, another agency that used this system is not; the rest of the batch is recorded.
    let mut stolen = event("2", "7");
    stolen["data"]["system"] = json!("nts/docs");
    let mut shared = event("3", "8");
    shared["data"]["agency"] = json!("nts");
    let (status, said) = send(one, Some(&docs), BATCH, &json!([stolen, shared, event("4", "9")])).await;
    assert_eq!(
        (status, said["recorded"].as_u64(), said["refused"][0]["index"].as_u64()),
        (422, Some(2), Some(0)),
        "{said}"
    );
    // The same id of another sender is another event.
    let theirs = token(&client, "nts", "docs", ingest::AUDIENCE).await;
    assert_eq!(send(one, Some(&theirs), ONE, &first).await.0, 200);
    assert_eq!(send(one, Some(&docs), "text/plain", &first).await.0, 415);

    let seen = recorded(lake.path());
    let expected = [
        ("mois", "mois/docs", "5"),
        ("mois", "mois/docs", "9"),
        ("nts", "mois/docs", "8"),
        ("nts", "nts/docs", "5"),
    ];
    assert_eq!(
        seen,
        expected.map(|(agency, system, quantity)| (agency.to_owned(), system.to_owned(), quantity.to_owned()))
    );
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn while_the_store_is_away_nothing_is_acknowledged_and_the_reason_is_said() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let namespace: Namespace =
        serde_json::from_value(json!({"metadata": {"name": "mois", "labels": {"maru.dev/agency": "mois"}}})).unwrap();
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    account(&client, "mois", "docs", Some("docs")).await;
    let to = endpoint(&client, &lake).await;
    let docs = token(&client, "mois", "docs", ingest::AUDIENCE).await;
    let events = [event("1", "1"), event("2", "2"), event("3", "3")];
    assert_eq!(send(to, Some(&docs), ONE, &events[0]).await.0, 200);

    // A file where the table was: no write can succeed.
    let aside = folder.path().join("aside");
    std::fs::rename(&lake, &aside).unwrap();
    std::fs::write(&lake, "").unwrap();
    for event in &events[1..] {
        let (status, said) = send(to, Some(&docs), ONE, event).await;
        assert_eq!(status, 503, "{said}");
        let reason = said["reason"].as_str().unwrap();
        assert!(reason.contains("send it again") && reason.len() > 60, "{reason}");
    }
    std::fs::remove_file(&lake).unwrap();
    std::fs::rename(&aside, &lake).unwrap();
    for event in &events {
        assert_eq!(send(to, Some(&docs), ONE, event).await.0, 200);
    }
    let quantities: Vec<String> = recorded(&lake).into_iter().map(|(_, _, quantity)| quantity).collect();
    assert_eq!(quantities, ["1", "2", "3"]);
    cluster.stop().await.unwrap();
}

/// A file system of two megabytes; nothing where this machine does not let it be made.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn at(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(folder)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        std::process::Command::new("umount")
            .arg("--lazy")
            .arg(&self.0)
            .status()
            .unwrap();
    }
}

/// A namespace of an agency with a system's account, and its token.
async fn system_of(client: &Client, namespace: &str) -> String {
    let labels = json!({"metadata": {"name": namespace, "labels": {"maru.dev/agency": namespace}}});
    let made: Namespace = serde_json::from_value(labels).unwrap();
    Api::all(client.clone())
        .create(&PostParams::default(), &made)
        .await
        .unwrap();
    account(client, namespace, "docs", Some("docs")).await;
    token(client, namespace, "docs", ingest::AUDIENCE).await
}

#[tokio::test]
async fn while_the_disk_is_full_events_are_refused_with_the_reason_and_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::at(&folder.path().join("disk")) else {
        eprintln!("SKIPPED: a full disk, for no file system can be mounted here");
        return;
    };
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let docs = system_of(&client, "mois").await;
    let lake = disk.0.join("lake");
    let to = endpoint(&client, &lake).await;
    let events = ["before", "full-1", "full-2"].map(|id| event(id, "1"));
    assert_eq!(send(to, Some(&docs), ONE, &events[0]).await.0, 200);
    // Somebody else fills it to the last byte.
    let stuffing = disk.0.join("filler");
    let filled = std::fs::write(&stuffing, vec![0; 4 << 20]);
    assert!(filled.is_err(), "the disk is larger than it should be");
    for event in &events[1..] {
        let (status, said) = send(to, Some(&docs), ONE, event).await;
        assert_eq!(status, 503, "{said}");
        let reason = said["reason"].as_str().unwrap();
        assert!(
            reason.contains("No space left") && reason.contains("send it again"),
            "{reason}"
        );
    }
    assert_eq!(recorded(&lake).len(), 1);
    std::fs::remove_file(&stuffing).unwrap();
    for event in &events {
        assert_eq!(send(to, Some(&docs), ONE, event).await.0, 200);
    }
    assert_eq!(recorded(&lake).len(), 3);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_named_with_the_step_to_take_and_after_it_all_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let docs = system_of(&client, "mois").await;
    let events = [event("1", "1"), event("2", "2")];
    let to = endpoint(&client, folder.path()).await;
    assert_eq!(send(to, Some(&docs), ONE, &events[0]).await.0, 200);
    let day = std::fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let day = day
        .into_iter()
        .find(|path| path.to_string_lossy().contains("day="))
        .unwrap();
    let file = std::fs::read_dir(day).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    // Somebody who has not read the file before.
    let to = endpoint(&client, folder.path()).await;
    let (status, said) = send(to, Some(&docs), ONE, &events[1]).await;
    assert_eq!(status, 503, "{said}");
    let reason = said["reason"].as_str().unwrap();
    assert!(
        reason.contains("is damaged") && reason.contains("bring it back from a copy"),
        "{reason}"
    );
    std::fs::write(&file, &whole).unwrap();
    for event in &events {
        assert_eq!(send(to, Some(&docs), ONE, event).await.0, 200);
    }
    assert_eq!(recorded(folder.path()).len(), 2);
    cluster.stop().await.unwrap();
}

/// A certificate for 127.0.0.1 that vouches for itself, put where the endpoint looks; gives it.
fn certify(folder: &Path) -> reqwest::Certificate {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let pem = made.cert.pem();
    std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), &pem).unwrap();
    reqwest::Certificate::from_pem(pem.as_bytes()).unwrap()
}

fn who_trusts(certificate: reqwest::Certificate) -> reqwest::Client {
    let client = reqwest::Client::builder().tls_built_in_root_certs(false);
    client.add_root_certificate(certificate).build().unwrap()
}

#[tokio::test]
async fn with_a_certificate_events_are_encrypted_and_a_renewed_one_is_taken_up() {
    let cluster = cluster_with_kinds().await;
    let client = cluster.client().unwrap();
    let (folder, lake) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = who_trusts(certify(folder.path()));
    let address = encrypted_endpoint(&client, lake.path(), Some(folder.path().to_owned())).await;
    let url = format!("https://{address}/v1/events");
    let event = event("one", "1");
    // The token that is missing is asked for once the two trust each other.
    let (status, _) = post(&first, &url, None, ONE, &event).await.unwrap();
    assert_eq!(status, 401);
    let plainly = url.replace("https", "http");
    assert!(
        post(&reqwest::Client::new(), &plainly, None, ONE, &event)
            .await
            .is_err()
    );
    let stranger = who_trusts(certify(tempfile::tempdir().unwrap().path()));
    assert!(post(&stranger, &url, None, ONE, &event).await.is_err());

    let renewed = who_trusts(certify(folder.path()));
    eventually("the renewed certificate to be taken up", 30, async || {
        match post(&renewed, &url, None, ONE, &event).await {
            Ok((401, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    cluster.stop().await.unwrap();
}
