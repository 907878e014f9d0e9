//! A server's status: what it said when it was asked.

use super::report::{close_to, most_of, sum_up};
use crate::plan::Problem;
use crate::quantity::Resource;
use crate::reason::Reason;
use crate::status::{Finding, merge_conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use maru_crds::{DatabaseServer, DatabaseServerStatus};
use serde::Deserialize;

/// The query whose only value is the JSON text of a [`ServerLook`].
pub const SERVER_SQL: &str = include_str!("server.sql");
/// A clock that differs by more than this makes grants begin and end at other times than people think.
const MOST_OFFSET_SECONDS: i64 = 5;

/// What a server said.
#[derive(Clone, Debug, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is an answer of its own")]
pub struct ServerLook {
    /// Its version.
    pub version: String,
    /// Whether it takes no writes.
    pub standby: bool,
    /// Its clock, RFC 3339.
    pub now: String,
    /// The administrator's role.
    pub role: String,
    /// Whether the role may make roles and databases.
    pub may_create: bool,
    /// Whether the role may end others' sessions.
    pub may_end_sessions: bool,
    /// Whether statements are counted and the role sees the counts.
    pub counts_statements: bool,
    /// Connections that are open.
    pub connections: i64,
    /// Connections that there may be.
    pub most_connections: i64,
    /// Bytes that datasets take.
    pub bytes: i64,
}

/// What is known of a server.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// What it said, or why it could not be asked.
    pub look: Result<ServerLook, Problem>,
    /// Datasets that are placed here.
    pub datasets: usize,
}

/// The status of a server. `now` is the operator's clock.
pub fn report_server(server: &DatabaseServer, facts: &ServerFacts, now: &Time) -> DatabaseServerStatus {
    let previous = server.status.clone().unwrap_or_default();
    let generation = server.metadata.generation;
    let (findings, look) = match &facts.look {
        Ok(look) => (found(server, look, facts.datasets, now), Some(look)),
        Err(problem) => (unreached(problem), None),
    };
    DatabaseServerStatus {
        observed_generation: generation,
        conditions: merge_conditions(&previous.conditions, findings, generation, now),
        version: look.map_or(previous.version, |look| Some(look.version.clone())),
        datasets: i32::try_from(facts.datasets).ok(),
        stored: look.map_or(previous.stored.clone(), |look| {
            Some(close_to(previous.stored.as_deref(), look.bytes))
        }),
        clock_offset_seconds: look.and_then(|look| offset(look, now)).map(|offset| {
            // A difference of less than two seconds is that of asking.
            previous
                .clock_offset_seconds
                .filter(|before| (before - offset).abs() < 2)
                .unwrap_or(offset)
        }),
    }
}

fn offset(look: &ServerLook, now: &Time) -> Option<i64> {
    let there: Timestamp = look.now.parse().ok()?;
    Some((there.as_second() - now.0.as_second()).clamp(-86_400, 86_400))
}

fn unreached(problem: &Problem) -> Vec<Finding> {
    vec![Finding::of("Reachable", problem), Finding::of("Ready", problem)]
}

fn found(server: &DatabaseServer, look: &ServerLook, datasets: usize, now: &Time) -> Vec<Finding> {
    let reachable = if look.may_create {
        Finding::yes(
            "Reachable",
            Reason::Reachable,
            "the administrator's role logs in and may make roles and databases",
        )
    } else {
        Finding::no(
            "Reachable",
            Reason::NoCreateRole,
            format!(
                "the role {:?} may not make roles and databases: ALTER ROLE … CREATEROLE CREATEDB",
                look.role
            ),
        )
    };
    let primary = if look.standby {
        let message = "the server takes no writes: let host be that of the primary, such as the read-write Service";
        Finding::no("Primary", Reason::NotPrimary, message)
    } else {
        Finding::yes("Primary", Reason::Primary, "the server takes writes")
    };
    let clock = match offset(look, now) {
        Some(offset) if offset.abs() <= MOST_OFFSET_SECONDS => Finding::yes(
            "ClockInStep",
            Reason::ClockInStep,
            "the server's clock and the operator's agree to five seconds",
        ),
        _ => Finding::no(
            "ClockInStep",
            Reason::ClockOff,
            "the server's clock differs from the operator's by more than five seconds, and grants end by the server's: set it right",
        ),
    };
    let room = room(server, look, datasets);
    let mut all = vec![reachable, primary, clock, room];
    all.push(sum_up(&all, "the server is reachable, takes writes and has room"));
    // It serves all the same.
    all.push(counting(look));
    all
}

/// Whether what is read through grants can be metered.
fn counting(look: &ServerLook) -> Finding {
    if look.counts_statements {
        return Finding::yes(
            "ReadsCounted",
            Reason::ReadsCounted,
            "the server counts statements, so that what is read through grants is metered",
        );
    }
    let message = format!(
        "what is read through grants is not metered: add pg_stat_statements to shared_preload_libraries, and in the administrator's \
         database CREATE EXTENSION pg_stat_statements and GRANT pg_read_all_stats TO {}",
        super::quote::identifier(&look.role).unwrap_or_default()
    );
    Finding::no("ReadsCounted", Reason::ReadsNotCounted, message)
}

fn room(server: &DatabaseServer, look: &ServerLook, datasets: usize) -> Finding {
    let limits = server.spec.limits.clone().unwrap_or_default();
    let most = limits.datasets.and_then(|most| usize::try_from(most).ok());
    let storage = limits
        .storage
        .as_deref()
        .and_then(|text| Resource::Storage.read(text).ok());
    let full = |message: String| Finding::no("RoomLeft", Reason::ServerFull, message);
    if most.is_some_and(|most| datasets > most) {
        return full(format!(
            "{datasets} datasets ask for this server and its limits allow {}",
            most.unwrap_or_default()
        ));
    }
    if storage.is_some_and(|storage| look.bytes > storage) {
        return full(format!(
            "datasets take {} of {}",
            most_of(look.bytes),
            limits.storage.unwrap_or_default()
        ));
    }
    // The last tenth is left to those who are connected already.
    if look.connections * 10 >= look.most_connections * 9 {
        return full("nine tenths of the server's connections or more are in use: raise max_connections, or lower connectionsPerUser".to_owned());
    }
    Finding::yes(
        "RoomLeft",
        Reason::RoomLeft,
        "datasets, storage and connections are within the limits",
    )
}
