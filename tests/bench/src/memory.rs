//! What the kernel says of a process's memory.

use std::error::Error;

/// The resident set of a process (its number, or `self`) in MiB: `VmRSS` is what it holds, `VmHWM` the most that it held (proc(5)).
///
/// # Errors
/// Where there is no such process.
pub(crate) fn resident_mib(process: &str, which: &str) -> Result<f64, Box<dyn Error + Send + Sync>> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let mut lines = status.lines();
    let found = lines.find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
    let kib = found.and_then(|line| line.split_whitespace().next());
    let kib: f64 = kib.ok_or_else(|| format!("no {which}"))?.parse()?;
    #[allow(clippy::float_arithmetic, reason = "a figure of a measurement; no money is here")]
    Ok(kib / 1024.0)
}
