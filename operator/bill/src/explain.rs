//! The arithmetic of a bill, for a finance officer with a pocket calculator.

use std::fmt::Write;

use maru_meter::{Exact, Rounding};
use maru_rate::{Allocation, AllocationMethod, Currency};

use crate::bill::{Bill, BillLine};
use crate::table::{grouped, money};

/// Places of a fraction that has no end: what most pocket calculators show, and some more.
const PLACES: u32 = 12;

/// How the amount of each line comes about, as far as the bill says it: of shared costs the whole, what the share comes from, the share and
/// how it was rounded; of use the quantity and the price. Then how the lines make the total.
pub fn explain(bill: &Bill) -> String {
    let mut text = String::new();
    for (line, number) in bill.lines.iter().zip(1..) {
        let system = line.system.as_deref().unwrap_or("all systems");
        let what = line.meter.as_deref().or(line.item.as_deref()).unwrap_or_default();
        let name = format!("{system} {} {what}", line.charge.name());
        let _ = writeln!(text, "Line {number}: {}", name.trim_end());
        if let Some(corrects) = &line.corrects {
            let _ = writeln!(text, "  it corrects line {corrects}");
        }
        match (&line.allocation, &line.quantity, &line.unit_price) {
            (Some(allocation), _, _) => shared(&mut text, line, allocation, &bill.currency),
            (None, Some(quantity), Some(price)) => used(&mut text, line, quantity, price, &bill.currency),
            _ => {
                let _ = writeln!(text, "  amount {}", money(&line.amount, &bill.currency));
            }
        }
    }
    let subtotal: Exact = bill.lines.iter().map(|line| &line.amount).sum();
    let money = |amount: &Exact| money(amount, &bill.currency);
    let _ = writeln!(
        text,
        "Total: the lines make {}, with tax of {} it is {} {}",
        money(&subtotal),
        money(&bill.tax),
        money(&bill.total),
        bill.currency
    );
    text
}

fn shared(text: &mut String, line: &BillLine, allocation: &Allocation, currency: &str) {
    let total = money(&allocation.total, currency);
    // A line that takes back what was billed says what that was of.
    let taken_back = line.amount.is_negative() && !allocation.total.is_negative();
    let (billed, ending) = if taken_back {
        (-&line.amount, ", which is taken back")
    } else {
        (line.amount.clone(), "")
    };
    if allocation.method == AllocationMethod::Whole {
        let _ = writeln!(text, "  the whole cost of {total} is this agency's{ending}");
        return;
    }
    let _ = writeln!(text, "  the whole cost   {total}");
    let mut terms = Vec::new();
    if let Some(basis) = &allocation.basis {
        let rest = &Exact::ONE - &basis.fixed;
        let parts = [
            ("weight", &basis.fixed, &basis.weight, &basis.weights),
            ("use", &rest, &basis.used, &basis.all_used),
        ];
        for (name, part, own, all) in parts.into_iter().filter(|(_, part, _, _)| !part.is_zero()) {
            let (own, all) = (shown(own), shown(all));
            let _ = writeln!(text, "  by {name:<13} {own} of {all} that all have together");
            terms.push(if *part == Exact::ONE {
                format!("{own} / {all}")
            } else {
                format!("{} × {own} / {all}", shown(part))
            });
        }
    }
    let share = shown(&allocation.ratio);
    if terms.is_empty() {
        let _ = writeln!(text, "  the share        {share}");
    } else {
        let _ = writeln!(text, "  the share        {} = {share}", terms.join(" + "));
    }
    let product = &allocation.total * &allocation.ratio;
    let _ = writeln!(
        text,
        "  the amount       {total} × {share} = {}{}{ending}",
        shown(&product),
        rounded(&product, &billed, currency)
    );
}

fn used(text: &mut String, line: &BillLine, quantity: &Exact, price: &Exact, currency: &str) {
    let product = quantity * price;
    let (quantity, price) = (shown(quantity), shown(price));
    let unit = line.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
    let far = &product - &line.amount;
    let unit_of_money = unit_of(&line.amount, currency);
    let near = if far.is_negative() { -&far } else { far } <= unit_of_money;
    if near {
        let _ = writeln!(
            text,
            "  {quantity}{unit} × {price} = {}{}",
            shown(&product),
            rounded(&product, &line.amount, currency)
        );
    } else {
        let _ = writeln!(
            text,
            "  {quantity}{unit} at {price}: {} with included units, tiers, minimums or exchange rates of the price book",
            money(&line.amount, currency)
        );
    }
}

/// How an exact product became the amount.
fn rounded(product: &Exact, amount: &Exact, currency: &str) -> String {
    if product == amount {
        return String::new();
    }
    let shown = money(amount, currency);
    let unit = unit_of(amount, currency);
    let half = unit.checked_div(&Exact::from(2)).unwrap_or_default();
    let over = amount - product;
    let size = if over.is_negative() { -&over } else { over.clone() };
    let direction = if over.is_negative() { "down" } else { "up" };
    if size <= half {
        format!(", rounded {direction} to {shown}")
    } else {
        format!(
            ", rounded {direction} to {shown}: all parts are rounded down, and what is missing goes to the largest remainders, {} each",
            money(&unit, currency)
        )
    }
}

/// One unit of the last place that an amount is rounded to.
fn unit_of(amount: &Exact, currency: &str) -> Exact {
    let minor = Currency::read("currency", currency).map_or(0, Currency::places);
    Exact::scaled(1, amount.places().unwrap_or(minor).max(minor))
}

