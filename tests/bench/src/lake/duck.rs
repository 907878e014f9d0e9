//! `DuckDB` on the same files, from its Python package.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Found;

/// What its scripts begin with: the table's files, a connection on two threads.
const BEGIN: &str = r#"
import sys, time, json, resource, duckdb
from deltalake import DeltaTable
files = DeltaTable(sys.argv[1]).file_uris()
db = duckdb.connect()
db.execute("SET threads = 2")
db.execute("SET TimeZone = 'UTC'")
# A query of some seconds draws a bar into the answer.
db.execute("SET enable_progress_bar = false")
rows = "read_parquet(" + repr(files) + ")"
"#;

const SUM: &str = r#"
query = """
create temp table sums as select agency, system, meter, unit, completeness, sum(quantity) as quantity from {}
where "start" >= '2026-10-31 15:00:00+00' and "start" < '2026-11-30 15:00:00+00' and "end" <= '2026-11-30 15:00:00+00' group by all
""".format(rows)
began = time.monotonic()
db.execute(query)
seconds = time.monotonic() - began
total = db.execute("select count(*), sum(quantity)::varchar from sums").fetchone()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "first_seconds": 0, "count": total[0], "peak": peak, "result": total[1]}))
"#;

const EXPORT: &str = r#"
db.execute("""
copy (select id, agency, system, resource, meter, unit, source, completeness, quantity, "start", "end" from {} limit {})
to '{}' (format parquet, compression zstd)
""".format(rows, sys.argv[3], sys.argv[2]))
print(db.execute("select count(*) from read_parquet('{}')".format(sys.argv[2])).fetchone()[0])
"#;

const BYTES: &str = "
import os
print(sum(os.path.getsize(file.removeprefix('file://')) for file in files))
";

/// Sums the month.
pub(super) fn sum(lake: &Path) -> Result<Found, Box<dyn Error>> {
    Ok(serde_json::from_str(&run(SUM, lake, &[])?)?)
}

/// Writes so many of the lake's records into a file. Says how many they are.
pub(super) fn export(lake: &Path, file: &Path, records: u64) -> Result<u64, Box<dyn Error>> {
    let file = file.display().to_string();
    Ok(run(EXPORT, lake, &[&file, &records.to_string()])?.trim().parse()?)
}

/// How many bytes the files of the lake's newest version have.
pub(super) fn bytes(lake: &Path) -> Result<u64, Box<dyn Error>> {
    Ok(run(BYTES, lake, &[])?.trim().parse()?)
}

fn run(script: &str, lake: &Path, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new(python()?)
        .args(["-c", &format!("{BEGIN}{script}")])
        .arg(lake)
        .args(arguments)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A Python with the readers, in the cache.
fn python() -> Result<PathBuf, Box<dyn Error>> {
    let folder = maru_test_cluster::cache_dir().join("python-lake");
    let python = folder.join("bin/python");
    let ready = Command::new(&python)
        .args(["-c", "import duckdb, deltalake, pyarrow"])
        .output();
    if ready.is_ok_and(|output| output.status.success()) {
        return Ok(python);
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status()?;
    let installed = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "duckdb", "deltalake", "pyarrow"])
        .status()?;
    if made.success() && installed.success() {
        return Ok(python);
    }
    Err("DuckDB is compared with: a Python 3 with the packages duckdb, deltalake and pyarrow could not be made".into())
}
