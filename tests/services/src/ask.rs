//! Questions that the service answers with queries in PostgreSQL.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// How long a database may take.
const LONGEST: Duration = Duration::from_secs(5);

/// What can be asked: from the environment, so that the system's description says it.
///
/// `QUERY_BRACKETS=INCOME SELECT …` is the question `brackets`, asked in the database whose address is in `DATABASE_INCOME`. `{income}` in a query is
/// the view of that name that was granted, in whatever schema it is.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    databases: BTreeMap<String, String>,
    queries: BTreeMap<String, (String, String)>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("{0}: a query names its database first, as in `INCOME SELECT 1`")]
    NoDatabase(String),
    #[error("there is no question `{0}` here")]
    NoQuestion(String),
    #[error("{}", words(.0))]
    Refused(#[from] tokio_postgres::Error),
    #[error("no view `{0}` is granted to this system")]
    NotGranted(String),
    #[error("the database does not answer")]
    TooLong,
}

/// What the server said, and what lies beneath where it did not get so far.
fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("the database refuses: {}", said.message()),
        None => std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string),
    }
}

impl Questions {
    pub(crate) fn from_environment(variables: impl Iterator<Item = (String, String)>) -> Result<Self, AskError> {
        let mut questions = Self::default();
        for (name, value) in variables {
            if let Some(database) = name.strip_prefix("DATABASE_") {
                questions.databases.insert(database.to_owned(), value);
            } else if let Some(question) = name.strip_prefix("QUERY_") {
                let (database, sql) = value
                    .split_once(' ')
                    .ok_or_else(|| AskError::NoDatabase(name.clone()))?;
                let query = (database.to_owned(), sql.to_owned());
                questions.queries.insert(question.to_lowercase(), query);
            }
        }
        Ok(questions)
    }

    /// The rows that a question brings, each with its columns as text.
    pub(crate) async fn ask(&self, question: &str) -> Result<Vec<BTreeMap<String, Option<String>>>, AskError> {
        let asked = tokio::time::timeout(LONGEST, self.ask_patiently(question));
        asked.await.unwrap_or(Err(AskError::TooLong))
    }

    async fn ask_patiently(&self, question: &str) -> Result<Vec<BTreeMap<String, Option<String>>>, AskError> {
        let unknown = || AskError::NoQuestion(question.to_owned());
        let (database, sql) = self.queries.get(question).ok_or_else(unknown)?;
        let address = self.databases.get(database).ok_or_else(unknown)?;
        let (client, connection) = tokio_postgres::connect(address, NoTls).await?;
        let connection = tokio::spawn(connection);
        let sql = with_views(&client, sql).await?;
        let messages = client.simple_query(&sql).await?;
        drop(client);
        connection.abort();
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .map(|row| {
                let columns = row.columns().iter().enumerate();
                columns
                    .map(|(index, column)| (column.name().to_owned(), row.get(index).map(str::to_owned)))
                    .collect()
            })
            .collect())
    }
}

/// The query with the places of the views that it names in braces.
async fn with_views(client: &Client, sql: &str) -> Result<String, AskError> {
    let mut written = String::new();
    let mut rest = sql;
    while let Some((before, (view, after))) = rest
        .split_once('{')
        .and_then(|(before, inside)| Some((before, inside.split_once('}')?)))
    {
        let place = "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.views \
             WHERE table_name = $1 AND table_schema NOT IN ('pg_catalog', 'information_schema')";
        let found = client.query_opt(place, &[&view]).await?;
        let found: String = found.ok_or_else(|| AskError::NotGranted(view.to_owned()))?.get(0);
        written.push_str(before);
        written.push_str(&found);
        rest = after;
    }
    Ok(written + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        let owned: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        owned.into_iter()
    }

    #[tokio::test]
    async fn a_question_is_answered_from_a_real_database_and_a_refusal_says_what_the_server_said() {
        let server = maru_test_postgres::shared();
        let url = server.create_database("asked").unwrap();
        server
            .sql("asked", "CREATE SCHEMA g1; CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2); CREATE VIEW g1.seen AS SELECT n FROM t")
            .unwrap();
        let questions = Questions::from_environment(variables(&[
            ("DATABASE_OWN", &url),
            ("QUERY_SUM", "OWN SELECT sum(n) AS total FROM {seen}"),
            ("QUERY_HIDDEN", "OWN SELECT 1 FROM {hidden}"),
            ("QUERY_WRONG", "OWN SELECT nothing FROM t"),
        ]))
        .unwrap();
        let rows = questions.ask("sum").await.unwrap();
        assert_eq!(rows[0]["total"].as_deref(), Some("3"));
        for (question, said) in [
            ("hidden", "no view `hidden` is granted"),
            ("wrong", "column \"nothing\" does not exist"),
            ("other", "no question `other`"),
        ] {
            let error = questions.ask(question).await.unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(Questions::from_environment(variables(&[("QUERY_X", "SELECT")])).is_err());
    }
}
