//! Usage records as columns: the table's schema, and records to Arrow and back.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{Decimal128Builder, StringBuilder, StringDictionaryBuilder, TimestampMicrosecondBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use deltalake_core::kernel::{DataType as TableType, PrimitiveType, StructField};
use jiff::Timestamp;
use maru_meter::{Exact, Rounding, UnknownCompleteness, UsageRecord};

use crate::LakeError;

/// Digits of a quantity before the point: 38 are what a 128-bit decimal holds.
pub(crate) const DIGITS_BEFORE: u32 = 20;
/// Digits of a quantity after the point: what the meter rounds to.
pub(crate) const PLACES: u32 = 18;
const PRECISION: u8 = 38;
const SCALE: i8 = 18;

/// The partition of a record: the UTC day of its start.
pub(crate) const DAY: &str = "day";

/// The columns of a record that are text, the id first, as they are called in the table; the others are `quantity`, `start`, `end` and `recorded_at`.
pub const TEXT_COLUMNS: [&str; 8] = [
    "id",
    "agency",
    "system",
    "resource",
    "meter",
    "unit",
    "source",
    "completeness",
];

/// The columns of a data file. Names repeat, so they are dictionaries; ids do not.
pub(crate) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let names = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut fields = vec![Field::new("id", DataType::Utf8, false)];
    fields.extend(TEXT_COLUMNS[1..].iter().map(|name| Field::new(*name, names(), false)));
    fields.push(Field::new("quantity", DataType::Decimal128(PRECISION, SCALE), false));
    fields.push(Field::new("start", utc(), false));
    fields.push(Field::new("end", utc(), false));
    fields.push(Field::new("recorded_at", utc(), true));
    Arc::new(Schema::new(fields))
});

/// The columns as the table's log says them.
pub(crate) fn table_columns() -> Result<Vec<StructField>, LakeError> {
    let decimal = PrimitiveType::decimal(PRECISION, SCALE.unsigned_abs())
        .map_err(|error| LakeError::Unwritable(error.to_string()))?;
    let column = |name: &str, kind, nullable| StructField::new(name, TableType::Primitive(kind), nullable);
    let mut columns: Vec<_> = TEXT_COLUMNS
        .iter()
        .map(|name| column(name, PrimitiveType::String, false))
        .collect();
    columns.push(column("quantity", decimal, false));
    columns.push(column("start", PrimitiveType::Timestamp, false));
    columns.push(column("end", PrimitiveType::Timestamp, false));
    columns.push(column("recorded_at", PrimitiveType::Timestamp, true));
    columns.push(column(DAY, PrimitiveType::Date, false));
    Ok(columns)
}

/// Whether the table can hold a record as it is.
pub(crate) fn check(record: &UsageRecord) -> Result<(), LakeError> {
    units(record)?;
    for moment in [Some(record.start), Some(record.end), record.recorded_at]
        .into_iter()
        .flatten()
    {
        if moment.subsec_nanosecond() % 1000 != 0 {
            return Err(LakeError::TooFine {
                id: record.id.clone(),
                moment: moment.to_string(),
            });
        }
    }
    Ok(())
}

/// A quantity in units of the column's last place.
fn units(record: &UsageRecord) -> Result<i128, LakeError> {
    let refused = || LakeError::Quantity {
        id: record.id.clone(),
        quantity: record.quantity.to_string(),
    };
    if record.quantity.places().is_none_or(|places| places > PLACES) {
        return Err(refused());
    }
    let units = i128::try_from(record.quantity.units(PLACES, Rounding::Down)).map_err(|_| refused())?;
    if units >= 10i128.pow(DIGITS_BEFORE + PLACES) {
        return Err(refused());
    }
    Ok(units)
}

