//! Tables as Parquet. Only the columns that are needed are read, and only what is exact is taken.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef, Decimal128Array, Decimal256Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use jiff::Timestamp;
use maru_meter::{Exact, UsageRecord};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::cell::{Cell, Kind, Row};
use super::mapping::Mapping;
use super::plan::Plan;
use crate::problem::Problem;

/// Rows that are held at a time.
const ROWS: usize = 1 << 13;

/// Reads one record after the other and gives each to `take`, with its row.
pub(crate) fn read(
    file: &Path,
    mapping: Option<&Mapping>,
    mut take: impl FnMut(u64, UsageRecord) -> Result<(), String>,
) -> Result<(), Problem> {
    let whole = |error: parquet::errors::ParquetError| {
        Problem::of(
            file,
            format!("is not a whole Parquet file: {error}; allowed is one that ends in its footer"),
        )
    };
    let reader = File::open(file).map_err(|error| Problem::of(file, error))?;
    let written = guarded(file, || ArrowReaderMetadata::load(&reader, ArrowReaderOptions::new()))?.map_err(whole)?;
    let options = ArrowReaderOptions::new().with_schema(Arc::new(plain(written.schema())));
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(written.metadata()), options).map_err(whole)?;

    let fields = metadata.schema().fields();
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let kinds: Vec<Kind> = fields.iter().map(|field| kind(field.data_type())).collect();
    let plan = Plan::new(mapping, &names).map_err(|message| Problem::of(file, message))?;
    plan.check(&kinds).map_err(|message| Problem::of(file, message))?;

    let wanted = plan.wanted();
    let mask = ProjectionMask::roots(metadata.parquet_schema(), wanted.iter().copied());
    let mut batches = ParquetRecordBatchReaderBuilder::new_with_metadata(reader, metadata.clone())
        .with_batch_size(ROWS)
        .with_projection(mask)
        .build()
        .map_err(whole)?;
    let mut number: u64 = 1;
    while let Some(batch) = guarded(file, || batches.next())? {
        let at = |number: u64, message: &str| Problem::of(file, format!("row {number}: {message}"));
        let batch = batch.map_err(|error| {
            at(
                number,
                &format!(
                    "it or one of the next cannot be read: {error}; allowed is a Parquet file that is not damaged"
                ),
            )
        })?;
        let mut table = Table::of(&batch, &wanted).map_err(|message| at(number, &message))?;
        for row in 0..batch.num_rows() {
            table.row = row;
            let record = plan.record(&table);
            record
                .and_then(|record| take(number, record))
                .map_err(|message| at(number, &message))?;
            number += 1;
        }
    }
    Ok(())
}

/// What the Parquet library reads. Where damaged bytes break what it assumes, it panics: that is a refusal like any other, and nothing that it held
/// is looked at again.
fn guarded<T>(file: &Path, read: impl FnOnce() -> T) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|_| {
        Problem::of(
            file,
            "cannot be read, for something in it contradicts itself; allowed is a Parquet file that is not damaged",
        )
    })
}

/// The schema with texts as plain texts and small decimals as wide ones, however the writer kept them in memory.
fn plain(schema: &Schema) -> Schema {
    fn of(kind: &DataType) -> DataType {
        match kind {
            DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
            DataType::Dictionary(_, value) => of(value),
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                DataType::Decimal128(*precision, *scale)
            }
            other => other.clone(),
        }
    }
    let field = |field: &Arc<Field>| field.as_ref().clone().with_data_type(of(field.data_type()));
    Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>())
}

fn kind(kind: &DataType) -> Kind {
    match kind {
        DataType::Utf8 => Kind::Text,
        kind if kind.is_integer() => Kind::Whole,
        DataType::Decimal128(..) | DataType::Decimal256(..) => Kind::Decimal,
        DataType::Timestamp(_, Some(_)) => Kind::Instant,
        DataType::Timestamp(_, None) => Kind::Other("timestamps without a time zone".to_owned()),
        kind if kind.is_floating() => Kind::Other(format!("floating point numbers ({kind})")),
        other => Kind::Other(format!("values of type {other}")),
    }
}

