//! When a dataset is backed up, when a backup is restored to see that it can be, and what people are told of it.

use crate::plan::Problem;
use crate::reason::Reason;
use crate::status::Finding;
use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use maru_crds::{BackupPolicy, Dataset, DeletionPolicy};

/// How long after it was due a backup is late.
const LATE: SignedDuration = SignedDuration::from_hours(2);
/// Days for which the last backup of a deleted dataset is kept that had no policy.
const RETENTION_DAYS: u32 = 30;

/// What is due for a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupWork {
    /// A backup.
    Make,
    /// Restoring the last one and comparing it.
    Verify,
}

/// What is known of a dataset's backups besides its status.
#[derive(Clone, Debug, Default)]
pub struct BackupFacts {
    /// Whether the platform has a place for backups.
    pub has_place: bool,
    /// What went wrong the last time, where it did.
    pub problem: Option<Problem>,
}

/// For how many days the backups of a dataset are kept.
pub fn retention_days(dataset: &Dataset) -> u32 {
    let policy = dataset.spec.backup.as_ref();
    policy
        .and_then(|policy| u32::try_from(policy.retention_days).ok())
        .unwrap_or(RETENTION_DAYS)
}

/// What is due at a moment; the problem is a schedule that is none.
pub fn backup_due(dataset: &Dataset, now: Timestamp) -> Result<Option<BackupWork>, Problem> {
    let status = dataset.status.as_ref();
    if status.is_none_or(|status| status.database.is_none()) {
        return Ok(None);
    }
    let last = status.and_then(|status| status.last_backup.as_ref());
    let verified = status.and_then(|status| status.last_verified_restore.as_ref());
    let unverified = last.filter(|last| verified.is_none_or(|verified| verified.name != last.name));
    if let Some(ends) = &dataset.metadata.deletion_timestamp {
        if !goes(dataset) {
            return Ok(None);
        }
        // The last one is of the time after everybody was told to stop, and data only goes once it was seen to be there.
        let is_last = last
            .and_then(|last| moment(&last.time))
            .is_some_and(|time| time >= ends.0);
        return Ok(match (is_last, unverified) {
            (false, _) => Some(BackupWork::Make),
            (true, Some(_)) => Some(BackupWork::Verify),
            (true, None) => None,
        });
    }
    let Some(policy) = &dataset.spec.backup else {
        return Ok(None);
    };
    let zone = zone(policy)?;
    let born = dataset.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let made = last.and_then(|last| moment(&last.time)).unwrap_or(born);
    if next("schedule", &policy.schedule, &zone, made)?.is_some_and(|due| due <= now) {
        return Ok(Some(BackupWork::Make));
    }
    let (Some(schedule), Some(_)) = (&policy.verify_schedule, unverified) else {
        return Ok(None);
    };
    let looked = verified
        .and_then(|verified| moment(verified.verified_at.as_deref()?))
        .unwrap_or(born);
    let due = next("verifySchedule", schedule, &zone, looked)?.is_some_and(|due| due <= now);
    Ok(due.then_some(BackupWork::Verify))
}

/// Whether the data of a dataset goes with it: that stood there before the delete, and stands there still.
pub fn goes(dataset: &Dataset) -> bool {
    let recorded = dataset.status.as_ref().and_then(|status| status.deletion_policy);
    dataset.spec.deletion_policy == DeletionPolicy::Delete && recorded == Some(DeletionPolicy::Delete)
}

