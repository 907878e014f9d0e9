//! Rows with named columns: what CSV and Parquet files are written from.

use csv::WriterBuilder;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Words.
    Text,
    /// An exact decimal.
    Decimal,
    /// An instant in UTC.
    Time,
}

/// Its name and what it holds.
pub type Column = (&'static str, Kind);

/// A table of texts; none is a cell without a value.
#[derive(Clone, Debug)]
pub struct Rows {
    columns: &'static [Column],
    rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    pub(crate) fn new(columns: &'static [Column]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, row: Vec<Option<String>>) {
        self.rows.push(row);
    }

    /// Names and kinds of the columns.
    pub fn columns(&self) -> &'static [Column] {
        self.columns
    }

    /// The rows, each with a cell for every column.
    pub fn rows(&self) -> &[Vec<Option<String>>] {
        &self.rows
    }

    /// The rows as CSV with a header; a cell without a value is empty.
    pub fn csv(&self) -> Result<String, csv::Error> {
        let mut writer = WriterBuilder::new().from_writer(Vec::new());
        writer.write_record(self.columns.iter().map(|(name, _)| name))?;
        for row in &self.rows {
            writer.write_record(row.iter().map(|cell| cell.as_deref().unwrap_or_default()))?;
        }
        let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
