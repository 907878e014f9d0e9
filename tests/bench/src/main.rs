//! Benchmarks: what is measured, beside what was promised. `make bench AREA=02`.

#[cfg(feature = "area-02")]
mod billing;
mod report;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use report::Report;

/// Measures an area against its targets.
#[derive(Debug, Parser)]
struct Args {
    /// Which area.
    #[arg(long, value_enum)]
    area: Area,
    /// Area 02: how many months of the ledger's year are closed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=12))]
    months: u8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Area {
    /// Rating and the ledger.
    #[cfg(feature = "area-02")]
    #[value(name = "02")]
    Billing,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let report: Result<Report, Box<dyn std::error::Error>> = match args.area {
        #[cfg(feature = "area-02")]
        Area::Billing => billing::run(args.months),
    };
    match report {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(u8::from(!report.all_met()))
        }
        Err(error) => {
            eprintln!("maru-bench: {error}");
            ExitCode::from(2)
        }
    }
}
