//! Asking a Prometheus for the samples that it took, as it took them: no rate that it would have worked out in floats.

use jiff::{SignedDuration, Timestamp};
use maru_meter::used::{BEFORE, GAP, Sample, Seen, Series, UsedMeter};
use maru_meter::{Exact, Interval};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The longest that an answer is waited for.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The longest power of ten in a sample.
const MOST_POWER: u32 = 400;

/// Where a Prometheus is.
#[derive(Clone, Debug)]
pub struct Prometheus {
    client: reqwest::Client,
    url: String,
    /// A file with the token that it is asked with; it is read each time, for such files are renewed.
    token: Option<PathBuf>,
}

/// Why there is no answer. It is asked again.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// Nobody answers, or not in time.
    #[error("Prometheus at {url} does not answer: {error}")]
    Away {
        /// Where it was looked for.
        url: String,
        /// What was said.
        error: String,
    },
    /// It refuses to answer.
    #[error("Prometheus at {url} refused: {reason}")]
    Refused {
        /// Where it is.
        url: String,
        /// What it said.
        reason: String,
    },
    /// The answer is none that a Prometheus gives.
    #[error("Prometheus at {url} said something that is not known: {reason}; allowed is the HTTP API v1")]
    Strange {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The token's file cannot be read.
    #[error("the token for Prometheus: {file}: {error}")]
    Token {
        /// Which file.
        file: String,
        /// What was said.
        error: std::io::Error,
    },
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    result: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(serde_json::Number, String)>,
}

impl Prometheus {
    /// At a URL such as `http://prometheus.monitoring:9090`.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn at(url: &str, token: Option<PathBuf>) -> Result<Self, PrometheusError> {
        let url = url.trim_end_matches('/').to_owned();
        let client = reqwest::Client::builder().timeout(TIMEOUT).build();
        let client = client.map_err(|error| PrometheusError::Away {
            url: url.clone(),
            error: error.to_string(),
        })?;
        Ok(Self { client, url, token })
    }

    /// The samples around an hour of the containers in a namespace, by pod and meter.
    pub(super) async fn seen(&self, hour: Interval, namespace: &str, seen: &mut Seen) -> Result<(), PrometheusError> {
        let until = hour.end + GAP;
        let minutes = until.duration_since(hour.start - BEFORE).as_mins();
        for meter in UsedMeter::ALL {
            let metric = match meter {
                UsedMeter::Cpu => "container_cpu_usage_seconds_total",
                UsedMeter::Memory => "container_memory_working_set_bytes",
            };
            let query = format!(r#"{metric}{{namespace="{namespace}",container!="",container!="POD"}}[{minutes}m]"#);
            for found in self.ask(&query, until).await? {
                let Some(pod) = found.metric.get("pod").map(|pod| format!("{namespace}/{pod}")) else {
                    continue;
                };
                let series = series(&found.values).map_err(|reason| self.strange(reason))?;
                seen.entry((pod, meter)).or_default().push(series);
            }
        }
        Ok(())
    }

    async fn ask(&self, query: &str, at: Timestamp) -> Result<Vec<Found>, PrometheusError> {
        let away = |error: reqwest::Error| PrometheusError::Away {
            url: self.url.clone(),
            error: chain(&error),
        };
        let time = at.as_second().to_string();
        let mut request = self.client.get(format!("{}/api/v1/query", self.url));
        request = request.query(&[("query", query), ("time", &time)]);
        if let Some(file) = &self.token {
            let token = tokio::fs::read_to_string(file).await;
            let token = token.map_err(|error| PrometheusError::Token {
                file: file.display().to_string(),
                error,
            })?;
            request = request.bearer_auth(token.trim());
        }
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let body = response.bytes().await.map_err(away)?;
        let answer: Answer = match serde_json::from_slice(&body) {
            Ok(answer) => answer,
            Err(error) if status.is_success() => return Err(self.strange(error.to_string())),
            Err(_) => return Err(self.refused(status.to_string())),
        };
        if answer.status == "success" {
            Ok(answer.data.result)
        } else {
            Err(self.refused(answer.error))
        }
    }

    fn strange(&self, reason: String) -> PrometheusError {
        let url = self.url.clone();
        PrometheusError::Strange { url, reason }
    }

    fn refused(&self, reason: String) -> PrometheusError {
        let url = self.url.clone();
        PrometheusError::Refused { url, reason }
    }
}

/// An error with its causes: the outermost alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn series(values: &[(serde_json::Number, String)]) -> Result<Series, String> {
    let mut samples = Vec::with_capacity(values.len());
    for (at, value) in values {
        // What is no number is no measurement.
        if let Some(value) = number(value)? {
            samples.push(Sample {
                at: moment(&at.to_string())?,
                value,
            });
        }
    }
    Ok(samples)
}

/// Seconds since 1970, with milliseconds after the point.
fn moment(text: &str) -> Result<Timestamp, String> {
    let seconds: Exact = text.parse().map_err(|error| format!("the time `{text}`: {error}"))?;
    let millis = &seconds * &Exact::from(1000);
    let millis = i64::try_from(millis.floor()).map_err(|_| format!("the time `{text}` is beyond the calendar"))?;
    let since = SignedDuration::from_millis(millis);
    Timestamp::UNIX_EPOCH
        .checked_add(since)
        .map_err(|error| format!("the time `{text}`: {error}"))
}

/// A sample's value: a decimal, for very small and very large ones with a power of ten. `NaN` and infinities are none.
fn number(text: &str) -> Result<Option<Exact>, String> {
    if text.ends_with("NaN") || text.ends_with("Inf") {
        return Ok(None);
    }
    let wrong = || format!("the value `{text}` is no number");
    let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
    let digits: Exact = digits.parse().map_err(|_| wrong())?;
    let power: i32 = power.parse().map_err(|_| wrong())?;
    let size = power.unsigned_abs();
    if size > MOST_POWER {
        return Err(wrong());
    }
    let ten = Exact::from(10).power(size);
    let value = if power < 0 {
        digits.checked_div(&ten)
    } else {
        Some(digits * ten)
    };
    value.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_taken_as_they_are_written() {
        let given = r#"[[1764000000.781,"0.1"],[1764000001,"1.5e-7"],[1764000002,"NaN"],[1764000003,"2e+21"],[1764000004,"+Inf"]]"#;
        let values: Vec<(serde_json::Number, String)> = serde_json::from_str(given).unwrap();
        let samples = series(&values).unwrap();
        let shown: Vec<(String, String)> = samples
            .iter()
            .map(|sample| (sample.at.to_string(), sample.value.to_string()))
            .collect();
        let expected = [
            ("2025-11-24T16:00:00.781Z", "0.1"),
            ("2025-11-24T16:00:01Z", "0.00000015"),
            ("2025-11-24T16:00:03Z", "2000000000000000000000"),
        ];
        assert_eq!(shown, expected.map(|(at, value)| (at.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_no_number_and_one_beyond_all_bounds_are_refused() {
        for text in ["", "one", "1e999999999", "1e"] {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
