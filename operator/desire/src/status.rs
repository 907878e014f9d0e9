//! Conditions: what was verified, and since when.

use crate::reason::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// One condition as it should be.
pub(crate) fn condition(
    kind: &str,
    holds: bool,
    reason: Reason,
    message: String,
    generation: Option<i64>,
) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: Time(jiff_epoch()),
    }
}

/// Gives each condition the time of its last flip: the previous one's where its status is the same, else `now`.
pub(crate) fn dated(previous: &[Condition], mut wanted: Vec<Condition>, now: &Time) -> Vec<Condition> {
    for condition in &mut wanted {
        let before = previous
            .iter()
            .find(|before| before.type_ == condition.type_ && before.status == condition.status);
        condition.last_transition_time =
            before.map_or_else(|| now.clone(), |before| before.last_transition_time.clone());
    }
    wanted
}

fn jiff_epoch() -> k8s_openapi::jiff::Timestamp {
    k8s_openapi::jiff::Timestamp::UNIX_EPOCH
}
