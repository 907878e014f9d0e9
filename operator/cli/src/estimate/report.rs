//! An estimate as it is printed.

use std::fmt::Write;

use maru_bill::layout::Align;
use maru_bill::{Bill, Difference, amount, differences};
use serde::Serialize;

use super::EstimateOutput;
use super::month::Estimated;
use crate::columns::columns;
use crate::problem::Problem;
use crate::terminal;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    period: String,
    /// What each agency pays in the month: `total` without the files, `other` with them.
    differences: &'a [Difference],
    /// The bills with the files.
    bills: &'a [Bill],
    assumptions: &'a [String],
    warnings: &'a [String],
}

/// Both months side by side, by agency.
pub(super) fn print(before: Option<&Estimated>, after: &Estimated, output: EstimateOutput) -> Result<String, Problem> {
    let bills = before.map_or(&[][..], |before| &before.bills);
    let differences = differences(bills, &after.bills);
    let document = Document {
        period: after.month.to_string(),
        differences: &differences,
        bills: &after.bills,
        assumptions: &after.assumptions,
        warnings: &after.warnings,
    };
    match output {
        EstimateOutput::Table => Ok(table(&document)),
        EstimateOutput::Json => serde_json::to_string_pretty(&document)
            .map(|text| text + "\n")
            .map_err(Problem::new),
        EstimateOutput::Yaml => serde_saphyr::to_string(&document).map_err(Problem::new),
        EstimateOutput::Csv => csv(&differences),
    }
}

fn table(document: &Document<'_>) -> String {
    let headers = [
        ("AGENCY", Align::Name),
        ("NOW", Align::Right),
        ("THEN", Align::Right),
        ("DIFFERENCE", Align::Right),
        ("CURRENCY", Align::Left),
    ];
    let rows = document.differences.iter().map(|one| {
        vec![
            one.agency.clone(),
            amount(&one.total),
            amount(&one.other),
            amount(&one.difference),
            one.currency.clone(),
        ]
    });
    let mut text = format!("About {}, with tax:\n\n", document.period);
    text.push_str(&columns(&headers, rows.collect(), terminal::columns()));
    text.push('\n');
    for assumption in document.assumptions {
        let _ = writeln!(text, "assumed: {assumption}");
    }
    for warning in document.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn csv(differences: &[Difference]) -> Result<String, Problem> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = ["agency", "period", "currency", "total", "other", "difference"];
    if differences.is_empty() {
        writer.write_record(names).map_err(Problem::new)?;
    }
    for one in differences {
        writer.serialize(one).map_err(Problem::new)?;
    }
    let bytes = writer.into_inner().map_err(Problem::new)?;
    String::from_utf8(bytes).map_err(Problem::new)
}
