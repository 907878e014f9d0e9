//! Naming what a bill is made from, so that whoever has the same things can tell that they are the same.

use std::collections::BTreeMap;

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
    usage: Vec<Digest>,
}

impl Naming {
    /// Nothing yet, for a period's time.
    pub fn new(interval: Interval) -> Self {
        Self {
            interval,
            rate_card: Digest::default(),
            objects: BTreeMap::new(),
            usage: Vec::new(),
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
            self.usage.push(of(record)?);
        }
        Ok(())
    }

    /// What a bill that is made from all this names.
    pub fn inputs(mut self) -> Inputs {
        self.usage.sort_unstable();
        let objects = self.objects.iter().flat_map(|(words, digest)| {
            let words = words.iter().map(String::as_bytes);
            words.chain([&digest.0[..]])
        });
        Inputs {
            rate_card: self.rate_card,
            manifests: Digest::of_parts(objects),
            usage: Digest::of_parts(self.usage.iter().map(|digest| &digest.0[..])),
            usage_table_version: None,
        }
    }
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
    }

    #[test]
    fn usage_of_another_month_changes_nothing() {
        let inside = record("1", "2026-10-01T00:00:00Z", "2026-10-01T01:00:00Z");
        let outside = [
            inside.clone(),
            record("2", "2026-09-30T23:00:00Z", "2026-10-01T00:00:00Z"),
            record("3", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        ];
        assert_eq!(named(&[], &outside), named(&[], std::slice::from_ref(&inside)));
        let first = record("4", "2026-10-01T00:00:00Z", "2026-10-01T00:00:00Z");
        assert_ne!(named(&[], &[inside.clone(), first]), named(&[], &[inside]));
    }
}
