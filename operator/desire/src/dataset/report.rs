//! What people read of datasets and grants: what was read back from the database, and nothing else.

use super::backup::{BackupFacts, backed_up};
use super::catalog::{Catalog, is_maru_schema};
use super::facts::DatasetFacts;
use super::judge::{accepted, judge};
use super::names::GrantNames;
use super::plan::{DataPlan, Part, Step};
use super::wanted::part_of;
use crate::plan::Problem;
use crate::quantity::Resource;
use crate::reason::Reason;
use crate::status::{Finding, Holds, merge_conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use maru_crds::{DataGrant, DataGrantStatus, Dataset, DatasetStatus, DeletionPolicy};

/// How many differences a status lists, and how long each may be.
const DIFFERENCES: (usize, usize) = (32, 500);

/// What was seen of a database after its plan was carried out.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What was read back.
    pub catalog: &'a Catalog,
    /// What is still missing.
    pub left: &'a DataPlan,
    /// What failed.
    pub failures: &'a [(Part, Problem)],
}

impl Seen<'_> {
    /// What keeps a part from being as planned.
    fn amiss(&self, part: &Part) -> Option<Problem> {
        let of_part = |problems: &[(Part, Problem)]| {
            problems
                .iter()
                .find(|(of, _)| of == part)
                .map(|(_, problem)| problem.clone())
        };
        of_part(self.failures)
            .or_else(|| of_part(&self.left.problems))
            .or_else(|| {
                let step = self.left.steps.iter().find_map(|step| match step {
                    Step::Run(transaction) if transaction.part == *part => Some(transaction.purpose.as_str()),
                    _ => None,
                })?;
                let message =
                    format!("the database does not agree with the plan and is put right; it still lacks: {step}");
                Some(Problem::new(Reason::Deviates, message))
            })
    }
}

/// The status of a dataset whose database was read.
pub fn report_dataset(facts: &DatasetFacts<'_>, seen: Seen<'_>, backups: &BackupFacts, now: &Time) -> DatasetStatus {
    let previous = facts.dataset.status.clone().unwrap_or_default();
    let generation = facts.dataset.metadata.generation;
    let placed = Finding::yes(
        "Placed",
        Reason::Placed,
        format!("it is the database {:?}", facts.database),
    );
    let enforced = seen.amiss(&Part::Dataset).map_or_else(
        || {
            Finding::yes(
                "Enforced",
                Reason::Enforced,
                "roles and rights were read back and are as planned",
            )
        },
        |problem| Finding::of("Enforced", &problem),
    );
    let differences = &seen.left.differences;
    let as_declared = if differences.is_empty() {
        Finding::yes("AsDeclared", Reason::AsDeclared, "what is there is what is declared")
    } else {
        let message = format!(
            "{} differences stay, for nothing that is there is changed: see differences",
            differences.len()
        );
        Finding::no("AsDeclared", Reason::Differs, message)
    };
    let ready = sum_up(
        &[placed.clone(), enforced.clone()],
        "the database is there and its rights are as planned",
    );
    let findings = vec![
        placed,
        enforced,
        as_declared,
        backed_up(facts.dataset, backups, now.0),
        ready,
    ];
    let tables = || {
        seen.catalog
            .relations
            .iter()
            .filter(|found| found.is_table() && !is_maru_schema(&found.schema))
    };
    DatasetStatus {
        observed_generation: generation,
        conditions: merge_conditions(&previous.conditions, findings, generation, now),
        server: facts.server.metadata.name.clone(),
        database: Some(facts.database.to_owned()),
        table_count: i32::try_from(tables().count()).ok(),
        rows: Some(close_count(previous.rows, tables().map(|found| found.rows).sum())),
        size: Some(close_to(previous.size.as_deref(), seen.catalog.bytes)),
        difference_count: i32::try_from(differences.len()).ok(),
        differences: differences.iter().take(DIFFERENCES.0).map(|text| short(text)).collect(),
        last_backup: previous.last_backup,
        last_verified_restore: previous.last_verified_restore,
        deletion_policy: recorded(facts.dataset, previous.deletion_policy),
    }
}

/// The status of a dataset whose database could not be placed or reached. `holds` says whether that is known to be so for good
/// (`false`) or only that nothing is known.
pub fn report_unplaced(dataset: &Dataset, server: Option<&str>, problem: &Problem, now: &Time) -> DatasetStatus {
    let previous = dataset.status.clone().unwrap_or_default();
    let generation = dataset.metadata.generation;
    let known = !problem.reason.is_of_the_way();
    let placed = if known {
        Finding::of("Placed", problem)
    } else {
        unknown("Placed", problem)
    };
    let findings = vec![placed, unknown("Enforced", problem), Finding::of("Ready", problem)];
    DatasetStatus {
        observed_generation: generation,
        conditions: merge_conditions(&previous.conditions, findings, generation, now),
        server: previous.server.clone().or_else(|| server.map(str::to_owned)),
        deletion_policy: recorded(dataset, previous.deletion_policy),
        ..previous
    }
}

