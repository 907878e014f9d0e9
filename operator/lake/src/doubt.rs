//! Hours of which not all was seen, by meter.

use std::collections::BTreeMap;

use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{PrimitiveArray, RecordBatch};
use jiff::Timestamp;
use maru_meter::{Completeness, Interval, hour_of};

use crate::columns::{self, Names};
use crate::datafile::{self, Reader};
use crate::{Lake, LakeError};

/// By meter and hour of UTC, how much was seen, where that was not all.
pub type Doubts = BTreeMap<String, BTreeMap<Timestamp, Completeness>>;

const WANTED: [&str; 4] = ["meter", "completeness", "start", "end"];

impl Lake {
    /// The hours of a period of which a meter did not see all, as the table was at a version or is now, each with the worst that is said of
    /// it. What lies in a row group that its footer says to be complete is not read.
    pub fn doubts(&self, version: Option<u64>, period: Interval) -> Result<Doubts, LakeError> {
        let files = self.wait(self.table.files(version))?;
        let mut doubts = Doubts::new();
        for file in crate::of_period(files, period) {
            let bytes = self.wait(datafile::fetch(&*self.table.store(), &file))?;
            let reader = Reader::open(&file.path, bytes)?;
            let groups = reader.not_only("completeness", Completeness::Complete.name());
            if groups.is_empty() {
                continue;
            }
            for batch in reader.batches(&WANTED, Some(groups))? {
                add(&batch?, period, &mut doubts).map_err(|reason| LakeError::Damaged {
                    file: file.path.clone(),
                    reason,
                })?;
            }
        }
        Ok(doubts)
    }
}

fn add(batch: &RecordBatch, period: Interval, doubts: &mut Doubts) -> Result<(), String> {
    let (meters, seen) = (Names::of(batch, "meter")?, Names::of(batch, "completeness")?);
    let (starts, ends) = (columns::moments(batch, "start")?, columns::moments(batch, "end")?);
    for row in 0..batch.num_rows() {
        let completeness: Completeness = seen.text(row).parse().map_err(|error| format!("{error}"))?;
        if completeness == Completeness::Complete {
            continue;
        }
        for hour in hours(moment(starts, row)?, moment(ends, row)?, period) {
            let worst = doubts
                .entry(meters.text(row).to_owned())
                .or_default()
                .entry(hour)
                .or_default();
            *worst = (*worst).max(completeness);
        }
    }
    Ok(())
}

fn moment(moments: &PrimitiveArray<TimestampMicrosecondType>, row: usize) -> Result<Timestamp, String> {
    Timestamp::from_microsecond(moments.value(row)).map_err(|error| error.to_string())
}

/// The hours of a period that a record has a part in; an instant is in one.
fn hours(start: Timestamp, end: Timestamp, period: Interval) -> Vec<Timestamp> {
    if start == end {
        let inside = period.start <= start && start < period.end;
        return inside.then(|| hour_of(start)).into_iter().collect();
    }
    let inside = Interval { start, end }.overlap(period);
    inside
        .into_iter()
        .flat_map(Interval::hours)
        .map(|piece| hour_of(piece.start))
        .collect()
}
