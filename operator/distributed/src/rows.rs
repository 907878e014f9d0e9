//! What the cluster answers, as usage.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch, StringArray};
use jiff::Timestamp;
use maru_lake::TEXT_COLUMNS;
use maru_meter::{Exact, Interval, UnknownCompleteness, UsageRecord};

use crate::plan::{NAMES, QUANTITY, SLOT};

/// Agency, system, meter, unit and completeness, and the number of the slot.
pub(crate) type Key = ([String; 5], i64);

/// Places of a quantity in the table.
const PLACES: u32 = 18;

/// A batch of sums.
pub(crate) fn sums(batch: &RecordBatch) -> Result<Vec<(Key, Exact)>, String> {
    let names: Vec<&StringArray> = NAMES.iter().map(|name| texts(batch, name)).collect::<Result<_, _>>()?;
    let slots = numbers::<Int64Type>(batch, SLOT)?;
    let quantities = numbers::<Decimal256Type>(batch, QUANTITY)?;
    let row = |row: usize| {
        let quantity = quantities.value_as_string(row).parse::<Exact>();
        let quantity = quantity.map_err(|error| format!("{QUANTITY}: {error}"))?;
        let names = std::array::from_fn(|name| names[name].value(row).to_owned());
        Ok(((names, slots.value(row)), quantity))
    };
    (0..batch.num_rows()).map(row).collect()
}

/// A sum as a record.
pub(crate) fn as_record(number: usize, key: Key, slots: &[Interval], quantity: Exact) -> Result<UsageRecord, String> {
    let ([agency, system, meter, unit, completeness], slot) = key;
    let slot = usize::try_from(slot).ok().and_then(|slot| slots.get(slot));
    let slot = slot.ok_or("a slot that was not asked for")?;
    Ok(UsageRecord {
        id: format!("sum/{number}"),
        agency,
        system,
        resource: String::new(),
        meter,
        quantity,
        unit,
        start: slot.start,
        end: slot.end,
        source: String::new(),
        completeness: completeness.parse().map_err(odd)?,
        recorded_at: None,
    })
}

/// A batch of records.
pub(crate) fn records(batch: &RecordBatch) -> Result<Vec<UsageRecord>, String> {
    let names: Vec<&StringArray> = TEXT_COLUMNS
        .iter()
        .map(|name| texts(batch, name))
        .collect::<Result<_, _>>()?;
    let quantities = numbers::<Decimal128Type>(batch, QUANTITY)?;
    let start = numbers::<TimestampMicrosecondType>(batch, "start")?;
    let end = numbers::<TimestampMicrosecondType>(batch, "end")?;
    let recorded_at = numbers::<TimestampMicrosecondType>(batch, "recorded_at")?;
    let row = |row: usize| {
        let [id, agency, system, resource, meter, unit, source, completeness] =
            std::array::from_fn(|name| names[name].value(row).to_owned());
        Ok(UsageRecord {
            id,
            agency,
            system,
            resource,
            meter,
            quantity: Exact::scaled(quantities.value(row), PLACES),
            unit,
            start: moment(start.value(row))?,
            end: moment(end.value(row))?,
            source,
            completeness: completeness.parse().map_err(odd)?,
            recorded_at: recorded_at
                .is_valid(row)
                .then(|| moment(recorded_at.value(row)))
                .transpose()?,
        })
    };
    (0..batch.num_rows()).map(row).collect()
}

fn odd(error: UnknownCompleteness) -> String {
    error.to_string()
}

fn moment(micros: i64) -> Result<Timestamp, String> {
    Timestamp::from_microsecond(micros).map_err(|error| error.to_string())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, String> {
    batch
        .column_by_name(name)
        .ok_or_else(|| format!("column {name} is missing"))
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, String> {
    let column = column(batch, name)?;
    column
        .as_string_opt()
        .ok_or_else(|| format!("{name} is {}, not text", column.data_type()))
}

fn numbers<'a, T: arrow_array::ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<T>, String> {
    let column = column(batch, name)?;
    column
        .as_primitive_opt()
        .ok_or_else(|| format!("{name} is {}, not {}", column.data_type(), T::DATA_TYPE))
}
