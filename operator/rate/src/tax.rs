//! From lines to a statement: taxes and totals.

use std::collections::BTreeMap;

use maru_meter::Exact;

use crate::book::{PriceBook, Rounded};
use crate::charge::{Line, Statement, TaxPart};
use crate::split::largest_remainder;

/// Sorts the lines, works the taxes out, spreads them over the lines and adds everything up.
pub(crate) fn statement(book: &PriceBook, agency: String, mut lines: Vec<Line>) -> Statement {
    lines.sort_by(Line::order);
    let groups = tax_groups(book, &lines);
    let parts: Vec<(Vec<usize>, TaxPart)> = groups
        .into_iter()
        .map(|((name, rate), indices)| {
            let base: Exact = indices.iter().map(|index| &lines[*index].amount).sum();
            let exact = &base * &rate;
            let amount = match book.rounded {
                Rounded::Line => exact.round(book.currency.places(), book.mode),
                Rounded::Bill => exact,
            };
            (
                indices,
                TaxPart {
                    name,
                    rate,
                    base,
                    amount,
                },
            )
        })
        .collect();

    let sum: Exact = lines.iter().map(|line| &line.amount).sum();
    let exact_tax: Exact = parts.iter().map(|(_, part)| &part.amount).sum();
    let (subtotal, tax, total) = match book.rounded {
        Rounded::Line => (sum.clone(), exact_tax.clone(), &sum + &exact_tax),
        Rounded::Bill => {
            let money = |amount: &Exact| amount.round(book.currency.places(), book.mode);
            let (total, tax) = (money(&(&sum + &exact_tax)), money(&exact_tax));
            (&total - &tax, tax, total)
        }
    };
    match book.rounded {
        Rounded::Line => {
            for (indices, part) in &parts {
                let weights: Vec<Exact> = indices.iter().map(|index| lines[*index].amount.clone()).collect();
                spread(book, &mut lines, indices, &weights, &part.amount);
            }
        }
        Rounded::Bill => spread_sum(book, &mut lines, &parts, &tax),
    }
    Statement {
        agency,
        lines,
        taxes: parts.into_iter().map(|(_, part)| part).collect(),
        subtotal,
        tax,
        total,
        savings: Vec::new(),
    }
}

/// The lines of each tax and rate.
fn tax_groups(book: &PriceBook, lines: &[Line]) -> BTreeMap<(String, Exact), Vec<usize>> {
    let mut groups: BTreeMap<(String, Exact), Vec<usize>> = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        for (name, rate) in book.taxes_at(line.taxed_at) {
            groups.entry((name.to_owned(), rate.clone())).or_default().push(index);
        }
    }
    groups
}

/// Where only the sum of all taxes is rounded, each line bears its part of it by what its own taxes come to.
fn spread_sum(book: &PriceBook, lines: &mut [Line], parts: &[(Vec<usize>, TaxPart)], tax: &Exact) {
    let mut due: BTreeMap<usize, Exact> = BTreeMap::new();
    for (indices, part) in parts {
        for index in indices {
            *due.entry(*index).or_default() += &lines[*index].amount * &part.rate;
        }
    }
    let (indices, weights): (Vec<usize>, Vec<Exact>) = due.into_iter().unzip();
    spread(book, lines, &indices, &weights, tax);
}

fn spread(book: &PriceBook, lines: &mut [Line], indices: &[usize], weights: &[Exact], tax: &Exact) {
    for (index, part) in indices.iter().zip(largest_remainder(tax, book.line_places(), weights)) {
        lines[*index].tax += part;
    }
}
