//! What runs, held against what is metered: nothing that holds something is without a record, nothing is recorded twice, and nothing
//! is recorded after it was gone.
//!
//! It shares nothing with the [`Book`](crate::Book) that makes the records but what an object says of itself: what it finds is a mistake of
//! metering, or somebody's hand in the lake.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use jiff::Timestamp;

use crate::amounts::Observed;
use crate::book::Source;
use crate::hours::Interval;
use crate::record::{Completeness, UsageRecord};

/// Something that is there, and since when it is an agency's.
#[derive(Clone, Debug)]
pub struct Holder {
    /// What it says of itself.
    pub observed: Observed,
    /// Since when its namespace is an agency's, where that was within the time that is looked at.
    pub since: Option<Timestamp>,
}

/// What does not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disagreement {
    /// It held something, and no record says so.
    Unmetered,
    /// Two records are for the same time.
    Twice,
    /// It was gone, and a record goes on.
    Gone,
}

impl Disagreement {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Unmetered, Self::Twice, Self::Gone];

    /// Its name, as metrics and reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unmetered => "Unmetered",
            Self::Twice => "Twice",
            Self::Gone => "Gone",
        }
    }
}

/// One thing that does not agree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What is wrong.
    pub what: Disagreement,
    /// Such as `pod/nts/web-1`.
    pub resource: String,
    /// Which meter.
    pub meter: String,
    /// For which time.
    pub interval: (Timestamp, Timestamp),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = self.interval;
        let said = match self.what {
            Disagreement::Unmetered => "held something that no record says",
            Disagreement::Twice => "is recorded twice",
            Disagreement::Gone => "is recorded after it was gone",
        };
        write!(f, "{} {} {said}, from {start} to {end}", self.resource, self.meter)
    }
}

/// Records of a source over some hours, taken in one at a time and in any order. What is held grows with the objects in them.
#[derive(Debug)]
pub struct Reconciliation {
    source: Source,
    window: Interval,
    /// By uid and meter: the times that are recorded, in order and apart.
    recorded: HashMap<(String, String), Vec<Interval>>,
    /// How records name the objects.
    resources: HashMap<String, String>,
    findings: Vec<Finding>,
    records: u64,
}

impl Reconciliation {
    /// Nothing yet, over hours that the source has closed.
    pub fn new(source: Source, window: Interval) -> Self {
        Self {
            source,
            window,
            recorded: HashMap::new(),
            resources: HashMap::new(),
            findings: Vec::new(),
            records: 0,
        }
    }

    /// How many records were taken in.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Takes a record in; those of other sources and other times are passed over.
    pub fn add(&mut self, record: &UsageRecord) {
        let mut parts = record.id.split('/');
        let (source, uid) = (parts.next(), parts.next());
        let (true, Some(uid)) = (
            source == Some(self.source.name()) && record.source == self.source.name(),
            uid,
        ) else {
            return;
        };
        let whole = Interval {
            start: record.start,
            end: record.end,
        };
        let Some(inside) = whole.overlap(self.window) else {
            return;
        };
        self.records += 1;
        // What was not seen covers nothing.
        if record.completeness == Completeness::Missing {
            return;
        }
        let key = (uid.to_owned(), record.meter.clone());
        if let Some(twice) = put(self.recorded.entry(key).or_default(), inside) {
            self.findings.push(Finding {
                what: Disagreement::Twice,
                resource: record.resource.clone(),
                meter: record.meter.clone(),
                interval: (twice.start, twice.end),
            });
        }
        if !self.resources.contains_key(uid) {
            self.resources.insert(uid.to_owned(), record.resource.clone());
        }
    }

    /// What does not agree with what is there, in order. `gone` says of objects that are no longer there when that was first seen.
    pub fn findings(mut self, holders: &[Holder], gone: &BTreeMap<String, Timestamp>) -> Vec<Finding> {
        let mut findings = std::mem::take(&mut self.findings);
        let mut until: HashMap<&str, Timestamp> = gone.iter().map(|(uid, at)| (uid.as_str(), *at)).collect();
        for holder in holders {
            self.held(holder, &mut findings);
            if let Some((end, _)) = holder.observed.ended {
                until.insert(&holder.observed.uid, end);
            }
        }
        for ((uid, meter), recorded) in &self.recorded {
            let (Some(end), Some(last)) = (until.get(uid.as_str()), recorded.last()) else {
                continue;
            };
            if last.end > *end {
                findings.push(Finding {
                    what: Disagreement::Gone,
                    resource: self.resources.get(uid).cloned().unwrap_or_default(),
                    meter: meter.clone(),
                    interval: (last.start.max(*end), last.end),
                });
            }
        }
        findings.sort();
        findings
    }

