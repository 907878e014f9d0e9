//! What is left of a system that is not there any more: a write that arrived after its last turn, or a finalizer that somebody
//! took off by hand.

use crate::object::ObjectKey;
use crate::plan::{Finalizer, Owner, Plan};
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an object of a system that is not there is left alone after it was made: who brings back a copy of a whole cluster may
/// bring the system a little later than its objects.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(30);

/// The plan that takes away what is left of a system, and how long to wait for what is too young. `made` says of each object since
/// when it is there, `kind_made` since when the kind `AgencySystem` is.
///
/// What holds a tenant's data stays. So does what is older than the kind: a kind that was taken away by mistake and is back took
/// its systems with it, but what they stand for goes on (DESIGN.md §2, rule 5).
pub fn plan_orphans(
    owner: Owner,
    made: &BTreeMap<ObjectKey, Timestamp>,
    kind_made: Timestamp,
    now: Timestamp,
) -> (Plan, Option<Duration>) {
    let mut plan = Plan::empty(owner);
    plan.finalizer = Finalizer::Wait;
    let mut wait = None;
    let theirs = made
        .iter()
        .filter(|(key, made)| !key.kind.holds_tenant_data() && **made > kind_made);
    for (key, made) in theirs {
        let age = Duration::try_from(now.duration_since(*made)).unwrap_or_default();
        match ORPHAN_GRACE.checked_sub(age) {
            Some(left) if !left.is_zero() => wait = wait.max(Some(left)),
            _ => plan.sweep.push(key.clone()),
        }
    }
    plan.sweep.sort_by(|one, other| other.cmp(one));
    (plan, wait)
}
