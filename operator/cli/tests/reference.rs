//! The reference page of the command line is what the command says of itself.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use clap::CommandFactory;
use clap_markdown::{MarkdownOptions, help_markdown_command_custom};
use maru_cli::Cli;

#[test]
fn the_reference_page_says_what_the_command_says() {
    let options = MarkdownOptions::new()
        .title("kubectl maru".to_owned())
        .show_footer(false)
        .show_table_of_contents(false);
    let page = help_markdown_command_custom(&Cli::command(), &options);
    let lines: Vec<&str> = page.lines().map(str::trim_end).collect();
    let page = lines.join("\n") + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/command-line.md");
    if std::env::var_os("MARU_WRITE_REFERENCE").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        known == page,
        "docs/reference/command-line.md is not what the command says: `make generate` writes it"
    );
}
