//! Usage records as Parquet.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, LargeStringArray, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use parquet::arrow::ArrowWriter;

use super::{here, october, refused_file};

type Columns = Vec<(&'static str, ArrayRef)>;

/// Seconds since 1970 of 2026-10-05T00:00:00Z.
const DAY: i64 = 1_791_158_400;
const SECONDS: [i64; 4] = [3600, 3600, 900, 900];

fn texts(texts: [&str; 4]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

/// The records of `usage.jsonl`.
fn columns() -> Columns {
    let quantities = [
        23_500_000_000_000i128,
        160_500_000_000_000,
        250_000_000_000,
        3_333_333_333_333,
    ];
    let quantities = Decimal128Array::from(quantities.to_vec()).with_precision_and_scale(38, 12);
    let starts = TimestampMillisecondArray::from(vec![DAY * 1000; 4]).with_timezone("UTC");
    let ends: Vec<i64> = SECONDS.iter().map(|seconds| (DAY + seconds) * 1000).collect();
    vec![
        ("id", texts(["1", "2", "3", "4"])),
        ("agency", texts(["nts", "nts", "nts", "moel"])),
        ("system", texts(["hometax", "hometax", "hometax", "unassigned"])),
        (
            "meter",
            texts(["cpu.reserved", "memory.reserved", "build.minutes", "disk.spun"]),
        ),
        ("quantity", Arc::new(quantities.unwrap())),
        ("start", Arc::new(starts)),
        (
            "end",
            Arc::new(TimestampMillisecondArray::from(ends).with_timezone("Asia/Seoul")),
        ),
    ]
}

/// The same with another column in the place of one.
fn with(name: &'static str, array: ArrayRef) -> Columns {
    let mut columns = columns();
    let place = columns.iter().position(|column| column.0 == name).unwrap();
    columns[place].1 = array;
    columns
}

fn write(folder: &Path, columns: Columns) -> PathBuf {
    let file = folder.join("usage.parquet");
    let nullable = columns.into_iter().map(|(name, array)| (name, array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(nullable).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&file).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

/// A good file.
pub(crate) fn example(folder: &Path) -> PathBuf {
    write(folder, columns())
}

#[test]
fn parquet_gives_the_bills_that_json_lines_give_whatever_exact_types_it_is_written_with() {
    let folder = tempfile::tempdir().unwrap();
    let expected = october(&here().join("usage.jsonl"));
    let mut names = StringDictionaryBuilder::<Int32Type>::new();
    for name in ["nts", "nts", "nts", "moel"] {
        names.append_value(name);
    }
    let ends = |unit: i64| {
        SECONDS
            .iter()
            .map(|seconds| (DAY + seconds) * unit)
            .collect::<Vec<i64>>()
    };
    let day = "2026-10-05T00:00:00Z";
    let table: [(&str, ArrayRef); 7] = [
        (
            "end",
            Arc::new(TimestampSecondArray::from(ends(1)).with_timezone("UTC")),
        ),
        (
            "end",
            Arc::new(TimestampMicrosecondArray::from(ends(1_000_000)).with_timezone("+09:00")),
        ),
        (
            "end",
            Arc::new(TimestampNanosecondArray::from(ends(1_000_000_000)).with_timezone("UTC")),
        ),
        ("start", texts([day, "2026-10-05T09:00:00+09:00", day, day])),
        ("quantity", texts(["23.5", "160.50", "0.25", "3.333333333333"])),
        ("agency", Arc::new(names.finish())),
        ("id", Arc::new(LargeStringArray::from(vec!["1", "2", "3", "4"]))),
    ];
    assert_eq!(october(&write(folder.path(), columns())), expected);
    for (name, array) in table {
        let written = format!("{name} as {}", array.data_type());
        assert_eq!(october(&write(folder.path(), with(name, array))), expected, "{written}");
    }
    let whole = |array| october(&write(folder.path(), with("quantity", array)));
    assert_eq!(
        whole(Arc::new(Int64Array::from(vec![23, 160, 1, 3]))),
        whole(texts(["23", "160", "1", "3"]))
    );
}

#[test]
fn floats_and_times_without_a_zone_are_refused_with_the_column_and_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let table: [(&str, ArrayRef, &str); 4] = [
        (
            "quantity",
            Arc::new(Float64Array::from(vec![23.5; 4])),
            ": column `quantity` holds floating point numbers (Float64): allowed are decimals, whole numbers and decimals as text",
        ),
        (
            "end",
            Arc::new(TimestampMicrosecondArray::from(vec![DAY * 1_000_000; 4])),
            ": column `end` holds timestamps without a time zone: allowed are timestamps with a time zone and RFC 3339 text",
        ),
        (
            "start",
            Arc::new(Int64Array::from(vec![DAY; 4])),
            ": column `start` holds whole numbers: allowed are timestamps with a time zone and RFC 3339 text; for numbers since 1970 a mapping",
        ),
        (
            "agency",
            Arc::new(Float64Array::from(vec![1.0; 4])),
            ": column `agency` holds floating point numbers (Float64): allowed are text and whole numbers",
        ),
    ];
    for (name, array, message) in table {
        let refused = refused_file(&write(folder.path(), with(name, array)));
        assert!(refused.starts_with(message), "{refused}");
    }
}

#[test]
fn wrong_columns_and_wrong_rows_are_refused_with_the_row_and_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let mut strange = columns();
    strange.push(("colour", texts(["red"; 4])));
    let mut short = columns();
    short.pop();
    let empty: ArrayRef = Arc::new(StringArray::from(vec![Some("nts"), None, Some("nts"), Some("moel")]));
    let table = [
        (
            strange,
            ": column `colour` is not of a usage record: allowed are the columns id,",
        ),
        (short, ": column `end` is missing: allowed are the columns id,"),
        (
            with("agency", empty),
            ": row 2: column `agency` has no value: allowed is a value in every row",
        ),
        (
            with("quantity", texts(["1", "2", "three", "4"])),
            ": row 3: column `quantity`: `three` is not a decimal number: allowed are digits",
        ),
        (
            with("quantity", texts(["1", "-2", "3", "4"])),
            ": row 2: usage record `2`: quantity -2 is negative; allowed is zero or more",
        ),
        (
            with("end", texts(["later"; 4])),
            ": row 1: column `end`: `later` is not an instant: allowed is RFC 3339",
        ),
        (
            with("end", texts(["2026-10-04T00:00:00Z"; 4])),
            ": row 1: usage record `1`: end 2026-10-04T00:00:00Z is before start",
        ),
        (
            with("id", texts(["1", "2", "1", "4"])),
            ": row 3: usage record `1` is there twice with other content: allowed is one content for an id",
        ),
    ];
    for (columns, message) in table {
        let refused = refused_file(&write(folder.path(), columns));
        assert!(refused.starts_with(message), "{refused}");
    }
}

#[test]
fn a_file_that_ends_too_early_or_was_damaged_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), columns());
    let bytes = std::fs::read(&file).unwrap();
    for length in (0..bytes.len() - 200).step_by(97).chain(bytes.len() - 20..bytes.len()) {
        std::fs::write(&file, &bytes[..length]).unwrap();
        let refused = refused_file(&file);
        assert!(
            refused.starts_with(": is not a whole Parquet file: ") && refused.contains("allowed is"),
            "{refused}"
        );
    }
    let mut damaged = bytes.clone();
    damaged[4..40].fill(0xff);
    std::fs::write(&file, damaged).unwrap();
    let refused = refused_file(&file);
    assert!(
        refused.starts_with(": row 1: ") && refused.contains("allowed is"),
        "{refused}"
    );
}