/// The status of a dataset that is being deleted and cannot go yet.
pub fn report_held(dataset: &Dataset, problem: &Problem, now: &Time) -> DatasetStatus {
    let mut status = dataset.status.clone().unwrap_or_default();
    let generation = dataset.metadata.generation;
    let ready = merge_conditions(&status.conditions, vec![Finding::of("Ready", problem)], generation, now);
    status.conditions.retain(|condition| condition.type_ != "Ready");
    status.conditions.extend(ready);
    status.observed_generation = generation;
    status
}

fn recorded(dataset: &Dataset, before: Option<DeletionPolicy>) -> Option<DeletionPolicy> {
    if dataset.metadata.deletion_timestamp.is_some() {
        before
    } else {
        Some(dataset.spec.deletion_policy)
    }
}

/// The status of a grant whose database was read. `undone` is how many deviations of it were undone since the last one.
pub fn report_grant(
    facts: &DatasetFacts<'_>,
    seen: Seen<'_>,
    grant: &DataGrant,
    undone: usize,
    now: &Time,
) -> DataGrantStatus {
    let verdict = judge(facts, seen.catalog, grant);
    let names = GrantNames::new(grant.metadata.uid.as_deref().unwrap_or_default());
    let open = verdict.is_open();
    let amiss = verdict.problem.clone().or_else(|| seen.amiss(&part_of(grant)));
    let there = seen.catalog.role(&names.reader).is_some() || seen.catalog.role(&names.owner).is_some();
    let enforced = match amiss {
        Some(problem) if open || verdict.problem.is_some() => Finding::of("Enforced", &problem),
        _ if open => Finding::yes(
            "Enforced",
            Reason::Enforced,
            "views and rights were read back and are as granted",
        ),
        _ if there => Finding::no(
            "Enforced",
            Reason::Deviates,
            "the grant is over and its rights are being taken away",
        ),
        _ => Finding::yes("Enforced", Reason::NothingGranted, "nothing of it is in the database"),
    };
    grant_status(
        grant,
        vec![verdict.accepted, verdict.active, enforced],
        open.then_some(names.schema),
        undone,
        now,
    )
}

/// The status of a grant whose dataset or database could not be looked at.
pub fn report_grant_without_dataset(
    facts: Option<&DatasetFacts<'_>>,
    grant: &DataGrant,
    problem: &Problem,
    now: &Time,
) -> DataGrantStatus {
    let mut findings: Vec<Finding> = facts.map(|facts| accepted(facts, grant)).into_iter().collect();
    findings.push(unknown("Enforced", problem));
    let schema = grant.status.as_ref().and_then(|status| status.view_schema.clone());
    grant_status(grant, findings, schema, 0, now)
}

fn grant_status(
    grant: &DataGrant,
    mut findings: Vec<Finding>,
    view_schema: Option<String>,
    undone: usize,
    now: &Time,
) -> DataGrantStatus {
    let previous = grant.status.clone().unwrap_or_default();
    let generation = grant.metadata.generation;
    findings.push(sum_up(
        &findings,
        "both sides agree, and the database was read back and agrees",
    ));
    let undone = previous.deviations_undone.unwrap_or_default() + i64::try_from(undone).unwrap_or(i64::MAX);
    DataGrantStatus {
        observed_generation: generation,
        conditions: merge_conditions(&previous.conditions, findings, generation, now),
        view_schema,
        deviations_undone: Some(undone),
    }
}

fn unknown(kind: &'static str, problem: &Problem) -> Finding {
    Finding::unknown(kind, problem.reason, problem.message.clone())
}

/// `Ready`: the first of the others that is not known to hold.
pub(crate) fn sum_up(others: &[Finding], message: &str) -> Finding {
    others.iter().find(|finding| finding.holds != Holds::True).map_or_else(
        || Finding::yes("Ready", Reason::Ready, message),
        |amiss| Finding {
            kind: "Ready",
            ..amiss.clone()
        },
    )
}

fn short(text: &str) -> String {
    text.chars().take(DIFFERENCES.1).collect()
}

/// A size for people, rewritten only when it changed by a twentieth, so that a database in use does not rewrite the status all the time.
pub(crate) fn close_to(before: Option<&str>, bytes: i64) -> String {
    if let Some(text) = before
        && let Ok(old) = Resource::Storage.read(text)
        && (old - bytes).abs() <= (old / 20).max(1 << 20)
    {
        return text.to_owned();
    }
    most_of(bytes)
}

/// Whole mebibytes, or gibibytes from ten of them on, rounded up.
pub fn most_of(bytes: i64) -> String {
    let up = |unit: i64| bytes.max(0) / unit + i64::from(bytes.max(0) % unit != 0);
    if bytes >= 10 << 30 {
        format!("{}Gi", up(1 << 30))
    } else {
        format!("{}Mi", up(1 << 20))
    }
}

fn close_count(before: Option<i64>, rows: i64) -> i64 {
    before.filter(|old| (old - rows).abs() <= old / 20).unwrap_or(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_again_only_when_it_changed_by_a_twentieth() {
        assert_eq!(most_of(1), "1Mi");
        assert_eq!(most_of(11 << 30), "11Gi");
        assert_eq!(close_to(Some("100Mi"), 104 << 20), "100Mi");
        assert_eq!(close_to(Some("100Mi"), 106 << 20), "106Mi");
        assert_eq!(close_to(None, 7 << 20), "7Mi");
    }
}