fn shown(figure: &Exact) -> String {
    let exact = figure.places().is_some_and(|places| places <= PLACES);
    let text = grouped(&figure.round(PLACES, Rounding::HalfEven).to_string());
    if exact { text } else { text + "…" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bill::BillKind;
    use maru_rate::{Basis, Charge};

    fn exact(text: &str) -> Exact {
        text.parse().unwrap()
    }

    fn line(charge: Charge, amount: &str) -> BillLine {
        BillLine {
            system: Some("mois/docs".into()),
            charge,
            meter: None,
            item: None,
            quantity: None,
            unit: None,
            unit_price: None,
            amount: exact(amount),
            tax: Exact::ZERO,
            period_start: "2026-09-30T15:00:00Z".parse().unwrap(),
            period_end: "2026-10-31T15:00:00Z".parse().unwrap(),
            completeness: maru_meter::Completeness::Complete,
            corrects: None,
            correction: None,
            reason: None,
            allocation: None,
        }
    }

    fn bill(lines: Vec<BillLine>, tax: &str, total: &str) -> Bill {
        Bill {
            agency: "moel".to_owned(),
            period: "2026-10".to_owned(),
            kind: BillKind::Invoice,
            currency: "KRW".to_owned(),
            number: None,
            subtotal: &exact(total) - &exact(tax),
            tax: exact(tax),
            total: exact(total),
            lines,
            savings: Vec::new(),
        }
    }

    fn part(amount: &str, total: &str, method: AllocationMethod, basis: [&str; 5]) -> BillLine {
        let [fixed, weight, weights, used, all_used] = basis.map(exact);
        let part = |own: &Exact, all: &Exact| own.checked_div(all).unwrap_or_default();
        let ratio = &fixed * &part(&weight, &weights) + &(&Exact::ONE - &fixed) * &part(&used, &all_used);
        BillLine {
            allocation: Some(Box::new(Allocation {
                method,
                ratio,
                total: exact(total),
                basis: Some(Box::new(Basis {
                    fixed,
                    weight,
                    weights,
                    used,
                    all_used,
                })),
            })),
            ..line(Charge::Operations, amount)
        }
    }

    #[test]
    fn a_shared_cost_is_told_from_the_whole_to_the_rounded_part() {
        let both = part(
            "12000000",
            "40000000",
            AllocationMethod::WeightAndUse,
            ["0.2", "1200", "2400", "30", "120"],
        );
        // Of 2,000,000 by 7 : 11 : 13, the first has 451612.9… and the largest remainder.
        let by_weight = part(
            "451613",
            "2000000",
            AllocationMethod::Weight,
            ["1", "7", "31", "0", "0"],
        );
        let told = explain(&bill(vec![both, by_weight], "1245161", "13696774"));
        assert_eq!(
            told,
            "Line 1: mois/docs Operations
  the whole cost   40,000,000
  by weight        1,200 of 2,400 that all have together
  by use           30 of 120 that all have together
  the share        0.2 × 1,200 / 2,400 + 0.8 × 30 / 120 = 0.3
  the amount       40,000,000 × 0.3 = 12,000,000
Line 2: mois/docs Operations
  the whole cost   2,000,000
  by weight        7 of 31 that all have together
  the share        7 / 31 = 0.225806451613…
  the amount       2,000,000 × 0.225806451613… = 451,612.903225806452…, rounded up to 451,613
Total: the lines make 12,451,613, with tax of 1,245,161 it is 13,696,774 KRW
"
        );
    }

    #[test]
    fn a_part_that_has_no_largest_remainder_says_why_it_is_less_than_half_a_won_says() {
        // 5 over four equal parts: 1.25 each, and one of them has 2.
        let part = |amount: &str| part(amount, "5", AllocationMethod::Weight, ["1", "1", "4", "0", "0"]);
        let told = explain(&bill(vec![part("2"), part("1")], "0", "3"));
        assert!(
            told.contains("5 × 0.25 = 1.25, rounded up to 2: all parts are rounded down, and what is missing goes to the largest remainders, 1 each"),
            "{told}"
        );
        assert!(told.contains("5 × 0.25 = 1.25, rounded down to 1\n"), "{told}");
    }

    #[test]
    fn a_part_that_is_taken_back_is_told_as_it_was_billed() {
        let basis = ["1", "1", "5", "0", "0"];
        let part = |amount: &str, total: &str| part(amount, total, AllocationMethod::Weight, basis);
        let whole = BillLine {
            allocation: Some(Box::new(Allocation {
                method: AllocationMethod::Whole,
                ratio: Exact::ONE,
                total: exact("700"),
                basis: None,
            })),
            ..line(Charge::Operations, "-700")
        };
        let told = explain(&bill(vec![part("-16", "80"), part("-17", "84"), whole], "-73", "-806"));
        assert!(told.contains("80 × 0.2 = 16, which is taken back\n"), "{told}");
        assert!(
            told.contains("84 × 0.2 = 16.8, rounded up to 17, which is taken back\n"),
            "{told}"
        );
        assert!(
            told.contains("the whole cost of 700 is this agency's, which is taken back\n"),
            "{told}"
        );
    }

    #[test]
    fn use_is_told_as_quantity_times_price_unless_the_price_book_did_more() {
        let used = |quantity: &str, amount: &str| BillLine {
            meter: Some("cpu.reserved".into()),
            quantity: Some(exact(quantity)),
            unit: Some("core-hour".into()),
            unit_price: Some(exact("42.5")),
            ..line(Charge::Usage, amount)
        };
        let told = explain(&bill(vec![used("23.5", "999"), used("23.5", "500")], "150", "1649"));
        assert!(
            told.contains("23.5 core-hour × 42.5 = 998.75, rounded up to 999\n"),
            "{told}"
        );
        assert!(
            told.contains("23.5 core-hour at 42.5: 500 with included units"),
            "{told}"
        );
    }
}