/// The condition `BackedUp`.
pub(crate) fn backed_up(dataset: &Dataset, facts: &BackupFacts, now: Timestamp) -> Finding {
    let Some(policy) = &dataset.spec.backup else {
        return Finding::unknown("BackedUp", Reason::NotApplicable, "no backup is asked for");
    };
    if !facts.has_place {
        let message =
            "the platform has no place for backups: the operator needs one, and a key (the chart's data.backups)";
        return Finding::no("BackedUp", Reason::BackupMissing, message);
    }
    if let Some(problem) = &facts.problem {
        return Finding::of("BackedUp", problem);
    }
    let late = |what: &str, due: Timestamp| {
        let message = format!("{what} was due at {due} and is not done: the operator's log says what it waits for");
        Finding::no("BackedUp", Reason::BackupLate, message)
    };
    let status = dataset.status.as_ref();
    let born = dataset.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let last = status.and_then(|status| status.last_backup.as_ref());
    let made = last.and_then(|last| moment(&last.time)).unwrap_or(born);
    let due = zone(policy).and_then(|zone| next("schedule", &policy.schedule, &zone, made));
    match (due, last) {
        (Err(problem), _) => Finding::of("BackedUp", &problem),
        (Ok(Some(due)), _) if due + LATE <= now => late("a backup", due),
        (Ok(_), None) => Finding::no(
            "BackedUp",
            Reason::BackupMissing,
            "there is no backup yet: the first one is made on schedule",
        ),
        (Ok(_), Some(last)) => Finding::yes(
            "BackedUp",
            Reason::BackedUp,
            format!("the last backup is {}", last.name),
        ),
    }
}

fn zone(policy: &BackupPolicy) -> Result<TimeZone, Problem> {
    TimeZone::get(&policy.time_zone).map_err(|error| {
        let message = format!("spec.backup.timeZone: {error}; allowed is a name such as Asia/Seoul");
        Problem::new(Reason::BackupFailed, message)
    })
}

/// The first moment of a schedule after another.
fn next(field: &str, schedule: &str, zone: &TimeZone, after: Timestamp) -> Result<Option<Timestamp>, Problem> {
    let cron: Cron = schedule.parse().map_err(|error: croner::errors::CronError| {
        let message = format!("spec.backup.{field} `{schedule}`: {error}; allowed is such as \"30 2 * * *\"");
        Problem::new(Reason::BackupFailed, message)
    })?;
    // A day that never comes, such as the thirtieth of February, is never due.
    let found = cron.find_next_occurrence(&after.to_zoned(zone.clone()), false).ok();
    Ok(found.map(|zoned| zoned.timestamp()))
}

fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use maru_crds::{BackupStatus, DatasetStatus};
    use serde_json::json;

    fn dataset(change: impl FnOnce(&mut Dataset)) -> Dataset {
        let mut dataset: Dataset = serde_json::from_value(json!({
            "apiVersion": "maru.dev/v1alpha1", "kind": "Dataset",
            "metadata": {"name": "businesses", "namespace": "nts", "creationTimestamp": "2026-11-01T00:00:00Z"},
            "spec": {"backup": {"schedule": "30 2 * * *", "verifySchedule": "0 4 * * 0", "timeZone": "Asia/Seoul"}},
        }))
        .unwrap();
        dataset.status = Some(DatasetStatus {
            database: Some("nts_businesses".to_owned()),
            ..DatasetStatus::default()
        });
        change(&mut dataset);
        dataset
    }

    fn backup(time: &str, verified_at: Option<&str>) -> BackupStatus {
        BackupStatus {
            name: format!("nts/businesses/{time}"),
            time: time.to_owned(),
            verified_at: verified_at.map(str::to_owned),
            ..BackupStatus::default()
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn due(dataset: &Dataset, now: &str) -> Option<BackupWork> {
        backup_due(dataset, at(now)).unwrap()
    }

    #[test]
    fn a_backup_is_due_by_the_clock_of_its_zone_and_one_that_was_missed_is_made_up_for_once() {
        let new = dataset(|_| ());
        assert_eq!(due(&new, "2026-11-01T17:29:59Z"), None);
        assert_eq!(
            due(&new, "2026-11-01T17:30:00Z"),
            Some(BackupWork::Make),
            "half past two in Seoul"
        );
        let made = dataset(|dataset| {
            dataset.status.as_mut().unwrap().last_backup = Some(backup("2026-11-02T17:30:05Z", None));
        });
        assert_eq!(due(&made, "2026-11-03T17:29:00Z"), None);
        assert_eq!(
            due(&made, "2026-11-09T12:00:00Z"),
            Some(BackupWork::Make),
            "a week without an operator"
        );
    }

    #[test]
    fn the_newest_backup_is_verified_on_schedule_and_none_twice() {
        let with = |last: &str, verified: Option<(&str, &str)>| {
            dataset(|dataset| {
                let status = dataset.status.as_mut().unwrap();
                status.last_backup = Some(backup(last, None));
                status.last_verified_restore = verified.map(|(time, at)| backup(time, Some(at)));
            })
        };
        // Sunday the eighth, four o'clock in Seoul.
        let night = "2026-11-07T17:30:00Z";
        assert_eq!(due(&with(night, None), "2026-11-07T18:59:59Z"), None);
        assert_eq!(
            due(&with(night, None), "2026-11-07T19:00:00Z"),
            Some(BackupWork::Verify),
            "the first one"
        );
        let before = Some(("2026-11-01T17:30:00Z", "2026-11-01T19:00:00Z"));
        assert_eq!(due(&with(night, before), "2026-11-07T18:59:59Z"), None);
        assert_eq!(
            due(&with(night, before), "2026-11-07T19:00:00Z"),
            Some(BackupWork::Verify)
        );
        let done = Some((night, "2026-11-07T19:00:10Z"));
        assert_eq!(due(&with(night, done), "2026-11-07T20:00:00Z"), None);
        assert_eq!(
            due(&with("2026-11-08T17:30:00Z", done), "2026-11-08T18:00:00Z"),
            None,
            "not before the next Sunday"
        );
    }

    #[test]
    fn what_goes_is_backed_up_after_the_delete_and_verified_and_then_nothing_more() {
        let deleted = |last: Option<BackupStatus>, verified: Option<BackupStatus>, recorded: DeletionPolicy| {
            dataset(|dataset| {
                dataset.spec.backup = None;
                dataset.spec.deletion_policy = DeletionPolicy::Delete;
                dataset.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-05T00:00:00Z")).unwrap();
                let status = dataset.status.as_mut().unwrap();
                (status.last_backup, status.last_verified_restore) = (last, verified);
                status.deletion_policy = Some(recorded);
            })
        };
        let now = "2026-11-05T00:01:00Z";
        let (before, after) = (
            Some(backup("2026-11-04T23:59:59Z", None)),
            Some(backup("2026-11-05T00:00:30Z", None)),
        );
        let delete = DeletionPolicy::Delete;
        assert_eq!(due(&deleted(None, None, delete), now), Some(BackupWork::Make));
        assert_eq!(due(&deleted(before, None, delete), now), Some(BackupWork::Make));
        assert_eq!(
            due(&deleted(after.clone(), None, delete), now),
            Some(BackupWork::Verify)
        );
        assert_eq!(due(&deleted(after.clone(), after, delete), now), None);
        assert_eq!(
            due(&deleted(None, None, DeletionPolicy::Retain), now),
            None,
            "it said Delete only afterwards"
        );
    }

    #[test]
    fn the_condition_says_what_is_missing_late_wrong_or_there() {
        let place = BackupFacts {
            has_place: true,
            problem: None,
        };
        let said = |dataset: &Dataset, facts: &BackupFacts, now: &str| {
            let finding = backed_up(dataset, facts, at(now));
            format!("{:?} {}", finding.holds, finding.reason.as_str())
        };
        let (new, now) = (dataset(|_| ()), "2026-11-01T01:00:00Z");
        assert_eq!(said(&new, &BackupFacts::default(), now), "False BackupMissing");
        assert_eq!(said(&new, &place, now), "False BackupMissing");
        assert_eq!(said(&new, &place, "2026-11-01T19:30:00Z"), "False BackupLate");
        let problem = Some(Problem::new(Reason::BackupFailed, "no room"));
        let failed = BackupFacts {
            problem,
            ..place.clone()
        };
        assert_eq!(said(&new, &failed, now), "False BackupFailed");
        let made = dataset(|dataset| {
            dataset.status.as_mut().unwrap().last_backup = Some(backup("2026-11-01T17:30:00Z", None));
        });
        assert_eq!(said(&made, &place, "2026-11-02T17:31:00Z"), "True BackedUp");
        let wrong = dataset(|dataset| dataset.spec.backup.as_mut().unwrap().schedule = "99 2 * * *".to_owned());
        assert_eq!(said(&wrong, &place, now), "False BackupFailed");
        assert!(backup_due(&wrong, at(now)).unwrap_err().message.contains("99 2 * * *"));
        let none = dataset(|dataset| dataset.spec.backup = None);
        assert_eq!(said(&none, &place, now), "Unknown NotApplicable");
    }
}
