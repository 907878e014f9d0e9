//! The pages of `docs/tutorials` that work out bills: their files are written, their commands run, and what they print is what the page says.
//! `MARU_WRITE_REFERENCE=1` writes what they print into the page.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A fenced block: what stands behind the fence, and its lines.
struct Block<'a> {
    about: &'a str,
    text: &'a str,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced
        .map(|block| {
            let (about, text) = block.split_once('\n').unwrap();
            Block { about, text }
        })
        .collect()
}

/// What a command line of the page prints, with the program that was built here under its name as a plugin of kubectl.
fn printed(folder: &Path, line: &str) -> String {
    let line = line.replace("kubectl maru", env!("CARGO_BIN_EXE_kubectl-maru"));
    let output = Command::new("bash")
        .args(["-o", "pipefail", "-c", &line])
        .current_dir(folder)
        .output()
        .unwrap();
    // `head` ends before everything was said.
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{line}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_the_tutorial_on_prices_says_is_what_its_commands_print() {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tutorials/try-a-price.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut now = page.clone();
    let mut commands = 0;
    for block in blocks(&page) {
        if let Some((_, name)) = block.about.split_once("file=") {
            std::fs::write(folder.path().join(name), block.text).unwrap();
        } else if let Some(line) = block.text.lines().next().and_then(|line| line.strip_prefix("$ ")) {
            let anew = format!("$ {line}\n{}", printed(folder.path(), line));
            now = now.replace(block.text, &anew);
            commands += 1;
        }
    }
    if std::env::var_os("MARU_WRITE_REFERENCE").is_some() {
        std::fs::write(&file, &now).unwrap();
        return;
    }
    assert_eq!(commands, 3);
    assert!(now == page, "{} is not up to date: make generate", file.display());
}
