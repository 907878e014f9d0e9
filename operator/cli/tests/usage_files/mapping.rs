//! Tables that others made, read by a mapping.

use std::path::Path;

use maru_meter::Exact;

use super::{here, printed, refused};

const JOBS: &str = "\
job,cores,from,took
7,16,1664575200000,1194000
20,1,1664575200000,1
";

#[test]
fn a_mapping_makes_usage_records_of_the_rows_of_a_csv_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let (jobs, mapping) = (folder.path().join("jobs.csv"), folder.path().join("mapping.yaml"));
    std::fs::write(&jobs, JOBS).unwrap();
    std::fs::write(&mapping, MAPPING).unwrap();
    let bills: serde_json::Value = serde_json::from_str(&october_2022(&jobs, &mapping)).unwrap();
    let line = |bill: usize, name: &str| bills["bills"][bill]["lines"][0][name].as_str().unwrap().to_owned();
    // 16 × 1194 s and 1 × 1 ms, in hours; a third of a nine-hundredth has no end.
    assert_eq!(line(0, "quantity"), "5.3066666666666666666666666667");
    assert_eq!(line(1, "quantity"), "0.0000002777777777777777777778");
    assert_eq!(bills["bills"][0]["agency"], "agency-07");
    assert_eq!(bills["bills"][1]["agency"], "agency-08");
}

const MAPPING: &str = "\
id: 'job-{job}'
agency: 'agency-{job % 12:02}'
system: batch
meter: cpu.used
quantity: {multiply: [cores, took], divideBy: '3600000'}
start: {column: from, unit: Milliseconds}
end: {after: took, unit: Milliseconds}
";

fn october_2022(usage: &Path, mapping: &Path) -> String {
    printed(&[
        "-f",
        "usage_files/surf-card.yaml",
        "--usage",
        usage.to_str().unwrap(),
        "--mapping",
        mapping.to_str().unwrap(),
        "--period",
        "2022-10..2022-11",
        "-o",
        "json",
    ])
}

#[test]
fn a_wrong_mapping_is_named_by_file_and_line_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let (jobs, mapping) = (folder.path().join("jobs.csv"), folder.path().join("mapping.yaml"));
    std::fs::write(&jobs, JOBS).unwrap();
    let table = [
        (
            "'3600000'",
            "'0'",
            "mapping.yaml:5: quantity.divideBy: 0 is not above zero: allowed are numbers above zero",
        ),
        (
            "'3600000'",
            "'x'",
            "mapping.yaml:5: quantity.divideBy: `x` is not a decimal number",
        ),
        (
            "[cores, took]",
            "[]",
            "mapping.yaml:5: quantity.multiply: is empty: allowed are names of columns",
        ),
        (
            "% 12",
            "% none",
            "mapping.yaml:2: agency: `{job % none:02}` is no column: allowed are words and columns",
        ),
        (
            "after: took, ",
            "",
            "mapping.yaml:7: end: does not say when: allowed is {column: NAME}",
        ),
        (
            "column: from",
            "after: from",
            "mapping.yaml:6: start: does not say when: allowed is {column: NAME}",
        ),
        (
            "system: batch",
            "sistem: batch",
            "mapping.yaml:7: missing field `system`",
        ),
        (
            "Milliseconds}\nend",
            "Fortnights}\nend",
            "mapping.yaml:6: unknown variant `Fortnights`, expected one of Seconds",
        ),
        (
            "[cores,",
            "[corse,",
            "jobs.csv:1: column `corse`, which the mapping names, is missing: allowed are the columns of this file, job, cores",
        ),
        (
            "from, unit: Milliseconds",
            "from",
            "jobs.csv:2: column `from`: `1664575200000` is not an instant",
        ),
        (
            "batch\n",
            "batch\ncolour: red\n",
            "mapping.yaml:4: colour: is not a field of this kind: allowed are the fields",
        ),
    ];
    for (right, wrong, message) in table {
        std::fs::write(&mapping, MAPPING.replacen(right, wrong, 1)).unwrap();
        let arguments = ["-f", "usage_files/surf-card.yaml", "--period", "2022-10", "--usage"];
        let paths = [jobs.to_str().unwrap(), "--mapping", mapping.to_str().unwrap()];
        let said = refused(&[&arguments[..], &paths[..]].concat());
        assert!(said.contains(message), "{said}");
    }
}

/// 68,648 jobs of October 2022, which are not part of the project (README of the data folder).
#[test]
fn a_month_of_a_real_computing_service_is_billed_to_the_last_core_second() {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/surf-2022-10-jobs.parquet");
    let jobs = std::env::var_os("MARU_SHARED_DATA")
        .map_or(jobs, |folder| Path::new(&folder).join("surf-2022-10-jobs.parquet"));
    if !jobs.exists() {
        eprintln!(
            "SKIPPED: {} is not there; MARU_SHARED_DATA names its folder",
            jobs.display()
        );
        return;
    }
    let bills = october_2022(&jobs, &here().join("usage_files/surf.yaml"));
    let bills: serde_json::Value = serde_json::from_str(&bills).unwrap();
    let mut seconds = Exact::ZERO;
    let mut agencies = std::collections::BTreeSet::new();
    for bill in bills["bills"].as_array().unwrap() {
        agencies.insert(bill["agency"].as_str().unwrap());
        for line in bill["lines"].as_array().unwrap() {
            let hours: Exact = line["quantity"].as_str().unwrap().parse().unwrap();
            seconds += hours * Exact::from(3600);
        }
    }
    // Figures without an end are printed to 28 places; 24 lines of them are together nearer than this to the sum.
    let off = &seconds - &Exact::from(4_969_387_760i64);
    assert_eq!(
        seconds.round(20, maru_meter::Rounding::HalfUp),
        Exact::from(4_969_387_760i64),
        "{off}"
    );
    assert_eq!(agencies.len(), 12);
    assert_eq!(bills["bills"][0]["lines"][0]["periodStart"], "2022-09-30T22:00:00Z");
    assert_eq!(bills["bills"][0]["lines"][0]["periodEnd"], "2022-10-31T23:00:00Z");
}
