//! Credit notes: issued lines, taken back in whole or in part.

use maru_meter::{Exact, Rounding};
use maru_rate::charge::TaxPart;
use maru_rate::split::largest_remainder;
use maru_rate::{Charge, Currency, Line, Statement};

use crate::draft::Draft;
use crate::error::LedgerError;
use crate::ledger::{Issue, Ledger};
use crate::page::{Content, Page, PageKind};
use crate::record::{self, Head};

/// What of a bill is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit<'a> {
    /// What tells this credit from others on the same bill, such as a case number: the same one is given once.
    pub reference: &'a str,
    /// As the credit note will say.
    pub reason: &'a str,
    /// Which lines, and how much of each.
    pub lines: &'a [CreditedLine],
}

/// How much of a line is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditedLine {
    /// The line of the bill, from 1.
    pub line: u32,
    /// How much of its amount, without tax, above zero.
    pub amount: Exact,
}

impl Ledger {
    /// Issues a credit note on a bill, with the next number. All credit notes on a bill together never exceed it: what several partial ones
    /// take back of a line's tax is rounded together. Giving the same credit again gives the same credit note.
    pub fn credit(&mut self, number: &str, credit: &Credit<'_>, issue: &Issue<'_>) -> Result<Page, LedgerError> {
        let Some(bill) = self.page(issue.issuer, number)? else {
            return Err(refuse(number, "there is no such bill".to_owned()));
        };
        if bill.kind() != PageKind::Invoice {
            return Err(refuse(
                number,
                format!("it is a {}: allowed is an Invoice", bill.kind()),
            ));
        }
        let mut drafts: Vec<Draft> = Vec::new();
        self.book_with(bill.month(), issue, &mut drafts, &|known| {
            let page = note(&bill, number, credit, known)?;
            Ok(vec![Draft::Page(Box::new(page))])
        })?;
        let page = drafts.pop().and_then(Draft::into_page);
        page.ok_or_else(|| refuse(number, "nothing was booked".to_owned()))
    }
}

fn refuse(number: &str, reason: String) -> LedgerError {
    LedgerError::Credit {
        number: number.to_owned(),
        reason,
    }
}

/// What was taken back of a line: its amount and its tax.
#[derive(Clone, Default)]
struct Taken {
    amount: Exact,
    tax: Exact,
}

fn note(bill: &Page, number: &str, credit: &Credit<'_>, known: &[(Head, Vec<u8>)]) -> Result<Page, LedgerError> {
    let about = format!("{number}/{}", credit.reference);
    let statement = bill.statement();
    let mut taken = vec![Taken::default(); statement.lines.len()];
    let on_this_bill = format!("{number}/");
    for (head, content) in known {
        let earlier = head.kind == PageKind::CreditNote.name() && head.about.starts_with(&on_this_bill);
        if !earlier || head.agency != statement.agency {
            continue;
        }
        let page = record::page(head.clone(), content)?;
        if head.about == about {
            return given_before(page, number, credit);
        }
        for line in &page.statement().lines {
            let place = line
                .corrects
                .as_deref()
                .and_then(|corrects| corrects.strip_prefix(&on_this_bill));
            let index = place
                .and_then(|place| place.parse::<usize>().ok())
                .and_then(|place| place.checked_sub(1));
            if let Some(taken) = index.and_then(|index| taken.get_mut(index)) {
                taken.amount += -&line.amount;
                taken.tax += -&line.tax;
            }
        }
    }
    let before = taken.clone();
    let mut lines = Vec::with_capacity(credit.lines.len());
    for wanted in credit.lines {
        lines.push(take_back(bill, number, credit.reason, wanted, &mut taken)?);
    }
    let statement = totals(bill, lines, &before, &taken);
    let left = &come_to(bill, &taken).total;
    if *left > bill.statement().total {
        let total = &bill.statement().total;
        return Err(refuse(
            number,
            format!("{left} would be taken back in all: allowed is its total, {total}"),
        ));
    }
    let content = Content {
        statement,
        ..bill.content.clone()
    };
    let mut page = Page::new(PageKind::CreditNote, content, bill.places())?;
    page.about = about;
    Ok(page)
}

