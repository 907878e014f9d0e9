//! Parquet files whose columns are those of usage records already: they go into a lake as columns, without a record of its own for each row.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, Decimal128Array, DictionaryArray, Int32Array, RecordBatch, StringArray, new_null_array,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use maru_lake::Lake;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

/// Columns that a file must have, as text, and those that it may have.
const TEXTS: [&str; 4] = ["id", "agency", "system", "meter"];
const MAYBE: [(&str, &str); 4] = [
    ("resource", ""),
    ("unit", ""),
    ("source", ""),
    ("completeness", "Complete"),
];
/// Places of a quantity in a lake.
const PLACES: u32 = 18;
const PRECISION: u8 = 38;

/// The batches of a file, from a row on, in the form that a lake takes; nothing where the file must be read row by row.
pub(crate) fn batches(file: &Path, from: u64, at_once: usize) -> Option<Batches> {
    let reader = File::open(file).ok()?;
    let written = ArrowReaderMetadata::load(&reader, ArrowReaderOptions::new()).ok()?;
    let schema = fitting(written.schema())?;
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(written.metadata()), options).ok()?;
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(reader, metadata)
        .with_batch_size(at_once)
        .with_offset(usize::try_from(from).ok()?)
        .build()
        .ok()?;
    Some(Batches { reader })
}

/// The file's schema with names as dictionaries, where every column is one that can be taken as it is.
fn fitting(schema: &Schema) -> Option<Schema> {
    let names = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut found = 0;
    let mut fields = Vec::new();
    for field in schema.fields() {
        let name = field.name().as_str();
        let is_text = matches!(
            field.data_type(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        ) || matches!(field.data_type(), DataType::Dictionary(_, value) if **value == DataType::Utf8);
        let kind = match (name, field.data_type()) {
            ("id", _) if is_text => DataType::Utf8,
            (name, _) if is_text && (TEXTS.contains(&name) || MAYBE.iter().any(|(known, _)| *known == name)) => {
                names.clone()
            }
            ("quantity", DataType::Decimal128(precision, scale)) if (0..=18).contains(scale) => {
                DataType::Decimal128(*precision, *scale)
            }
            ("start" | "end" | "recordedAt", DataType::Timestamp(TimeUnit::Microsecond, Some(_))) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            _ => return None,
        };
        found += usize::from(TEXTS.contains(&name) || ["quantity", "start", "end"].contains(&name));
        fields.push(Field::new(name, kind, field.is_nullable()));
    }
    (found == TEXTS.len() + 3).then(|| Schema::new(fields))
}

/// Batches in the form that a lake takes.
pub(crate) struct Batches {
    reader: ParquetRecordBatchReader,
}

impl Iterator for Batches {
    /// None where what comes next must be read row by row.
    type Item = Option<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.ok().and_then(|batch| taken(&batch)))
    }
}

fn taken(batch: &RecordBatch) -> Option<RecordBatch> {
    let rows = batch.num_rows();
    let given = |name: &str| {
        batch
            .column_by_name(name)
            .filter(|column| column.null_count() == 0)
            .cloned()
    };
    let schema = Lake::columns();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "quantity" => quantities(&given("quantity")?),
        "recorded_at" => match batch.column_by_name("recordedAt") {
            Some(column) => Some(Arc::clone(column)),
            None => Some(new_null_array(field.data_type(), rows)),
        },
        name if batch.column_by_name(name).is_some() => given(name),
        name => {
            let (_, text) = MAYBE.iter().find(|(known, _)| *known == name)?;
            constant(text, rows)
        }
    });
    let columns: Vec<ArrayRef> = columns.collect::<Option<_>>()?;
    RecordBatch::try_new(schema, columns).ok()
}

/// In units of the eighteenth place; nothing where one does not fit.
fn quantities(column: &ArrayRef) -> Option<ArrayRef> {
    let DataType::Decimal128(_, scale) = column.data_type() else {
        return None;
    };
    let times = 10i128.pow(PLACES.checked_sub(u32::try_from(*scale).ok()?)?);
    let decimals = column.as_primitive_opt::<Decimal128Type>()?;
    let units: Decimal128Array = if times == 1 {
        decimals.clone()
    } else {
        let scaled: Option<Vec<i128>> = decimals.values().iter().map(|units| units.checked_mul(times)).collect();
        Decimal128Array::from(scaled?)
    };
    let scale = i8::try_from(PLACES).ok()?;
    Some(Arc::new(units.with_precision_and_scale(PRECISION, scale).ok()?))
}

fn constant(text: &str, rows: usize) -> Option<ArrayRef> {
    let keys = Int32Array::from(vec![0; rows]);
    let array = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(StringArray::from(vec![text]))).ok()?;
    Some(Arc::new(array))
}

/// The ids of a batch.
pub(crate) fn ids(batch: &RecordBatch) -> Option<&StringArray> {
    batch.column_by_name("id")?.as_string_opt::<i32>()
}
