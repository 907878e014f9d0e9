//! Restoring a backup, and seeing that it can be.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use futures::TryStreamExt;
use maru_apply::sql::{SqlError, Way};
use maru_desire::dataset::identifier;
use object_store::ObjectStoreExt;
use sha2::{Digest, Sha256};
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::dump::{authority_file, hex};
use crate::error::BackupError;
use crate::manifest::Manifest;
use crate::programs::{Running, find};
use crate::{Key, Place, sums};

/// Bytes that are read at once.
const PART: usize = 1 << 20;

/// What a restore was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Tables that have the rows that were backed up.
    pub tables: usize,
    /// Their rows.
    pub rows: u64,
}

/// Restores a backup into a database that is there and empty, and compares every table with what was backed up. Roles and rights are not part
/// of it.
///
/// # Errors
/// Where the dump is damaged or the key is another one, before anything is believed of it; where `pg_restore` fails; and where a table differs.
pub async fn restore(
    way: &Way,
    database: &str,
    manifest: &Manifest,
    place: &Place,
    key: &Key,
) -> Result<Compared, BackupError> {
    whole(manifest, place).await?;
    let got = place.store.get(&Place::dump_of(&manifest.name)).await?;
    let stored = SyncIoBridge::new(StreamReader::new(got.into_stream().map_err(std::io::Error::other)));
    let authority = authority_file(way)?;
    let mut command = Command::new(find("pg_restore")?);
    way.lend(
        &mut command,
        database,
        authority.as_ref().map(tempfile::NamedTempFile::path),
    );
    command
        .args([
            "--no-owner",
            "--no-privileges",
            "--exit-on-error",
            "--single-transaction",
        ])
        .arg(format!("--dbname={database}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let (name, key) = (manifest.name.clone(), key.clone());
    tokio::task::spawn_blocking(move || fill(&mut command, &name, &key, stored)).await??;
    let session = way.connect(database).await?;
    sums::begin(&session, None).await?;
    let found = sums::table_sums(&session).await?;
    let differences = manifest.differences(&found);
    if !differences.is_empty() {
        return Err(BackupError::Differs {
            name: manifest.name.clone(),
            differences: differences.join("; "),
        });
    }
    Ok(Compared {
        tables: found.len(),
        rows: manifest.rows(),
    })
}

/// Restores a backup into a database of its own, which goes again, and compares every table. `admin` is the database that one connects to in
/// order to make others.
///
/// # Errors
/// As [`restore`], and where the server makes no database.
pub async fn verify(
    way: &Way,
    admin: &str,
    manifest: &Manifest,
    place: &Place,
    key: &Key,
) -> Result<Compared, BackupError> {
    let digits = manifest.dataset.uid.chars().filter(char::is_ascii_hexdigit).take(32);
    let scratch = format!("maru_scratch_{}", digits.collect::<String>());
    let quoted = identifier(&scratch).ok_or_else(|| SqlError::Answer("the scratch database has no name".to_owned()))?;
    let session = way.connect(admin).await?;
    let gone = format!("DROP DATABASE IF EXISTS {quoted} WITH (FORCE)");
    // One that somebody left behind in the middle.
    session.batch(&gone).await?;
    session
        .batch(&format!("CREATE DATABASE {quoted} TEMPLATE template0"))
        .await?;
    let compared = restore(way, &scratch, manifest, place, key).await;
    session.batch(&gone).await?;
    compared
}

/// Sees that the dump is what was stored, before any of it is used.
async fn whole(manifest: &Manifest, place: &Place) -> Result<(), BackupError> {
    let damaged = |reason: String| BackupError::Damaged {
        name: manifest.name.clone(),
        reason,
    };
    let got = match place.store.get(&Place::dump_of(&manifest.name)).await {
        Err(object_store::Error::NotFound { .. }) => return Err(damaged("its dump is not there".to_owned())),
        got => got?,
    };
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    let mut parts = got.into_stream();
    while let Some(part) = parts.try_next().await? {
        bytes += part.len() as u64;
        digest.update(&part);
    }
    if bytes != manifest.bytes {
        return Err(damaged(format!("it has {bytes} bytes in place of {}", manifest.bytes)));
    }
    if hex(&digest.finalize()) != manifest.sha256 {
        return Err(damaged("its checksum is another one".to_owned()));
    }
    Ok(())
}

/// Decrypts the dump into the program that restores it.
fn fill(command: &mut Command, name: &str, key: &Key, stored: impl Read) -> Result<(), BackupError> {
    let decrypting = |error: age::DecryptError| match error {
        age::DecryptError::NoMatchingKeys => BackupError::WrongKey { name: name.to_owned() },
        error => BackupError::Damaged {
            name: name.to_owned(),
            reason: error.to_string(),
        },
    };
    let opened = age::Decryptor::new(stored).map_err(decrypting)?;
    let mut opened = opened
        .decrypt(std::iter::once(key.identity() as &dyn age::Identity))
        .map_err(decrypting)?;
    let mut running = Running::start("pg_restore", command)?;
    let (input, err) = (running.child().stdin.take(), running.child().stderr.take());
    let said = std::thread::spawn(move || {
        let mut said = String::new();
        // What it says is for people; what cannot be read of it is left out.
        let _ = err.map(|mut err| err.read_to_string(&mut said));
        said
    });
    if let Some(mut input) = input {
        let mut part = vec![0; PART];
        loop {
            let read = opened
                .read(&mut part)
                .map_err(BackupError::file("decrypting the dump"))?;
            // A program that ended says itself why.
            if read == 0 || input.write_all(&part[..read]).is_err() {
                break;
            }
        }
    }
    running.ended(&said.join().unwrap_or_default())
}