/// The same credit again is the note that was given; one of other amounts is another case.
fn given_before(page: Page, number: &str, credit: &Credit<'_>) -> Result<Page, LedgerError> {
    let given = page.statement().lines.iter();
    let given = given.map(|line| (line.corrects.clone().unwrap_or_default(), -&line.amount));
    let asked = credit.lines.iter();
    let asked = asked.map(|line| (format!("{number}/{}", line.line), line.amount.clone()));
    if given.eq(asked) {
        return Ok(page);
    }
    let reason = format!(
        "{} was credited before with other amounts, as {}: allowed are the same ones, or another reference",
        credit.reference,
        page.number().unwrap_or_default()
    );
    Err(refuse(number, reason))
}

fn take_back(
    bill: &Page,
    number: &str,
    reason: &str,
    wanted: &CreditedLine,
    taken: &mut [Taken],
) -> Result<Line, LedgerError> {
    let count = bill.statement().lines.len();
    let index = usize::try_from(wanted.line).ok().and_then(|line| line.checked_sub(1));
    let Some((line, taken)) = index.and_then(|index| Some((bill.statement().lines.get(index)?, taken.get_mut(index)?)))
    else {
        return Err(refuse(
            number,
            format!("it has no line {}: allowed are 1 to {count}", wanted.line),
        ));
    };
    let left = &line.amount - &taken.amount;
    if wanted.amount.is_zero() || wanted.amount.is_negative() || wanted.amount > left {
        let reason = format!(
            "{} of line {} was asked for: allowed is more than 0 and up to {left}",
            wanted.amount, wanted.line
        );
        return Err(refuse(number, reason));
    }
    crate::page::units(&bill.statement().agency, &wanted.amount, bill.places())?;
    taken.amount += &wanted.amount;
    let share = taken.amount.checked_div(&line.amount).unwrap_or_default();
    let tax = (&line.tax * &share).round(bill.places(), Rounding::HalfUp);
    let part = &tax - &taken.tax;
    taken.tax = tax;
    Ok(Line {
        charge: Charge::Credit,
        quantity: None,
        unit: None,
        unit_price: None,
        amount: -&wanted.amount,
        tax: -&part,
        corrects: Some(format!("{number}/{}", wanted.line)),
        correction: None,
        reason: Some(reason.to_owned()),
        ..line.clone()
    })
}

fn minor_places(bill: &Page) -> u32 {
    Currency::read("currency", bill.currency()).map_or(0, Currency::places)
}

/// What credit notes come to in money.
struct Money {
    tax: Exact,
    total: Exact,
}

/// What is payable of a bill that is rounded as a whole differs from the sum of its lines; what is taken back is the same part of it.
fn come_to(bill: &Page, taken: &[Taken]) -> Money {
    let (statement, places) = (bill.statement(), minor_places(bill));
    let billed: Exact = statement.lines.iter().map(|line| &line.amount + &line.tax).sum();
    let sum: Exact = taken.iter().map(|taken| &taken.amount + &taken.tax).sum();
    let part = sum.checked_div(&billed).unwrap_or_default();
    let tax: Exact = taken.iter().map(|taken| &taken.tax).sum();
    Money {
        tax: tax.round(places, Rounding::HalfUp),
        total: (&statement.total * &part).round(places, Rounding::HalfUp),
    }
}

