//! Bills as rows for a spreadsheet: one for each line, with the bill's own words repeated.

use crate::bill::{Bill, BillLine};
use crate::rows::{Kind, Rows};

const COLUMNS: [(&str, Kind); 19] = [
    ("agency", Kind::Text),
    ("period", Kind::Text),
    ("kind", Kind::Text),
    ("number", Kind::Text),
    ("currency", Kind::Text),
    ("system", Kind::Text),
    ("charge", Kind::Text),
    ("meter", Kind::Text),
    ("item", Kind::Text),
    ("quantity", Kind::Decimal),
    ("unit", Kind::Text),
    ("unitPrice", Kind::Decimal),
    ("amount", Kind::Decimal),
    ("tax", Kind::Decimal),
    ("periodStart", Kind::Time),
    ("periodEnd", Kind::Time),
    ("completeness", Kind::Text),
    ("corrects", Kind::Text),
    ("reason", Kind::Text),
];

/// The lines of all bills, under the names that JSON has.
pub fn lines(bills: &[Bill]) -> Rows {
    let mut rows = Rows::new(&COLUMNS);
    for bill in bills {
        for line in &bill.lines {
            rows.push(row(bill, line));
        }
    }
    rows
}

fn row(bill: &Bill, line: &BillLine) -> Vec<Option<String>> {
    let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
    vec![
        Some(bill.agency.clone()),
        Some(bill.period.clone()),
        Some(format!("{:?}", bill.kind)),
        bill.number.clone(),
        Some(bill.currency.clone()),
        text(&line.system),
        Some(line.charge.name().to_owned()),
        text(&line.meter),
        text(&line.item),
        line.quantity.as_ref().map(ToString::to_string),
        text(&line.unit),
        line.unit_price.as_ref().map(ToString::to_string),
        Some(line.amount.to_string()),
        Some(line.tax.to_string()),
        Some(line.period_start.to_string()),
        Some(line.period_end.to_string()),
        Some(format!("{:?}", line.completeness)),
        line.corrects.clone(),
        line.reason.clone(),
    ]
}
