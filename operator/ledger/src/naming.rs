//! Naming what a bill is made from, so that whoever has the same things can tell that they are the same.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use maru_meter::{Interval, UsageRecord};
use serde::Serialize;

use crate::digest::{Digest, Inputs};
use crate::error::LedgerError;

/// Collects what a month is worked out from. The order in which things are added changes nothing.
#[derive(Debug)]
pub struct Naming {
    interval: Interval,
    rate_card: Digest,
    objects: BTreeMap<[String; 3], Digest>,
    /// By the UTC day in which records begin.
    usage: BTreeMap<Date, Day>,
}

/// The records of a day.
#[derive(Debug)]
enum Day {
    /// More may come.
    Open(Vec<Digest>),
    /// There are no others.
    Closed(Digest),
}

impl Day {
    /// The order in which records came changes nothing.
    fn digest(self) -> Digest {
        match self {
            Self::Open(mut records) => {
                records.sort_unstable();
                Digest::of_parts(records.iter().map(|digest| &digest.0[..]))
            }
            Self::Closed(digest) => digest,
        }
    }
}

impl Naming {
    /// Nothing yet, for a period's time.
    pub fn new(interval: Interval) -> Self {
        Self {
            interval,
            rate_card: Digest::default(),
            objects: BTreeMap::new(),
            usage: BTreeMap::new(),
        }
    }

    /// The spec of the rate card, as its type writes it: how the file was laid out does not matter.
    pub fn rate_card(&mut self, spec: &impl Serialize) -> Result<(), LedgerError> {
        self.rate_card = of(spec)?;
        Ok(())
    }

    /// An object that bills depend on, with what of it they depend on: the spec of a system, a subscription or a cost pool, and the names of an
    /// agency's namespaces.
    pub fn object(
        &mut self,
        kind: &str,
        namespace: &str,
        name: &str,
        what: &impl Serialize,
    ) -> Result<(), LedgerError> {
        let digest = of(what)?;
        self.objects.insert([kind, namespace, name].map(str::to_owned), digest);
        Ok(())
    }

    /// A usage record. One of another time is passed over.
    pub fn usage(&mut self, record: &UsageRecord) -> Result<(), LedgerError> {
        let instant = record.start == record.end && record.start >= self.interval.start;
        if record.start < self.interval.end && (instant || record.end > self.interval.start) {
            let day = day_of(record.start);
            match self.usage.entry(day).or_insert_with(|| Day::Open(Vec::new())) {
                Day::Open(records) => records.push(of(record)?),
                Day::Closed(_) => return Err(LedgerError::OutOfOrder(record.id.clone())),
            }
        }
        Ok(())
    }

    /// The same for records that come day by day, as a lake gives them: what is held is then 32 bytes for each record of one day, and for
    /// each day. A record of an earlier day than one before it is refused.
    pub fn usage_by_day(&mut self, record: &UsageRecord) -> Result<(), LedgerError> {
        let today = day_of(record.start);
        if self.usage.last_key_value().is_some_and(|(last, _)| *last > today) {
            return Err(LedgerError::OutOfOrder(record.id.clone()));
        }
        let known = self.usage.range(..today).rev().map(|(day, _)| *day);
        let over: Vec<Date> = known
            .take_while(|day| matches!(self.usage.get(day), Some(Day::Open(_))))
            .collect();
        for day in over {
            if let Some(records) = self.usage.remove(&day) {
                self.usage.insert(day, Day::Closed(records.digest()));
            }
        }
        self.usage(record)
    }

    /// What a bill that is made from all this names.
    pub fn inputs(self) -> Inputs {
        let objects = self.objects.iter().flat_map(|(words, digest)| {
            let words = words.iter().map(String::as_bytes);
            words.chain([&digest.0[..]])
        });
        let days = self.usage.into_iter();
        let days: Vec<(String, Digest)> = days.map(|(day, records)| (day.to_string(), records.digest())).collect();
        Inputs {
            rate_card: self.rate_card,
            manifests: Digest::of_parts(objects),
            usage: Digest::of_parts(days.iter().flat_map(|(day, digest)| [day.as_bytes(), &digest.0[..]])),
            usage_table_version: None,
        }
    }
}

