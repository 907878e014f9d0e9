//! FOCUS exports of a year of issued bills, held against the rules of the specification.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod rules;
mod schema;
mod validator;
mod year;

use std::collections::BTreeMap;

use maru_bill::{Focus, FocusDataset, FocusVersion, Rows};
use maru_meter::Exact;

/// A table as maps from column to value; a cell without a value is not there.
fn records(rows: &Rows) -> Vec<BTreeMap<&'static str, &str>> {
    let record = |row: &'_ Vec<Option<String>>| -> Vec<(&'static str, usize)> {
        let columns = rows.columns().iter().enumerate();
        columns
            .filter(|(place, _)| row[*place].is_some())
            .map(|(place, (name, _))| (*name, place))
            .collect()
    };
    rows.rows()
        .iter()
        .map(|row| {
            record(row)
                .into_iter()
                .map(|(name, place)| (name, row[place].as_deref().unwrap()))
                .collect()
        })
        .collect()
}

fn exact(text: &str) -> Exact {
    text.parse().unwrap()
}

#[test]
fn the_year_has_every_kind_of_charge_so_that_the_rules_are_tried_on_all_of_them() {
    let (bills, _) = year::bills();
    let mut kinds: Vec<&str> = bills
        .iter()
        .flat_map(|bill| &bill.lines)
        .map(|line| line.charge.name())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    let expected = [
        "Amortisation",
        "CapitalCharge",
        "CarryForward",
        "Credit",
        "Idle",
        "Interest",
        "Minimum",
        "Operations",
        "Percentage",
        "Platform",
        "Retirement",
        "StandardRate",
        "Usage",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn the_costs_of_an_invoice_sum_to_what_is_payable_in_both_versions_and_both_datasets() {
    let (bills, zone) = year::bills();
    let focus = Focus::new(&bills, &zone, "2027-01-05T00:00:00Z".parse().unwrap());
    for (version, dataset) in [
        (FocusVersion::V1_2, FocusDataset::CostAndUsage),
        (FocusVersion::V1_4, FocusDataset::CostAndUsage),
        (FocusVersion::V1_4, FocusDataset::InvoiceDetail),
    ] {
        let rows = focus.rows(version, dataset).unwrap();
        let mut sums: BTreeMap<&str, Exact> = BTreeMap::new();
        for record in records(&rows) {
            *sums.entry(record["InvoiceId"]).or_default() += exact(record["BilledCost"]);
        }
        assert_eq!(sums.len(), bills.len());
        for bill in &bills {
            assert_eq!(
                sums[bill.number.as_deref().unwrap()],
                bill.total,
                "{version:?} {dataset:?}"
            );
        }
    }
}

#[test]
fn parquet_says_what_csv_says() {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Decimal128Type, TimestampMicrosecondType};
    use maru_bill::Kind;

    let (bills, zone) = year::bills();
    let focus = Focus::new(&bills, &zone, "2027-01-05T00:00:00Z".parse().unwrap());
    for dataset in FocusDataset::ALL {
        let rows = focus.rows(FocusVersion::V1_4, dataset).unwrap();
        let file = bytes::Bytes::from(rows.parquet().unwrap());
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, usize::MAX >> 1).unwrap();
        let batches: Vec<_> = reader.map(Result::unwrap).collect();
        let batch = arrow_select::concat::concat_batches(&batches[0].schema(), &batches).unwrap();
        assert_eq!(batch.num_rows(), rows.rows().len());
        for (place, (name, kind)) in rows.columns().iter().enumerate() {
            let array = batch.column_by_name(name).unwrap();
            for (row, cells) in rows.rows().iter().enumerate() {
                let Some(cell) = &cells[place] else {
                    assert!(array.is_null(row), "{name}");
                    continue;
                };
                match kind {
                    Kind::Text => assert_eq!(array.as_string::<i32>().value(row), cell),
                    Kind::Decimal => {
                        let read = Exact::scaled(array.as_primitive::<Decimal128Type>().value(row), 18);
                        assert_eq!(read, exact(cell).round(18, maru_meter::Rounding::HalfEven), "{name}");
                    }
                    Kind::Time => {
                        let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                        assert_eq!(jiff::Timestamp::from_microsecond(micros).unwrap().to_string(), *cell);
                    }
                }
            }
        }
    }
}
