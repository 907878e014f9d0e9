//! A list of bills.

use kube::ResourceExt;
use maru_bill::layout::Align;
use maru_crds::Bill;
use maru_meter::Exact;
use serde::Serialize;

use super::BillOutput;
use crate::columns::columns;
use crate::problem::Problem;
use crate::terminal;

/// What a list says of a bill.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    number: Option<String>,
    pub(super) period: String,
    pub(super) agency: String,
    kind: String,
    status: &'static str,
    /// What is payable.
    total: String,
    currency: String,
    namespace: String,
    name: String,
}

#[derive(Serialize)]
struct Document<'a> {
    bills: &'a [Row],
}

impl Row {
    pub(super) fn of(bill: &Bill) -> Self {
        let spec = &bill.spec;
        Self {
            number: spec.number.clone(),
            period: spec.period.clone(),
            agency: spec.agency.clone(),
            kind: format!("{:?}", spec.kind),
            status: if spec.number.is_some() { "Issued" } else { "Draft" },
            total: spec.total.clone(),
            currency: spec.currency.clone(),
            namespace: bill.namespace().unwrap_or_default(),
            name: bill.name_any(),
        }
    }
}

/// The rows, by month and agency.
pub(super) fn print(mut rows: Vec<Row>, output: BillOutput, place: &str) -> Result<String, Problem> {
    rows.sort_by(|one, other| (&one.period, &one.agency, &one.name).cmp(&(&other.period, &other.agency, &other.name)));
    match output {
        BillOutput::Table if rows.is_empty() => Ok(format!("No bills {place}.\n")),
        BillOutput::Table => Ok(table(&rows)),
        BillOutput::Json => serde_json::to_string_pretty(&Document { bills: &rows })
            .map(|text| text + "\n")
            .map_err(Problem::new),
        BillOutput::Yaml => serde_saphyr::to_string(&Document { bills: &rows }).map_err(Problem::new),
        BillOutput::Csv => csv(&rows),
    }
}

fn table(rows: &[Row]) -> String {
    let headers = [
        ("NUMBER", Align::Left),
        ("PERIOD", Align::Left),
        ("AGENCY", Align::Name),
        ("KIND", Align::Left),
        ("STATUS", Align::Left),
        ("TOTAL", Align::Right),
        ("CURRENCY", Align::Left),
        ("BILL", Align::Name),
    ];
    let cells = |row: &Row| {
        let total = row.total.parse::<Exact>().map(|total| maru_bill::amount(&total));
        vec![
            row.number.clone().unwrap_or_else(|| "-".to_owned()),
            row.period.clone(),
            row.agency.clone(),
            row.kind.clone(),
            row.status.to_owned(),
            total.unwrap_or_else(|_| row.total.clone()),
            row.currency.clone(),
            row.name.clone(),
        ]
    };
    columns(&headers, rows.iter().map(cells).collect(), terminal::columns())
}

fn csv(rows: &[Row]) -> Result<String, Problem> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if rows.is_empty() {
        let names = [
            "number",
            "period",
            "agency",
            "kind",
            "status",
            "total",
            "currency",
            "namespace",
            "name",
        ];
        writer.write_record(names).map_err(Problem::new)?;
    }
    for row in rows {
        writer.serialize(row).map_err(Problem::new)?;
    }
    let bytes = writer.into_inner().map_err(Problem::new)?;
    String::from_utf8(bytes).map_err(Problem::new)
}
