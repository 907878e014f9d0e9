//! Events: what an administrator sees under `kubectl describe`.
//!
//! They tell of what needs attention: a problem that begins, another one in its place, and its end; and that bills were issued. The ordinary
//! course (made, rolling out, ready) is in the conditions. As an event follows a change of the status and nothing else, there is none at rest
//! and none after a restart. An event is a help and no record: one that cannot be written is lost.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use maru_crds::{Agency, AgencyStatus};

/// What an event may say at most, in bytes: the API server takes 1 kB.
const NOTE_BYTES: usize = 1_000;
/// Reasons not to be ready that pass by themselves.
const PASSING: [&str; 14] = [
    "RollingOut",
    "PodsNotReady",
    "RoutePending",
    "AgencyNotReady",
    "NamespaceTerminating",
    "Terminating",
    "Deleting",
    "NotAccepted",
    "NotYetActive",
    "Expired",
    "Revoked",
    "DatasetMissing",
    "Open",
    "CredentialsPending",
];
/// What is done once and cannot be undone.
const FINAL: &str = "Issued";

/// Publishes events. Clones share what they remember of those of the last minutes, which are counted up and not repeated.
#[derive(Clone)]
pub(crate) struct Events {
    recorder: Recorder,
}

impl Events {
    pub(crate) fn new(client: Client) -> Self {
        let reporter = Reporter {
            controller: "maru.dev/operator".to_owned(),
            instance: None,
        };
        Self {
            recorder: Recorder::new(client, reporter),
        }
    }

    /// Tells what changed of an agency: as of every object, and of its budget.
    pub(crate) async fn tell_agency(&self, before: Option<&AgencyStatus>, now: &Agency) {
        let after = now.status.as_ref();
        let conditions =
            |status: Option<&'_ AgencyStatus>| status.map(|status| status.conditions.clone()).unwrap_or_default();
        let of = now.object_ref(&());
        self.tell(&of, &conditions(before), &conditions(after)).await;
        if let Some(event) = after.and_then(|after| worth_telling_of_budget(before, after)) {
            self.publish(&event, &of).await;
        }
    }

    /// Tells what changed between two sets of conditions, if it is worth an event.
    pub(crate) async fn tell(&self, of: &ObjectReference, before: &[Condition], after: &[Condition]) {
        if let Some(event) = worth_telling(ready(before), ready(after)) {
            self.publish(&event, of).await;
        }
    }

    async fn publish(&self, event: &Event, of: &ObjectReference) {
        if let Err(error) = self.recorder.publish(event, of).await {
            tracing::warn!(%error, reason = event.reason, "an event was not taken");
        }
    }
}

fn ready(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == "Ready")
}

/// Whether somebody must look at what a condition says.
pub(crate) fn is_problem(condition: &Condition) -> bool {
    condition.status == "False" && !PASSING.contains(&condition.reason.as_str())
}

/// Whether a condition does not hold for a reason that passes by itself.
pub(crate) fn passes(condition: &Condition) -> bool {
    condition.status == "False" && !is_problem(condition)
}

fn worth_telling(before: Option<&Condition>, after: Option<&Condition>) -> Option<Event> {
    let after = after?;
    if after.reason == FINAL && before.is_none_or(|before| before.reason != FINAL) {
        return Some(event(EventType::Normal, after));
    }
    let was = before.filter(|before| is_problem(before));
    let is = is_problem(after);
    let repeats = was.is_some_and(|was| was.reason == after.reason);
    if repeats || was.is_none() && !is {
        return None;
    }
    let type_ = if is { EventType::Warning } else { EventType::Normal };
    Some(event(type_, after))
}

/// A budget that is exceeded, one that is kept again, and each alert threshold when it is passed.
fn worth_telling_of_budget(before: Option<&AgencyStatus>, after: &AgencyStatus) -> Option<Event> {
    let now = budget(after)?;
    let was = before.and_then(budget);
    let (is, was) = (severity(now), was.map_or(0, severity));
    let passed_more = after.alert_threshold.as_ref() > before.and_then(|before| before.alert_threshold.as_ref());
    let type_ = match is {
        0 if was == EXCEEDED => EventType::Normal,
        1.. if is > was || is == was && passed_more => EventType::Warning,
        _ => return None,
    };
    Some(event(type_, now))
}

fn budget(status: &AgencyStatus) -> Option<&Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "WithinBudget")
}

const EXCEEDED: u8 = 2;