/// What the note comes to: what all notes come to with it, less what they came to before.
fn totals(bill: &Page, lines: Vec<Line>, before: &[Taken], after: &[Taken]) -> Statement {
    let statement = bill.statement();
    let (before, after) = (come_to(bill, before), come_to(bill, after));
    let tax = &before.tax - &after.tax;
    let total = &before.total - &after.total;
    let subtotal = &total - &tax;
    let places = minor_places(bill);
    let weights: Vec<Exact> = statement.taxes.iter().map(|part| part.amount.clone()).collect();
    let parts = largest_remainder(&tax, places, &weights);
    let taxes = statement.taxes.iter().zip(parts);
    let taxes = taxes.map(|(part, amount)| TaxPart {
        base: subtotal.clone(),
        amount,
        ..part.clone()
    });
    Statement {
        agency: statement.agency.clone(),
        taxes: taxes.collect(),
        lines,
        subtotal,
        tax,
        total,
        savings: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use maru_rate::Correction;

    use super::*;
    use crate::page::tests::{bill, line};

    fn credited(page: &Page, lines: &[(u32, &str)]) -> Result<Page, LedgerError> {
        let lines: Vec<CreditedLine> = lines
            .iter()
            .map(|(line, amount)| CreditedLine {
                line: *line,
                amount: amount.parse().unwrap(),
            })
            .collect();
        let credit = Credit {
            reference: "x",
            reason: "outage",
            lines: &lines,
        };
        note(page, "2026-000001", &credit, &[])
    }

    #[test]
    fn a_note_says_of_a_line_what_is_taken_back_and_why_and_nothing_of_what_was_used() {
        let mut used = line(Charge::Usage, "100");
        used.quantity = Some(Exact::from(10));
        used.unit = Some("u".into());
        used.unit_price = Some(Exact::from(10));
        used.tax = Exact::from(10);
        used.correction = Some(Correction::Reentry);
        used.reason = Some("late use".to_owned());
        let page = bill(vec![used.clone()], &[("VAT", "10")], "110", 0).unwrap();
        let note = credited(&page, &[(1, "40")]).unwrap();
        let expected = Line {
            charge: Charge::Credit,
            quantity: None,
            unit: None,
            unit_price: None,
            amount: Exact::from(-40),
            tax: Exact::from(-4),
            corrects: Some("2026-000001/1".to_owned()),
            correction: None,
            reason: Some("outage".to_owned()),
            ..used
        };
        assert_eq!(note.statement().lines, [expected]);
        let Statement {
            taxes,
            subtotal,
            tax,
            total,
            ..
        } = note.statement();
        let figures = [subtotal, tax, total].map(ToString::to_string);
        assert_eq!(figures, ["-40", "-4", "-44"]);
        let parts = taxes
            .iter()
            .map(|part| (part.base.to_string(), part.amount.to_string()));
        assert_eq!(parts.collect::<Vec<_>>(), [("-40".to_owned(), "-4".to_owned())]);
    }

    #[test]
    fn of_one_line_no_more_is_taken_back_than_it_has_whatever_the_others_have() {
        let lines = vec![line(Charge::Usage, "100"), line(Charge::Usage, "100")];
        let page = bill(lines, &[], "200", 0).unwrap();
        let total = credited(&page, &[(1, "60"), (1, "40"), (2, "1")]).unwrap();
        assert_eq!(total.statement().total, Exact::from(-101));
        let error = credited(&page, &[(1, "60"), (1, "41")]).unwrap_err().to_string();
        assert!(
            error.contains("41 of line 1 was asked for: allowed is more than 0 and up to 40"),
            "{error}"
        );
    }

    #[test]
    fn a_line_is_not_taken_back_beyond_what_the_bill_comes_to_in_all() {
        let lines = vec![line(Charge::Usage, "100"), line(Charge::Adjustment, "-60")];
        let page = bill(lines, &[], "40", 0).unwrap();
        let credit = |amount: i64| {
            let lines = [CreditedLine {
                line: 1,
                amount: Exact::from(amount),
            }];
            let credit = Credit {
                reference: "x",
                reason: "outage",
                lines: &lines,
            };
            note(&page, "2026-000001", &credit, &[])
        };
        assert_eq!(credit(40).unwrap().statement().total, Exact::from(-40));
        let error = credit(41).unwrap_err().to_string();
        assert!(
            error.contains("41 would be taken back in all: allowed is its total, 40"),
            "{error}"
        );
    }
}
