//! `kubectl maru reconcile`: what runs in the cluster, held against what the lake says of it.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use maru_bill::layout::Align;
use maru_controller::meter::reconcile::{Looked, Memory, ReconcileError, look};
use maru_lake::Lake;
use serde_json::json;

use crate::Printed;
use crate::columns::columns;
use crate::connect::{Connection, block_on, trouble};
use crate::problem::Problem;
use crate::terminal;

/// Which cluster and which lake.
#[derive(Debug, Args)]
#[command(
    after_help = "Pods and volume claims of agencies are compared with their records over the last 24 hours that are recorded. Whoever runs \
                        it must be allowed to list them in all namespaces."
)]
pub struct ReconcileArgs {
    #[command(flatten)]
    connection: Connection,
    /// The lake: its directory or URL.
    #[arg(long, value_name = "PLACE", env = "MARU_LAKE")]
    lake: String,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = ReconcileOutput::Table)]
    output: ReconcileOutput,
}

/// How the report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReconcileOutput {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// The report. What does not agree ends the command with exit code 1.
pub fn run(args: &ReconcileArgs) -> Result<Printed, Problem> {
    let lake = Arc::new(Lake::open(&args.lake)?);
    let looked = block_on(async {
        let (client, _) = args.connection.open().await?;
        match look(&client, &lake, &mut Memory::default()).await {
            Err(ReconcileError::Api(error)) => Err(trouble("pods and volume claims of all namespaces", error)),
            looked => looked.map_err(Problem::new),
        }
    })?;
    if looked.until.is_none() {
        return Err(Problem::new(format!(
            "{}: no hour is recorded in this lake yet: is it the one that the operator meters into?",
            args.lake
        )));
    }
    let text = match args.output {
        ReconcileOutput::Table => table(&looked),
        ReconcileOutput::Json => json_of(&looked)?,
    };
    Ok(Printed {
        bytes: text.into_bytes(),
        agrees: looked.findings.is_empty(),
    })
}

fn table(looked: &Looked) -> String {
    let mut text = String::new();
    if !looked.findings.is_empty() {
        let heads = ["WHAT", "OBJECT", "METER", "FROM", "UNTIL"].map(|head| (head, Align::Left));
        let row = |finding: &maru_meter::reconcile::Finding| {
            let (from, until) = finding.interval;
            vec![
                finding.what.name().to_owned(),
                finding.resource.clone(),
                finding.meter.clone(),
                from.to_string(),
                until.to_string(),
            ]
        };
        let rows = looked.findings.iter().map(row).collect();
        text.push_str(&columns(&heads, rows, terminal::columns()));
        text.push('\n');
    }
    let until = looked.until.map(|until| until.to_string()).unwrap_or_default();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{} objects and {} records of the 24 hours up to {until}: {}",
        looked.objects,
        looked.records,
        looked.sentence()
    );
    text
}

fn json_of(looked: &Looked) -> Result<String, Problem> {
    let finding = |finding: &maru_meter::reconcile::Finding| {
        let (start, end) = finding.interval;
        json!({"disagreement": finding.what.name(), "resource": finding.resource, "meter": finding.meter, "start": start, "end": end})
    };
    let findings: Vec<_> = looked.findings.iter().map(finding).collect();
    let document =
        json!({"objects": looked.objects, "records": looked.records, "until": looked.until, "findings": findings});
    serde_json::to_string_pretty(&document)
        .map(|text| text + "\n")
        .map_err(Problem::new)
}
