//! What a record does to one with the same id.

use std::cmp::Ordering;

use crate::record::{Completeness, UsageRecord};

/// What becomes of a record whose id is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It takes the other's place.
    Replaces,
    /// The other stays.
    Covered,
    /// The two contradict each other.
    Conflict,
}

/// Records are written when an hour is over or when something has ended. So of two that differ only in how far they reach, the
/// one that ends sooner was written by somebody who was told of the end, and counts, even where the amount is an estimate and the other's was
/// measured: it was measured of a time in which nothing was held any more. Of two that reach as far, one that was measured counts before an
/// estimate; and anything counts before a hole. It does not matter in which order two writers come.
pub fn merge(old: &UsageRecord, new: &UsageRecord) -> Merge {
    let same_reach = UsageRecord {
        recorded_at: old.recorded_at,
        ..new.clone()
    };
    if *old == same_reach {
        return Merge::Covered;
    }
    let same_use = UsageRecord {
        end: old.end,
        quantity: old.quantity.clone(),
        completeness: old.completeness,
        ..same_reach
    };
    if *old != same_use {
        return Merge::Conflict;
    }
    // `Complete` is the least.
    let better = new.completeness.cmp(&old.completeness);
    let measured = new.completeness == Completeness::Complete && better == Ordering::Equal;
    let ends = new.end.cmp(&old.end);
    let hole = [old.completeness, new.completeness].contains(&Completeness::Missing);
    let order = if hole { better.then(ends) } else { ends.then(better) };
    let order = order.then(new.quantity.cmp(&old.quantity));
    match order {
        _ if measured && contradicts(old, new) => Merge::Conflict,
        Ordering::Less => Merge::Replaces,
        _ => Merge::Covered,
    }
}

/// Two measurements over the same time are the same, and over a shorter one there is not more.
fn contradicts(old: &UsageRecord, new: &UsageRecord) -> bool {
    match new.end.cmp(&old.end) {
        Ordering::Less => new.quantity > old.quantity,
        Ordering::Equal => new.quantity != old.quantity,
        Ordering::Greater => new.quantity < old.quantity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(minutes: i64, quantity: &str, completeness: Completeness) -> UsageRecord {
        let start: jiff::Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
        UsageRecord {
            id: "a".into(),
            agency: "nts".into(),
            system: "nts/tax".into(),
            resource: String::new(),
            meter: "cpu.reserved".into(),
            quantity: quantity.parse().unwrap(),
            unit: String::new(),
            start,
            end: start + jiff::SignedDuration::from_mins(minutes),
            source: String::new(),
            completeness,
            recorded_at: None,
        }
    }

    #[test]
    fn whoever_comes_first_the_better_known_record_counts() {
        use Completeness::{Complete, Estimated, Missing};
        let table = [
            (record(20, "1", Complete), record(60, "3", Complete)),
            // Whoever was told of the end may not know what was held until then.
            (record(20, "1", Estimated), record(60, "3", Complete)),
            (record(60, "3", Complete), record(20, "0", Missing)),
            (record(20, "1", Complete), record(20, "2", Estimated)),
            (record(60, "3", Estimated), record(0, "0", Missing)),
            (record(20, "1", Estimated), record(60, "3", Estimated)),
            (record(20, "1", Estimated), record(20, "2", Estimated)),
            (record(0, "0", Complete), record(60, "3", Complete)),
        ];
        for (better, other) in table {
            assert_eq!(merge(&other, &better), Merge::Replaces, "{other:?} {better:?}");
            assert_eq!(merge(&better, &other), Merge::Covered, "{better:?} {other:?}");
        }
    }

    #[test]
    fn two_measurements_that_contradict_each_other_are_a_conflict_both_ways() {
        let one = record(60, "3", Completeness::Complete);
        for other in [
            record(60, "4", Completeness::Complete),
            record(20, "4", Completeness::Complete),
            UsageRecord {
                system: "nts/other".into(),
                ..one.clone()
            },
        ] {
            assert_eq!(merge(&one, &other), Merge::Conflict);
            assert_eq!(merge(&other, &one), Merge::Conflict);
        }
    }
}
