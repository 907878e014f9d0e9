//! `kubectl maru grants` and `kubectl maru dataset`: what of ours others may read, what we may read of theirs, and what data is there.

mod backups;
mod describe;
mod grants;
mod line;
mod text;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::connect::{Connection, block_on};
use crate::problem::Problem;

/// Whose grants to list.
#[derive(Debug, Args)]
#[command(after_help = "Exit code 2: an input is wrong, or the cluster does not answer. Nothing is ever written.")]
pub struct GrantsArgs {
    /// The namespace whose grants are listed, both ways; none: the context's.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// The grants of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = DataOutput::Table)]
    output: DataOutput,
    #[command(flatten)]
    connection: Connection,
}

/// What to do with a dataset.
#[derive(Debug, Subcommand)]
pub enum DatasetCommand {
    /// Print what a dataset holds, who may read it, and whether the database agrees.
    Describe(DescribeArgs),
    /// List the backups of datasets.
    Backups(backups::BackupsArgs),
    /// Restore a backup into an empty database, and compare every table with what was backed up.
    Restore(backups::RestoreArgs),
    /// Print a new key for backups, as the file that the operator and `restore` read. Keep it: without it nothing can be restored.
    Key,
}

/// Which dataset to describe.
#[derive(Debug, Args)]
#[command(after_help = "Exit code 2: an input is wrong, or the cluster does not answer. Nothing is ever written.")]
pub struct DescribeArgs {
    /// The dataset's name.
    #[arg(value_name = "DATASET")]
    name: String,
    /// Its namespace; none: the context's.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = DataOutput::Table)]
    output: DataOutput,
    #[command(flatten)]
    connection: Connection,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DataOutput {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// The same document as YAML.
    Yaml,
}

impl DataOutput {
    fn print<T: Serialize>(self, document: &T, table: impl FnOnce(&T) -> String) -> Result<String, Problem> {
        match self {
            Self::Table => Ok(table(document)),
            Self::Json => serde_json::to_string_pretty(document)
                .map(|text| text + "\n")
                .map_err(Problem::new),
            Self::Yaml => serde_saphyr::to_string(document).map_err(Problem::new),
        }
    }
}

/// The text of `kubectl maru grants`.
///
/// # Errors
/// Where the cluster does not answer, or does not allow it.
pub fn grants(args: &GrantsArgs) -> Result<String, Problem> {
    let document = block_on(grants::gather(args))?;
    args.output.print(&document, text::grants)
}

/// The text of `kubectl maru dataset`.
///
/// # Errors
/// Where the cluster does not answer, or does not allow it.
pub fn dataset(command: &DatasetCommand) -> Result<String, Problem> {
    match command {
        DatasetCommand::Describe(args) => {
            let document = block_on(describe::gather(args))?;
            args.output.print(&document, text::described)
        }
        DatasetCommand::Backups(args) => backups::list(args),
        DatasetCommand::Restore(args) => backups::into_database(args),
        DatasetCommand::Key => Ok(backups::key()),
    }
}
