//! What a run says of itself.

use super::work::{Outcome, Seen};
use crate::events::Events;
use crate::meter::reconcile::Looked;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use maru_crds::{BillingRun, BillingRunStatus, DoubtfulHours, MeterHole, SourceProgress};
use maru_ledger::{LedgerError, Page, Unbilled};
use maru_meter::{Completeness, Exact};
use serde_json::json;
use std::collections::BTreeMap;

/// The longest message of a condition.
const LONGEST_MESSAGE: usize = 2000;
/// The condition that says whether what runs, what is metered and what is billed agree.
pub(super) const RECONCILED: &str = "Reconciled";
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
    #[error("not issued, for usage is missing: {}", holes.join("; "))]
    Incomplete {
        /// What is missing.
        holes: Vec<String>,
        /// How much was seen.
        seen: Box<Seen>,
    },
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
            Self::Incomplete { .. } => "Incomplete",
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

    /// Hours of the open month that meters estimated, and that they did not see.
    pub(super) fn doubtful(&self) -> Option<[usize; 2]> {
        let Self::Worked(outcome) = self else { return None };
        let open = matches!(outcome.stage, Stage::Open { .. });
        let seen = outcome.seen.as_ref().filter(|_| open)?;
        Some([Completeness::Estimated, Completeness::Missing].map(|said| seen.hours(said)))
    }

    /// Whether it is worth trying again before the next hour.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(trouble) if !matches!(trouble, Trouble::Refused(_)))
    }
}

/// Writes the status, if it says something else than before, and tells of it.
pub(super) async fn write(
    api: &Api<BillingRun>,
    events: &Events,
    run: &BillingRun,
    said: Said,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let before = run.status.clone().unwrap_or_default();
    let mut status = match said {
        Said::Worked(outcome) => worked(&outcome, &before),
        Said::Failed(trouble) => {
            tracing::warn!(run = run.name_any(), %trouble, "a billing run came to nothing for now");
            let mut status = BillingRunStatus {
                conditions: vec![condition("False", trouble.reason(), &trouble.to_string())],
                observed_generation: None,
                ..before.clone()
            };
            if let Trouble::Incomplete { seen, .. } = &trouble {
                status.sources = sources(seen);
                status.doubtful_hours = doubtful_hours(seen);
            }
            status
        }
    };
    // What the last look at what runs came to stays, as long as bills are to be issued.
    let looked = before.conditions.iter().find(|known| known.type_ == RECONCILED);
    if !status.conditions.iter().any(|said| said.type_ == RECONCILED) {
        status.conditions.extend(looked.cloned());
    }
    let Some(written) = write_status(api, run, status, now).await? else {
        return Ok(());
    };
    let status = written.status.clone().unwrap_or_default();
    events
        .tell(&written.object_ref(&()), &before.conditions, &status.conditions)
        .await;
    if is_issued(&status.conditions) && !is_issued(&before.conditions) {
        let BillingRunStatus {
            first_number,
            last_number,
            bills,
            total,
            currency,
            ..
        } = status;
        tracing::info!(
            run = run.name_any(),
            bills,
            first_number,
            last_number,
            total,
            currency,
            "issued bills"
        );
    }
    Ok(())
}

fn is_issued(conditions: &[Condition]) -> bool {
    conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.reason == "Issued")
}

/// Says of a run that is to issue whether what runs is metered.
pub(super) async fn reconciled(
    api: &Api<BillingRun>,
    run: &BillingRun,
    looked: &Looked,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let Some(mut status) = run.status.clone() else {
        return Ok(());
    };
    let is_open = status
        .conditions
        .iter()
        .any(|said| said.type_ == "Ready" && said.reason == "Open");
    if !is_open {
        return Ok(());
    }
    status.conditions.retain(|known| known.type_ != RECONCILED);
    status
        .conditions
        .push(agreement(looked.findings.is_empty(), &looked.sentence()));
    write_status(api, run, status, now).await.map(drop)
}

/// Whether an issued run was held against what was metered already.
pub(super) fn is_billed(run: &BillingRun) -> bool {
    let conditions = run.status.as_ref().map_or(&[][..], |status| &status.conditions);
    is_issued(conditions) && conditions.iter().any(|condition| condition.type_ == RECONCILED)
}

/// Whether things agree that must.
fn agreement(agrees: bool, message: &str) -> Condition {
    let (status, reason) = if agrees {
        ("True", "Agrees")
    } else {
        ("False", "Disagrees")
    };
    Condition {
        type_: RECONCILED.to_owned(),
        ..condition(status, reason, message)
    }
}

