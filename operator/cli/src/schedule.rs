//! `kubectl maru schedule`: how the capital of each system is written off, month by month.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use maru_meter::{Exact, Rounding};
use maru_rate::amortise::{Row, Tranche};
use serde::Serialize;

use crate::manifests::Manifests;
use crate::problem::Problem;
use crate::rate::Output;

/// Whose schedules to print.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// Manifests, AgencySystem among them, in any number of files and documents. A RateCard says how interest is rounded; without one a half goes up.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Serialize)]
struct Document {
    schedules: Vec<Schedule>,
}

/// One tranche and its months.
#[derive(Serialize)]
struct Schedule {
    system: String,
    name: String,
    currency: &'static str,
    rows: Vec<Installment>,
}

/// One month. Every amount is a decimal string.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Installment {
    /// From 1.
    month: u32,
    /// Which calendar month that is.
    period: String,
    payment: Exact,
    interest: Exact,
    principal: Exact,
    capital_charge: Exact,
    closing: Exact,
}

/// The text to print.
pub(crate) fn run(args: &ScheduleArgs) -> Result<String, Problem> {
    let (world, mode) = Manifests::read_world(&args.files)?;
    let tranches = world.tranches();
    let schedules: Vec<Schedule> = tranches
        .map(|(system, tranche)| schedule(system, tranche, mode))
        .collect();
    match args.output {
        Output::Table => Ok(table(&schedules)),
        Output::Json => {
            let text = serde_json::to_string_pretty(&Document { schedules }).map_err(Problem::new)?;
            Ok(text + "\n")
        }
    }
}

fn schedule(system: &str, tranche: &Tranche, mode: Rounding) -> Schedule {
    let month = |row: Row| Installment {
        month: row.number,
        period: row.month.to_string(),
        payment: row.payment,
        interest: row.interest,
        principal: row.principal,
        capital_charge: row.capital_charge,
        closing: row.closing,
    };
    Schedule {
        system: system.to_owned(),
        name: tranche.name.clone(),
        currency: tranche.currency().code(),
        rows: tranche.schedule(mode).into_iter().map(month).collect(),
    }
}

fn table(schedules: &[Schedule]) -> String {
    let mut text = String::new();
    for schedule in schedules {
        let _ = writeln!(text, "{} · {} · {}", schedule.system, schedule.name, schedule.currency);
        let header = [
            "MONTH",
            "PERIOD",
            "PAYMENT",
            "INTEREST",
            "PRINCIPAL",
            "CHARGE",
            "CLOSING",
        ]
        .map(str::to_owned);
        let rows: Vec<[String; 7]> = std::iter::once(header).chain(schedule.rows.iter().map(cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..7).map(width).collect();
        for row in &rows {
            let padded: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:>width$}"))
                .collect();
            let _ = writeln!(text, "{}", padded.join("  "));
        }
        text.push('\n');
    }
    if schedules.is_empty() {
        text.push_str("No schedules: no system in these files has builds.\n");
    }
    text
}

fn cells(month: &Installment) -> [String; 7] {
    let amount = maru_bill::amount;
    [
        month.month.to_string(),
        month.period.clone(),
        amount(&month.payment),
        amount(&month.interest),
        amount(&month.principal),
        amount(&month.capital_charge),
        amount(&month.closing),
    ]
}
