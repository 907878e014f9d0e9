//! What a query through a grant's view costs over the same query on its table.

use super::Outcome;
use crate::kept::Row;
use crate::operator::Operator;
use kube::api::Api;
use maru_crds::DataGrant;
use maru_stories::cluster_with_kinds;
use maru_stories::data::{
    ADMIN_PASSWORD, accept, condition, dataset, grant, make_admin, put, register_server, secret, two_ministries,
};
use maru_test_cluster::Cluster;
use maru_test_postgres::{Postgres, PostgresOptions};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};

/// How often each is asked, in turns.
const ROUNDS: usize = 15;

struct Query {
    what: &'static str,
    columns: &'static str,
    condition: &'static str,
    /// How often in one round.
    times: usize,
    most: f64,
}

const QUERIES: [Query; 3] = [
    Query {
        what: "one row by its key",
        columns: "name, region",
        condition: "WHERE name = $1",
        times: 2_000,
        most: 1.05,
    },
    Query {
        what: "a thousandth of the rows, by a range of keys",
        columns: "name, region",
        condition: "WHERE name >= $1 AND name < $1 || 'a'",
        times: 20,
        most: 1.10,
    },
    Query {
        what: "all rows, given to the client",
        columns: "name, region",
        condition: "WHERE name <> $1",
        times: 1,
        most: 1.10,
    },
];

/// A table with so many rows, and a grant of it without a filter.
struct Place {
    cluster: Cluster,
    _server: Postgres,
    schema: String,
    owner: Client,
    consumer: Client,
}

impl Place {
    async fn set(rows: usize) -> Outcome<Self> {
        let cluster = cluster_with_kinds().await;
        let client = cluster.client()?;
        let settings = [("max_parallel_workers_per_gather", "0"), ("autovacuum", "off")];
        let server = Postgres::start(&PostgresOptions {
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..PostgresOptions::default()
        })?;
        make_admin(&server);
        let operator = Operator::start(cluster.kubeconfig(), 4).await?;
        register_server(&client, &server, ADMIN_PASSWORD, json!({"mode": "Disable"})).await;
        two_ministries(&client).await;
        condition(&client, &dataset(), "Ready", "True", "Ready").await;
        for sql in [
            format!(
                "INSERT INTO business SELECT to_char(n, 'FM0000000'), 'Seoul', 'Kim' FROM generate_series(1, {rows}) AS n"
            ),
            "CREATE UNIQUE INDEX ON business (name)".to_owned(),
            "VACUUM ANALYZE business".to_owned(),
        ] {
            server.sql("nts_businesses", &sql)?;
        }
        let mut plain = grant("letters", 3600);
        plain["spec"]["tables"] = json!([{"name": "business", "columns": ["name", "region"]}]);
        put(&client, &plain).await;
        accept(&client, &["letters"]).await;
        condition(&client, &plain, "Ready", "True", "Ready").await;
        let found = Api::<DataGrant>::namespaced(client.clone(), "nts")
            .get("letters")
            .await?;
        let schema = found.status.and_then(|status| status.view_schema).ok_or("no view")?;
        let owner = connect(&client, "nts", "registry.data.nts.businesses").await?;
        let consumer = connect(&client, "mois", "docs.data.nts.businesses").await?;
        // Nobody verifies in between.
        drop(operator);
        Ok(Self {
            cluster,
            _server: server,
            schema,
            owner,
            consumer,
        })
    }

    async fn ask(&self, area: &str, query: &Query, rows: usize) -> Outcome<Row> {
        let of = |place: &str| format!("SELECT {} FROM {place}.business {}", query.columns, query.condition);
        let table = self.owner.prepare(&of("public")).await?;
        let view = self.consumer.prepare(&of(&self.schema)).await?;
        let (mut ratios, mut base) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let on_table = asked(&self.owner, &table, query, rows).await?;
            let through_view = asked(&self.consumer, &view, query, rows).await?;
            // The first round fills caches.
            if round > 0 {
                ratios.push(through_view.as_secs_f64() / on_table.as_secs_f64());
                base.push(on_table);
            }
        }
        ratios.sort_by(f64::total_cmp);
        base.sort();
        let each = base[ROUNDS / 2].as_secs_f64() * 1000.0 / query.times as f64;
        let measure = format!(
            "{} of {rows} ({each:.3} ms on the table by its owner) through a grant's view, median of {ROUNDS} ({:.2} to {:.2})",
            query.what,
            ratios[0],
            ratios[ROUNDS - 1]
        );
        Ok(Row::at_most(area, measure, ratios[ROUNDS / 2], "ratio", query.most))
    }
}

/// Measures the queries, each through a view without a filter and on the table by its owner.
pub(super) async fn measure(area: &str, rows: usize) -> Outcome<Vec<Row>> {
    let place = Place::set(rows).await?;
    let mut found = Vec::new();
    for query in &QUERIES {
        found.push(place.ask(area, query, rows).await?);
    }
    place.cluster.stop().await?;
    Ok(found)
}

async fn connect(kubernetes: &kube::Client, namespace: &str, name: &str) -> Outcome<Client> {
    let credentials = secret(kubernetes, namespace, name).await;
    let uri = credentials
        .and_then(|found| found.get("uri").cloned())
        .ok_or("no credentials")?;
    let (client, connection) = tokio_postgres::connect(&uri, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn asked(client: &Client, statement: &Statement, query: &Query, rows: usize) -> Outcome<Duration> {
    let began = Instant::now();
    for time in 0..query.times {
        let key = match query.times {
            1 => String::new(),
            20 => format!("{:04}", time * 37 % (rows / 1000).max(1)),
            _ => format!("{:07}", time * 7919 % rows + 1),
        };
        let parameters: [&(dyn ToSql + Sync); 1] = [&key];
        client.query(statement, &parameters).await?;
    }
    Ok(began.elapsed())
}
