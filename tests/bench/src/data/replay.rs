//! The SQL that the operator ran, read off the server's log, and a bare client that runs it again.

use super::{ADMIN, ADMIN_PASSWORD, Outcome};
use maru_test_postgres::Postgres;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use tokio_postgres::NoTls;
use tokio_postgres::types::ToSql;

/// A line of the server's log (`log_destination = jsonlog`).
#[derive(Debug, Deserialize)]
struct Line {
    user: Option<String>,
    dbname: Option<String>,
    session_id: String,
    message: String,
    detail: Option<String>,
}

/// A statement, with the parameters that came with it.
#[derive(Debug)]
enum Statement {
    Simple(String),
    Asked(String, Vec<String>),
}

/// What one session did in one database.
#[derive(Debug)]
struct Session {
    database: String,
    statements: Vec<Statement>,
}

/// Sessions by the database that they were about, in the order in which they were opened.
#[derive(Debug)]
pub(super) struct Script(BTreeMap<String, Vec<Session>>);

impl Script {
    /// What the administrator's sessions did, as the log of a server says that keeps all statements.
    pub(super) fn read(log: &Path) -> Outcome<Self> {
        let mut order = Vec::new();
        let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
        for line in std::io::BufRead::lines(std::io::BufReader::new(std::fs::File::open(log)?)) {
            let Ok(line) = serde_json::from_str::<Line>(&line?) else {
                continue;
            };
            let (Some(ADMIN), Some(database)) = (line.user.as_deref(), line.dbname) else {
                continue;
            };
            let Some(statement) = Statement::of(&line.message, line.detail.as_deref()) else {
                continue;
            };
            let session = sessions.entry(line.session_id.clone()).or_insert_with(|| {
                order.push(line.session_id.clone());
                Session {
                    database,
                    statements: Vec::new(),
                }
            });
            session.statements.push(statement);
        }
        let mut script: BTreeMap<String, Vec<Session>> = BTreeMap::new();
        for session in order.iter().filter_map(|id| sessions.remove(id)) {
            script.entry(session.about()).or_default().push(session);
        }
        Ok(Self(script))
    }

    /// How many statements it is, and how many sessions.
    pub(super) fn size(&self) -> (usize, usize) {
        let sessions = || self.0.values().flatten();
        (
            sessions().map(|session| session.statements.len()).sum(),
            sessions().count(),
        )
    }

    /// Takes out what was done about one database.
    pub(super) fn take(&mut self, database: &str) -> Act {
        Act(self.0.remove(database).unwrap_or_default())
    }

    /// What is left: what was asked about no dataset.
    pub(super) fn rest(self) -> Act {
        Act(self.0.into_values().flatten().collect())
    }
}

/// The sessions about one database.
#[derive(Debug)]
pub(super) struct Act(Vec<Session>);

impl Act {
    /// Runs them on another server, one after the other.
    pub(super) async fn play(self, server: &Postgres) -> Outcome<()> {
        for session in self.0 {
            let uri = format!(
                "postgresql://{ADMIN}:{ADMIN_PASSWORD}@127.0.0.1:{}/{}",
                server.port(),
                session.database
            );
            let (client, connection) = tokio_postgres::connect(&uri, NoTls).await?;
            let driving = tokio::spawn(connection);
            for statement in session.statements {
                match statement {
                    Statement::Simple(sql) => client.batch_execute(&sql).await?,
                    Statement::Asked(sql, parameters) => {
                        let parameters: Vec<&(dyn ToSql + Sync)> =
                            parameters.iter().map(|one| one as &(dyn ToSql + Sync)).collect();
                        client.query(&sql, &parameters).await?;
                    }
                }
            }
            drop(client);
            driving.await??;
        }
        Ok(())
    }
}

impl Session {
    /// The database that it is about: its own, or the one that it looked for.
    fn about(&self) -> String {
        if self.database != "postgres" {
            return self.database.clone();
        }
        let looked = self.statements.iter().find_map(|statement| match statement {
            Statement::Asked(_, parameters) => parameters.first().cloned(),
            Statement::Simple(_) => None,
        });
        looked.unwrap_or_default()
    }
}

impl Statement {
    fn of(message: &str, detail: Option<&str>) -> Option<Self> {
        if let Some(sql) = message.strip_prefix("statement: ") {
            return Some(Self::Simple(sql.to_owned()));
        }
        let (_, sql) = message.strip_prefix("execute ")?.split_once(": ")?;
        Some(Self::Asked(sql.to_owned(), parameters(detail.unwrap_or_default())))
    }
}

/// The values of `parameters: $1 = 'one', $2 = 'two'`.
fn parameters(detail: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = detail;
    while let Some(begin) = rest.find(" = '") {
        let text = &rest[begin + 4..];
        let mut value = String::new();
        let mut letters = text.char_indices().peekable();
        let mut end = text.len();
        while let Some((place, letter)) = letters.next() {
            if letter != '\'' {
                value.push(letter);
            } else if letters.next_if(|(_, next)| *next == '\'').is_some() {
                value.push('\'');
            } else {
                end = place + 1;
                break;
            }
        }
        all.push(value);
        rest = text.get(end..).unwrap_or_default();
    }
    all
}
