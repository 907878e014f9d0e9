//! What passes by itself is said only if it lasts.
//!
//! A new system waits for its agency and then for its pods. Each of these would be a status of its own, a write that the next
//! one makes void some milliseconds later. So while a system has not been ready yet, what passes by itself is kept back for a
//! moment; what must be looked at, and that it is ready, is said at once.

use crate::events::passes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use maru_desire::Owner;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a status is kept back at most.
const MOMENT: Duration = Duration::from_secs(2);

/// Since when something is kept back of whom.
#[derive(Debug, Default)]
pub(crate) struct Unsaid(Mutex<HashMap<Owner, Instant>>);

impl Unsaid {
    /// How much longer a status that would replace another one is kept back; none: it is to be said now.
    pub(crate) fn rest(&self, owner: &Owner, before: &[Condition], after: &[Condition]) -> Option<Duration> {
        let was_ready = ready(before).is_some_and(|ready| ready.status == "True");
        let passes = ready(after).is_some_and(passes);
        if was_ready || !passes {
            self.forget(owner);
            return None;
        }
        let now = Instant::now();
        let since = *self.since().entry(owner.clone()).or_insert(now);
        let rest = MOMENT.saturating_sub(now - since);
        if rest.is_zero() {
            self.forget(owner);
            return None;
        }
        Some(rest)
    }

    /// The owner is as its status says, or gone.
    pub(crate) fn forget(&self, owner: &Owner) {
        self.since().remove(owner);
    }

    fn since(&self) -> MutexGuard<'_, HashMap<Owner, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ready(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == "Ready")
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn said(status: &str, reason: &str) -> [Condition; 1] {
        [Condition {
            type_: "Ready".to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        }]
    }

    fn docs() -> Owner {
        Owner::System {
            namespace: "mois".to_owned(),
            name: "docs".to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_by_itself_is_kept_back_for_a_moment_and_no_longer() {
        let unsaid = Unsaid::default();
        let rolling_out = said("False", "RollingOut");
        let rest = unsaid.rest(&docs(), &[], &rolling_out);
        assert_eq!(rest, Some(MOMENT));
        tokio::time::advance(MOMENT / 2).await;
        assert_eq!(
            unsaid.rest(&docs(), &[], &said("False", "AgencyNotReady")),
            Some(MOMENT / 2)
        );
        tokio::time::advance(MOMENT / 2).await;
        assert_eq!(unsaid.rest(&docs(), &[], &rolling_out), None);
    }

    #[tokio::test(start_paused = true)]
    async fn that_it_is_ready_what_must_be_looked_at_and_what_was_ready_is_said_at_once() {
        let unsaid = Unsaid::default();
        assert_eq!(unsaid.rest(&docs(), &[], &said("True", "Ready")), None);
        assert_eq!(unsaid.rest(&docs(), &[], &said("False", "HostTaken")), None);
        let was_ready = said("True", "Ready");
        assert_eq!(unsaid.rest(&docs(), &was_ready, &said("False", "RollingOut")), None);
    }
}
