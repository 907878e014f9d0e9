//! What is asked of the cluster: two queries over the table's files, whose answers together are every record of the period once.

use arrow_schema::DataType;
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::{Expr, cast, ident, lit, when};
use jiff::Timestamp;
use maru_lake::{Summing, TEXT_COLUMNS};
use maru_meter::Interval;

/// Columns that are summed by, beside the slot.
pub(crate) const NAMES: [&str; 5] = ["agency", "system", "meter", "unit", "completeness"];
pub(crate) const SLOT: &str = "slot";
pub(crate) const QUANTITY: &str = "quantity";

/// A period's questions.
pub(crate) struct Plan<'a> {
    summing: &'a Summing,
    slots: Vec<Interval>,
}

impl<'a> Plan<'a> {
    pub(crate) fn of(summing: &'a Summing) -> Self {
        Self {
            slots: summing.slots(),
            summing,
        }
    }

    /// The period, cut.
    pub(crate) fn slots(&self) -> &[Interval] {
        &self.slots
    }

    /// The sums. A quantity has 38 digits, so a sum of a whole country's is made in 76: it cannot overflow.
    pub(crate) fn sums(&self, table: DataFrame) -> Result<DataFrame> {
        let mut by: Vec<Expr> = NAMES.iter().map(|name| text(name)).collect();
        by.push(
            self.by_slot(|slot| lit(i64::try_from(slot).unwrap_or(i64::MAX)))?
                .alias(SLOT),
        );
        let quantity = cast(ident(QUANTITY), DataType::Decimal256(76, 18));
        table
            .filter(self.starts_inside().and(Expr::Not(Box::new(self.counts_alone()?))))?
            .aggregate(by, vec![sum(quantity).alias(QUANTITY)])
    }

    /// The records that are given as they are.
    pub(crate) fn alone(&self, table: DataFrame) -> Result<DataFrame> {
        let first = moment(self.summing.period.start);
        let reaches_in = ident("start").lt(first.clone()).and(ident("end").gt(first));
        let mut columns: Vec<Expr> = TEXT_COLUMNS.iter().map(|name| text(name)).collect();
        columns.extend([QUANTITY, "start", "end", "recorded_at"].map(ident));
        table
            .filter(reaches_in.or(self.starts_inside().and(self.counts_alone()?)))?
            .select(columns)
    }

    fn starts_inside(&self) -> Expr {
        let Interval { start, end } = self.summing.period;
        ident("start").gt_eq(moment(start)).and(ident("start").lt(moment(end)))
    }

    /// Of a record that starts in the period: whether it crosses a cut, is of a meter that counts one by one, or came late.
    fn counts_alone(&self) -> Result<Expr> {
        let crosses = ident("end").gt(self.by_slot(|slot| moment(self.slots[slot].end))?);
        let meters = self.summing.alone.iter().map(|meter| lit(meter.as_str())).collect();
        let mut alone = crosses.or(ident("meter").in_list(meters, false));
        if !self.summing.issued.is_empty() {
            let issued = self.by_slot(|slot| maybe(self.summing.issued_of(self.slots[slot])))?;
            alone = alone.or(ident("recorded_at").gt(issued).is_true());
        }
        Ok(alone)
    }

    /// A value for each slot that a record may start in.
    fn by_slot(&self, value: impl Fn(usize) -> Expr) -> Result<Expr> {
        let last = self.slots.len().saturating_sub(1);
        let starts_before = |slot: usize| ident("start").lt(moment(self.slots[slot].end));
        if last == 0 {
            return Ok(value(0));
        }
        let mut cases = when(starts_before(0), value(0));
        for slot in 1..last {
            cases = cases.when(starts_before(slot), value(slot));
        }
        cases.otherwise(value(last))
    }
}

/// A column of names as plain text: dictionaries do not survive every way between executors.
fn text(name: &str) -> Expr {
    cast(ident(name), DataType::Utf8).alias(name)
}

fn moment(moment: Timestamp) -> Expr {
    maybe(Some(moment))
}

fn maybe(moment: Option<Timestamp>) -> Expr {
    let micros = moment.map(Timestamp::as_microsecond);
    lit(ScalarValue::TimestampMicrosecond(micros, Some("UTC".into())))
}
