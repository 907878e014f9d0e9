//! A real Prometheus that scrapes the operator and evaluates the rules of the chart.

use crate::install::operators_pod;
use crate::parts::{Outcome, Parts, eventually};
use crate::web::Web;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::process::{Child, Command};

/// A running Prometheus; it ends when this is dropped.
pub(crate) struct Prometheus {
    _process: Child,
    pub(crate) address: String,
}

impl Prometheus {
    /// Starts it with the operator as its one target.
    pub(crate) async fn start(parts: &Parts) -> Outcome<Self> {
        parts.say("A real Prometheus watches the operator, with the chart's rules.");
        let (_, operator) = operators_pod(parts).await?;
        let configuration = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [parts.repository.join("charts/maru/rules/maru.yaml")],
            "scrape_configs": [{"job_name": "maru", "static_configs": [{"targets": [format!("{operator}:9464")]}]}],
        });
        let file = parts.folder.path().join("prometheus.yaml");
        std::fs::write(&file, configuration.to_string())?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let log = std::fs::File::create(parts.folder.path().join("prometheus.log"))?;
        let process = Command::new(maru_test_cluster::prometheus().await?)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                parts.folder.path().join("prometheus").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        println!("     http://{address}");
        Ok(Self {
            _process: process,
            address,
        })
    }

    /// Waits until every rule was evaluated, and shows what is seen of the operator.
    pub(crate) async fn looked_at(&self, parts: &Parts) -> Outcome<()> {
        parts.say("What Prometheus saw of it.");
        let rules = eventually("every rule to be evaluated", async || {
            let answer = self.asked("rules").await?;
            let groups = answer["data"]["groups"].as_array().into_iter().flatten();
            let rules: Vec<Value> = groups
                .flat_map(|group| group["rules"].as_array().into_iter().flatten())
                .cloned()
                .collect();
            match rules.iter().find(|rule| rule["health"] != "ok") {
                Some(rule) => Err(rule.to_string().into()),
                None => Ok((!rules.is_empty()).then_some(rules)),
            }
        })
        .await?;
        let firing = rules.iter().filter(|rule| rule["state"] == "firing");
        let firing: Vec<&str> = firing.filter_map(|rule| rule["name"].as_str()).collect();
        println!(
            "     {} rules, all evaluated; alerts: {}",
            rules.len(),
            if firing.is_empty() {
                "none".to_owned()
            } else {
                firing.join(", ")
            }
        );
        for (query, meaning) in [
            ("maru_leader", "of several replicas one has 1, which acts"),
            (
                "sum by (kind) (maru_objects)",
                "agencies, systems, and what the operator keeps for them",
            ),
            (
                "sum by (source, outcome) (maru_usage_records_total)",
                "who reported use, and what became of it",
            ),
            (
                "maru:metering_behind_seconds",
                "seconds since the newest recorded hour was over; up to about 3,600 is in order",
            ),
        ] {
            let answer = self.asked(&format!("query?query={}", escaped(query))).await?;
            println!(
                "   $ promtool query instant http://{} '{query}'   # {meaning}",
                self.address
            );
            for sample in answer["data"]["result"].as_array().into_iter().flatten() {
                let labels = sample["metric"].as_object().into_iter().flatten();
                let labels: Vec<String> = labels
                    .filter(|(name, _)| !["__name__", "instance", "job"].contains(&name.as_str()))
                    .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
                    .collect();
                println!(
                    "     {:<32} {}",
                    labels.join(" "),
                    sample["value"][1].as_str().unwrap_or_default()
                );
            }
        }
        Ok(())
    }

    async fn asked(&self, what: &str) -> Outcome<Value> {
        let (status, answer) = Web::new()
            .get(&format!("http://{}/api/v1/{what}", self.address))
            .await?;
        if status.is_success() {
            return Ok(answer);
        }
        Err(format!("Prometheus answers {status}: {answer}").into())
    }
}

/// A query as a part of an address.
fn escaped(query: &str) -> String {
    query
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || byte == b'_' {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_no_letter_is_escaped_in_a_query() {
        assert_eq!(super::escaped("a_b (c)"), "a_b%20%28c%29");
    }
}
