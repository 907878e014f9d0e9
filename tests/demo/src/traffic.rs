//! Requests of ministries to the shared system, and an operator that is killed among them.

use crate::data::pods_of;
use crate::install::operators_pod;
use crate::parts::{Outcome, Parts, eventually};
use crate::process;
use crate::web::Web;
use http::StatusCode;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who sends how many documents in a round.
const ROUND: [(&str, u32); 3] = [("nts", 400), ("moel", 300), ("mohw", 200)];

/// What was sent.
pub(crate) struct Traffic {
    web: Web,
    sent: Arc<AtomicU64>,
}

impl Traffic {
    pub(crate) fn new(parts: &Parts) -> Self {
        parts.say("The ministries send documents. Each request is counted, and reported as a CloudEvent that is sent until it is recorded.");
        Self {
            web: Web::new(),
            sent: Arc::default(),
        }
    }

    /// Rounds of requests: before, during and after a kill of the operator, while the system is scaled.
    pub(crate) async fn requests_and_a_kill(&self, parts: &Parts) -> Outcome<()> {
        self.round(parts).await?;
        parts.say("The document system is scaled to two pods.");
        parts.scale_documents(2).await?;
        eventually("two pods", async || {
            Ok((pods_of(parts, "mois", "docs").await?.len() == 2).then_some(()))
        })
        .await?;
        parts.ready(&["agencysystem/docs", "-n", "mois"]).await?;

        parts.say("The operator is killed in the middle of it, and more requests come.");
        let (pod, _) = operators_pod(parts).await?;
        process::kill(&pod, "maru-operator")?;
        self.round(parts).await?;
        let sent = self.sent.load(Ordering::Relaxed);
        let (taken, acknowledged) = eventually("every request to be recorded", async || {
            let (taken, acknowledged) = self.counted(parts).await?;
            Ok((acknowledged == sent).then_some((taken, acknowledged)))
        })
        .await?;
        println!(
            "     {sent} requests were sent, {taken} were counted, {acknowledged} are recorded. Nothing is missing."
        );
        Ok(())
    }

    /// Every ministry's requests, each to one of the system's pods.
    async fn round(&self, parts: &Parts) -> Outcome<()> {
        let pods = pods_of(parts, "mois", "docs").await?;
        let mut of_agency: BTreeMap<&str, u32> = BTreeMap::new();
        for (agency, requests) in ROUND {
            for request in 0..requests {
                let pod = &pods[request as usize % pods.len()];
                let url = format!("http://{pod}:8080/documents");
                let (status, answer) = self.web.post(&url, &[("X-Agency", agency)], String::new()).await?;
                if status != StatusCode::CREATED {
                    return Err(format!("a document was not taken: {status} {answer}").into());
                }
                self.sent.fetch_add(1, Ordering::Relaxed);
                *of_agency.entry(agency).or_default() += 1;
            }
        }
        let said: Vec<String> = of_agency
            .iter()
            .map(|(agency, count)| format!("{count} of {agency}"))
            .collect();
        println!("     {} taken, by {} pods", said.join(", "), pods.len());
        Ok(())
    }

    /// What the pods counted and what of it is recorded.
    async fn counted(&self, parts: &Parts) -> Outcome<(u64, u64)> {
        let (mut taken, mut acknowledged) = (0, 0);
        for pod in pods_of(parts, "mois", "docs").await? {
            let (_, counted) = self.web.get(&format!("http://{pod}:8080/counted")).await?;
            taken += counted["taken"].as_u64().unwrap_or_default();
            acknowledged += counted["acknowledged"].as_u64().unwrap_or_default();
        }
        Ok((taken, acknowledged))
    }
}
