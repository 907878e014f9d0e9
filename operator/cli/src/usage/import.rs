//! `kubectl maru usage import`: records from files into a lake.
//!
//! Records are appended in parts, each exactly once by id, so an import that ends anywhere can simply be made again. How far it came is
//! kept beside the table, for the same file at the same state only, so that it need not compare again what it has written.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use maru_lake::{Appended, Lake, LakeError};
use maru_meter::{METERED_PLACES, Rounding, UsageRecord};
use sha2::{Digest, Sha256};

use super::columns_file;
use super::mapping::Mapping;
use crate::{Printed, Problem};

/// What is read at each end of a file to know it again.
const ENDS: u64 = 64 * 1024;
/// Records that contradict the lake and are named.
const MOST_NAMED: usize = 20;

/// What to import.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Usage records as JSON lines, CSV or Parquet, by suffix; may be given several times.
    #[arg(value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// The lake: a directory, which is made when it is not there, or a URL such as `s3://bucket/path`.
    #[arg(long, value_name = "PLACE", env = "MARU_LAKE")]
    lake: PathBuf,
    /// How rows of CSV and Parquet files that are not usage records become such (docs/usage-files.md).
    #[arg(long, value_name = "MAPPING.yaml")]
    mapping: Option<PathBuf>,
    /// How many records are written at once. They are held in memory, half a gigabyte for a million.
    #[arg(long, value_name = "RECORDS", default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    at_once: u32,
}

/// What became of the records of a file.
#[derive(Debug, Default)]
pub struct Imported {
    /// New ones.
    pub added: usize,
    /// Those that took the place of one that was not known as well.
    pub bettered: usize,
    /// Those that the lake held already.
    pub known: usize,
    /// Those that an import before this one had written.
    pub skipped: u64,
    /// Line and id of those that the lake holds with other content, which counts.
    pub conflicts: Vec<(u64, String)>,
}

/// Imports and says what became of it. Where the lake holds other content for an id, the command ends with 1.
pub fn run(args: &ImportArgs) -> Result<Printed, Problem> {
    let mapping = args.mapping.as_deref().map(Mapping::read).transpose()?;
    let lake = Lake::open(&args.lake)?;
    let mut text = String::new();
    let mut agrees = true;
    for file in &args.files {
        let imported = import(&lake, file, mapping.as_ref(), args.at_once as usize)?;
        agrees &= imported.conflicts.is_empty();
        text.push_str(&said(file, &imported));
    }
    Ok(Printed {
        bytes: text.into_bytes(),
        agrees,
    })
}

/// Imports the usage records of one file.
pub fn import_file(lake: &Lake, file: &Path, at_once: usize) -> Result<Imported, Problem> {
    import(lake, file, None, at_once)
}

fn said(file: &Path, imported: &Imported) -> String {
    let Imported {
        added,
        bettered,
        known,
        skipped,
        conflicts,
    } = imported;
    let file = file.display();
    let mut text = format!("{file}: {added} added, {bettered} bettered, {known} known");
    if *skipped > 0 {
        let _ = write!(text, ", {skipped} written before it was interrupted");
    }
    let _ = writeln!(text, ", {} refused", conflicts.len());
    for (line, id) in conflicts.iter().take(MOST_NAMED) {
        let _ = writeln!(
            text,
            "{file}:{line}: usage record `{id}` is in the lake with other content, which counts: allowed is a new id for a new record"
        );
    }
    if conflicts.len() > MOST_NAMED {
        let _ = writeln!(text, "{file}: and {} more", conflicts.len() - MOST_NAMED);
    }
    text
}

/// An import on its way.
struct Import<'a> {
    lake: &'a Lake,
    /// Under what the place is kept.
    name: String,
    at_once: usize,
    /// Records that were there before.
    skip: u64,
    read: u64,
    lines: Vec<u64>,
    records: Vec<UsageRecord>,
    imported: Imported,
    /// All of the file went in as columns.
    whole: bool,
    progress: ProgressBar,
    /// Why the lake did not take a part.
    failed: Option<LakeError>,
}

fn import(lake: &Lake, file: &Path, mapping: Option<&Mapping>, at_once: usize) -> Result<Imported, Problem> {
    let name = name_of(file, mapping).map_err(|error| Problem::of(file, error))?;
    let kept = lake.kept(&name)?;
    let skip = kept.and_then(|kept| String::from_utf8(kept).ok()?.parse().ok());
    let progress = ProgressBar::new_spinner().with_style(style());
    let mut import = Import {
        lake,
        name,
        at_once,
        skip: skip.unwrap_or(0),
        read: 0,
        lines: Vec::new(),
        records: Vec::new(),
        imported: Imported {
            skipped: skip.unwrap_or(0),
            ..Imported::default()
        },
        whole: false,
        progress,
        failed: None,
    };
    if mapping.is_none() && file.extension().is_some_and(|suffix| suffix == "parquet") {
        import.take_columns(file)?;
    }
    let read = if import.whole {
        Ok(())
    } else {
        super::each(file, mapping, |line, record| import.take(line, record))
    };
    if let Some(error) = import.failed {
        return Err(interrupted(file, &error));
    }
    // What stands before a wrong line is right, and is written.
    import.write().map_err(|error| interrupted(file, &error))?;
    import.progress.finish_and_clear();
    read?;
    lake.forget(&import.name)?;
    Ok(import.imported)
}

