//! Used CPU and memory from samples that something else took, such as Prometheus.
//!
//! What a pod used in an hour follows from the samples around that hour and from nothing else, so it is worked out again, and comes to
//! the same, after an outage. A counter loses nothing where samples are missing: what it rose by in the gap is spread over the gap, and the
//! record says `Estimated`. Nothing seen is a hole and says `Missing`, until somebody sees more.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::amounts::kept;
use crate::exact::{Exact, non_zero};
use crate::hours::Interval;
use crate::pods::GIB;
use crate::record::{Completeness, UsageRecord};

/// The source name of these records.
pub const SOURCE: &str = "prometheus";
/// Samples further apart than this leave a gap: Prometheus itself looks back so far.
pub const GAP: SignedDuration = SignedDuration::from_mins(5);
/// How long before an hour samples are looked at, so that a counter is known when the hour begins.
pub const BEFORE: SignedDuration = SignedDuration::from_hours(1);

const HOUR: std::num::NonZeroU64 = non_zero(3600);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UsedMeter {
    /// `cpu.used`, from a counter of core-seconds.
    Cpu,
    /// `memory.used`, from a gauge of bytes.
    Memory,
}

impl UsedMeter {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Cpu, Self::Memory];

    /// Its name in records and price books.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu.used",
            Self::Memory => "memory.used",
        }
    }

    /// Its unit.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Cpu => "core-hour",
            Self::Memory => "GiB-hour",
        }
    }
}

/// What a container showed at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// How much, exactly as it was written.
    pub value: Exact,
}

/// The samples of one container in the order of time.
pub type Series = Vec<Sample>;

/// A pod that ran in an hour, as its reservations say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Whose it is.
    pub agency: String,
    /// Of which system.
    pub system: String,
    /// From when to when, within the hour.
    pub time: Interval,
}

/// Samples by pod, `namespace/name`, and meter.
pub type Seen = BTreeMap<(String, UsedMeter), Vec<Series>>;

/// The records of an hour. `seen` is what there is around it; nothing where nobody could be asked: then each pod has a hole.
pub fn records(hour: Interval, ran: &BTreeMap<String, Ran>, seen: Option<&Seen>) -> Vec<UsageRecord> {
    let mut records = Vec::new();
    for (pod, ran) in ran {
        for meter in UsedMeter::ALL {
            let found = seen.and_then(|seen| seen.get(&(pod.clone(), meter)));
            let (quantity, completeness) = match (seen, found) {
                (None, _) => (Exact::ZERO, Completeness::Missing),
                (Some(_), found) => used(meter, hour, ran.time, found.map_or(&[], Vec::as_slice)),
            };
            records.push(UsageRecord {
                id: UsageRecord::id_of(SOURCE, pod, meter.name(), hour.start),
                agency: ran.agency.clone(),
                system: ran.system.clone(),
                resource: format!("pod/{pod}"),
                meter: meter.name().to_owned(),
                quantity,
                unit: meter.unit().to_owned(),
                start: hour.start,
                end: hour.end,
                source: SOURCE.to_owned(),
                completeness,
                recorded_at: None,
            });
        }
    }
    records
}

/// What the containers of a pod used in an hour, and how well that is known.
fn used(meter: UsedMeter, hour: Interval, ran: Interval, containers: &[Series]) -> (Exact, Completeness) {
    let mut total = Exact::ZERO;
    let mut completeness = None;
    for series in containers {
        let series = begun(meter, hour, ran, series);
        let Some((amount, known)) = over_hour(meter, hour, ran, &series) else {
            continue;
        };
        total += &amount;
        completeness = completeness.max(Some(known));
    }
    let Some(completeness) = completeness else {
        // Who came and went between two samples used little; who ran for longer was not seen.
        let brief = ran.length() <= GAP;
        return (
            Exact::ZERO,
            if brief {
                Completeness::Estimated
            } else {
                Completeness::Missing
            },
        );
    };
    let unit = match meter {
        UsedMeter::Cpu => total.over(HOUR),
        UsedMeter::Memory => total.over(HOUR).over(GIB),
    };
    (kept(&unit), completeness)
}