/// The columns of a batch, of which one row is looked at.
struct Table<'a> {
    /// By place in the file; only those that are read are there.
    columns: Vec<Option<Column<'a>>>,
    row: usize,
}

struct Column<'a> {
    array: &'a dyn Array,
    values: Values<'a>,
}

enum Values<'a> {
    Text(&'a StringArray),
    Whole(Vec<i128>),
    Decimal(&'a Decimal128Array, u32),
    Wide(&'a Decimal256Array),
    /// Nanoseconds since 1970.
    Instant(Vec<i128>),
}

impl<'a> Table<'a> {
    fn of(batch: &'a RecordBatch, wanted: &[usize]) -> Result<Self, String> {
        let mut columns = Vec::new();
        for (place, array) in wanted.iter().zip(batch.columns()) {
            columns.resize_with(*place, || None);
            let values = values(array).ok_or_else(|| format!("values of type {} cannot be read", array.data_type()))?;
            columns.push(Some(Column { array, values }));
        }
        Ok(Self { columns, row: 0 })
    }
}

fn values(array: &ArrayRef) -> Option<Values<'_>> {
    Some(match array.data_type() {
        DataType::Utf8 => Values::Text(array.as_string_opt()?),
        DataType::Int8 => Values::Whole(numbers::<Int8Type>(array, 1)?),
        DataType::Int16 => Values::Whole(numbers::<Int16Type>(array, 1)?),
        DataType::Int32 => Values::Whole(numbers::<Int32Type>(array, 1)?),
        DataType::Int64 => Values::Whole(numbers::<Int64Type>(array, 1)?),
        DataType::UInt8 => Values::Whole(numbers::<UInt8Type>(array, 1)?),
        DataType::UInt16 => Values::Whole(numbers::<UInt16Type>(array, 1)?),
        DataType::UInt32 => Values::Whole(numbers::<UInt32Type>(array, 1)?),
        DataType::UInt64 => Values::Whole(numbers::<UInt64Type>(array, 1)?),
        DataType::Decimal128(_, scale) => {
            Values::Decimal(array.as_primitive_opt::<Decimal128Type>()?, u32::try_from(*scale).ok()?)
        }
        DataType::Decimal256(..) => Values::Wide(array.as_primitive_opt()?),
        DataType::Timestamp(unit, _) => Values::Instant(match unit {
            TimeUnit::Second => numbers::<TimestampSecondType>(array, 1_000_000_000)?,
            TimeUnit::Millisecond => numbers::<TimestampMillisecondType>(array, 1_000_000)?,
            TimeUnit::Microsecond => numbers::<TimestampMicrosecondType>(array, 1_000)?,
            TimeUnit::Nanosecond => numbers::<TimestampNanosecondType>(array, 1)?,
        }),
        _ => return None,
    })
}

fn numbers<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &ArrayRef, times: i128) -> Option<Vec<i128>> {
    let array = array.as_primitive_opt::<T>()?;
    Some(array.values().iter().map(|value| (*value).into() * times).collect())
}

impl Row for Table<'_> {
    fn cell(&self, place: usize) -> Result<Cell<'_>, String> {
        let (row, column) = (self.row, self.columns.get(place).and_then(Option::as_ref));
        let Some(column) = column.filter(|column| !column.array.is_null(row)) else {
            return Ok(Cell::Null);
        };
        Ok(match &column.values {
            Values::Text(texts) => Cell::Text(texts.value(row)),
            Values::Whole(numbers) => Cell::Whole(numbers[row]),
            Values::Decimal(decimals, scale) => Cell::Decimal(Exact::scaled(decimals.value(row), *scale)),
            Values::Wide(decimals) => {
                let text = decimals.value_as_string(row);
                Cell::Decimal(text.parse().map_err(|error| format!("{error}"))?)
            }
            Values::Instant(nanos) => Cell::Instant(
                Timestamp::from_nanosecond(nanos[row]).map_err(|error| format!("a timestamp is not one: {error}"))?,
            ),
        })
    }
}
