//! Passwords are said nowhere: in a program of its own, for it keeps all that the operator of its process logs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use maru_stories::data::{ADMIN_PASSWORD, everything, secret};
use maru_stories::{CONSUMERS, Faults, OWNERS, Scene};
use std::io::Write;
use std::sync::{Arc, Mutex};

/// What is written to it is kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_password_is_in_any_log_event_status_or_metric_or_in_the_servers_log() {
    // An operator in this process, for all of its words at the level `trace`.
    let log = Kept::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_env_filter("trace,hyper=info,h2=info")
        .with_writer(move || writer.clone())
        .init();
    let scene = Scene::among(&Faults::none()).await;
    scene.with_data().await;
    let client = &scene.client;
    for audited in ["log_statement", "pgaudit.log"] {
        let sql = format!("ALTER SYSTEM SET {audited} = 'all'");
        scene.server.sql("postgres", &sql).unwrap();
    }
    scene.server.sql("postgres", "SELECT pg_reload_conf()").unwrap();
    scene.granted("letters", 600).await;
    let mut words = vec![ADMIN_PASSWORD.to_owned()];
    for (namespace, name) in [("nts", OWNERS), ("mois", CONSUMERS)] {
        words.push(secret(client, namespace, name).await.unwrap()["password"].clone());
    }
    let said = everything(client).await + &scene.operator.metrics().await;
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    let of_server = scene.server.log().unwrap();
    assert!(logged.contains("Dataset"), "the operator's log was kept");
    assert!(of_server.contains("CREATE VIEW"), "the server logs what it is told");
    assert!(of_server.contains("AUDIT: SESSION"), "and so does its auditor");
    for word in words {
        assert!(!said.contains(&word), "an object or a metric says a password");
        assert!(!logged.contains(&word), "the operator's log says a password");
        assert!(!of_server.contains(&word), "the server's log says a password");
    }
    scene.end().await;
}
