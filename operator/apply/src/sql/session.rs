//! A session with a database: questions, and the transactions of a plan.

use super::certificate::connector;
use super::error::SqlError;
use super::password::Password;
use maru_crds::{ServerTls, TlsMode};
use maru_desire::dataset::{Statement, Transaction, literal};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// What holds in every session: names mean what the catalogs mean by them, and nothing waits without end.
const SETTINGS: &str = "-c search_path=pg_catalog -c statement_timeout=20000 -c lock_timeout=3000 \
                        -c idle_in_transaction_session_timeout=60000";

/// Where a server is and who asks.
#[derive(Clone)]
pub struct Way {
    host: String,
    port: u16,
    mode: TlsMode,
    authority: Option<String>,
    user: String,
    password: Password,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Way {
    /// A way to a server. `authority` is PEM.
    pub fn new(
        host: &str,
        port: i32,
        tls: &ServerTls,
        authority: Option<String>,
        user: &str,
        password: Password,
    ) -> Self {
        Self {
            host: host.to_owned(),
            port: u16::try_from(port).unwrap_or(5432),
            mode: tls.mode,
            authority,
            user: user.to_owned(),
            password,
        }
    }

    /// Lends the way to one of PostgreSQL's own programs, in the variables that libpq reads: the password is in no argument, which others on the
    /// machine would see. `authority` is a file with the PEM that the way was made with.
    pub fn lend(&self, program: &mut std::process::Command, database: &str, authority: Option<&Path>) {
        program
            .env("PGHOST", &self.host)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.user)
            .env("PGPASSWORD", self.password.word())
            .env("PGDATABASE", database)
            .env("PGAPPNAME", "maru")
            .env("PGCONNECT_TIMEOUT", CONNECT.as_secs().to_string())
            .env("PGSSLMODE", libpq_mode(self.mode));
        // libpq 15 does not look at the system's authorities by itself.
        let system = Path::new("/etc/ssl/certs/ca-certificates.crt");
        if let Some(file) = authority.or_else(|| system.exists().then_some(system)) {
            program.env("PGSSLROOTCERT", file);
        }
    }

    /// The authority's certificate, PEM, where one is known.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Opens a session with a database.
    ///
    /// # Errors
    /// Where the server cannot be reached, or lets nobody in.
    pub async fn connect(&self, database: &str) -> Result<Session, SqlError> {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .password(self.password.word())
            .dbname(database)
            .application_name("maru")
            .options(SETTINGS)
            .connect_timeout(CONNECT);
        let connecting = async {
            if let Some(tls) = connector(self.mode, self.authority.as_deref())? {
                let (client, connection) = config.ssl_mode(SslMode::Require).connect(tls).await?;
                Ok((client, tokio::spawn(drive(connection))))
            } else {
                let (client, connection) = config.ssl_mode(SslMode::Disable).connect(NoTls).await?;
                Ok((client, tokio::spawn(drive(connection))))
            }
        };
        // The limit of the configuration is for the socket alone, and a server may take it and say nothing.
        let answer: Result<_, SqlError> = tokio::time::timeout(CONNECT * 2, connecting)
            .await
            .unwrap_or_else(|_| Err(SqlError::Unreachable("it took too long to answer".to_owned())));
        let (client, driver) = answer?;
        Ok(Session { client, driver })
    }
}

/// A mode as libpq has it.
pub const fn libpq_mode(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::VerifyFull => "verify-full",
        TlsMode::VerifyCa => "verify-ca",
        TlsMode::Require => "require",
        TlsMode::Disable => "disable",
    }
}

async fn drive<F, E>(connection: F)
where
    F: Future<Output = Result<(), E>>,
{
    // How it ended is told to whoever waits for an answer.
    let _ = connection.await;
}

/// An open session; it ends when it is dropped.
#[derive(Debug)]
pub struct Session {
    client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    /// The only value of the only row of a query.
    ///
    /// # Errors
    /// Where the server does not answer with one text.
    pub async fn text(&self, sql: &str, parameters: &[&str]) -> Result<String, SqlError> {
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters
            .iter()
            .map(|parameter| parameter as &(dyn ToSql + Sync))
            .collect();
        let row = self.client.query_one(sql, &parameters).await?;
        row.try_get(0).map_err(|error| SqlError::Answer(error.to_string()))
    }

    /// Runs statements that answer nothing.
    ///
    /// # Errors
    /// The first statement that the server refuses.
    pub async fn batch(&self, sql: &str) -> Result<(), SqlError> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Carries a transaction out, whole or not at all. The passwords are those of the roles whose verifiers it sets.
    ///
    /// # Errors
    /// The first statement that the server refuses; nothing of the transaction then holds.
    pub async fn run(
        &mut self,
        transaction: &Transaction,
        passwords: &BTreeMap<String, Password>,
    ) -> Result<(), SqlError> {
        if transaction.apart {
            for statement in &transaction.statements {
                self.client.batch_execute(&complete(statement, passwords)?).await?;
            }
            return Ok(());
        }
        let open = self.client.transaction().await?;
        for statement in &transaction.statements {
            open.batch_execute(&complete(statement, passwords)?).await?;
        }
        open.commit().await?;
        Ok(())
    }
}

fn complete(statement: &Statement, passwords: &BTreeMap<String, Password>) -> Result<String, SqlError> {
    let Some(role) = &statement.password_of else {
        return Ok(statement.sql.clone());
    };
    let password = passwords
        .get(role)
        .and_then(|password| literal(&password.verifier()))
        .ok_or_else(|| SqlError::Answer(format!("there is no password for {role}")))?;
    Ok(format!("{}{password}", statement.sql))
}
