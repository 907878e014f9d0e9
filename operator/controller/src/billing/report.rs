//! What a run says of itself.

use super::work::Outcome;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use maru_crds::{BillingRun, BillingRunStatus, MeterHole};
use maru_ledger::{LedgerError, Page};
use maru_meter::{Completeness, Exact};
use serde_json::json;

/// The longest message of a condition.
const LONGEST_MESSAGE: usize = 2000;
/// How many meters with holes are named.
const MOST_HOLES: usize = 100;

/// Why a run came to nothing, for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// No such price book.
    #[error("RateCard {0} is not there: apply it, or make a run that names another")]
    NoRateCard(String),
    /// Something that people wrote cannot be rated.
    #[error("{0}")]
    Refused(String),
    /// Something is missing and `requireComplete` is set.
    #[error("not issued, for usage is missing: {}", .0.join("; "))]
    Incomplete(Vec<String>),
    /// The ledger said no.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The API server said no.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// Something else failed and is tried again.
    #[error("{0}")]
    Failed(String),
}

impl Trouble {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoRateCard(_) => "RateCardNotFound",
            Self::Refused(_) => "Refused",
            Self::Incomplete(_) => "Incomplete",
            Self::Ledger(_) => "LedgerFailed",
            Self::Api(_) | Self::Failed(_) => "Failed",
        }
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It only shows.
    Preview,
    /// It will issue.
    Open {
        /// When the grace is over.
        closes: Timestamp,
    },
    /// Every bill has its number.
    Issued,
}

/// What a turn came to.
pub(super) enum Said {
    /// Bills.
    Worked(Box<Outcome>),
    /// None.
    Failed(Trouble),
}

impl Said {
    /// What it came to, in one word: the reason that the run's condition gives.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Worked(outcome) => ready(outcome.stage).1,
            Self::Failed(trouble) => trouble.reason(),
        }
    }

    /// Whether it is worth trying again before the next hour.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(trouble) if !matches!(trouble, Trouble::Refused(_)))
    }
}

/// Writes the status, if it says something else than before.
pub(super) async fn write(
    api: &Api<BillingRun>,
    run: &BillingRun,
    said: Said,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let before = run.status.clone().unwrap_or_default();
    let mut status = match said {
        Said::Worked(outcome) => worked(&outcome),
        Said::Failed(trouble) => {
            tracing::warn!(run = run.name_any(), %trouble, "a billing run came to nothing for now");
            BillingRunStatus {
                conditions: vec![condition("False", trouble.reason(), &trouble.to_string())],
                observed_generation: None,
                ..before.clone()
            }
        }
    };
    status.observed_generation = run.metadata.generation;
    for condition in &mut status.conditions {
        condition.observed_generation = run.metadata.generation;
        let known = before.conditions.iter().find(|known| known.type_ == condition.type_);
        let since = known.filter(|known| known.status == condition.status);
        condition.last_transition_time = since.map_or(Time(now), |known| known.last_transition_time.clone());
    }
    if run.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let mut wanted = run.clone();
    wanted.status = Some(status);
    wanted.metadata.managed_fields = None;
    api.replace_status(&run.name_any(), &kube::api::PostParams::default(), &wanted)
        .await?;
    Ok(())
}

/// Status and reason of the condition `Ready`.
fn ready(stage: Stage) -> (&'static str, &'static str) {
    match stage {
        Stage::Preview => ("True", "Previewed"),
        Stage::Open { .. } => ("False", "Open"),
        Stage::Issued => ("True", "Issued"),
    }
}

fn worked(outcome: &Outcome) -> BillingRunStatus {
    let total: Exact = outcome.pages.iter().map(|page| &page.statement().total).sum();
    let numbers: Vec<&str> = outcome.pages.iter().filter_map(Page::number).collect();
    let holes = holes(&outcome.pages);
    let mut message = match outcome.stage {
        Stage::Preview => format!("{} bills as they would be; nothing is written", outcome.pages.len()),
        Stage::Open { closes } => format!("{} drafts; they are issued from {closes} on", outcome.pages.len()),
        Stage::Issued => format!("{} bills are issued", outcome.pages.len()),
    };
    for warning in &outcome.warnings {
        message = format!("{message}; {warning}");
    }
    let (status, reason) = ready(outcome.stage);
    BillingRunStatus {
        observed_generation: None,
        conditions: vec![condition(status, reason, &message)],
        table_version: outcome.version.and_then(|version| i64::try_from(version).ok()),
        bills: i32::try_from(outcome.pages.len()).ok(),
        total: (!outcome.pages.is_empty()).then(|| total.to_string()),
        currency: outcome.pages.first().map(|page| page.currency().to_owned()),
        first_number: numbers.iter().min().map(|number| (*number).to_owned()),
        last_number: numbers.iter().max().map(|number| (*number).to_owned()),
        hole_count: i32::try_from(holes.len()).ok(),
        holes: holes.into_iter().take(MOST_HOLES).collect(),
    }
}

/// Meters that did not see all that was used.
fn holes(pages: &[Page]) -> Vec<MeterHole> {
    let mut holes = Vec::new();
    for page in pages {
        let statement = page.statement();
        for line in statement
            .lines
            .iter()
            .filter(|line| line.completeness != Completeness::Complete)
        {
            let Some(meter) = &line.meter else { continue };
            let hole = MeterHole {
                agency: statement.agency.clone(),
                system: line.system.as_ref().map(ToString::to_string),
                meter: meter.to_string(),
            };
            if !holes.contains(&hole) {
                holes.push(hole);
            }
        }
    }
    holes
}

pub(super) fn condition(status: &str, reason: &str, message: &str) -> Condition {
    Condition {
        type_: "Ready".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message[..message.floor_char_boundary(LONGEST_MESSAGE)].to_owned(),
        observed_generation: None,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }
}

/// Writes a status that nobody else writes, as a patch.
pub(super) fn status_patch(status: &impl serde::Serialize) -> Patch<serde_json::Value> {
    Patch::Merge(json!({ "status": status }))
}

/// How patches are sent.
pub(super) fn patching() -> PatchParams {
    PatchParams::default()
}
