//! The way to the server: plain or with TLS, and a schema that is up to date.

use std::sync::Arc;

use postgres::config::SslMode;
use postgres::{Client, Config, NoTls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{LedgerError, check_schema};

/// What leads to each version, from the one before it.
const MIGRATIONS: [&str; 1] = [include_str!("1.sql")];
/// The key of the lock under which migrations run, one program at a time; any number that nothing else uses.
const MIGRATION_LOCK: i64 = 0x6d61_7275;
const ROOTS: &str = "sslrootcert=";

/// Where the server is and how it is reached.
#[derive(Clone)]
pub(super) struct Way {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    use_for: UseFor,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UseFor {
    /// Reading and issuing; the schema is brought up to date.
    Writing,
    /// Reading alone; nothing is changed.
    Reading,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way")
            .field("hosts", &self.config.get_hosts())
            .finish_non_exhaustive()
    }
}

impl Way {
    pub(super) fn read(address: &str, use_for: UseFor) -> Result<Self, LedgerError> {
        let (address, roots) = without_roots(address);
        let config: Config = address.parse()?;
        let tls = match config.get_ssl_mode() {
            SslMode::Require => Some(tls(roots.as_deref())?),
            _ => None,
        };
        Ok(Self { config, tls, use_for })
    }

    pub(super) fn connect(&self) -> Result<Client, LedgerError> {
        let mut client = match &self.tls {
            Some(tls) => self.config.connect(tls.clone())?,
            None => self.config.connect(NoTls)?,
        };
        match self.use_for {
            UseFor::Writing => migrate(&mut client)?,
            UseFor::Reading => {
                check(&mut client)?;
                client.batch_execute("SET default_transaction_read_only TO on")?;
            }
        }
        client.batch_execute("SET search_path TO maru_ledger; SET synchronous_commit TO on")?;
        Ok(client)
    }
}

/// The setting for the authorities' file is libpq's; the client does not know it.
fn without_roots(address: &str) -> (String, Option<String>) {
    let Some((place, settings)) = address.split_once('?') else {
        return (address.to_owned(), None);
    };
    let (roots, others): (Vec<&str>, Vec<&str>) = settings.split('&').partition(|setting| setting.starts_with(ROOTS));
    let roots = roots.last().map(|setting| setting[ROOTS.len()..].to_owned());
    (format!("{place}?{}", others.join("&")), roots)
}

fn tls(roots: Option<&str>) -> Result<MakeRustlsConnect, LedgerError> {
    // Two crates of the tree bring a provider each, and rustls then refuses to choose. One that is there already stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(file) = roots else {
        return MakeRustlsConnect::with_native_certs()
            .map(|(tls, _)| tls)
            .map_err(|errors| LedgerError::Tls(format!("the system's authorities cannot be read: {errors:?}")));
    };
    let wrong = |error: String| LedgerError::Tls(format!("sslrootcert {file}: {error}"));
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        store.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn known() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// The version that is there; 0 where there is no ledger.
fn found(client: &mut Client) -> Result<i32, LedgerError> {
    let there = client.query_one("SELECT to_regclass('maru_ledger.migration') IS NOT NULL", &[])?;
    if there.get::<_, bool>(0) {
        version(client)
    } else {
        Ok(0)
    }
}

/// Whether the schema is the one that this program reads.
fn check(client: &mut Client) -> Result<(), LedgerError> {
    check_schema(found(client)?.into(), known().into())
}

fn migrate(client: &mut Client) -> Result<(), LedgerError> {
    let known = known();
    if found(client)? == known {
        return Ok(());
    }
    let mut transaction = client.transaction()?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK])?;
    transaction.batch_execute(
        "CREATE SCHEMA IF NOT EXISTS maru_ledger;
         SET LOCAL search_path TO maru_ledger;
         CREATE TABLE IF NOT EXISTS migration (version integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())",
    )?;
    let found = version(&mut transaction)?;
    let Some(missing) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..)) else {
        return Err(LedgerError::Schema {
            found: found.into(),
            known: known.into(),
        });
    };
    for (sql, version) in missing.iter().zip(found + 1..) {
        transaction.batch_execute(sql)?;
        transaction.execute("INSERT INTO migration (version) VALUES ($1)", &[&version])?;
    }
    Ok(transaction.commit()?)
}

fn version(client: &mut impl postgres::GenericClient) -> Result<i32, LedgerError> {
    let row = client.query_one("SELECT coalesce(max(version), 0) FROM maru_ledger.migration", &[])?;
    Ok(row.get(0))
}