    /// What a thing held and no record says.
    fn held(&self, holder: &Holder, findings: &mut Vec<Finding>) {
        let seen = &holder.observed;
        let Some(held) = seen.held else { return };
        let end = seen.ended.map_or(self.window.end, |(end, _)| end.min(self.window.end));
        let mut start = held.max(self.window.start);
        if let Some(since) = holder.since {
            start = start.max(since);
        }
        for meter in seen.amounts.meters() {
            let key = (seen.uid.clone(), meter.name().to_owned());
            let recorded = self.recorded.get(&key).map_or(&[][..], Vec::as_slice);
            // What was resized may hold something now that it did not hold at first.
            let first = recorded.first().filter(|_| seen.generation > 1);
            let mut from = first.map_or(start, |first| start.max(first.start));
            for recorded in recorded {
                if recorded.start > from && from < end {
                    findings.push(self.unmetered(seen, meter.name(), (from, recorded.start.min(end))));
                }
                from = from.max(recorded.end);
            }
            if from < end {
                findings.push(self.unmetered(seen, meter.name(), (from, end)));
            }
        }
    }

    fn unmetered(&self, seen: &Observed, meter: &str, interval: (Timestamp, Timestamp)) -> Finding {
        Finding {
            what: Disagreement::Unmetered,
            resource: format!("{}/{}/{}", self.source.resource(), seen.namespace, seen.name),
            meter: meter.to_owned(),
            interval,
        }
    }
}

