//! Bills as JSON, in the form that `BILLING.md` §6 fixes.

use maru_rate::Recovery;
use serde::Serialize;

use crate::bill::Bill;

#[derive(Serialize)]
struct Document<'a> {
    bills: &'a [Bill],
    #[serde(skip_serializing_if = "<[Recovery]>::is_empty")]
    recoveries: &'a [Recovery],
    warnings: &'a [String],
}

/// All bills, what standard rates recovered (where there is one) and warnings as one JSON document, ending in a new line. Every amount and
/// quantity is a decimal string.
pub fn json(bills: &[Bill], recoveries: &[Recovery], warnings: &[String]) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(&Document {
        bills,
        recoveries,
        warnings,
    })?;
    text.push('\n');
    Ok(text)
}

/// The same document as YAML.
pub fn yaml(bills: &[Bill], recoveries: &[Recovery], warnings: &[String]) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&Document {
        bills,
        recoveries,
        warnings,
    })
}