/// The samples, with the zero that a counter began with where the pod began in this hour.
fn begun(meter: UsedMeter, hour: Interval, ran: Interval, series: &[Sample]) -> Series {
    let mut samples = series.to_vec();
    let first = series.first().map(|sample| sample.at);
    let begins = ran.start > hour.start && first.is_some_and(|first| first > ran.start);
    if meter == UsedMeter::Cpu && begins {
        samples.insert(
            0,
            Sample {
                at: ran.start,
                value: Exact::ZERO,
            },
        );
    }
    samples
}

/// Core-seconds or byte-seconds of one container; nothing where no sample says anything about the hour.
fn over_hour(meter: UsedMeter, hour: Interval, ran: Interval, samples: &[Sample]) -> Option<(Exact, Completeness)> {
    let wanted = ran.overlap(hour)?;
    let (mut total, mut seen_from, mut seen_until, mut gap) = (Exact::ZERO, None, None, false);
    for pair in samples.windows(2) {
        let [one, other] = pair else { continue };
        let whole = Interval {
            start: one.at,
            end: other.at,
        };
        let Some(part) = whole.overlap(hour) else { continue };
        gap |= whole.length() > GAP;
        seen_from.get_or_insert(part.start);
        seen_until = Some(part.end);
        total += &match meter {
            UsedMeter::Cpu => {
                // A counter that fell began again from zero.
                let rise = if other.value < one.value {
                    other.value.clone()
                } else {
                    &other.value - &one.value
                };
                &rise * &Exact::ratio(part.length().as_nanos(), whole.length().as_nanos())?
            }
            UsedMeter::Memory => &one.value * &seconds(part),
        };
    }
    if meter == UsedMeter::Memory {
        // The last one holds for as long as samples are apart, at most until the pod ended.
        if let Some(last) = samples
            .last()
            .filter(|last| hour.start <= last.at && last.at < wanted.end)
        {
            let end = wanted.end.min(last.at + GAP);
            let held = Interval { start: last.at, end };
            total += &(&last.value * &seconds(held));
            seen_from.get_or_insert(last.at);
            seen_until = Some(end);
        }
        // And the first one held since the pod began.
        if let Some(first) = samples
            .first()
            .filter(|first| wanted.start < first.at && first.at <= wanted.start + GAP)
        {
            let held = Interval {
                start: wanted.start,
                end: first.at.min(wanted.end),
            };
            total += &(&first.value * &seconds(held));
            seen_from = Some(wanted.start);
        }
    }
    let late = seen_from?.duration_since(wanted.start) > GAP;
    let early = wanted.end.duration_since(seen_until?) > GAP;
    let known = if gap || late || early {
        Completeness::Estimated
    } else {
        Completeness::Complete
    };
    Some((total, known))
}

