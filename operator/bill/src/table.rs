//! Bills as a table for the terminal.

use std::fmt::Write;

use maru_meter::{Completeness, Exact};
use maru_rate::{Currency, Recovery};
use unicode_width::UnicodeWidthStr;

use crate::bill::{Bill, BillLine};

const HEADERS: [&str; 7] = ["SYSTEM", "CHARGE", "FOR", "QUANTITY", "UNIT", "PRICE", "AMOUNT"];
/// Columns of numbers stand to the right.
const NUMBERS: [bool; 7] = [false, false, false, true, false, true, true];
/// Places of a quantity that a person looks at; JSON has all of them.
const QUANTITY_PLACES: u32 = 6;

/// Columns of names, which are cut where a table is wider than a terminal: systems, and what lines are for.
const NAMES: [usize; 2] = [0, 2];
/// What is left of a name at least.
const LEAST_NAME: usize = 12;

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
    let mut rows: Vec<[String; 7]> = vec![HEADERS.map(str::to_owned)];
    rows.extend(bill.lines.iter().map(|line| row(line, &bill.currency)));
    let totals = [("Subtotal", &bill.subtotal), ("Tax", &bill.tax), ("Total", &bill.total)];
    for (name, amount) in totals {
        let empty = String::new;
        rows.push([
            name.to_owned(),
            empty(),
            empty(),
            empty(),
            empty(),
            empty(),
            money(amount, &bill.currency),
        ]);
    }
    let mut widths: Vec<usize> = (0..HEADERS.len())
        .map(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or(0))
        .collect();
    if let Some(columns) = columns {
        fit(&mut rows, &mut widths, columns);
    }
    let rule = widths.iter().sum::<usize>() + 2 * (widths.len() - 1);
    for (index, row) in rows.iter().enumerate() {
        if index + totals.len() == rows.len() {
            let _ = writeln!(text, "{}", "─".repeat(rule));
        }
        let _ = writeln!(text, "{}", padded(row, &widths).trim_end());
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

/// Cuts names, the longest first, until the table is no wider than a terminal.
fn fit(rows: &mut [[String; 7]], widths: &mut [usize], columns: usize) {
    let room = columns.saturating_sub(2 * (widths.len() - 1));
    while widths.iter().sum::<usize>() > room {
        let longest = NAMES.into_iter().max_by_key(|name| widths[*name]);
        match longest.filter(|name| widths[*name] > LEAST_NAME) {
            Some(name) => widths[name] -= 1,
            None => break,
        }
    }
    for row in rows {
        for name in NAMES {
            row[name] = cut(&row[name], widths[name]);
        }
    }
}

/// A text in so many columns; what is left out is shown by an ellipsis.
pub fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut cut = String::new();
    for letter in text.chars() {
        let next = format!("{cut}{letter}");
        if next.width() + 1 > columns {
            break;
        }
        cut = next;
    }
    cut + "…"
}

/// The columns of a row; wide letters such as Hangul take two places in a terminal.
fn padded(row: &[String; 7], widths: &[usize]) -> String {
    let cell = |column: usize| {
        let fill = " ".repeat(widths[column] - row[column].width());
        if NUMBERS[column] {
            format!("{fill}{}", row[column])
        } else {
            format!("{}{fill}", row[column])
        }
    };
    (0..row.len()).map(cell).collect::<Vec<_>>().join("  ")
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

fn row(line: &BillLine, currency: &str) -> [String; 7] {
    let mark = match line.completeness {
        Completeness::Complete => "",
        Completeness::Estimated => " (estimated)",
        Completeness::Missing => " (missing)",
    };
    [
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
    use super::{cut, fit, grouped};
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn long_names_are_cut_to_the_terminal_and_figures_are_not() {
        let row = [
            "ministry-of-the-interior/a-very-long-name-of-a-system".to_owned(),
            "Usage".to_owned(),
            "전자정부요청".to_owned(),
            "1,234,567,890".to_owned(),
            "core-hour".to_owned(),
            "42.5".to_owned(),
            "2,469,135,325".to_owned(),
        ];
        let mut widths: Vec<usize> = row.iter().map(|cell| cell.width()).collect();
        let mut rows = [row.clone()];
        fit(&mut rows, &mut widths, 80);
        assert_eq!(widths.iter().sum::<usize>() + 12, 80);
        assert!(rows[0][0].ends_with('…') && rows[0][0].width() <= widths[0], "{rows:?}");
        assert_eq!(rows[0][2..], row[2..]);
        fit(&mut rows, &mut widths, 10);
        assert_eq!(
            rows[0][3..],
            row[3..],
            "a narrow terminal breaks lines, and loses no figure"
        );
        assert_eq!(
            (cut("한국어", 5), cut("한국어", 6)),
            ("한국…".to_owned(), "한국어".to_owned())
        );
    }

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
