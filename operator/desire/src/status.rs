//! Conditions: what was verified, and since when.

use crate::outcome::{Applied, Outcome};
use crate::plan::Problem;
use crate::reason::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The longest message of a condition; the API server takes 4,096 characters.
const LONGEST_MESSAGE: usize = 2048;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// It was seen to hold.
    True,
    /// It was seen not to.
    False,
    /// Nothing was seen yet.
    Unknown,
}

/// What was found out about one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) kind: &'static str,
    pub(crate) holds: Holds,
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn yes(kind: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            kind,
            holds: Holds::True,
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn no(kind: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            kind,
            holds: Holds::False,
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn unknown(kind: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            kind,
            holds: Holds::Unknown,
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn of(kind: &'static str, problem: &Problem) -> Self {
        Self::no(kind, problem.reason, problem.message.clone())
    }

    /// `Ready`: the first of the others that does not hold, and otherwise `message`. What is not known yet does not hold it up.
    pub(crate) fn ready(others: &[Self], reason: Reason, message: impl Into<String>) -> Self {
        let amiss = others.iter().find(|finding| finding.holds == Holds::False);
        amiss.map_or_else(
            || Self::yes("Ready", reason, message),
            |finding| Self::no("Ready", finding.reason, finding.message.clone()),
        )
    }
}

/// The conditions to write: the findings, each with the time of its last flip. That is the previous one's where the status is the
/// same, and `now` otherwise, so that a status in which nothing changed is the same to the byte.
pub(crate) fn merge_conditions(
    previous: &[Condition],
    findings: Vec<Finding>,
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    findings
        .into_iter()
        .map(|finding| {
            let Finding {
                kind,
                holds,
                reason,
                message,
            } = finding;
            let status = match holds {
                Holds::True => "True",
                Holds::False => "False",
                Holds::Unknown => "Unknown",
            };
            let before = previous
                .iter()
                .find(|before| before.type_ == kind && before.status == status);
            Condition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: reason.as_str().to_owned(),
                message: cut(message),
                observed_generation: generation,
                last_transition_time: before.map_or_else(|| now.clone(), |before| before.last_transition_time.clone()),
            }
        })
        .collect()
}

fn cut(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        let end = (0..=LONGEST_MESSAGE)
            .rev()
            .find(|end| message.is_char_boundary(*end))
            .unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

/// What the API server refused, as one problem: the first object, what it said of it, and how many more there are.
pub(crate) fn refusal(applied: &Applied) -> Option<Problem> {
    let (key, answer, message) = applied.refused().next()?;
    let reason = match answer {
        "NameTaken" => Reason::NameTaken,
        "Terminating" => Reason::Terminating,
        _ => Reason::Refused,
    };
    let more = applied.refused().count() - 1;
    let more = if more == 0 {
        String::new()
    } else {
        format!(" (and {more} more)")
    };
    // Some messages begin with the object that they are about.
    let about = format!("{key}: ");
    let about = if message.starts_with(&key.to_string()) {
        ""
    } else {
        &about
    };
    Some(Problem::new(reason, format!("{about}{message}{more}")))
}

/// How many objects of the plan are stored.
pub(crate) fn stored(applied: &Applied) -> usize {
    let stored = |outcome: &Outcome| matches!(outcome, Outcome::Unchanged | Outcome::Written);
    applied.outcomes().iter().filter(|(_, outcome)| stored(outcome)).count()
}
