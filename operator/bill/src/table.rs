//! Bills as a table for the terminal.

use std::fmt::Write;

use maru_meter::{Completeness, Exact};
use maru_rate::{Currency, Recovery};
use unicode_width::UnicodeWidthStr;

use crate::bill::{Bill, BillLine};
use crate::layout::{self, Align};

const HEADERS: [&str; 7] = ["SYSTEM", "CHARGE", "FOR", "QUANTITY", "UNIT", "PRICE", "AMOUNT"];
/// Names of systems, and what lines are for, may be cut.
const ALIGNS: [Align; 7] = [
    Align::Name,
    Align::Left,
    Align::Name,
    Align::Right,
    Align::Left,
    Align::Right,
    Align::Right,
];
/// Places of a quantity that a person looks at; JSON has all of them.
const QUANTITY_PLACES: u32 = 6;

/// The bills one after the other, each with a head, its lines and its totals, then the warnings.
pub fn table(bills: &[Bill], warnings: &[String]) -> String {
    table_within(bills, warnings, None)
}

/// The same in so many columns of a terminal, as far as long names can be cut for that; figures never are.
pub fn table_within(bills: &[Bill], warnings: &[String], columns: Option<usize>) -> String {
    let mut text = String::new();
    for bill in bills {
        one(&mut text, bill, columns);
        text.push('\n');
    }
    if bills.is_empty() {
        text.push_str("No bills: nothing was used and nothing is owed.\n");
    }
    for warning in warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn one(text: &mut String, bill: &Bill, columns: Option<usize>) {
    let number = bill.number.as_deref().unwrap_or("draft");
    let _ = writeln!(
        text,
        "{} · {} · {:?} {number} · {}",
        bill.agency, bill.period, bill.kind, bill.currency
    );
    let mut rows = vec![HEADERS.map(str::to_owned).to_vec()];
    rows.extend(bill.lines.iter().map(|line| row(line, &bill.currency)));
    let totals = [("Subtotal", &bill.subtotal), ("Tax", &bill.tax), ("Total", &bill.total)];
    for (name, amount) in totals {
        let mut row = vec![String::new(); HEADERS.len()];
        name.clone_into(&mut row[0]);
        row[HEADERS.len() - 1] = money(amount, &bill.currency);
        rows.push(row);
    }
    let lines = layout::lines(&ALIGNS, &rows, columns);
    // Every row ends in an amount, to the right: all are as wide as the table.
    let rule = "─".repeat(lines[0].width());
    let (body, below) = lines.split_at(lines.len() - totals.len());
    for line in body.iter().chain(std::iter::once(&rule)).chain(below) {
        let _ = writeln!(text, "{line}");
    }
    for reason in bill.lines.iter().filter_map(|line| line.reason.as_ref()) {
        let _ = writeln!(text, "note: {reason}");
    }
    for saving in &bill.savings {
        let money = |amount: &Exact| money(amount, &bill.currency);
        // A fee above the cost of standing alone is said as such, not as a negative saving.
        let (difference, word) = if saving.fee > saving.standalone {
            let mut more = saving.fee.clone();
            more -= &saving.standalone;
            (more, "more")
        } else {
            (saving.saving.clone(), "saved")
        };
        let _ = writeln!(
            text,
            "saving: {} costs {} shared and {} alone: {} {word}",
            saving.system,
            money(&saving.fee),
            money(&saving.standalone),
            money(&difference)
        );
    }
}

/// What standard rates recovered, a line a month and system.
pub fn recovery_table(recoveries: &[Recovery]) -> String {
    let mut text = String::new();
    for one in recoveries {
        let shown = |amount: &Exact| grouped(&amount.to_string());
        let limit = one.limit.as_ref().map(|limit| {
            let past = if one.is_past_limit() { ", which it is past" } else { "" };
            format!(" of {} allowed{past}", shown(limit))
        });
        let next = one.next_unit_price.as_ref();
        let next = next.map(|price| format!("; a rate of {} would settle it in a year like this", shown(price)));
        let _ = writeln!(
            text,
            "recovery: {} in {}: cost {}, charged {}, balance {}{}{}",
            one.system,
            one.period,
            shown(&one.cost),
            shown(&one.charged),
            shown(&one.balance),
            limit.unwrap_or_default(),
            next.unwrap_or_default()
        );
    }
    text
}

fn row(line: &BillLine, currency: &str) -> Vec<String> {
    let mark = match line.completeness {
        Completeness::Complete => "",
        Completeness::Estimated => " (estimated)",
        Completeness::Missing => " (missing)",
    };
    vec![
        line.system.as_deref().unwrap_or("all systems").to_owned(),
        line.charge.name().to_owned(),
        what_for(line),
        line.quantity.as_ref().map(shown_quantity).unwrap_or_default() + mark,
        line.unit.as_deref().unwrap_or_default().to_owned(),
        line.unit_price
            .as_ref()
            .map(|price| grouped(&price.to_string()))
            .unwrap_or_default(),
        money(&line.amount, currency),
    ]
}

/// The meter or cost item, and the line that is corrected.
fn what_for(line: &BillLine) -> String {
    let name = line.meter.as_deref().or(line.item.as_deref()).unwrap_or_default();
    let corrects = line.corrects.as_ref().map(|corrects| format!(" (corrects {corrects})"));
    format!("{name}{}", corrects.unwrap_or_default())
        .trim_start()
        .to_owned()
}

fn shown_quantity(quantity: &Exact) -> String {
    let shown = quantity.round(QUANTITY_PLACES, maru_meter::Rounding::HalfUp);
    grouped(&shown.to_string())
}

/// An amount with all places of its currency, or more where a line keeps more.
pub(crate) fn money(amount: &Exact, currency: &str) -> String {
    let minor = Currency::read("currency", currency).map_or(0, Currency::places);
    let places = amount.places().unwrap_or(minor).max(minor);
    grouped(&amount.to_fixed(places))
}

/// An amount as tables show it: thousands set apart by commas.
pub fn amount(amount: &Exact) -> String {
    grouped(&amount.to_string())
}

/// Thousands set apart by commas.
pub(crate) fn grouped(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, part) = digits
        .split_once('.')
        .map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let mut groups: Vec<&str> = Vec::new();
    let mut rest = whole;
    while rest.len() > 3 {
        let (head, tail) = rest.split_at(rest.len() - 3);
        groups.push(tail);
        rest = head;
    }
    groups.push(rest);
    groups.reverse();
    let whole = groups.join(",");
    part.map_or_else(|| format!("{sign}{whole}"), |part| format!("{sign}{whole}.{part}"))
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_set_apart() {
        for (number, shown) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("-1234567.5", "-1,234,567.5"),
            ("100000", "100,000"),
        ] {
            assert_eq!(grouped(number), shown);
        }
    }
}
