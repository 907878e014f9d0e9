//! What is left of a system that is not there.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use k8s_openapi::jiff::Timestamp;
use maru_desire::{ORPHAN_GRACE, ObjectKey, ObjectKind, Owner, plan_orphans};
use std::collections::BTreeMap;
use std::time::Duration;

const NOON: Timestamp = Timestamp::constant(1_793_620_800, 0);

fn key(kind: ObjectKind) -> ObjectKey {
    ObjectKey::new(kind, "mois", "docs-web")
}

/// What goes, and how long to wait, where each object was made so many seconds before noon, and the kind an hour before.
fn plan(made: &[(ObjectKind, u64)]) -> (Vec<ObjectKind>, Option<Duration>) {
    let made: BTreeMap<ObjectKey, Timestamp> = made
        .iter()
        .map(|(kind, ago)| (key(*kind), NOON - Duration::from_secs(*ago)))
        .collect();
    let owner = Owner::System {
        namespace: "mois".to_owned(),
        name: "docs".to_owned(),
    };
    let (plan, wait) = plan_orphans(owner, &made, NOON - Duration::from_hours(1), NOON);
    assert!(plan.objects.is_empty());
    (plan.sweep.iter().map(|key| key.kind).collect(), wait)
}

#[test]
fn what_is_left_goes_in_the_order_opposite_to_that_in_which_it_came() {
    let made = [(ObjectKind::Service, 60), (ObjectKind::Deployment, 60)];
    assert_eq!(plan(&made), (vec![ObjectKind::Deployment, ObjectKind::Service], None));
}

#[test]
fn data_stays() {
    assert_eq!(plan(&[(ObjectKind::PersistentVolumeClaim, 60)]), (vec![], None));
}

#[test]
fn what_is_older_than_the_kind_stays_for_its_system_went_with_the_kind() {
    let made = [(ObjectKind::Service, 3600), (ObjectKind::Deployment, 3599)];
    assert_eq!(plan(&made), (vec![ObjectKind::Deployment], None));
}

#[test]
fn what_was_made_just_now_is_left_alone_for_a_while() {
    let made = [(ObjectKind::Service, 10), (ObjectKind::Deployment, 30)];
    let left = ORPHAN_GRACE.checked_sub(Duration::from_secs(10));
    assert_eq!(plan(&made), (vec![ObjectKind::Deployment], left));
    // A clock that is behind the API server's only makes it wait.
    let ahead = NOON + Duration::from_secs(100);
    let made = BTreeMap::from([(key(ObjectKind::Service), ahead)]);
    let owner = Owner::System {
        namespace: "mois".to_owned(),
        name: "docs".to_owned(),
    };
    let (plan, wait) = plan_orphans(owner, &made, NOON - Duration::from_hours(1), NOON);
    assert_eq!((plan.sweep.len(), wait), (0, Some(ORPHAN_GRACE)));
}
