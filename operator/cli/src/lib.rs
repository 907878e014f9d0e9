//! kubectl maru: plan, rate, usage, bills, verify.

mod document;
mod manifests;
mod problem;
pub mod rate;
pub mod schedule;
mod usage_file;

use clap::{Parser, Subcommand};

pub use problem::Problem;

/// Shared information systems of government: what they use, what they cost, who pays.
#[derive(Debug, Parser)]
#[command(name = "kubectl-maru", bin_name = "kubectl maru", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the bills that the operator would issue, from files: no cluster, no network.
    Rate(rate::RateArgs),
    /// Print how what systems cost to build is written off, month by month.
    Schedule(schedule::ScheduleArgs),
}

impl Cli {
    /// What the command prints.
    pub fn run(&self) -> Result<String, Problem> {
        match &self.command {
            Command::Rate(args) => rate::run(args),
            Command::Schedule(args) => schedule::run(args),
        }
    }
}
