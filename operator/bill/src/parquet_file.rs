//! Rows as a Parquet file, in memory.

use std::sync::Arc;

use arrow_array::builder::{Decimal128Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use jiff::Timestamp;
use maru_meter::{Exact, Rounding};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::rows::{Kind, Rows};

/// Digits of a decimal, and how many of them stand after the point.
const PRECISION: u8 = 38;
const SCALE: i8 = 18;
const PLACES: u32 = 18;
/// Rows that are encoded at a time.
const GROUP: usize = 1 << 16;

/// Why rows do not become a Parquet file.
#[derive(Debug, thiserror::Error)]
pub enum ParquetProblem {
    /// A figure is too large for a decimal of 38 digits.
    #[error(
        "column `{column}`: {value} does not fit; allowed in Parquet are 20 digits before the point: print CSV instead"
    )]
    TooLarge {
        /// Which column.
        column: &'static str,
        /// The figure.
        value: String,
    },
    /// The columns do not make a table.
    #[error(transparent)]
    Columns(#[from] ArrowError),
    /// The file cannot be encoded.
    #[error(transparent)]
    Encoding(#[from] ParquetError),
}

impl Rows {
    /// The rows as a Parquet file: decimals of 38 digits with 18 of them after the point, half to even beyond them, timestamps in UTC, text.
    pub fn parquet(&self) -> Result<Vec<u8>, ParquetProblem> {
        let fields = self
            .columns()
            .iter()
            .map(|(name, kind)| Field::new(*name, of(*kind), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
        let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties.build()))?;
        for rows in self.rows().chunks(GROUP) {
            let columns = self.columns().iter().enumerate();
            let arrays = columns.map(|(place, (name, kind))| {
                let cells = rows.iter().map(|row| row.get(place).and_then(Option::as_deref));
                array(name, *kind, cells)
            });
            writer.write(&RecordBatch::try_new(
                Arc::clone(&schema),
                arrays.collect::<Result<_, _>>()?,
            )?)?;
        }
        Ok(writer.into_inner()?)
    }
}

fn of(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Decimal => DataType::Decimal128(PRECISION, SCALE),
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

fn array<'a>(
    column: &'static str,
    kind: Kind,
    cells: impl Iterator<Item = Option<&'a str>>,
) -> Result<ArrayRef, ParquetProblem> {
    let refused = |cell: &str| ParquetProblem::TooLarge {
        column,
        value: cell.to_owned(),
    };
    Ok(match kind {
        Kind::Text => {
            let mut texts = StringBuilder::new();
            cells.for_each(|cell| texts.append_option(cell));
            Arc::new(texts.finish())
        }
        Kind::Decimal => {
            let mut decimals = Decimal128Builder::new();
            for cell in cells {
                let units = cell.map(|cell| units(cell).ok_or_else(|| refused(cell))).transpose()?;
                decimals.append_option(units);
            }
            Arc::new(decimals.finish().with_precision_and_scale(PRECISION, SCALE)?)
        }
        Kind::Time => {
            let mut moments = TimestampMicrosecondBuilder::new();
            for cell in cells {
                let moment = cell
                    .map(|cell| cell.parse::<Timestamp>().map_err(|_| refused(cell)))
                    .transpose()?;
                moments.append_option(moment.map(Timestamp::as_microsecond));
            }
            Arc::new(moments.finish().with_timezone("UTC"))
        }
    })
}

/// A figure in units of the last place, where it fits.
fn units(cell: &str) -> Option<i128> {
    let units = i128::try_from(cell.parse::<Exact>().ok()?.units(PLACES, Rounding::HalfEven)).ok()?;
    (units.unsigned_abs() < 10u128.pow(u32::from(PRECISION))).then_some(units)
}
