//! Writes the definitions of all kinds to `crds/manifests` and `charts/maru-crds/templates`, and a page about them to `docs/reference`; with
//! `--check` it compares and names what differs.

mod reference;

use std::{
    error::Error,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use maru_crds::{Manifest, manifests};

const HEADER: &str = "# Generated from crds/src by `make generate`. Edit the types there, not this file.\n";

fn main() -> ExitCode {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => {
            eprintln!("maru-crdgen: unknown argument {other}; the only one is --check");
            return ExitCode::from(2);
        }
    };
    match run(check) {
        Ok(stale) if stale.is_empty() => ExitCode::SUCCESS,
        Ok(stale) => {
            for path in stale {
                eprintln!(
                    "maru-crdgen: {} is not what crds/src says; run `make generate` and commit it",
                    path.display()
                );
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("maru-crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the files, or returns those that differ from what would be written.
fn run(check: bool) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let root = repository()?;
    let plain = root.join("crds/manifests");
    let chart = root.join("charts/maru-crds/templates");
    let manifests = manifests()?;
    let mut files = vec![(root.join("docs/reference/kinds.md"), reference::page(&manifests)?)];
    for manifest in manifests {
        let name = format!("{}.yaml", manifest.plural);
        files.push((plain.join(&name), yaml(&manifest)?));
        files.push((chart.join(&name), yaml(&manifest.kept_by_helm())?));
    }
    let mut stale = leftovers(&[plain, chart], &files)?;
    for (path, text) in &files {
        if check {
            if fs::read_to_string(path).ok().as_ref() != Some(text) {
                stale.push(path.clone());
            }
        } else {
            fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    if !check {
        for path in stale.drain(..) {
            fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    stale.sort();
    Ok(stale)
}

/// The repository's folder: the one above this crate's, which cargo names; else the current one.
fn repository() -> io::Result<PathBuf> {
    match std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .as_deref()
        .and_then(Path::parent)
    {
        Some(parent) => Ok(parent.to_owned()),
        None => std::env::current_dir(),
    }
}

fn yaml(manifest: &Manifest) -> Result<String, Box<dyn Error>> {
    Ok(format!("{HEADER}{}", serde_saphyr::to_string(&manifest.definition)?))
}

/// YAML files in the folders that no kind stands for any more.
fn leftovers(folders: &[PathBuf], files: &[(PathBuf, String)]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in folders {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new("yaml")) && files.iter().all(|(known, _)| *known != path) {
                found.push(path);
            }
        }
    }
    Ok(found)
}
