//! Use that systems report themselves, as [CloudEvents](https://cloudevents.io).

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::amounts::{HeldMeter, METERED_PLACES};
use crate::data::DataMeter;
use crate::exact::Exact;
use crate::record::{Completeness, UsageRecord};

/// The type of the events that are taken.
pub const EVENT_TYPE: &str = "dev.maru.usage.v1";
/// The source name of these records.
pub const SOURCE: &str = "events";

/// The longest `id` and `source` together, in bytes.
const LONGEST_NAMES: usize = 300;
/// How far ahead a sender's clock may be.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// How late an event may be. What is for an issued period becomes a correction.
const LATE: SignedDuration = SignedDuration::from_hours(400 * 24);
/// From when on an event says when it became known.
const IN_TIME: SignedDuration = SignedDuration::from_hours(1);
/// The longest time that one event may be for.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// Digits before the point that a quantity may have.
const DIGITS: u32 = 20;

/// An event in the structured JSON form. Attributes that are not named here are passed over.
#[derive(Clone, Debug, Deserialize)]
pub struct CloudEvent {
    /// `1.0`
    pub specversion: String,
    /// Unique within the source: the same event always has the same one.
    pub id: String,
    /// Where it happened, as the sender calls it.
    pub source: String,
    /// [`EVENT_TYPE`]
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened; needed where the data has no `start`.
    #[serde(default)]
    pub time: Option<Timestamp>,
    /// What was used.
    pub data: EventData,
}

/// What was used.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventData {
    /// Such as `requests.count`.
    pub meter: String,
    /// How much.
    pub quantity: Exact,
    /// In what unit; none: the price book's.
    #[serde(default)]
    pub unit: String,
    /// Who used it; none: the agency that the system is of.
    #[serde(default)]
    pub agency: Option<String>,
    /// The sender's own system; to say it is not needed.
    #[serde(default)]
    pub system: Option<String>,
    /// From when; none: `time` is an instant.
    #[serde(default)]
    pub start: Option<Timestamp>,
    /// Until when, exclusive.
    #[serde(default)]
    pub end: Option<Timestamp>,
}

/// Who sends, as the API server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The agency of its namespace.
    pub agency: String,
    /// Its namespace.
    pub namespace: String,
    /// The name of its system.
    pub system: String,
}

/// Why an event is refused. Sending it again as it is changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Something is not as it is allowed to be.
    #[error("`{field}` is {found}: allowed is {allowed}")]
    Field {
        /// Which attribute.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        allowed: String,
    },
    /// It is for another system.
    #[error("the event is for system `{named}`, and this token is of `{own}`: allowed is one's own system")]
    OtherSystem {
        /// What it names.
        named: String,
        /// Whose the token is.
        own: String,
    },
}

fn refuse(field: &'static str, found: impl Into<String>, allowed: impl Into<String>) -> EventError {
    EventError::Field {
        field,
        found: found.into(),
        allowed: allowed.into(),
    }
}

/// The record of an event that was received at a moment.
pub fn record(event: &CloudEvent, sender: &Sender, received: Timestamp) -> Result<UsageRecord, EventError> {
    check_names(event)?;
    let data = &event.data;
    let own = format!("{}/{}", sender.namespace, sender.system);
    if let Some(named) = data
        .system
        .as_ref()
        .filter(|named| **named != own && **named != sender.system)
    {
        let named = named.clone();
        return Err(EventError::OtherSystem { named, own });
    }
    let (start, end) = reach(event, received)?;
    let limit = Exact::from(10).power(DIGITS);
    let fits = data.quantity.places().is_some_and(|places| places <= METERED_PLACES);
    if data.quantity.is_negative() || !fits || data.quantity >= limit {
        let allowed = format!("0 or more, with at most {DIGITS} digits before and {METERED_PLACES} after the point");
        return Err(refuse("data.quantity", data.quantity.to_string(), allowed));
    }
    let agency = data.agency.clone().filter(|agency| !agency.is_empty());
    Ok(UsageRecord {
        // The length keeps `a/b` with `c` apart from `a` with `b/c`; the system keeps senders from taking each other's ids.
        id: format!("{SOURCE}/{own}/{}:{}/{}", event.source.len(), event.source, event.id),
        agency: agency.unwrap_or_else(|| sender.agency.clone()),
        system: own,
        resource: String::new(),
        meter: data.meter.clone(),
        quantity: data.quantity.clone(),
        unit: data.unit.clone(),
        start,
        end,
        source: SOURCE.to_owned(),
        completeness: Completeness::Complete,
        recorded_at: (received.duration_since(end) > IN_TIME).then_some(whole(received)),
    })
}

