//! Re-adding everything that is booked.

use std::collections::HashMap;

use crate::error::LedgerError;
use crate::store::Ledger;

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Bills.
    pub bills: u64,
    /// Entries.
    pub entries: u64,
}

impl Ledger {
    /// Adds every entry of every bill again: each bill balances, each has entries, and numbers have no gap.
    pub fn verify(&self) -> Result<Verified, LedgerError> {
        let mut verified = Verified::default();
        self.verify_balances(&mut verified)?;
        self.verify_numbers(&mut verified)?;
        Ok(verified)
    }

    fn verify_balances(&self, verified: &mut Verified) -> Result<(), LedgerError> {
        let mut sums: HashMap<i64, i128> = HashMap::new();
        let mut query = self.connection().prepare("SELECT bill, minor_units FROM entry")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            *sums.entry(row.get(0)?).or_default() += i128::from(row.get::<_, i64>(1)?);
            verified.entries += 1;
        }
        let mut query = self.connection().prepare("SELECT id, number FROM bill")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (id, number): (i64, String) = (row.get(0)?, row.get(1)?);
            match sums.remove(&id) {
                Some(0) => {}
                Some(sum) => {
                    return Err(LedgerError::Verify(format!(
                        "bill {number} is off balance by {sum} minor units"
                    )));
                }
                None => return Err(LedgerError::Verify(format!("bill {number} has no entries"))),
            }
        }
        match sums.keys().next() {
            Some(id) => Err(LedgerError::Verify(format!("entries of bill id {id} have no bill"))),
            None => Ok(()),
        }
    }

    fn verify_numbers(&self, verified: &mut Verified) -> Result<(), LedgerError> {
        let sql = "SELECT issuer, fiscal_year, count(*), max(sequence) FROM bill GROUP BY issuer, fiscal_year";
        let mut query = self.connection().prepare(sql)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (issuer, year, count, last): (String, i64, i64, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            if count != last {
                let message = format!("issuer {issuer} has {count} bills of {year} and the last one is number {last}");
                return Err(LedgerError::Verify(message));
            }
            verified.bills += count.unsigned_abs();
        }
        Ok(())
    }
}
