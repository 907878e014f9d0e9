//! Corrections name a line of an issued bill. Who works them out knows no numbers and names the bill by its period.

use std::collections::BTreeMap;

use maru_rate::{Month, Statement};

use crate::error::LedgerError;
use crate::page::PageKind;
use crate::record::Head;

/// The numbers of invoices, by period and agency, looked up once.
#[derive(Debug, Default)]
pub(crate) struct Numbers(BTreeMap<String, BTreeMap<String, String>>);

impl Numbers {
    /// Puts the number of the agency's invoice in place of its period: `2026-10/4` becomes `2026-000123/4`. A period in which the agency has
    /// none stays, and is refused as any other line that was never issued.
    pub(crate) fn put(
        &mut self,
        statement: &mut Statement,
        mut pages: impl FnMut(&str) -> Result<Vec<(Head, Vec<u8>)>, LedgerError>,
    ) -> Result<(), LedgerError> {
        for line in &mut statement.lines {
            let Some((period, place)) = line.corrects.as_deref().and_then(|corrects| corrects.split_once('/')) else {
                continue;
            };
            if period.parse::<Month>().is_err() {
                continue;
            }
            if !self.0.contains_key(period) {
                let invoices = pages(period)?.into_iter().map(|(head, _)| head);
                let invoices = invoices.filter(|head| head.kind == PageKind::Invoice.name());
                let numbers = invoices.filter_map(|head| Some((head.agency, head.number?)));
                self.0.insert(period.to_owned(), numbers.collect());
            }
            let number = self.0.get(period).and_then(|agencies| agencies.get(&statement.agency));
            if let Some(number) = number {
                line.corrects = Some(format!("{number}/{place}"));
            }
        }
        Ok(())
    }
}