fn check_names(event: &CloudEvent) -> Result<(), EventError> {
    if event.specversion != "1.0" {
        return Err(refuse("specversion", format!("`{}`", event.specversion), "1.0"));
    }
    if event.kind != EVENT_TYPE {
        return Err(refuse("type", format!("`{}`", event.kind), EVENT_TYPE));
    }
    let length = event.id.len() + event.source.len();
    if event.id.is_empty() || event.source.is_empty() || length > LONGEST_NAMES {
        let allowed = format!("an id and a source, together of at most {LONGEST_NAMES} bytes");
        return Err(refuse("id", format!("{length} bytes with its source"), allowed));
    }
    let own = [HeldMeter::Cpu, HeldMeter::Memory, HeldMeter::Gpu, HeldMeter::Storage];
    let meter = event.data.meter.as_str();
    let of_data = DataMeter::ALL.iter().any(|own| own.name() == meter);
    if of_data || own.iter().any(|own| own.name() == meter) || ["cpu.used", "memory.used"].contains(&meter) {
        return Err(refuse(
            "data.meter",
            format!("`{meter}`"),
            "a meter that the platform does not measure itself",
        ));
    }
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let is_name = |text: &str, most: usize| !text.is_empty() && text.len() <= most && text.bytes().all(letter);
    if !is_name(meter, 253) {
        return Err(refuse(
            "data.meter",
            format!("{} bytes", meter.len()),
            "a name such as requests.count",
        ));
    }
    if event
        .data
        .agency
        .as_ref()
        .is_some_and(|agency| !agency.is_empty() && !is_name(agency, 63))
    {
        return Err(refuse("data.agency", "no name", "the name of an Agency"));
    }
    if event.data.unit.len() > 63 {
        return Err(refuse(
            "data.unit",
            format!("{} bytes", event.data.unit.len()),
            "at most 63 bytes",
        ));
    }
    Ok(())
}

/// A moment in whole microseconds, as the lake keeps it.
fn whole(moment: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(moment.as_microsecond()).unwrap_or(moment)
}

/// The time that an event is for, in whole microseconds.
fn reach(event: &CloudEvent, received: Timestamp) -> Result<(Timestamp, Timestamp), EventError> {
    let start = event.data.start.or(event.time);
    let start = start.ok_or_else(|| refuse("time", "missing", "when it happened, or data.start"))?;
    let end = event.data.end.unwrap_or(start);
    if end < start || end.duration_since(start) > LONGEST {
        let found = format!("{end} with the start {start}");
        return Err(refuse(
            "data.end",
            found,
            "an end at or after the start and at most 24 hours after it",
        ));
    }
    if end > received + AHEAD {
        return Err(refuse(
            "time",
            format!("{end}, in the future"),
            format!("up to {received} and five minutes"),
        ));
    }
    if received.duration_since(start) > LATE {
        return Err(refuse("time", format!("{start}, too long ago"), "at most 400 days ago"));
    }
    Ok((whole(start), whole(end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn taken(change: impl FnOnce(&mut Value)) -> Result<UsageRecord, String> {
        let mut event = json!({
            "specversion": "1.0", "id": "1", "source": "/gateway", "type": EVENT_TYPE, "time": "2026-11-24T10:00:00Z",
            "traceparent": "00-00", "data": {"meter": "requests.count", "quantity": "12"},
        });
        change(&mut event);
        let event: CloudEvent = serde_json::from_value(event).map_err(|error| error.to_string())?;
        let sender = Sender {
            agency: "mois".into(),
            namespace: "mois".into(),
            system: "docs".into(),
        };
        record(&event, &sender, "2026-11-24T10:01:00.123456789Z".parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_event_is_a_record_of_the_senders_own_system_whoever_used_it() {
        let plain = taken(|_| ()).unwrap();
        assert_eq!((plain.agency.as_str(), plain.system.as_str()), ("mois", "mois/docs"));
        assert_eq!((plain.start, plain.recorded_at), (plain.end, None));
        plain.check().unwrap();
        let shared = taken(|event| event["data"]["agency"] = json!("nts")).unwrap();
        assert_eq!((shared.agency.as_str(), shared.system.as_str()), ("nts", "mois/docs"));
        let late = taken(|event| event["time"] = json!("2026-09-01T00:00:00Z")).unwrap();
        // A clock is finer than what the lake keeps.
        assert_eq!(late.recorded_at, Some("2026-11-24T10:01:00.123456Z".parse().unwrap()));
        late.check().unwrap();
    }

    #[test]
    fn what_is_refused_is_refused_with_what_is_allowed() {
        type Change = fn(&mut Value);
        let table: [(Change, &str); 10] = [
            (
                |event| event["data"]["system"] = json!("nts/hometax"),
                "this token is of `mois/docs`",
            ),
            (|event| event["time"] = json!("2026-11-24T11:00:00Z"), "in the future"),
            (
                |event| event["time"] = json!("2020-01-01T00:00:00Z"),
                "at most 400 days ago",
            ),
            (|event| event["data"]["quantity"] = json!("-1"), "allowed is 0 or more"),
            (
                |event| event["data"]["meter"] = json!("cpu.reserved"),
                "does not measure itself",
            ),
            (
                |event| event["data"]["meter"] = json!("dataset.rows"),
                "does not measure itself",
            ),
            (|event| event["type"] = json!("other"), "allowed is dev.maru.usage.v1"),
            (|event| event["id"] = json!(""), "an id and a source"),
            (|event| event["data"]["colour"] = json!("red"), "unknown field `colour`"),
            (|event| event["data"]["quantity"] = json!(1.5), "expected"),
        ];
        for (change, said) in table {
            let error = taken(change).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn the_same_names_split_otherwise_are_another_event() {
        let id = |source: &str, id: &str| {
            let named = taken(|event| (event["source"], event["id"]) = (json!(source), json!(id)));
            named.unwrap().id
        };
        assert_ne!(id("a/b", "c"), id("a", "b/c"));
    }
}
