//! A period's charges, before they become statements.

use crate::book::PriceBook;
use crate::charge::{Rated, Statement};
use crate::period::Period;
use crate::recover::{LinesByAgency, Recovered};
use crate::tax::statement;

/// What a period comes to.
#[derive(Debug)]
pub(crate) struct Worked {
    pub(crate) lines: LinesByAgency,
    pub(crate) recovered: Recovered,
    pub(crate) warnings: Vec<String>,
}

impl Worked {
    /// A statement for each agency that has a line.
    pub(crate) fn rated(self, book: &PriceBook, period: Period) -> Rated {
        let Self {
            lines,
            recovered,
            warnings,
        } = self;
        let billed = lines.into_iter().filter(|(_, lines)| !lines.is_empty());
        let statements = billed.map(|(agency, lines)| {
            let own = recovered.savings.iter().filter(|saving| saving.agency == agency);
            let savings = own.cloned().collect();
            Statement {
                savings,
                ..statement(book, agency, lines)
            }
        });
        Rated {
            month: period.month,
            interval: period.interval,
            currency: book.currency,
            rounded: book.rounded,
            statements: statements.collect(),
            warnings,
            carry: recovered.carry,
            recoveries: recovered.recoveries,
            savings: recovered.savings,
        }
    }
}
