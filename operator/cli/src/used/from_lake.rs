//! Use as a lake has it, drivers of shared systems and what no price book prices among it.

use std::num::NonZeroUsize;
use std::path::Path;

use jiff::tz::TimeZone;
use maru_lake::{Lake, LakeError, Summing};
use maru_meter::{Exact, Interval, UsageRecord, hour_of};
use maru_rate::{Month, Period};

use super::{Key, Per, Used, UsedArgs};
use crate::problem::Problem;

/// Files that are read at a time.
const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// A stretch of time with its name.
struct Slot {
    name: String,
    interval: Interval,
}

/// Adds what was used in the months. A record over a border is cut there, in proportion to time.
pub(super) fn read(
    args: &UsedArgs,
    place: &str,
    months: &[Month],
    zone: &TimeZone,
    used: &mut Used,
) -> Result<(), Problem> {
    let lake = Lake::open(Path::new(place)).map_err(|error| Problem::new(format!("--lake: {error}")))?;
    for month in months {
        let period = Period::new(*month, zone)
            .ok_or_else(|| Problem::new(format!("--period: {month} is beyond the calendar")))?;
        let slots = slots(period, args.per.unwrap_or(Per::Day), zone)?;
        used.times.extend(slots.iter().map(|slot| slot.name.clone()));
        let summing = Summing {
            period: period.interval,
            cuts: slots.iter().map(|slot| slot.interval.start).collect(),
            alone: Vec::new(),
            issued: Vec::new(),
            version: None,
            threads: THREADS,
        };
        let take = |record: &UsageRecord| -> Result<(), LakeError> {
            let first = slots.partition_point(|slot| slot.interval.end <= record.start);
            let reached = slots[first..]
                .iter()
                .take_while(|slot| slot.interval.start <= record.end);
            for slot in reached {
                if let Some(quantity) = part(record, slot.interval) {
                    let key = Key {
                        time: slot.name.clone(),
                        agency: Some(record.agency.clone()),
                        system: Some(record.system.clone()),
                        meter: record.meter.clone(),
                        unit: record.unit.clone(),
                    };
                    args.add(used, key, &quantity, record.completeness);
                }
            }
            Ok(())
        };
        lake.sum(&summing, take)
            .map_err(|error| Problem::new(format!("--lake: {error}")))?;
    }
    Ok(())
}

fn slots(period: Period, per: Per, zone: &TimeZone) -> Result<Vec<Slot>, Problem> {
    if per == Per::Month {
        let name = period.month.to_string();
        let interval = period.interval;
        return Ok(vec![Slot { name, interval }]);
    }
    if per == Per::Hour {
        let slot = |interval: Interval| Slot {
            name: hour_of(interval.start).strftime("%Y-%m-%dT%H:%MZ").to_string(),
            interval,
        };
        return Ok(period.interval.hours().map(slot).collect());
    }
    let mut slots = Vec::new();
    let mut day = period.month.first_day();
    while Month::of(day) == period.month {
        let next = day.tomorrow().map_err(Problem::new)?;
        let begin = |day: jiff::civil::Date| day.to_zoned(zone.clone()).map(|zoned| zoned.timestamp());
        let (start, end) = (begin(day).map_err(Problem::new)?, begin(next).map_err(Problem::new)?);
        slots.push(Slot {
            name: day.to_string(),
            interval: Interval { start, end },
        });
        day = next;
    }
    Ok(slots)
}

/// What of a record falls into a stretch of time.
fn part(record: &UsageRecord, slot: Interval) -> Option<Exact> {
    let whole = Interval {
        start: record.start,
        end: record.end,
    };
    if record.start == record.end {
        return (slot.start <= record.start && record.start < slot.end).then(|| record.quantity.clone());
    }
    let inside = whole.overlap(slot)?;
    let ratio = Exact::ratio(inside.length().as_nanos(), whole.length().as_nanos())?;
    Some(&record.quantity * &ratio)
}