/// Writes a status, if it says something else than before; gives what was written.
async fn write_status(
    api: &Api<BillingRun>,
    run: &BillingRun,
    mut status: BillingRunStatus,
    now: Timestamp,
) -> Result<Option<BillingRun>, kube::Error> {
    let before = run.status.clone().unwrap_or_default();
    status.observed_generation = run.metadata.generation;
    for condition in &mut status.conditions {
        condition.observed_generation = run.metadata.generation;
        let known = before.conditions.iter().find(|known| known.type_ == condition.type_);
        let since = known.filter(|known| known.status == condition.status);
        condition.last_transition_time = since.map_or(Time(now), |known| known.last_transition_time.clone());
    }
    if run.status.as_ref() == Some(&status) {
        return Ok(None);
    }
    let mut wanted = run.clone();
    wanted.status = Some(status);
    wanted.metadata.managed_fields = None;
    let params = kube::api::PostParams::default();
    api.replace_status(&run.name_any(), &params, &wanted).await.map(Some)
}

/// Status and reason of the condition `Ready`.
fn ready(stage: Stage) -> (&'static str, &'static str) {
    match stage {
        Stage::Preview => ("True", "Previewed"),
        Stage::Open { .. } => ("False", "Open"),
        Stage::Issued => ("True", "Issued"),
    }
}

fn worked(outcome: &Outcome, before: &BillingRunStatus) -> BillingRunStatus {
    let total: Exact = outcome.pages.iter().map(|page| &page.statement().total).sum();
    let numbers: Vec<&str> = outcome.pages.iter().filter_map(Page::number).collect();
    let holes = holes(&outcome.pages);
    let mut message = match outcome.stage {
        Stage::Preview => format!("{} bills as they would be; nothing is written", outcome.pages.len()),
        Stage::Open { closes } => format!("{} drafts; they are issued from {closes} on", outcome.pages.len()),
        Stage::Issued => match (numbers.iter().min(), numbers.iter().max()) {
            (Some(first), Some(last)) => format!("{} bills are issued, {first} to {last}", numbers.len()),
            _ => "no bills are issued: there is nothing to bill".to_owned(),
        },
    };
    for warning in &outcome.warnings {
        message = format!("{message}; {warning}");
    }
    let (status, reason) = ready(outcome.stage);
    BillingRunStatus {
        observed_generation: None,
        conditions: [
            Some(condition(status, reason, &message)),
            outcome.unbilled.as_deref().map(billed),
        ]
        .into_iter()
        .flatten()
        .collect(),
        table_version: outcome.version.and_then(|version| i64::try_from(version).ok()),
        bills: i32::try_from(outcome.pages.len()).ok(),
        total: (!outcome.pages.is_empty()).then(|| total.to_string()),
        currency: outcome.pages.first().map(|page| page.currency().to_owned()),
        first_number: numbers.iter().min().map(|number| (*number).to_owned()),
        last_number: numbers.iter().max().map(|number| (*number).to_owned()),
        hole_count: i32::try_from(holes.len()).ok(),
        holes: holes.into_iter().take(MOST_HOLES).collect(),
        // What was seen of a month is said up to its issue.
        sources: outcome.seen.as_ref().map_or_else(|| before.sources.clone(), sources),
        doubtful_hours: outcome
            .seen
            .as_ref()
            .map_or_else(|| before.doubtful_hours.clone(), doubtful_hours),
    }
}

fn sources(seen: &Seen) -> Vec<SourceProgress> {
    let recorded = seen.sources.iter().filter(|(_, until)| *until > Timestamp::UNIX_EPOCH);
    let progress = |(name, until): &(&str, Timestamp)| SourceProgress {
        name: (*name).to_owned(),
        recorded_until: until.to_string(),
    };
    recorded.map(progress).collect()
}

fn doubtful_hours(seen: &Seen) -> Vec<DoubtfulHours> {
    let of_meter = |(meter, hours): (&String, &BTreeMap<Timestamp, Completeness>)| {
        let count = |wanted| {
            let hours = hours.values().filter(|said| **said == wanted);
            i32::try_from(hours.count()).unwrap_or(i32::MAX)
        };
        DoubtfulHours {
            meter: meter.clone(),
            estimated: count(Completeness::Estimated),
            missing: count(Completeness::Missing),
            first: hours.keys().next().map(ToString::to_string).unwrap_or_default(),
        }
    };
    seen.doubts.iter().map(of_meter).take(MOST_HOLES).collect()
}

/// Whether everything that was metered stands on the bills.
fn billed(unbilled: &[Unbilled]) -> Condition {
    match unbilled {
        [] => agreement(true, "every quantity that was metered stands on a bill, once"),
        [first, ..] => agreement(
            false,
            &format!(
                "{} quantities do not stand on a bill as they were metered: {first}",
                unbilled.len()
            ),
        ),
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
