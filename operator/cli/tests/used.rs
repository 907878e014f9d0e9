//! What an agency used, as `kubectl maru usage` prints it from a lake.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use clap::Parser;
use maru_cli::{Cli, Problem};
use maru_lake::Lake;
use maru_meter::{Completeness, UsageRecord};

fn record(agency: &str, system: &str, hours: [&str; 2], quantity: &str, completeness: Completeness) -> UsageRecord {
    UsageRecord {
        id: format!("{system}/{}", hours[0]),
        agency: agency.to_owned(),
        system: system.to_owned(),
        resource: format!("{system}-1"),
        meter: "cpu.reserved".to_owned(),
        quantity: quantity.parse().unwrap(),
        unit: "core-hour".to_owned(),
        start: hours[0].parse().unwrap(),
        end: hours[1].parse().unwrap(),
        source: "pods".to_owned(),
        completeness,
        recorded_at: None,
    }
}

fn lake(folder: &Path) {
    let whole = Completeness::Complete;
    Lake::open(folder)
        .unwrap()
        .append(&[
            record(
                "nts",
                "nts/hometax",
                ["2026-10-01T00:00:00Z", "2026-10-01T01:00:00Z"],
                "2",
                whole,
            ),
            record(
                "nts",
                "nts/hometax",
                ["2026-10-01T01:00:00Z", "2026-10-01T02:00:00Z"],
                "2",
                whole,
            ),
            // Over midnight in Seoul, a quarter of it before.
            record(
                "nts",
                "nts/hometax",
                ["2026-10-02T14:45:00Z", "2026-10-02T15:45:00Z"],
                "4",
                whole,
            ),
            record(
                "nts",
                "nts/hometax",
                ["2026-10-05T00:00:00Z", "2026-10-05T01:00:00Z"],
                "0",
                Completeness::Missing,
            ),
            record(
                "mois",
                "mois/docs",
                ["2026-10-03T00:00:00Z", "2026-10-03T01:00:00Z"],
                "0.5",
                Completeness::Estimated,
            ),
            record(
                "mois",
                "mois/docs",
                ["2026-11-03T00:00:00Z", "2026-11-03T01:00:00Z"],
                "9",
                whole,
            ),
        ])
        .unwrap();
}

fn used(folder: &Path, more: &[&str]) -> Result<String, Problem> {
    let folder = folder.to_str().unwrap();
    let arguments = ["kubectl-maru", "usage", "--lake", folder, "--time-zone", "Asia/Seoul"];
    let printed = Cli::try_parse_from(arguments.iter().chain(more)).unwrap().run()?;
    Ok(String::from_utf8(printed.bytes).unwrap())
}

#[test]
fn a_month_is_a_line_a_meter_with_its_days_as_a_plot() {
    let folder = tempfile::tempdir().unwrap();
    lake(folder.path());
    assert_eq!(
        used(folder.path(), &["--period", "2026-10"]).unwrap(),
        "2026-10-01 to 2026-10-31\n\
         AGENCY  SYSTEM       METER         QUANTITY  UNIT       SEEN       PLOT\n\
         mois    mois/docs    cpu.reserved       0.5  core-hour  estimated  ··█····························\n\
         nts     nts/hometax  cpu.reserved         8  core-hour  holes      █▂▆·?··························\n"
    );
}

#[test]
fn by_hour_each_day_is_a_line_whose_letters_are_hours_of_utc() {
    let folder = tempfile::tempdir().unwrap();
    lake(folder.path());
    let hours = used(
        folder.path(),
        &["--period", "2026-10", "--per", "hour", "--system", "nts/hometax"],
    )
    .unwrap();
    assert_eq!(
        hours,
        "2026-09-30T15:00Z to 2026-10-31T14:00Z\n\
         AGENCY  SYSTEM       METER         DAY         QUANTITY  UNIT       SEEN   PLOT\n\
         nts     nts/hometax  cpu.reserved  2026-10-01         4  core-hour  all    ██······················\n\
         nts     nts/hometax  cpu.reserved  2026-10-02         4  core-hour  all    ··············▃█········\n\
         nts     nts/hometax  cpu.reserved  2026-10-05         0  core-hour  holes  ?·······················\n"
    );
}

#[test]
fn every_day_is_in_the_rows_for_programs_and_a_record_over_midnight_is_in_both() {
    let folder = tempfile::tempdir().unwrap();
    lake(folder.path());
    assert_eq!(
        used(folder.path(), &["--period", "2026-10", "--agency", "nts", "-o", "csv"]).unwrap(),
        "time,agency,system,meter,quantity,unit,completeness\n\
         2026-10-01,nts,nts/hometax,cpu.reserved,4,core-hour,Complete\n\
         2026-10-02,nts,nts/hometax,cpu.reserved,1,core-hour,Complete\n\
         2026-10-03,nts,nts/hometax,cpu.reserved,3,core-hour,Complete\n\
         2026-10-05,nts,nts/hometax,cpu.reserved,0,core-hour,Missing\n"
    );
    let months = [
        "--period",
        "2026-10..2026-11",
        "--per",
        "month",
        "--by",
        "agency",
        "-o",
        "json",
    ];
    let document: serde_json::Value = serde_json::from_str(&used(folder.path(), &months).unwrap()).unwrap();
    let rows = document["usage"].as_array().unwrap();
    let found: Vec<[&str; 3]> = rows
        .iter()
        .map(|row| ["time", "agency", "quantity"].map(|name| row[name].as_str().unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            ["2026-10", "mois", "0.5"],
            ["2026-10", "nts", "8"],
            ["2026-11", "mois", "9"]
        ]
    );
}

#[test]
fn what_is_asked_wrongly_is_refused_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    lake(folder.path());
    for (more, said) in [
        (&["--period", "2026-13"][..], "--period"),
        (&[][..], "--lake needs --period, such as 2026-10"),
    ] {
        let problem = used(folder.path(), more).unwrap_err().to_string();
        assert!(problem.contains(said), "{problem}");
    }
}
