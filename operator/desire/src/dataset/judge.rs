//! Whether a grant is in force: an ordered chain of checks, each with its reason.

use super::catalog::Catalog;
use super::facts::DatasetFacts;
use super::filter::Filter;
use crate::facts::SystemKey;
use crate::plan::Problem;
use crate::reason::Reason;
use crate::status::Finding;
use k8s_openapi::jiff::Timestamp;
use maru_crds::{Classification, DataGrant, GrantRef, GrantedTable};

/// What was found out about a grant.
pub(crate) struct Verdict {
    pub(crate) accepted: Finding,
    pub(crate) active: Finding,
    /// What keeps it out of the database though both sides want it.
    pub(crate) problem: Option<Problem>,
}

impl Verdict {
    /// Whether it belongs into the database now. One that begins later is there already: its views wait for the time.
    pub(crate) fn is_open(&self) -> bool {
        let lives = self.active.holds == crate::status::Holds::True || self.active.reason == Reason::NotYetActive;
        self.accepted.holds == crate::status::Holds::True && lives && self.problem.is_none()
    }
}

/// The system that a grant is for.
pub(crate) fn consumer(grant: &DataGrant) -> SystemKey {
    let consumer = &grant.spec.consumer;
    SystemKey::new(consumer.namespace.as_str(), consumer.name.as_str())
}

/// Looks at a grant. `now` is the server's clock.
pub(crate) fn judge(facts: &DatasetFacts<'_>, catalog: &Catalog, grant: &DataGrant) -> Verdict {
    Verdict {
        accepted: accepted(facts, grant),
        active: active(grant, &catalog.now),
        problem: problem(facts, catalog, grant).err(),
    }
}

pub(crate) fn accepted(facts: &DatasetFacts<'_>, grant: &DataGrant) -> Finding {
    let consumer = consumer(grant);
    let reference = GrantRef {
        namespace: facts.namespace().to_owned(),
        name: grant.metadata.name.clone().unwrap_or_default(),
    };
    match facts.systems.get(&consumer) {
        None => Finding::no(
            "Accepted",
            Reason::ConsumerMissing,
            format!("there is no AgencySystem {consumer}: the grant takes effect when it is there and accepts it"),
        ),
        Some(system) if system.accepts.contains(&reference) => {
            Finding::yes("Accepted", Reason::Accepted, format!("{consumer} accepts the grant"))
        }
        Some(_) => Finding::no(
            "Accepted",
            Reason::NotAccepted,
            format!(
                "{consumer} does not accept the grant: its side adds {{namespace: {}, name: {}}} to acceptedGrants",
                reference.namespace, reference.name
            ),
        ),
    }
}

fn active(grant: &DataGrant, now: &str) -> Finding {
    let spec = &grant.spec;
    let no = |reason, message: String| Finding::no("Active", reason, message);
    let at = |text: &str| text.parse::<Timestamp>().ok();
    if spec.revoked {
        return no(Reason::Revoked, "its owner revoked it".to_owned());
    }
    match (at(&spec.not_before), at(now), at(&spec.not_after)) {
        (Some(_), Some(now), Some(end)) if now >= end => no(
            Reason::Expired,
            format!("it ended at {}: make another grant to renew it", spec.not_after),
        ),
        (Some(begin), Some(now), Some(_)) if now < begin => {
            no(Reason::NotYetActive, format!("it begins at {}", spec.not_before))
        }
        (Some(_), Some(_), Some(_)) => Finding::yes("Active", Reason::Active, format!("it ends at {}", spec.not_after)),
        _ => no(
            Reason::GrantRefused,
            "notBefore or notAfter is no instant: make another grant".to_owned(),
        ),
    }
}

/// What is wrong with a grant itself.
fn problem(facts: &DatasetFacts<'_>, catalog: &Catalog, grant: &DataGrant) -> Result<(), Problem> {
    for table in &grant.spec.tables {
        let filter = table.filter.as_deref().map(Filter::parse).transpose();
        let filter = filter.map_err(|error| Problem::new(Reason::GrantRefused, format!("{}: {error}", table.name)))?;
        let asked = filter.iter().flat_map(Filter::columns);
        let columns = table.columns.iter().chain(&table.sums).map(String::as_str);
        for column in columns.chain(asked) {
            let class = class_of(facts, table, column)?;
            if class > grant.spec.classification {
                return Err(Problem::new(
                    Reason::ClassificationTooHigh,
                    format!(
                        "column {}.{}.{column} is {class:?} and the grant is for {:?} data: leave it out, or make a grant of that class",
                        table.schema, table.name, grant.spec.classification
                    ),
                ));
            }
            is_there(catalog, table, column)?;
        }
    }
    Ok(())
}

fn class_of(facts: &DatasetFacts<'_>, table: &GrantedTable, column: &str) -> Result<Classification, Problem> {
    let schemas = &facts.dataset.spec.schemas;
    let tables = schemas
        .iter()
        .filter(|schema| schema.name == table.schema)
        .flat_map(|schema| &schema.tables);
    let mut columns = tables
        .filter(|found| found.name == table.name)
        .flat_map(|found| &found.columns);
    let found = columns.find(|found| found.name == column);
    found.map(|found| found.classification).ok_or_else(|| {
        Problem::new(
            Reason::ColumnNotDeclared,
            format!(
                "the dataset declares no column {}.{}.{column}, so that nobody knows its class: declare it there first",
                table.schema, table.name
            ),
        )
    })
}

fn is_there(catalog: &Catalog, table: &GrantedTable, column: &str) -> Result<(), Problem> {
    let relation = catalog
        .relation(&table.schema, &table.name)
        .filter(|found| found.is_table());
    let there = relation.is_some_and(|found| found.columns.iter().any(|(name, ..)| name == column));
    if there {
        return Ok(());
    }
    Err(Problem::new(
        Reason::ColumnMissing,
        format!(
            "the database has no column {}.{}.{column}; what the dataset says under differences tells why",
            table.schema, table.name
        ),
    ))
}
