//! `kubectl maru`.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use maru_cli::Cli;

/// An input is wrong.
const WRONG_INPUT: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(printed) => match std::io::stdout().lock().write_all(&printed.bytes) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                let _ = writeln!(std::io::stderr(), "kubectl maru: {error}");
                ExitCode::FAILURE
            }
            _ => ExitCode::from(u8::from(!printed.agrees)),
        },
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "{problem}");
            ExitCode::from(WRONG_INPUT)
        }
    }
}
