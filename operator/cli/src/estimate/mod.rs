//! `kubectl maru estimate`: what a month will cost each agency once files are applied, beside what it costs without them.
//!
//! The engine that bills works out both months, from what systems reserve. What nobody can foresee is said: it is named as assumptions.

mod country;
mod month;
mod report;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use maru_rate::Month;

use crate::connect::{self, Connection};
use crate::plan::files;
use crate::problem::Problem;
use country::Country;
use month::Estimated;

/// What to estimate.
#[derive(Debug, Args)]
pub struct EstimateArgs {
    /// Manifests of Maru's kinds, in any number of files and documents and in any order.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    cluster: Connection,
    /// The namespace of manifests that name none.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Ask no cluster: the files say everything, the RateCard too, and what they cost is the whole difference.
    #[arg(long, conflicts_with_all = ["context", "kubeconfig"])]
    offline: bool,
    /// The price book, where there are several.
    #[arg(long, value_name = "NAME")]
    rate_card: Option<String>,
    /// The month whose prices and hours count, such as 2026-10; none: the present one.
    #[arg(long, value_name = "YYYY-MM")]
    period: Option<Month>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = EstimateOutput::Table)]
    output: EstimateOutput,
}

/// How an estimate is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EstimateOutput {
    /// For people.
    Table,
    /// For programs: with every line of the month.
    Json,
    /// The same document as YAML.
    Yaml,
    /// For spreadsheets: a row for each agency.
    Csv,
}

/// The text to print. Nothing is printed when anything is wrong.
pub fn run(args: &EstimateArgs) -> Result<String, Problem> {
    let files = files::read(&args.files, args.namespace.as_deref())?;
    let now = if args.offline {
        Country::default()
    } else {
        connect::block_on(async { Country::read(&args.cluster.open().await?.0).await })?
    };
    let mut then = now.clone();
    for manifest in &files.manifests {
        then.apply(manifest)?;
    }
    let card = then.card(args.rate_card.as_deref())?;
    let before = now.has(&card).then_some(now);
    let month = match args.period {
        Some(month) => month,
        None => month::present(&then, &card, Timestamp::now())?,
    };
    let before = before
        .map(|country| Estimated::work_out(&country, &card, month))
        .transpose()?;
    let after = Estimated::work_out(&then, &card, month)?;
    report::print(before.as_ref(), &after, args.output)
}
