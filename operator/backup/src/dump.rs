//! Making a backup: dumped, encrypted, checksummed and stored as it comes, in bounded memory.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use jiff::{SignedDuration, Timestamp};
use maru_apply::sql::Way;
use object_store::buffered::BufWriter;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio_util::io::SyncIoBridge;

use crate::error::BackupError;
use crate::manifest::{Manifest, Whose};
use crate::programs::{Running, find};
use crate::{Key, Place, sums};

/// Bytes that are read at once.
const PART: usize = 1 << 20;

/// What is to be backed up.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whose data it is.
    pub dataset: Whose,
    /// The database's name.
    pub database: String,
    /// The role that owns it, whose rights are used; none: those of whoever asks.
    pub owner: Option<String>,
    /// For how many days the backup is kept.
    pub retention_days: u32,
}

/// Makes a backup of a database as it is at one moment. What is there when this fails is no backup and is overwritten or swept later.
///
/// # Errors
/// Where the server, `pg_dump` or the store do not do it.
pub async fn back_up(way: &Way, asked: &Asked, place: &Place, key: &Key) -> Result<Manifest, BackupError> {
    let session = way.connect(&asked.database).await?;
    sums::begin(&session, asked.owner.as_deref()).await?;
    let time = second(Timestamp::now());
    let snapshot = session.text("SELECT pg_export_snapshot()", &[]).await?;
    let Whose { namespace, name, .. } = &asked.dataset;
    let name = format!("{namespace}/{name}/{}", time.strftime("%Y%m%dT%H%M%SZ"));

    let authority = authority_file(way)?;
    let mut command = Command::new(find("pg_dump")?);
    way.lend(
        &mut command,
        &asked.database,
        authority.as_ref().map(tempfile::NamedTempFile::path),
    );
    command
        .args([
            "--format=custom",
            "--no-owner",
            "--no-privileges",
            "--lock-wait-timeout=60000",
        ])
        .args(["--exclude-schema=maru", "--exclude-schema=maru_*"])
        .arg(format!("--snapshot={snapshot}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(owner) = &asked.owner {
        command.arg(format!("--role={owner}"));
    }
    let upload = BufWriter::new(Arc::clone(&place.store), Place::dump_of(&name));
    let recipient = key.recipient();
    let bridge = SyncIoBridge::new(upload);
    // Rows are added up while they are dumped: both see the same moment.
    let dumping = tokio::task::spawn_blocking(move || dump(&mut command, &recipient, bridge));
    let (tables, dumped) = tokio::join!(sums::table_sums(&session), dumping);
    // Where rows cannot be read, the program's own complaint is about the moment that went with the transaction.
    let tables = tables?;
    let (mut upload, bytes, sha256) = dumped??;
    upload.shutdown().await.map_err(BackupError::file("storing the dump"))?;
    let manifest = Manifest {
        name,
        dataset: asked.dataset.clone(),
        database: asked.database.clone(),
        time,
        keep_until: time + SignedDuration::from_hours(24 * i64::from(asked.retention_days)),
        bytes,
        sha256,
        tables,
    };
    place.put(&manifest).await?;
    Ok(manifest)
}

/// Runs the dump through encryption into the store. Gives the upload, how many bytes went into it, and their checksum.
fn dump(
    command: &mut Command,
    recipient: &age::x25519::Recipient,
    upload: SyncIoBridge<BufWriter>,
) -> Result<(BufWriter, u64, String), BackupError> {
    let mut running = Running::start("pg_dump", command)?;
    let (out, err) = (running.child().stdout.take(), running.child().stderr.take());
    let said = std::thread::spawn(move || {
        let mut said = String::new();
        // What it says is for people; what cannot be read of it is left out.
        let _ = err.map(|mut err| err.read_to_string(&mut said));
        said
    });
    let summing = Summing {
        inner: upload,
        digest: Sha256::new(),
        bytes: 0,
    };
    let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient as &dyn age::Recipient))
        .map_err(|error| BackupError::Key(error.to_string()))?;
    let mut sealed = encryptor
        .wrap_output(summing)
        .map_err(BackupError::file("encrypting the dump"))?;
    if let Some(mut out) = out {
        let mut part = vec![0; PART];
        loop {
            let read = out.read(&mut part).map_err(BackupError::file("reading the dump"))?;
            if read == 0 {
                break;
            }
            sealed
                .write_all(&part[..read])
                .map_err(BackupError::file("storing the dump"))?;
        }
    }
    running.ended(&said.join().unwrap_or_default())?;
    let summing = sealed.finish().map_err(BackupError::file("storing the dump"))?;
    let Summing { inner, digest, bytes } = summing;
    Ok((inner.into_inner(), bytes, hex(&digest.finalize())))
}

/// Adds up what passes.
struct Summing<W> {
    inner: W,
    digest: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// The authority's certificate in a file, for libpq, as long as the file is held.
pub(crate) fn authority_file(way: &Way) -> Result<Option<tempfile::NamedTempFile>, BackupError> {
    let Some(pem) = way.authority() else { return Ok(None) };
    let written = tempfile::NamedTempFile::new().and_then(|mut file| {
        file.write_all(pem.as_bytes())?;
        file.flush()?;
        Ok(file)
    });
    written
        .map(Some)
        .map_err(BackupError::file("writing the authority's certificate"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

fn second(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}
