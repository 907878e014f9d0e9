//! `kubectl maru dataset backups`, `restore` and `key`: without the operator and without the cluster, for the day on which both are gone.

use std::path::{Path, PathBuf};

use clap::Args;
use maru_apply::sql::{Password, Way};
use maru_backup::{BackupError, Key, Manifest, Place, restore};
use maru_bill::layout::Align;
use maru_crds::{ServerTls, TlsMode};
use tokio_postgres::config::Host;

use super::DataOutput;
use crate::columns::columns;
use crate::connect::block_on;
use crate::problem::Problem;
use crate::terminal;

/// Whose backups to list.
#[derive(Debug, Args)]
pub struct BackupsArgs {
    /// The dataset, as namespace/name; none: all.
    #[arg(value_name = "NAMESPACE/DATASET")]
    dataset: Option<String>,
    /// Where backups are kept: a directory or a URL.
    #[arg(long, value_name = "PLACE", env = "MARU_BACKUPS")]
    backups: String,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = DataOutput::Table)]
    output: DataOutput,
}

/// What to restore, and where to.
#[derive(Debug, Args)]
#[command(
    after_help = "The database must be there and empty, and whoever is named in --into must own it. Roles and rights are no part of a backup: a Dataset that \
                        adopts the database is given them. Every table is compared with what was backed up before the command says that it is done."
)]
pub struct RestoreArgs {
    /// The dataset, as namespace/name, whose newest backup is restored; or a backup by its whole name, as `dataset backups` prints it.
    #[arg(value_name = "BACKUP")]
    backup: String,
    /// Where backups are kept: a directory or a URL.
    #[arg(long, value_name = "PLACE", env = "MARU_BACKUPS")]
    backups: String,
    /// The file with the key that they are encrypted with.
    #[arg(long, value_name = "FILE", env = "MARU_BACKUP_KEY_FILE")]
    key: PathBuf,
    /// The database that it is restored into: `postgresql://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full`.
    #[arg(long, value_name = "URL", env = "MARU_RESTORE_INTO", hide_env_values = true)]
    into: String,
    /// The certificate of the authority that the server's is checked with, PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// The lines of a new key's file.
pub(super) fn key() -> String {
    Key::generate().1
}

/// The backups that there are.
pub(super) fn list(args: &BackupsArgs) -> Result<String, Problem> {
    let of = args.dataset.as_deref().map(named).transpose()?;
    let place = Place::at(&args.backups).map_err(Problem::new)?;
    let backups = block_on(async { place.list(of).await.map_err(Problem::new) })?;
    args.output.print(&backups, |backups| table(backups))
}

/// Restores a backup and says what was compared.
pub(super) fn into_database(args: &RestoreArgs) -> Result<String, Problem> {
    let text = std::fs::read_to_string(&args.key).map_err(|error| Problem::of(&args.key, error))?;
    let key: Key = text.parse().map_err(|error| Problem::of(&args.key, error))?;
    let place = Place::at(&args.backups).map_err(Problem::new)?;
    let (way, database) = way(&args.into, args.ca.as_deref())?;
    block_on(async {
        let manifest = find(&place, &args.backup).await.map_err(Problem::new)?;
        let compared = restore(&way, &database, &manifest, &place, &key)
            .await
            .map_err(Problem::new)?;
        Ok(format!(
            "{} is restored into {database}: {} tables with {} rows, each compared with what was backed up on {}\n",
            manifest.name, compared.tables, compared.rows, manifest.time
        ))
    })
}

fn named(dataset: &str) -> Result<(&str, &str), Problem> {
    let parts = dataset
        .split_once('/')
        .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty());
    parts.ok_or_else(|| Problem::new(format!("`{dataset}`: allowed is a dataset as namespace/name")))
}

async fn find(place: &Place, backup: &str) -> Result<Manifest, BackupError> {
    if backup.matches('/').count() != 1 {
        return place.manifest(backup).await;
    }
    let mut all = place.list(backup.split_once('/')).await?;
    all.pop().ok_or_else(|| BackupError::NoBackup(backup.to_owned()))
}

fn table(backups: &[Manifest]) -> String {
    if backups.is_empty() {
        return "No backups.\n".to_owned();
    }
    let heads = [
        ("BACKUP", Align::Left),
        ("TIME", Align::Left),
        ("TABLES", Align::Right),
        ("ROWS", Align::Right),
        ("BYTES", Align::Right),
        ("KEPT UNTIL", Align::Left),
    ];
    let row = |backup: &Manifest| {
        vec![
            backup.name.clone(),
            backup.time.to_string(),
            backup.tables.len().to_string(),
            backup.rows().to_string(),
            backup.bytes.to_string(),
            backup.keep_until.to_string(),
        ]
    };
    columns(&heads, backups.iter().map(row).collect(), terminal::columns())
}

/// The way that a URL names. What is wrong with it is said without it: it may hold a password.
fn way(url: &str, ca: Option<&Path>) -> Result<(Way, String), Problem> {
    let wrong = |what: &str| {
        Problem::new(format!(
            "--into: {what}: allowed is such as postgresql://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full"
        ))
    };
    // libpq knows modes that the parser does not.
    let (url, mode) = match url.split_once("sslmode=") {
        None => (url.to_owned(), TlsMode::VerifyFull),
        Some((before, rest)) => {
            let (mode, after) = rest.split_once('&').unwrap_or((rest, ""));
            let mode = match mode {
                "verify-full" => TlsMode::VerifyFull,
                "verify-ca" => TlsMode::VerifyCa,
                "require" => TlsMode::Require,
                "disable" => TlsMode::Disable,
                _ => return Err(wrong("sslmode is none of verify-full, verify-ca, require and disable")),
            };
            (format!("{before}{after}").trim_end_matches(['?', '&']).to_owned(), mode)
        }
    };
    let config: tokio_postgres::Config = url.parse().map_err(|_| wrong("it is no URL of a database"))?;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        _ => return Err(wrong("it names no host")),
    };
    let user = config.get_user().ok_or_else(|| wrong("it names no user"))?;
    let database = config
        .get_dbname()
        .ok_or_else(|| wrong("it names no database"))?
        .to_owned();
    let password = String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned();
    let port = i32::from(config.get_ports().first().copied().unwrap_or(5432));
    let authority = ca
        .map(|file| std::fs::read_to_string(file).map_err(|error| Problem::of(file, error)))
        .transpose()?;
    let tls = ServerTls {
        mode,
        ..ServerTls::default()
    };
    let way = Way::new(&host, port, &tls, authority, user, Password::new(password));
    Ok((way, database))
}