/// Records as one batch.
pub(crate) fn encode<'a>(records: impl IntoIterator<Item = &'a UsageRecord>) -> Result<RecordBatch, LakeError> {
    let mut ids = StringBuilder::new();
    let mut names: [StringDictionaryBuilder<Int32Type>; 7] = Default::default();
    let mut quantities = Decimal128Builder::new();
    let mut moments: [TimestampMicrosecondBuilder; 3] = Default::default();
    for record in records {
        ids.append_value(&record.id);
        let texts = [
            &*record.agency,
            &record.system,
            &record.resource,
            &record.meter,
            &record.unit,
            &record.source,
            record.completeness.name(),
        ];
        for (column, text) in names.iter_mut().zip(texts) {
            column.append_value(text);
        }
        quantities.append_value(units(record)?);
        moments[0].append_value(record.start.as_microsecond());
        moments[1].append_value(record.end.as_microsecond());
        moments[2].append_option(record.recorded_at.map(Timestamp::as_microsecond));
    }
    let unwritable = |error: arrow_schema::ArrowError| LakeError::Unwritable(error.to_string());
    let mut columns: Vec<ArrayRef> = vec![Arc::new(ids.finish())];
    columns.extend(names.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
    let quantities = quantities.finish().with_precision_and_scale(PRECISION, SCALE);
    columns.push(Arc::new(quantities.map_err(unwritable)?));
    columns.extend(
        moments
            .iter_mut()
            .map(|column| Arc::new(column.finish().with_timezone("UTC")) as ArrayRef),
    );
    RecordBatch::try_new(SCHEMA.clone(), columns).map_err(unwritable)
}

/// A batch as records; an error says what is odd about it.
pub(crate) fn decode(batch: &RecordBatch) -> Result<Vec<UsageRecord>, String> {
    let ids = column(batch, "id")?.as_string_opt::<i32>().ok_or("id is no text")?;
    let names: Vec<Names<'_>> = TEXT_COLUMNS[1..]
        .iter()
        .map(|name| Names::of(batch, name))
        .collect::<Result<_, _>>()?;
    let quantities = column(batch, "quantity")?
        .as_primitive_opt::<Decimal128Type>()
        .ok_or("quantity is no decimal")?;
    let start = moments(batch, "start")?;
    let end = moments(batch, "end")?;
    let recorded_at = moments(batch, "recorded_at")?;
    let moment = |micros| Timestamp::from_microsecond(micros).map_err(|error| error.to_string());
    let odd = |error: UnknownCompleteness| error.to_string();
    let mut records = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let text = |column: usize| names[column].text(row).to_owned();
        records.push(UsageRecord {
            id: ids.value(row).to_owned(),
            agency: text(0),
            system: text(1),
            resource: text(2),
            meter: text(3),
            unit: text(4),
            source: text(5),
            completeness: names[6].text(row).parse().map_err(odd)?,
            quantity: Exact::scaled(quantities.value(row), PLACES),
            start: moment(start.value(row))?,
            end: moment(end.value(row))?,
            recorded_at: recorded_at
                .is_valid(row)
                .then(|| moment(recorded_at.value(row)))
                .transpose()?,
        });
    }
    Ok(records)
}

/// A column of names: numbers into a list of texts.
pub(crate) struct Names<'a> {
    pub(crate) numbers: &'a [i32],
    pub(crate) texts: &'a arrow_array::StringArray,
}

impl<'a> Names<'a> {
    pub(crate) fn of(batch: &'a RecordBatch, name: &str) -> Result<Self, String> {
        let names = column(batch, name)?
            .as_dictionary_opt::<Int32Type>()
            .ok_or_else(|| format!("{name} is no column of names"))?;
        let texts = names
            .values()
            .as_string_opt::<i32>()
            .ok_or_else(|| format!("{name} is no text"))?;
        Ok(Self {
            numbers: names.keys().values(),
            texts,
        })
    }

    /// The text of a row.
    pub(crate) fn text(&self, row: usize) -> &'a str {
        usize::try_from(self.numbers[row]).map_or("", |number| self.texts.value(number))
    }
}

pub(crate) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, String> {
    batch
        .column_by_name(name)
        .ok_or_else(|| format!("column {name} is missing"))
}

pub(crate) fn moments<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a arrow_array::PrimitiveArray<TimestampMicrosecondType>, String> {
    column(batch, name)?
        .as_primitive_opt()
        .ok_or_else(|| format!("{name} is no moment"))
}

/// The UTC day of a moment, such as `2026-11-24`: the partition of a record that starts then.
pub(crate) fn day_of(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d").to_string()
}

/// Where a day begins, in UTC.
pub(crate) fn start_of_day(day: &str) -> Option<Timestamp> {
    format!("{day}T00:00:00Z").parse().ok()
}
