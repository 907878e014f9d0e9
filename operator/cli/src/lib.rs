//! kubectl maru: plan, rate, usage, bills, grants, datasets, verify, reconcile.

pub mod bills;
mod columns;
mod connect;
pub mod data;
mod document;
pub mod estimate;
mod manifests;
pub mod output;
pub mod plan;
mod problem;
pub mod rate;
pub mod reconcile;
pub mod schedule;
mod terminal;
pub mod usage;
pub mod used;
pub mod verify;

use clap::{CommandFactory, Parser, Subcommand};

pub use problem::Problem;

/// Shared information systems of government: what they use, what they cost, who pays.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-maru",
    bin_name = "kubectl maru",
    version,
    after_help = "Exit codes: 0, it was done; 1, what was compared does not agree (verify, reconcile), or the output could not be written; 2, an input is wrong, \
                  something asked for is not there or not allowed, or the cluster does not answer, and nothing was printed but what is wrong."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the bills that you may read, drafts as well.
    Bills(bills::BillsArgs),
    /// Print a bill, or how each of its amounts was worked out.
    Bill(bills::BillArgs),
    /// Give back what an issued bill charged too much: a credit note with the next number, in the ledger.
    Credit(bills::credit::CreditArgs),
    /// Print what a month will cost each agency once files are applied, beside what it costs now.
    Estimate(estimate::EstimateArgs),
    /// Print what applying files would create, change and delete, and write nothing.
    Plan(plan::PlanArgs),
    /// Print the bills that the operator would issue, from files: no cluster, no network.
    Rate(rate::RateArgs),
    /// Print who may read what of ours, until when, and what we may read.
    Grants(data::GrantsArgs),
    /// Look at datasets.
    #[command(subcommand)]
    Dataset(data::DatasetCommand),
    /// Print what agencies and their systems used, by meter and day or month; or bring usage records into a lake.
    Usage(UsageArgs),
    /// Hold what runs in the cluster against what the lake says of it, and print what does not agree.
    Reconcile(reconcile::ReconcileArgs),
    /// Print how what systems cost to build is written off, month by month.
    Schedule(schedule::ScheduleArgs),
    /// Print the completion script of a shell.
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Work an issued bill out again from what it names and say whether every figure agrees.
    Verify(verify::VerifyArgs),
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
struct UsageArgs {
    #[command(subcommand)]
    command: Option<UsageCommand>,
    #[command(flatten)]
    used: used::UsedArgs,
}

#[derive(Debug, Subcommand)]
enum UsageCommand {
    /// Put the usage records of files into a lake, each once: doing it twice is doing it once, and after an end in the middle it goes on where it
    /// was.
    Import(usage::import::ImportArgs),
}

/// What a command says, and whether what it compared agrees.
#[derive(Debug)]
pub struct Printed {
    /// For standard output: text, or the bytes of a file that is asked for.
    pub bytes: Vec<u8>,
    /// False ends the command with exit code 1.
    pub agrees: bool,
}

impl From<String> for Printed {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

impl From<Vec<u8>> for Printed {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, agrees: true }
    }
}

impl Cli {
    /// What the command prints.
    pub fn run(&self) -> Result<Printed, Problem> {
        match &self.command {
            Command::Bills(args) => bills::list(args).map(Printed::from),
            Command::Bill(args) => bills::show(args).map(Printed::from),
            Command::Credit(args) => bills::credit::run(args).map(Printed::from),
            Command::Estimate(args) => estimate::run(args).map(Printed::from),
            Command::Plan(args) => plan::run(args).map(Printed::from),
            Command::Rate(args) => rate::run(args).map(Printed::from),
            Command::Grants(args) => data::grants(args).map(Printed::from),
            Command::Dataset(command) => data::dataset(command).map(Printed::from),
            Command::Usage(args) => match &args.command {
                Some(UsageCommand::Import(args)) => usage::import::run(args),
                None => used::run(&args.used).map(Printed::from),
            },
            Command::Reconcile(args) => reconcile::run(args),
            Command::Schedule(args) => schedule::run(args).map(Printed::from),
            Command::Completion { shell } => Ok(completion(*shell).into()),
            Command::Verify(args) => verify::run(args),
        }
    }
}

/// The script completes the plugin under the name that it is installed as.
fn completion(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kubectl-maru", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
