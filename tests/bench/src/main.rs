//! Benchmarks: what is measured, beside what was promised. `make bench AREA=02`.

#[cfg(any(feature = "area-01", feature = "area-04"))]
mod bare;
#[cfg(feature = "area-02")]
mod billing;
#[cfg(feature = "area-04")]
mod data;
#[cfg(feature = "area-01")]
mod ground;
#[cfg(feature = "area-05")]
mod installing;
mod kept;
#[cfg(feature = "area-03")]
mod lake;
#[cfg(any(feature = "area-01", feature = "area-02", feature = "area-03"))]
mod memory;
#[cfg(any(feature = "area-01", feature = "area-04"))]
mod operator;
#[cfg(feature = "area-02")]
mod report;
#[cfg(feature = "area-02")]
mod surf;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// The operator's allocator, for memory is measured.
#[cfg(feature = "area-03")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures an area against its targets.
#[derive(Debug, Parser)]
struct Args {
    /// Which area.
    #[arg(long, value_enum)]
    area: Area,
    /// Area 02: how many months of the ledger's year are closed.
    #[cfg(feature = "area-02")]
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=12))]
    months: u8,
    #[cfg(feature = "area-01")]
    #[command(flatten)]
    ground: ground::Sizes,
    #[cfg(feature = "area-03")]
    #[command(flatten)]
    lake: lake::Sizes,
    #[cfg(feature = "area-04")]
    #[command(flatten)]
    data: data::Sizes,
    #[cfg(feature = "area-05")]
    #[command(flatten)]
    installing: installing::Parts,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Area {
    /// The ground floor: agencies and systems on a cluster.
    #[cfg(feature = "area-01")]
    #[value(name = "01")]
    Ground,
    /// Rating and the ledger.
    #[cfg(feature = "area-02")]
    #[value(name = "02")]
    Billing,
    /// Metering and the lake.
    #[cfg(feature = "area-03")]
    #[value(name = "03")]
    Lake,
    /// Datasets and their grants.
    #[cfg(feature = "area-04")]
    #[value(name = "04")]
    Data,
    /// The main job: image, installation, handover, the story.
    #[cfg(feature = "area-05")]
    #[value(name = "05")]
    Installing,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match measured(&args) {
        Ok(met) => ExitCode::from(u8::from(!met)),
        Err(error) => {
            eprintln!("maru-bench: {error}");
            ExitCode::from(2)
        }
    }
}

/// Measures the area, prints its table and keeps its rows among those of the other areas. Says whether every target was met.
fn measured(args: &Args) -> Result<bool, Box<dyn Error>> {
    #[cfg(feature = "area-03")]
    if let Some(step) = args.lake.step() {
        println!("{}", lake::step(&args.lake, step)?);
        return Ok(true);
    }
    let rows = match args.area {
        #[cfg(feature = "area-01")]
        Area::Ground => ground::measure(args.ground)?,
        #[cfg(feature = "area-02")]
        Area::Billing => billing::run(args.months)?,
        #[cfg(feature = "area-03")]
        Area::Lake => lake::run(&args.lake)?,
        #[cfg(feature = "area-04")]
        Area::Data => data::measure(args.data)?,
        #[cfg(feature = "area-05")]
        Area::Installing => installing::measure(args.installing)?,
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.maru");
    print!("{}", kept::keep(&folder, &rows)?);
    Ok(rows.iter().all(|row| row.met))
}
