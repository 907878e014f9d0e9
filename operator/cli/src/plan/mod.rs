//! `kubectl maru plan`: what applying files would create, change and delete, before it does.
//!
//! The operator's own turns are played in memory ([`maru_controller::Rehearsal`]), so what is printed is what it then does.

mod cluster;
mod compare;
pub(crate) mod files;
mod people;
mod report;
mod settings;
mod sql;
mod table;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use maru_controller::Rehearsal;
use maru_desire::Platform;

use crate::connect::Connection;
use crate::problem::Problem;
use files::Manifest;
use report::{By, Report};

/// What to plan.
#[derive(Debug, Args)]
#[command(after_help = "Exit code 2: an input is wrong, or the cluster does not answer. Nothing is ever written.")]
pub struct PlanArgs {
    /// Manifests of Maru's kinds, in any number of files and documents and in any order.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// How to print: `json` and `yaml` also hold the objects that would be made.
    #[arg(short, long, value_enum, default_value_t = PlanOutput::Table)]
    output: PlanOutput,
    /// The namespace of manifests that name none.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Plan for an empty cluster and ask none.
    #[arg(long, conflicts_with_all = ["context", "kubeconfig", "delete", "server_side"])]
    offline: bool,
    #[command(flatten)]
    cluster: Connection,
    /// Plan `kubectl delete` in place of `kubectl apply`: what would go, and what stays.
    #[arg(long)]
    delete: bool,
    /// Plan `kubectl apply --server-side`.
    #[arg(long, conflicts_with = "delete")]
    server_side: bool,
    /// The field manager of `--server-side`.
    #[arg(long, value_name = "NAME", default_value = "kubectl")]
    field_manager: String,
    /// The namespace that the operator runs in, which no agency may have.
    #[arg(long, value_name = "NAME", env = "MARU_NAMESPACE", default_value = "maru-system")]
    operator_namespace: String,
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanOutput {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// The same document as YAML.
    Yaml,
}

/// The text to print. Nothing is printed when anything is wrong.
pub fn run(args: &PlanArgs) -> Result<String, Problem> {
    let files = files::read(&args.files, args.namespace.as_deref())?;
    let mut report = if args.offline {
        offline(args, &files.manifests)?
    } else {
        cluster::plan(args, &files.manifests)?
    };
    report.warnings.extend(files.warnings);
    match args.output {
        PlanOutput::Table => Ok(table::table(&report)),
        PlanOutput::Json => serde_json::to_string_pretty(&report)
            .map(|text| text + "\n")
            .map_err(Problem::new),
        PlanOutput::Yaml => serde_saphyr::to_string(&report).map_err(Problem::new),
    }
}

impl PlanArgs {
    fn platform(&self) -> Platform {
        Platform {
            operator_namespace: self.operator_namespace.clone(),
            ..Platform::default()
        }
    }
}

fn offline(args: &PlanArgs, manifests: &[Manifest]) -> Result<Report, Problem> {
    let mut rehearsal = Rehearsal::offline(args.platform());
    let mut report = Report::default();
    for manifest in manifests {
        apply(&mut rehearsal, manifest, &manifest.value)?;
        report.made(manifest, By::You, manifest.value.clone());
    }
    rehearsal.settle().map_err(Problem::new)?;
    for step in rehearsal.steps() {
        report.step(&step);
    }
    report.conditions_of(&rehearsal);
    sql::add(manifests, |_| true, &mut report)?;
    Ok(report)
}

/// Puts what becomes of a manifest on the stage, if it is of a kind that the operator acts on in the cluster.
fn apply(rehearsal: &mut Rehearsal, manifest: &Manifest, becomes: &serde_json::Value) -> Result<(), Problem> {
    match manifest.kind.as_str() {
        "Agency" => rehearsal.apply_agency(manifest.read(becomes)?),
        "AgencySystem" => rehearsal.apply_system(manifest.read(becomes)?),
        _ => {}
    }
    Ok(())
}
