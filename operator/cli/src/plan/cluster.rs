//! A plan against a cluster: reads and dry runs, and no writes.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use kube::Client;
use maru_apply::{Applier, Tried};
use maru_controller::{Rehearsal, Step, Verb};
use maru_desire::SystemKey;

use super::compare::differences;
use super::files::{CARRIED_OUT, Manifest};
use super::people::{self, Becomes};
use super::report::{By, Line, Report, Said, parts};
use super::{PlanArgs, apply, settings, sql};
use crate::connect::block_on;
use crate::problem::Problem;

/// Dry runs that are under way at once.
const AT_ONCE: usize = 8;

/// The plan, with a runtime of its own.
pub(super) fn plan(args: &PlanArgs, manifests: &[Manifest]) -> Result<Report, Problem> {
    block_on(planned(args, manifests))
}

async fn planned(args: &PlanArgs, manifests: &[Manifest]) -> Result<Report, Problem> {
    let opened = args.cluster.open().await;
    let (client, _) =
        opened.map_err(|problem| Problem::new(format!("{problem}, or plan for an empty cluster with --offline")))?;
    let platform = settings::read(&client, args.platform()).await?;
    let mut rehearsal = Rehearsal::in_cluster(&client, platform).await.map_err(trouble)?;
    let mut report = Report::default();
    let mut there = BTreeSet::new();
    for manifest in manifests {
        if args.delete {
            delete(&client, &mut rehearsal, manifest, &mut report).await?;
        } else {
            let becomes = people::apply(&client, manifest, args).await?;
            apply(&mut rehearsal, manifest, &becomes.after)?;
            if becomes.before.is_some() {
                there.insert((manifest.kind.clone(), manifest.namespace.clone(), manifest.name.clone()));
            }
            told(manifest, &becomes, &mut report);
        }
    }
    rehearsal.settle().map_err(Problem::new)?;
    gone(&rehearsal, manifests, &mut report);
    tried(&client, &rehearsal, &mut report).await?;
    report.conditions_of(&rehearsal);
    if !args.delete {
        let is_new = |one: &Manifest| !there.contains(&(one.kind.clone(), one.namespace.clone(), one.name.clone()));
        sql::add(manifests, is_new, &mut report)?;
    }
    Ok(report)
}

/// What the file's own object becomes, if it changes.
fn told(manifest: &Manifest, becomes: &Becomes, report: &mut Report) {
    let Some(before) = &becomes.before else {
        report.made(manifest, By::You, manifest.value.clone());
        return;
    };
    let fields = differences(before, &becomes.after);
    if !fields.is_empty() {
        let mut line = Line::of(manifest, Verb::Change, By::You);
        line.fields = fields;
        report.steps.push(line);
    }
}

async fn delete(
    client: &Client,
    rehearsal: &mut Rehearsal,
    manifest: &Manifest,
    report: &mut Report,
) -> Result<(), Problem> {
    match manifest.kind.as_str() {
        "Agency" => {
            let claims = rehearsal.read_claims(client, &manifest.name).await;
            claims.map_err(trouble)?;
            rehearsal.delete_agency(&manifest.name);
        }
        "AgencySystem" => {
            rehearsal.delete_system(&SystemKey::new(manifest.namespace.as_str(), manifest.name.as_str()));
        }
        _ => {
            if people::find(client, manifest).await?.is_some() {
                report.steps.push(Line::of(manifest, Verb::Delete, By::You));
            }
        }
    }
    Ok(())
}

/// The agencies and systems that go: those of the files, and the systems in a namespace that goes.
fn gone(rehearsal: &Rehearsal, manifests: &[Manifest], report: &mut Report) {
    for owner in rehearsal.gone() {
        let (kind, namespace, name) = parts(owner);
        let named = manifests
            .iter()
            .any(|manifest| manifest.kind == kind && manifest.namespace == namespace && manifest.name == name);
        report.steps.push(Line {
            verb: Verb::Delete,
            by: if named { By::You } else { By::Operator },
            api_version: format!("{}/{}", maru_crds::GROUP, maru_crds::VERSION),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            fields: Vec::new(),
            object: None,
        });
    }
}

/// What the operator does, each step as the API server would take it.
async fn tried(client: &Client, rehearsal: &Rehearsal, report: &mut Report) -> Result<(), Problem> {
    let applier = Applier::new(client.clone());
    let answers = futures::stream::iter(rehearsal.steps()).map(|step| {
        let applier = &applier;
        async move {
            let answer = rehearsal.try_out(applier, &step).await;
            answer.map(|answer| (step, answer)).map_err(Problem::new)
        }
    });
    let answers: Vec<(Step, Option<Tried>)> = answers.buffered(AT_ONCE).try_collect().await?;
    for (step, answer) in answers {
        match answer {
            Some(Tried::Refused { reason, message }) => report.conditions.push(refusal(&step, reason, message)),
            Some(Tried::Changed { before, after }) => {
                let fields = differences(&before, &after);
                if !fields.is_empty() {
                    report.step(&step).fields = fields;
                }
            }
            Some(Tried::Created) | None => {
                report.step(&step);
            }
        }
    }
    Ok(())
}

/// What the API server would refuse of an owner's objects.
fn refusal(step: &Step, reason: String, message: String) -> Said {
    let (kind, namespace, name) = step.owner.as_ref().map(parts).unwrap_or_default();
    let object = step.key.to_string();
    Said {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        condition: if kind == CARRIED_OUT[0] {
            "NamespacesReady"
        } else {
            "Provisioned"
        }
        .to_owned(),
        status: "False".to_owned(),
        reason,
        message: if message.starts_with(&object) {
            message
        } else {
            format!("{object}: {message}")
        },
    }
}

/// What is wrong with the cluster, and what to do.
pub(super) fn trouble(error: kube::Error) -> Problem {
    match error {
        kube::Error::Api(status) if status.code == 404 => Problem::new(format!(
            "the cluster does not know Maru's kinds ({}): install the chart maru-crds first, or plan for an empty cluster with \
             --offline",
            status.message
        )),
        kube::Error::Api(status) if status.code == 403 => Problem::new(format!(
            "a plan reads agencies, systems, namespaces and what Maru wrote, and that is not allowed: {}",
            status.message
        )),
        error => Problem::new(format!("the cluster does not answer as it should: {error}")),
    }
}