fn seconds(interval: Interval) -> Exact {
    Exact::scaled(interval.length().as_nanos(), 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-24T{text}Z").parse().unwrap()
    }

    fn between(start: &str, end: &str) -> Interval {
        Interval {
            start: at(start),
            end: at(end),
        }
    }

    fn hour() -> Interval {
        between("10:00:00", "11:00:00")
    }

    /// A sample each minute from one moment to another, with what `value` says after so many minutes.
    fn each_minute(from: &str, to: &str, value: impl Fn(i64) -> Exact) -> Series {
        let mut samples = Vec::new();
        let mut moment = at(from);
        while moment <= at(to) {
            let minutes = moment.duration_since(at(from)).as_secs() / 60;
            samples.push(Sample {
                at: moment,
                value: value(minutes),
            });
            moment += SignedDuration::from_mins(1);
        }
        samples
    }

    fn cpu(ran: Interval, containers: &[Series]) -> (String, Completeness) {
        let (quantity, completeness) = used(UsedMeter::Cpu, hour(), ran, containers);
        (quantity.to_string(), completeness)
    }

    #[test]
    fn a_counter_that_rises_evenly_gives_its_rate_whatever_the_moments_of_its_samples() {
        // Half a core: 30 seconds a minute. No sample falls on the hour.
        let series = each_minute("09:10:20", "11:04:20", |minutes| Exact::from(minutes * 30));
        assert_eq!(cpu(hour(), &[series]), ("0.5".to_owned(), Completeness::Complete));
    }

    #[test]
    fn hours_that_follow_each_other_add_up_to_what_the_counter_rose() {
        let series = each_minute("09:00:00", "12:05:00", |minutes| Exact::from(minutes * minutes));
        let next = between("11:00:00", "12:00:00");
        let one = used(UsedMeter::Cpu, hour(), hour(), std::slice::from_ref(&series)).0;
        let other = used(UsedMeter::Cpu, next, next, &[series]).0;
        let rise = Exact::from(180 * 180 - 60 * 60).over(HOUR);
        assert_eq!(one + other, kept(&rise));
    }

    #[test]
    fn a_counter_that_began_again_counts_from_zero_and_containers_add_up() {
        let restarted = each_minute("09:00:00", "11:05:00", |minutes| Exact::from((minutes % 90) * 60));
        // One of 60 rises is from 89 minutes to zero: nothing.
        let (quantity, completeness) = cpu(hour(), &[restarted.clone(), restarted]);
        assert_eq!(
            (quantity.as_str(), completeness),
            ("1.966666666666666667", Completeness::Complete)
        );
    }

    #[test]
    fn a_pod_that_began_within_the_hour_used_all_that_its_counter_says() {
        let series = each_minute("10:30:40", "11:05:40", |minutes| Exact::from(20 + minutes * 60));
        let (quantity, completeness) = cpu(between("10:30:20", "11:00:00"), &[series]);
        // 20 s before the first sample, then a core for 29 minutes and 20 seconds.
        assert_eq!(quantity, kept(&Exact::from(20 + 29 * 60 + 20).over(HOUR)).to_string());
        assert_eq!(completeness, Completeness::Complete);
    }

    #[test]
    fn what_a_counter_rose_by_in_a_gap_is_spread_over_it_and_said_to_be_an_estimate() {
        let mut series = each_minute("09:00:00", "11:05:00", |minutes| Exact::from(minutes * 60));
        series.retain(|sample| sample.at < at("10:10:00") || sample.at > at("10:40:00"));
        assert_eq!(cpu(hour(), &[series]), ("1".to_owned(), Completeness::Estimated));
    }

    #[test]
    fn memory_holds_from_sample_to_sample_from_the_pods_beginning_to_its_end() {
        let series = each_minute("10:15:30", "10:44:30", |_| Exact::from(2u64 << 30));
        let ran = between("10:15:00", "10:45:00");
        let (quantity, completeness) = used(UsedMeter::Memory, hour(), ran, &[series]);
        assert_eq!(
            (quantity.to_string().as_str(), completeness),
            ("1", Completeness::Complete)
        );
    }

    #[test]
    fn nobody_to_ask_and_nothing_seen_are_holes_and_who_ran_for_a_moment_is_an_estimate() {
        let ran = |time| {
            let (agency, system) = ("nts".to_owned(), "nts/web".to_owned());
            BTreeMap::from([("nts/web-1".to_owned(), Ran { agency, system, time })])
        };
        let all = |time, seen: Option<&Seen>| {
            let records = records(hour(), &ran(time), seen);
            assert!(records.iter().all(|record| record.quantity.is_zero()));
            records.iter().map(|record| record.completeness).collect::<Vec<_>>()
        };
        assert_eq!(all(hour(), None), [Completeness::Missing; 2]);
        assert_eq!(all(hour(), Some(&Seen::new())), [Completeness::Missing; 2]);
        let brief = between("10:15:00", "10:15:20");
        assert_eq!(all(brief, Some(&Seen::new())), [Completeness::Estimated; 2]);
    }
}