fn severity(condition: &Condition) -> u8 {
    match condition.reason.as_str() {
        "BudgetExceeded" => EXCEEDED,
        "BudgetAlert" => 1,
        _ => 0,
    }
}

fn event(type_: EventType, of: &Condition) -> Event {
    Event {
        type_,
        reason: of.reason.clone(),
        note: Some(cut(&of.message).to_owned()),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}

fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(NOTE_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn condition(status: &str, reason: &str) -> Condition {
        Condition {
            type_: "Ready".to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: "하나".repeat(400),
            observed_generation: Some(1),
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        }
    }

    fn told(before: Option<(&str, &str)>, after: (&str, &str)) -> Option<String> {
        let before = before.map(|(status, reason)| condition(status, reason));
        let event = worth_telling(before.as_ref(), Some(&condition(after.0, after.1)))?;
        Some(format!("{:?} {}", event.type_, event.reason))
    }

    #[test]
    fn the_ordinary_course_is_no_event() {
        assert_eq!(told(None, ("False", "RollingOut")), None);
        assert_eq!(told(Some(("False", "RollingOut")), ("True", "Ready")), None);
        assert_eq!(told(Some(("True", "Ready")), ("True", "Ready")), None);
    }

    #[test]
    fn a_problem_is_told_when_it_begins_changes_and_ends_and_not_in_between() {
        let taken = ("False", "HostTaken");
        assert_eq!(told(None, taken).as_deref(), Some("Warning HostTaken"));
        assert_eq!(told(Some(taken), taken), None);
        assert_eq!(
            told(Some(taken), ("False", "ImagePullFailed")).as_deref(),
            Some("Warning ImagePullFailed")
        );
        assert_eq!(told(Some(taken), ("True", "Ready")).as_deref(), Some("Normal Ready"));
    }

    #[test]
    fn that_bills_were_issued_is_told_once_and_so_is_what_keeps_them_from_it() {
        let (open, issued) = (("False", "Open"), ("True", "Issued"));
        assert_eq!(told(None, open), None, "the month runs");
        assert_eq!(
            told(Some(open), ("False", "LedgerFailed")).as_deref(),
            Some("Warning LedgerFailed")
        );
        for before in [None, Some(open), Some(("False", "LedgerFailed"))] {
            assert_eq!(told(before, issued).as_deref(), Some("Normal Issued"), "{before:?}");
        }
        assert_eq!(told(Some(issued), issued), None);
    }

    fn told_of_budget(before: (&str, Option<&str>), after: (&str, Option<&str>)) -> Option<String> {
        let status = |(reason, threshold): (&str, Option<&str>)| {
            let mut budget = condition("True", reason);
            budget.type_ = "WithinBudget".to_owned();
            AgencyStatus {
                conditions: vec![condition("True", "Ready"), budget],
                alert_threshold: threshold.map(str::to_owned),
                ..AgencyStatus::default()
            }
        };
        let event = worth_telling_of_budget(Some(&status(before)), &status(after))?;
        Some(format!("{:?} {}", event.type_, event.reason))
    }

    #[test]
    fn each_threshold_of_a_budget_is_told_once_and_so_is_its_end() {
        let little = ("WithinBudget", None);
        let half = ("BudgetAlert", Some("0.5"));
        let most = ("BudgetAlert", Some("0.85"));
        let over = ("BudgetExceeded", Some("0.85"));
        let twice = ("BudgetExceeded", Some("2"));
        assert_eq!(told_of_budget(("NotBilledYet", None), little), None);
        assert_eq!(told_of_budget(little, half).as_deref(), Some("Warning BudgetAlert"));
        assert_eq!(told_of_budget(half, half), None);
        assert_eq!(told_of_budget(half, most).as_deref(), Some("Warning BudgetAlert"));
        assert_eq!(told_of_budget(most, over).as_deref(), Some("Warning BudgetExceeded"));
        assert_eq!(told_of_budget(over, over), None);
        assert_eq!(told_of_budget(over, twice).as_deref(), Some("Warning BudgetExceeded"));
        assert_eq!(told_of_budget(twice, little).as_deref(), Some("Normal WithinBudget"));
        assert_eq!(told_of_budget(most, half), None, "the budget was raised");
        assert_eq!(told_of_budget(half, little), None, "a new month");
    }

    #[test]
    fn a_long_message_is_cut_between_two_letters() {
        let note = worth_telling(None, Some(&condition("False", "HostTaken"))).and_then(|event| event.note);
        assert!(note.is_some_and(|note| note.len() <= NOTE_BYTES && note.ends_with(['하', '나'])));
    }
}
