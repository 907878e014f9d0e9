//! What every target does with its bytes: `kubectl maru rate` reads them as one of its files. It prints bills or refuses in one line; it
//! never ends otherwise.

#![allow(clippy::expect_used, clippy::panic, reason = "a fuzzer reads its finding off a panic")]

use clap::Parser;
use maru_cli::Cli;
use std::path::{Path, PathBuf};

/// Which file the bytes are.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    /// A usage file with this suffix.
    Usage(&'static str),
    /// The manifests.
    Manifests,
    /// How the columns of a table become records.
    Mapping,
}

/// Gives the bytes to a reader.
///
/// # Panics
/// Where a refusal says nothing, or more than a line.
pub fn read(reader: Reader, bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for one file");
    let suffix = match reader {
        Reader::Usage(suffix) => suffix,
        Reader::Manifests | Reader::Mapping => "yaml",
    };
    let file = folder.path().join(format!("bytes.{suffix}"));
    std::fs::write(&file, bytes).expect("a file is written");
    let card = example("card.yaml");
    let mut arguments: Vec<PathBuf> = ["kubectl-maru", "rate", "--period", "2026-10", "-f"].map(PathBuf::from).into();
    match reader {
        Reader::Usage(_) => arguments.extend([card, "--usage".into(), file]),
        Reader::Manifests => arguments.extend([file, "--usage".into(), example("usage.jsonl")]),
        Reader::Mapping => {
            let table = example("usage_files/usage.csv");
            arguments.extend([card, "--usage".into(), table, "--mapping".into(), file]);
        }
    }
    let cli = Cli::try_parse_from(arguments).expect("the arguments are right");
    if let Err(refused) = cli.run() {
        let said = refused.to_string();
        assert!(!said.is_empty() && !said.contains('\n'), "{said:?}");
    }
}

/// A file of the command's own tests.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../operator/cli/tests").join(name)
}
