//! Months that are billed, opened again for the next bill: what became known since is taken back and stated anew.
//!
//! What stands on bills is given by the books and not worked out again, so that nothing is corrected but what late usage changes: what people
//! changed or deleted since then of systems and subscriptions changes no bill of the past.

use crate::book::PriceBook;
use crate::carry::Carry;
use crate::charge::{Rated, Statement};
use crate::correct::Standing;
use crate::course::Corrections;
use crate::rating::RateError;
use crate::usage::Usage;

/// A month that was billed.
#[derive(Clone, Debug)]
pub struct Billed<'a> {
    /// What of its usage is on bills, corrections among them.
    pub before: Usage<'a>,
    /// All that is known of its usage.
    pub now: Usage<'a>,
}

/// Months that were billed, and what stands on bills for them.
#[derive(Clone, Debug)]
pub struct Reopened<'a> {
    book: &'a PriceBook,
    carry: Carry,
    months: Vec<(Billed<'a>, Standing)>,
}

impl<'a> Reopened<'a> {
    /// Months that follow on each other, the last one being the one before that which is to be billed. The first began with `carry`.
    pub fn new(book: &'a PriceBook, carry: Carry, months: impl IntoIterator<Item = Billed<'a>>) -> Self {
        let months = months.into_iter().map(|billed| (billed, Standing::default()));
        Self {
            book,
            carry,
            months: months.collect(),
        }
    }

    /// Takes in what an issued bill says of these months. Bills come in the order in which they were issued.
    pub fn bill(&mut self, number: &str, statement: &Statement) {
        for (billed, standing) in &mut self.months {
            standing.enter_issued(statement, number, billed.now.period().interval);
        }
    }

    /// The charges of a month, with the corrections of those before it. `carry` is what the month before it left, as the books have it.
    pub fn rate(self, usage: Usage<'a>, carry: &Carry) -> Result<Rated, RateError> {
        let (mut was, mut is) = (self.carry.clone(), self.carry);
        let mut corrections = Corrections::default();
        for (billed, mut standing) in self.months {
            let period = billed.now.period();
            let before = billed.before.work_out(&was)?;
            let now = billed.now.work_out(&is)?;
            (was, is) = (before.recovered.carry.clone(), now.recovered.carry.clone());
            corrections.recoveries(&before.recovered.recoveries, &now.recovered.recoveries);
            corrections.news(&before.warnings, &now.warnings, period);
            corrections.lines(standing.correct_changed(before.lines, now.lines));
        }
        let period = usage.period();
        let worked = usage.work_out(&carry.changed_as(&was, &is))?;
        Ok(corrections.on(worked).rated(self.book, period))
    }
}
