//! What a record does to one with the same id.

use maru_meter::{Completeness, UsageRecord};

/// What becomes of a record whose id is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// It takes the other's place.
    Replaces,
    /// The other stays.
    Covered,
    /// The two contradict each other.
    Conflict,
}

/// Of two that differ only in how far they reach, the longer one counts; of two over the same time, one that was measured takes the
/// place of an estimate. So it does not matter in which order two writers come.
pub(crate) fn merge(old: &UsageRecord, new: &UsageRecord) -> Merge {
    let same_length = UsageRecord {
        recorded_at: old.recorded_at,
        ..new.clone()
    };
    if *old == same_length {
        return Merge::Covered;
    }
    let same_use = UsageRecord {
        end: old.end,
        quantity: old.quantity.clone(),
        completeness: old.completeness,
        ..same_length
    };
    if *old != same_use {
        return Merge::Conflict;
    }
    let measured = |record: &UsageRecord| record.completeness == Completeness::Complete;
    match new.end.cmp(&old.end) {
        std::cmp::Ordering::Greater if new.quantity >= old.quantity => Merge::Replaces,
        std::cmp::Ordering::Less if new.quantity <= old.quantity => Merge::Covered,
        std::cmp::Ordering::Equal if measured(new) && !measured(old) => Merge::Replaces,
        std::cmp::Ordering::Equal if measured(old) && !measured(new) => Merge::Covered,
        _ => Merge::Conflict,
    }
}
