//! The `FinOps` Foundation's own validator on the 1.2 export. Its exit code says nothing; its report is read.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use maru_bill::{Focus, FocusDataset, FocusVersion};

use super::year;

/// The version of the rules that the validator carries in its package.
const RULES: &str = "1.2.0.1";
const NEEDED: &str = "focus-validator needs Python 3.12 or 3.13 and, once, the Python registry: install python3.12, or name one by MARU_PYTHON";

#[test]
fn the_validator_finds_no_rule_broken_in_a_year_of_issued_bills() {
    let (bills, zone) = year::bills();
    let focus = Focus::new(&bills, &zone, "2027-01-05T00:00:00Z".parse().unwrap());
    let rows = focus.rows(FocusVersion::V1_2, FocusDataset::CostAndUsage).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (export, report) = (folder.path().join("focus.csv"), folder.path().join("report.xml"));
    std::fs::write(&export, rows.csv().unwrap()).unwrap();
    validate(&environment(), &export, &report);
    let verdicts = verdicts(&std::fs::read_to_string(&report).unwrap());

    let of = |verdict| {
        let rules = verdicts.iter().filter(move |(_, found)| *found == verdict);
        rules.map(|(rule, _)| rule.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(verdicts.len(), 578);
    assert!(of(Verdict::Holds).len() >= 130, "{}", of(Verdict::Holds).len());
    // InvoiceId-C-003-C asks that one of two rules holds: no row has an InvoiceId (004), or every row has one (005). Both are reported as well,
    // each for the whole file, so that one of the two always fails; what counts is that their parent holds.
    assert_eq!(of(Verdict::Broken), ["InvoiceId-C-004-C"]);
    for rule in ["InvoiceId-C-003-C", "InvoiceId-C-005-C", "InvoiceId-C-000-O"] {
        assert!(of(Verdict::Holds).contains(&rule), "{rule}");
    }
}

#[test]
fn the_validator_finds_what_is_wrong_so_that_its_silence_means_something() {
    let (bills, zone) = year::bills();
    let focus = Focus::new(&bills[..1], &zone, "2027-01-05T00:00:00Z".parse().unwrap());
    let rows = focus.rows(FocusVersion::V1_2, FocusDataset::CostAndUsage).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (export, report) = (folder.path().join("focus.csv"), folder.path().join("report.xml"));
    std::fs::write(&export, rows.csv().unwrap().replace(",KRW,", ",WON,")).unwrap();
    validate(&environment(), &export, &report);
    let verdicts = verdicts(&std::fs::read_to_string(&report).unwrap());
    let broken = verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Broken);
    assert!(broken.into_iter().any(|(rule, _)| rule == "BillingCurrency-C-006-M"));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Holds,
    Broken,
    DoesNotApply,
}

/// Each rule of a report and what became of it.
fn verdicts(report: &str) -> Vec<(String, Verdict)> {
    let cases = report.split("<testcase name=\"").skip(1);
    cases
        .map(|case| {
            let rule = case.split([' ', '"']).next().unwrap().to_owned();
            let verdict = match case {
                case if case.contains("<failure") || case.contains("<error") => Verdict::Broken,
                case if case.contains("<skipped") => Verdict::DoesNotApply,
                _ => Verdict::Holds,
            };
            (rule, verdict)
        })
        .collect()
}

fn validate(python: &Path, export: &Path, report: &Path) {
    // It opens its currencies by a path from there.
    let packages = said(Command::new(python).args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]));
    let mut validator = Command::new(python);
    validator
        .current_dir(packages.trim())
        .args(["-m", "focus_validator.main", "--data-file"])
        .arg(export);
    validator.args([
        "--validate-version",
        RULES,
        "--block-download",
        "--output-type",
        "unittest",
    ]);
    said(validator.arg("--output-destination").arg(report));
}

fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// The Python of an environment with the validator, made once and kept outside of the checkout. Its packages are pinned by their digests.
pub(crate) fn environment() -> PathBuf {
    let cache = std::env::var_os("MARU_CACHE").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        Some(
            home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?
                .join("maru"),
        )
    });
    let cache = cache.unwrap();
    std::fs::create_dir_all(&cache).unwrap();
    // One test makes it and the others wait.
    let lock = std::fs::File::create(cache.join("focus-validator.lock")).unwrap();
    lock.lock().unwrap();
    let folder = cache.join("focus-validator-2.2.1");
    let (python, complete) = (folder.join("bin/python"), folder.join("complete"));
    if complete.exists() {
        return python;
    }
    let _ = std::fs::remove_dir_all(&folder);
    let known = |python: PathBuf| version(&python).map(|numbers| (python, numbers));
    let (base, numbers) = pythons().into_iter().find_map(known).ok_or(NEEDED).unwrap();
    said(Command::new(&base).args(["-m", "venv"]).arg(&folder));
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ci/focus-validator.txt");
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--quiet", "--require-hashes", "--requirement"])
        .arg(requirements);
    if numbers == "3.12" {
        // All but these two are there as wheels; for 3.13 numpy is compiled as well.
        install.args(["--only-binary", ":all:", "--no-binary", "focus-validator,pandasql"]);
    }
    let installed = install.output().unwrap();
    assert!(
        installed.status.success(),
        "{NEEDED}: {}",
        String::from_utf8_lossy(&installed.stderr)
    );
    std::fs::write(complete, "").unwrap();
    python
}

/// Where a Python may be, the best ones first.
fn pythons() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::env::var_os("MARU_PYTHON").map(PathBuf::from).into_iter().collect();
    found.extend(["python3.12", "python3.13", "python3"].map(PathBuf::from));
    let kept = std::env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".pyenv"))
    });
    let mut versions: Vec<PathBuf> = kept
        .and_then(|root| std::fs::read_dir(root.join("versions")).ok())
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin/python")))
        .collect();
    versions.sort();
    found.extend(versions);
    found
}

/// Its version, where it is one that the validator runs on.
fn version(python: &Path) -> Option<String> {
    let script = "import sys; print('%d.%d' % sys.version_info[:2])";
    let output = Command::new(python).args(["-c", script]).output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    ["3.12", "3.13"].contains(&version.as_str()).then_some(version)
}
