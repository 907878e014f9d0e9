//! Bills as JSON, in the form that `BILLING.md` §6 fixes.

use serde::Serialize;

use crate::bill::Bill;

#[derive(Serialize)]
struct Document<'a> {
    bills: &'a [Bill],
    warnings: &'a [String],
}

/// All bills and warnings as one JSON document, ending in a new line. Every amount and quantity is a decimal string.
pub fn json(bills: &[Bill], warnings: &[String]) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(&Document { bills, warnings })?;
    text.push('\n');
    Ok(text)
}

/// The same document as YAML.
pub fn yaml(bills: &[Bill], warnings: &[String]) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&Document { bills, warnings })
}