fn day_of(moment: Timestamp) -> Date {
    moment.to_zoned(TimeZone::UTC).date()
}

fn of(what: &impl Serialize) -> Result<Digest, LedgerError> {
    Ok(Digest::of(&serde_json::to_vec(what)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, start: &str, end: &str) -> UsageRecord {
        serde_json::from_value(serde_json::json!({
            "id": id, "agency": "a", "system": "a/b", "meter": "m", "quantity": "1", "start": start, "end": end,
        }))
        .unwrap()
    }

    fn named(objects: &[(&str, &str)], records: &[UsageRecord]) -> Inputs {
        let (start, end) = (
            "2026-10-01T00:00:00Z".parse().unwrap(),
            "2026-11-01T00:00:00Z".parse().unwrap(),
        );
        let mut naming = Naming::new(Interval { start, end });
        naming.rate_card(&"card").unwrap();
        for (name, spec) in objects {
            naming.object("AgencySystem", "a", name, spec).unwrap();
        }
        for record in records {
            naming.usage(record).unwrap();
        }
        naming.inputs()
    }

    #[test]
    fn the_same_things_have_the_same_names_in_whatever_order_they_come() {
        let records = [
            record("1", "2026-10-01T00:00:00Z", "2026-10-01T01:00:00Z"),
            record("2", "2026-10-02T00:00:00Z", "2026-10-02T00:00:00Z"),
        ];
        let other = [records[1].clone(), records[0].clone()];
        let one = named(&[("x", "1"), ("y", "2")], &records);
        assert_eq!(one, named(&[("y", "2"), ("x", "1")], &other));
        assert_ne!(one.manifests, named(&[("x", "2"), ("y", "1")], &records).manifests);
        assert_ne!(one.usage, named(&[], &records[..1]).usage);
        assert_eq!(one.rate_card, of(&"card").unwrap());
    }

    #[test]
    fn usage_of_another_month_changes_nothing() {
        let inside = record("1", "2026-10-01T00:00:00Z", "2026-10-01T01:00:00Z");
        let outside = [
            inside.clone(),
            record("2", "2026-09-30T23:00:00Z", "2026-10-01T00:00:00Z"),
            record("3", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"),
            record("5", "2026-09-30T12:00:00Z", "2026-09-30T12:00:00Z"),
        ];
        assert_eq!(named(&[], &outside), named(&[], std::slice::from_ref(&inside)));
        let first = record("4", "2026-10-01T00:00:00Z", "2026-10-01T00:00:00Z");
        assert_ne!(named(&[], &[inside.clone(), first]), named(&[], &[inside]));
    }

    fn by_day(records: &[UsageRecord]) -> Result<Digest, LedgerError> {
        let (start, end) = (
            "2026-10-01T00:00:00Z".parse().unwrap(),
            "2026-11-01T00:00:00Z".parse().unwrap(),
        );
        let mut naming = Naming::new(Interval { start, end });
        records.iter().try_for_each(|record| naming.usage_by_day(record))?;
        Ok(naming.inputs().usage)
    }

    #[test]
    fn records_day_by_day_have_the_name_that_they_have_in_any_order() {
        let mut records: Vec<UsageRecord> = (1..28)
            .flat_map(|day| {
                (0..5).map(move |hour| {
                    let id = format!("{day}/{}", (hour * 3) % 5); // not the order of their times
                    record(
                        &id,
                        &format!("2026-10-{day:02}T{hour:02}:00:00Z"),
                        &format!("2026-10-{day:02}T{hour:02}:30:00Z"),
                    )
                })
            })
            .collect();
        let named_by_day = by_day(&records).unwrap();
        records.reverse();
        assert_eq!(named(&[], &records).usage, named_by_day);
        assert_ne!(by_day(&records[..1]).unwrap(), named_by_day);
        assert!(matches!(by_day(&records), Err(LedgerError::OutOfOrder(id)) if id.starts_with("26/")));
    }
}
