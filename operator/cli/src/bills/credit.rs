//! `kubectl maru credit`: what a bill charged too much is given back, as a credit note.

use std::str::FromStr;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maru_ledger::{Credit, CreditedLine, Issue, Ledger, Page};
use maru_meter::Exact;

use super::{BillOutput, print};
use crate::problem::Problem;

/// What of which bill is given back, and why.
#[derive(Debug, Args)]
pub struct CreditArgs {
    /// The number of the bill, such as 2026-000123.
    #[arg(value_name = "BILL")]
    bill: String,
    /// The line, by its place on the bill from 1, and how much of its amount without tax: 3=1500.50; the place alone is all of it.
    #[arg(long = "line", value_name = "LINE[=AMOUNT]", required = true)]
    lines: Vec<WantedLine>,
    /// What tells this credit from others on the same bill, such as a case number. The same one is given once, however often it is asked for.
    #[arg(long, value_name = "NAME")]
    reference: String,
    /// Why, as the credit note will say.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The ledger: the path of its SQLite file, or the URL of its PostgreSQL database.
    #[arg(long, value_name = "ADDRESS", env = "MARU_LEDGER", hide_env_values = true)]
    ledger: String,
    /// Who issued the bill.
    #[arg(long, value_name = "NAME", default_value = "maru")]
    issuer: String,
    /// How to print the credit note: `csv` has a row for each line.
    #[arg(short, long, value_enum, default_value_t = BillOutput::Table)]
    output: BillOutput,
}

/// A line, and how much of it; none: all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WantedLine {
    line: u32,
    amount: Option<Exact>,
}

impl FromStr for WantedLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = "allowed is the place of a line on the bill, such as 3, or with an amount, 3=1500.50";
        let (line, amount) = text
            .split_once('=')
            .map_or((text, None), |(line, amount)| (line, Some(amount)));
        let line = line.parse().map_err(|_| allowed.to_owned())?;
        let amount = amount.map(|amount| amount.parse::<Exact>().map_err(|_| allowed.to_owned()));
        Ok(Self {
            line,
            amount: amount.transpose()?,
        })
    }
}

/// Gives the credit and prints the credit note.
pub fn run(args: &CreditArgs) -> Result<String, Problem> {
    for (name, text) in [("--reference", &args.reference), ("--reason", &args.reason)] {
        if text.trim().is_empty() {
            return Err(Problem::new(format!(
                "{name} is empty: allowed is what an auditor will understand"
            )));
        }
    }
    let problem = |error| Problem::new(format!("--ledger: {error}"));
    // To read at first: a ledger that is not there is not made for a mistyped path.
    let mut ledger = Ledger::to_read(&args.ledger).map_err(problem)?;
    let Some(bill) = ledger.page(&args.issuer, &args.bill).map_err(problem)? else {
        return Err(Problem::new(format!(
            "{} has issued no bill `{}`: allowed are numbers such as 2026-000123",
            args.issuer, args.bill
        )));
    };
    let inputs = bill.inputs().cloned().unwrap_or_default();
    let at = Timestamp::now();
    let issue = Issue {
        issuer: &args.issuer,
        fiscal_year: at.to_zoned(TimeZone::UTC).year(),
        at,
        inputs: &inputs,
    };
    let lines: Vec<CreditedLine> = args.lines.iter().map(|wanted| credited(&bill, wanted)).collect();
    let credit = Credit {
        reference: &args.reference,
        reason: &args.reason,
        lines: &lines,
    };
    let mut ledger = Ledger::at(&args.ledger).map_err(problem)?;
    let note = ledger.credit(&args.bill, &credit, &issue).map_err(problem)?;
    let about = format!("it gives back of bill {}, as {}", args.bill, args.reference);
    print(maru_bill::Bill::of(&note), &[about], args.output)
}

/// A line that is not there is the ledger's to refuse: it says how many there are.
fn credited(bill: &Page, wanted: &WantedLine) -> CreditedLine {
    let place = usize::try_from(wanted.line).ok().and_then(|line| line.checked_sub(1));
    let whole = || Some(bill.statement().lines.get(place?)?.amount.clone());
    CreditedLine {
        line: wanted.line,
        amount: wanted.amount.clone().or_else(whole).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[test]
    fn a_mistyped_ledger_is_refused_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledgre.sqlite");
        let path = ledger.to_str().unwrap();
        let command = [
            "kubectl-maru",
            "credit",
            "2026-000001",
            "--line",
            "1",
            "--reference",
            "case-7",
            "--reason",
            "twice",
            "--ledger",
            path,
        ];
        let error = crate::Cli::try_parse_from(command).unwrap().run().unwrap_err();
        assert!(error.to_string().contains("--ledger"), "{error}");
        assert!(!ledger.exists());
    }
}