impl Import<'_> {
    fn take(&mut self, line: u64, mut record: UsageRecord) -> Result<(), String> {
        self.read += 1;
        self.progress.inc(1);
        if self.read <= self.skip {
            return Ok(());
        }
        // A mapping that divides gives fractions without an end. They are kept as those of the meter are.
        if record.quantity.places().is_none() {
            record.quantity = record.quantity.round(METERED_PLACES, Rounding::HalfEven);
        }
        Lake::check(&record).map_err(|error| error.to_string())?;
        self.lines.push(line);
        self.records.push(record);
        if self.records.len() < self.at_once {
            return Ok(());
        }
        self.write().map_err(|error| {
            let said = error.to_string();
            self.failed = Some(error);
            said
        })
    }

    /// Appends a file as columns, as far as they are what a lake takes. The rest is for reading row by row, which also finds the words for
    /// what is wrong.
    fn take_columns(&mut self, file: &Path) -> Result<(), Problem> {
        let Some(batches) = columns_file::batches(file, self.skip, self.at_once) else {
            return Ok(());
        };
        // While one part is written, the next one is read.
        let (sender, parts) = std::sync::mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            scope.spawn(move || batches.take_while(|batch| sender.send(batch.clone()).is_ok()).count());
            let mut whole = true;
            for batch in parts {
                let Some(batch) = batch.filter(|batch| matches!(Lake::first_wrong(batch), Ok(None))) else {
                    whole = false;
                    break;
                };
                self.append_columns(&batch).map_err(|error| interrupted(file, &error))?;
            }
            self.whole = whole;
            Ok(())
        })
    }

    fn append_columns(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        let before = self.skip;
        let mut appended = self.lake.append_columns(batch)?;
        self.skip += batch.num_rows() as u64;
        self.progress.set_position(self.skip);
        if !appended.conflicts.is_empty()
            && let Some(ids) = columns_file::ids(batch)
        {
            let lines = ids.iter().map(Option::unwrap_or_default).zip(before + 1..);
            self.name_conflicts(&lines.collect(), std::mem::take(&mut appended.conflicts));
        }
        self.count(&appended)
    }

    /// Appends what is held, and keeps how far that is.
    fn write(&mut self) -> Result<(), LakeError> {
        let mut appended = self.lake.append(&self.records)?;
        let records = std::mem::take(&mut self.records);
        let lines = std::mem::take(&mut self.lines);
        if !appended.conflicts.is_empty() {
            // Of an id that is there twice, the later line contradicts the earlier one.
            let lines = records.iter().map(|record| record.id.as_str()).zip(lines);
            self.name_conflicts(&lines.collect(), std::mem::take(&mut appended.conflicts));
        }
        self.count(&appended)
    }

    fn name_conflicts(&mut self, lines: &HashMap<&str, u64>, ids: Vec<String>) {
        let named = ids.into_iter();
        let named = named.map(|id| (lines.get(id.as_str()).copied().unwrap_or(0), id));
        self.imported.conflicts.extend(named);
    }

    fn count(&mut self, appended: &Appended) -> Result<(), LakeError> {
        self.imported.added += appended.added;
        self.imported.bettered += appended.bettered;
        self.imported.known += appended.known;
        // From the first refusal on, an import that is made again is to find it again.
        if self.imported.conflicts.is_empty() {
            self.lake
                .keep(&self.name, self.read.max(self.skip).to_string().as_bytes())?;
        }
        Ok(())
    }
}

fn interrupted(file: &Path, error: &LakeError) -> Problem {
    Problem::of(
        file,
        format!("{error}; what was written stays, and the same command goes on there"),
    )
}

/// The count, and how fast it goes; nothing where nobody looks.
fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{spinner} {human_pos} records, {per_sec}, {elapsed}");
    style.unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// A name for a file as it is now, with the mapping that it is read by: what its place is kept under. Another state of the file is another
/// name, and is imported from its beginning.
fn name_of(file: &Path, mapping: Option<&Mapping>) -> std::io::Result<String> {
    let mut reader = File::open(file)?;
    let about = reader.metadata()?;
    let mut digest = Sha256::new();
    digest.update(file.canonicalize()?.as_os_str().as_encoded_bytes());
    for number in [about.ino(), about.len()] {
        digest.update(number.to_be_bytes());
    }
    for number in [about.mtime(), about.mtime_nsec()] {
        digest.update(number.to_be_bytes());
    }
    digest.update(format!("{mapping:?}"));
    let mut bytes = Vec::new();
    reader.by_ref().take(ENDS).read_to_end(&mut bytes)?;
    reader.seek(SeekFrom::Start(about.len().saturating_sub(ENDS)))?;
    reader.read_to_end(&mut bytes)?;
    digest.update(&bytes);
    let mut name = "import-".to_owned();
    for byte in &digest.finalize()[..16] {
        let _ = write!(name, "{byte:02x}");
    }
    Ok(name)
}
