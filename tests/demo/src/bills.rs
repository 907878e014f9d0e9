//! The table of bills, and the sentence that proves them.

use crate::months::Closed;
use crate::parts::Outcome;
use maru_meter::Exact;
use serde_json::Value;

/// What the document system costs in a month: 4.8 billion won over sixty months, and 40 million.
const BUILD: i64 = 4_800_000_000;
const BUILD_MONTHS: i64 = 60;
const RUNNING: i64 = 40_000_000;

/// Prints the bills of the closed months, and says what was to be recovered and what was billed.
pub(crate) fn table(closed: &[Closed]) -> Outcome<()> {
    println!("\nThe bills");
    println!(
        "   {:<8} {:<6} {:<12} {:>15} {:>13} {:>13} {:>15}   {:>15}",
        "PERIOD", "AGENCY", "NUMBER", "SHARED SYSTEM", "CORRECTED", "TAX", "TOTAL", "ALONE IT WOULD"
    );
    let mut differs = false;
    for month in closed {
        for bill in &month.bills {
            row(bill)?;
        }
    }
    for (place, month) in closed.iter().enumerate() {
        let recovered = Exact::from(BUILD / BUILD_MONTHS + RUNNING);
        let billed = sum(&month.bills, false)?;
        let difference = &recovered - &billed;
        differs |= !difference.is_zero();
        println!(
            "\n   {}: to recover ₩{} (₩{} ÷ {BUILD_MONTHS} months + ₩{}), billed ₩{}, difference {}.",
            month.period,
            grouped(&recovered),
            grouped(&Exact::from(BUILD)),
            grouped(&Exact::from(RUNNING)),
            grouped(&billed),
            grouped(&difference)
        );
        if place > 0 {
            let corrected = sum(&month.bills, true)?;
            differs |= !corrected.is_zero();
            if !month.bills.iter().any(corrects) {
                continue;
            }
            println!(
                "   Its corrections of {} move cost between ministries: their sum is {}.",
                closed[place - 1].period,
                grouped(&corrected)
            );
        }
    }
    if differs {
        return Err("the bills do not add up to what was to be recovered".into());
    }
    Ok(())
}

/// Whether a bill corrects an earlier one.
fn corrects(bill: &Value) -> bool {
    let lines = bill["spec"]["lines"].as_array();
    lines.is_some_and(|lines| lines.iter().any(|line| line["corrects"].is_string()))
}

fn row(bill: &Value) -> Outcome<()> {
    let spec = &bill["spec"];
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
    let one = std::slice::from_ref(bill);
    let saving = spec["savings"][0]["standalone"]
        .as_str()
        .unwrap_or("0")
        .parse::<Exact>()?;
    let alone = if saving.is_zero() {
        String::new()
    } else {
        grouped(&saving)
    };
    println!(
        "   {:<8} {:<6} {:<12} {:>15} {:>13} {:>13} {:>15}   {alone:>15}",
        text("period"),
        text("agency"),
        text("number"),
        grouped(&sum(one, false)?),
        grouped(&sum(one, true)?),
        grouped(&text("tax").parse()?),
        grouped(&text("total").parse()?),
    );
    Ok(())
}

/// The lines of bills for the shared system: those of the period itself, or those that correct an earlier one.
fn sum(bills: &[Value], corrections: bool) -> Outcome<Exact> {
    let mut sum = Exact::default();
    for bill in bills {
        for line in bill["spec"]["lines"].as_array().into_iter().flatten() {
            if line["corrects"].is_string() == corrections && line["system"] == "mois/docs" {
                sum += line["amount"].as_str().unwrap_or("0").parse::<Exact>()?;
            }
        }
    }
    Ok(sum)
}

/// A whole number of won with commas.
fn grouped(amount: &Exact) -> String {
    let plain = amount.to_string();
    let (sign, digits) = plain
        .strip_prefix('-')
        .map_or(("", plain.as_str()), |digits| ("-", digits));
    let (whole, rest) = digits
        .split_once('.')
        .map_or((digits, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_in_groups_of_three_digits() {
        for (amount, written) in [
            ("0", "0"),
            ("-1234", "-1,234"),
            ("120000000", "120,000,000"),
            ("999.5", "999.5"),
        ] {
            assert_eq!(grouped(&amount.parse().unwrap()), written);
        }
    }
}