/// Puts a time into others that lie in order and apart. The part that was there already, where there is one.
fn put(times: &mut Vec<Interval>, time: Interval) -> Option<Interval> {
    let first = times.partition_point(|other| other.end < time.start);
    let last = times.partition_point(|other| other.start <= time.end);
    let mut joined = time;
    let mut twice = None;
    for other in &times[first..last] {
        twice = twice.or(other.overlap(time));
        joined.start = joined.start.min(other.start);
        joined.end = joined.end.max(other.end);
    }
    times.splice(first..last, [joined]);
    twice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amounts::{Amounts, HeldMeter};
    use crate::exact::Exact;
    use proptest::prelude::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 / 3600 * 3600 + minute * 60).unwrap()
    }

    fn window() -> Interval {
        Interval {
            start: at(0),
            end: at(360),
        }
    }

    fn holder(uid: &str, held: i64, ended: Option<i64>) -> Holder {
        let observed = Observed {
            uid: uid.to_owned(),
            namespace: "nts".to_owned(),
            name: format!("web-{uid}"),
            system: None,
            created: Some(at(held)),
            held: Some(at(held)),
            ended: ended.map(|minute| (at(minute), Completeness::Complete)),
            deleting: None,
            forced: false,
            finalizer: false,
            changed: None,
            generation: 1,
            amounts: Amounts::of([(HeldMeter::Cpu, Exact::ONE)]),
        };
        Holder { observed, since: None }
    }

    fn record(uid: &str, start: i64, end: i64) -> UsageRecord {
        UsageRecord {
            id: UsageRecord::id_of("pods", uid, "cpu.reserved", at(start)),
            agency: "nts".to_owned(),
            system: "unassigned".to_owned(),
            resource: format!("pod/nts/web-{uid}"),
            meter: "cpu.reserved".to_owned(),
            quantity: Exact::ONE,
            unit: "core-hour".to_owned(),
            start: at(start),
            end: at(end),
            source: "pods".to_owned(),
            completeness: Completeness::Complete,
            recorded_at: None,
        }
    }

    fn found(records: &[UsageRecord], holders: &[Holder], gone: &[(&str, i64)]) -> Vec<String> {
        let mut reconciliation = Reconciliation::new(Source::Pods, window());
        for record in records {
            reconciliation.add(record);
        }
        let gone = gone
            .iter()
            .map(|(uid, minute)| ((*uid).to_owned(), at(*minute)))
            .collect();
        let minute = |moment: Timestamp| moment.duration_since(at(0)).as_mins();
        let findings = reconciliation.findings(holders, &gone);
        let text = |finding: &Finding| {
            let (start, end) = finding.interval;
            format!(
                "{} {} {}..{}",
                finding.what.name(),
                finding.resource,
                minute(start),
                minute(end)
            )
        };
        findings.iter().map(text).collect()
    }

    #[test]
    fn what_is_recorded_from_its_first_to_its_last_second_agrees() {
        let records = [record("a", 30, 60), record("a", 60, 120), record("a", 120, 150)];
        assert!(found(&records, &[holder("a", 30, Some(150))], &[]).is_empty());
    }

    #[test]
    fn a_pod_with_no_record_and_an_hour_that_is_missing_are_found() {
        let records = [record("a", 0, 60), record("a", 120, 180)];
        let holders = [holder("a", -500, Some(180)), holder("b", 300, None)];
        let expected = ["Unmetered pod/nts/web-a 60..120", "Unmetered pod/nts/web-b 300..360"];
        assert_eq!(found(&records, &holders, &[]), expected);
    }

    #[test]
    fn an_hour_in_which_nothing_was_seen_is_not_metered() {
        let missing = UsageRecord {
            completeness: Completeness::Missing,
            ..record("a", 0, 60)
        };
        assert_eq!(
            found(&[missing], &[holder("a", 0, Some(60))], &[]),
            ["Unmetered pod/nts/web-a 0..60"]
        );
    }

    #[test]
    fn the_same_time_twice_is_found_whoever_holds_it() {
        let again = UsageRecord {
            id: "pods/a/cpu.reserved/again".to_owned(),
            ..record("a", 30, 90)
        };
        let records = [record("a", 0, 60), again];
        assert_eq!(found(&records, &[], &[]), ["Twice pod/nts/web-a 30..60"]);
    }

    #[test]
    fn what_is_recorded_after_it_ended_or_was_not_there_any_more_is_found() {
        let records = [record("a", 0, 60), record("b", 0, 60), record("b", 60, 120)];
        let expected = ["Gone pod/nts/web-a 45..60", "Gone pod/nts/web-b 100..120"];
        assert_eq!(found(&records, &[holder("a", 0, Some(45))], &[("b", 100)]), expected);
    }

    #[test]
    fn what_was_held_before_the_namespace_was_an_agencys_is_nobodys() {
        let adopted = Holder {
            since: Some(at(120)),
            ..holder("a", 0, None)
        };
        assert!(found(&[record("a", 120, 360)], std::slice::from_ref(&adopted), &[]).is_empty());
        assert_eq!(found(&[], &[adopted], &[]), ["Unmetered pod/nts/web-a 120..360"]);
    }

    #[test]
    fn records_of_other_sources_and_other_times_say_nothing() {
        let imported = UsageRecord {
            source: "import".to_owned(),
            ..record("a", 0, 360)
        };
        let elsewhere = record("a", 400, 460);
        let expected = ["Unmetered pod/nts/web-a 0..360"];
        assert_eq!(found(&[imported, elsewhere], &[holder("a", 0, None)], &[]), expected);
    }

    proptest! {
        /// Whatever is held and however it is cut: with every piece recorded, in any order, all agrees; without one, that one is found,
        /// and with one twice, that one.
        #[test]
        fn every_piece_counts_once(
            held in -100i64..300,
            length in 1i64..400,
            cuts in proptest::collection::btree_set(0i64..360, 0..12),
            pick in any::<prop::sample::Index>(),
            turn in any::<prop::sample::Index>(),
        ) {
            let (start, end) = (held.max(0), (held + length).min(360));
            prop_assume!(start < end);
            let mut borders: Vec<i64> = cuts.into_iter().filter(|cut| start < *cut && *cut < end).collect();
            borders.insert(0, start);
            borders.push(end);
            let mut pieces: Vec<UsageRecord> = borders.windows(2).map(|pair| record("a", pair[0], pair[1])).collect();
            let turns = turn.index(pieces.len());
            pieces.rotate_left(turns);
            let holders = [holder("a", held, Some(held + length))];
            prop_assert_eq!(found(&pieces, &holders, &[]), Vec::<String>::new());

            let piece = pick.index(pieces.len());
            let minutes = |record: &UsageRecord| {
                let minute = |moment: Timestamp| moment.duration_since(at(0)).as_mins();
                format!("pod/nts/web-a {}..{}", minute(record.start), minute(record.end))
            };
            let mut without = pieces.clone();
            let missing = without.remove(piece);
            prop_assert_eq!(found(&without, &holders, &[]), vec![format!("Unmetered {}", minutes(&missing))]);
            let mut with = pieces.clone();
            with.push(missing.clone());
            prop_assert_eq!(found(&with, &holders, &[]), vec![format!("Twice {}", minutes(&missing))]);
        }
    }
}
