//! A grant on a real `PostgreSQL`: what the consumer tries with its own credentials, and when it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed helper is a failed test

mod database;

use std::{
    thread,
    time::{Duration, Instant},
};

use database::Place;
use maru_desire::dataset::{Filter, identifier, literal};
use maru_test_postgres::shared;
use postgres::{Client, NoTls};
use proptest::prelude::*;
use serde_json::json;

fn count(client: &mut Client, query: &str) -> i64 {
    client
        .query_one(query, &[])
        .unwrap_or_else(|error| panic!("{query}: {error:?}"))
        .get(0)
}

#[test]
fn a_consumer_reads_the_granted_columns_and_rows_and_nothing_else() {
    let mut place = Place::new();
    let names = place.grant("a1", 600, &json!({}));
    let other = place.grant("a2", 600, &json!({"tables": [{"name": "person", "columns": ["id"]}]}));
    place.withdraw("a2");
    let schema = &names.schema;
    let mut consumer = place.consumer();
    assert_eq!(
        count(&mut consumer, &format!("SELECT count(*) FROM {schema}.person")),
        100
    );
    for attempt in [
        "SELECT * FROM public.person".to_owned(),
        "SELECT id FROM person".to_owned(),
        "COPY public.person TO STDOUT".to_owned(),
        format!("SELECT income FROM {schema}.person"),
        format!("SELECT region FROM {schema}.person"),
        format!("SELECT * FROM {}.person", other.schema),
        format!("DELETE FROM {schema}.person"),
        format!("SET ROLE {}", names.owner),
        "SET ROLE postgres".to_owned(),
        "SELECT * FROM maru.grant_life".to_owned(),
        "UPDATE maru.grant_life SET not_after = 'infinity'".to_owned(),
        "CREATE TABLE public.mine ()".to_owned(),
        "CREATE TEMP TABLE mine ()".to_owned(),
        "CREATE SCHEMA mine".to_owned(),
        format!("CREATE FUNCTION {schema}.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
        format!("ALTER VIEW {schema}.person SET (security_barrier = false)"),
        format!("CREATE OR REPLACE VIEW {schema}.person AS SELECT 1"),
        "CREATE EXTENSION dblink".to_owned(),
        "CREATE EXTENSION postgres_fdw".to_owned(),
        "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw".to_owned(),
        "COPY (SELECT 1) TO PROGRAM 'true'".to_owned(),
        "SELECT pg_read_file('PG_VERSION')".to_owned(),
    ] {
        assert!(consumer.simple_query(&attempt).is_err(), "{attempt} was allowed");
    }
    // Handing on what one may not hand on is a warning in PostgreSQL, not an error: nobody has got anything by it.
    let handed_on = format!("GRANT SELECT ON {schema}.person TO PUBLIC");
    consumer.simple_query(&handed_on).unwrap();
    let public = "SELECT count(*) FROM pg_class, aclexplode(relacl) a WHERE relname = 'person' AND a.grantee = 0";
    assert_eq!(count(&mut consumer, public), 0);
    assert_eq!(
        count(
            &mut consumer,
            "SELECT count(*) FROM pg_stats WHERE tablename = 'person'"
        ),
        0
    );
}

#[test]
fn neither_a_condition_nor_an_error_nor_an_estimate_tells_of_other_rows() {
    let mut place = Place::new();
    let schema = place.grant("b1", 600, &json!({})).schema;
    let mut consumer = place.consumer();
    // Persons from 101 on are not granted: a condition that fails on one would tell its value.
    let fails = format!("SELECT count(*) FROM {schema}.person WHERE 1 / (id - 105) IS NOT NULL");
    assert_eq!(count(&mut consumer, &fails), 100);
    let error = format!("SELECT count(*) FROM {schema}.person WHERE CASE WHEN id > 100 THEN name::int ELSE 1 END = 1");
    assert_eq!(count(&mut consumer, &error), 100);
    let mut estimate = |condition: &str| {
        let query = format!("EXPLAIN SELECT * FROM {schema}.person WHERE {condition}");
        consumer
            .query(&query, &[])
            .unwrap()
            .iter()
            .map(|row| row.get::<_, String>(0))
            .collect::<Vec<_>>()[0]
            .clone()
    };
    // One name is there and not granted, the other is not there: the estimates are the same.
    assert_eq!(estimate("name = 'person 105'"), estimate("name = 'nobody    '"));
    assert_eq!(estimate("id > 101"), estimate("id > 5000"));
    // The search path and operators of the consumer's making change nothing.
    consumer.batch_execute("SET search_path = pg_temp, public").unwrap();
    assert_eq!(
        count(&mut consumer, &format!("SELECT count(*) FROM {schema}.person")),
        100
    );
}

#[test]
fn a_grant_ends_at_its_time_in_what_was_open_before_with_nobody_to_end_it() {
    let mut place = Place::new();
    let schema = place.grant("c1", 3, &json!({})).schema;
    let whole = place
        .grant("c2", 3, &json!({"tables": [{"name": "person", "columns": ["id"]}]}))
        .schema;
    let (mut consumer, mut prepared) = (place.consumer(), place.consumer());
    let statement = prepared
        .prepare(&format!("SELECT id FROM {whole}.person WHERE id = 7"))
        .unwrap();
    assert_eq!(prepared.query(&statement, &[]).unwrap().len(), 1);
    let mut transaction = consumer
        .build_transaction()
        .isolation_level(postgres::IsolationLevel::RepeatableRead)
        .start()
        .unwrap();
    for schema in [&schema, &whole] {
        transaction
            .batch_execute(&format!("DECLARE c{schema} CURSOR FOR SELECT id FROM {schema}.person"))
            .unwrap();
        assert_eq!(
            transaction
                .query(&format!("FETCH 1 FROM c{schema}"), &[])
                .unwrap()
                .len(),
            1
        );
    }
    let begun = Instant::now();
    while !prepared.query(&statement, &[]).unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the grant does not end");
        thread::yield_now();
    }
    for schema in [&schema, &whole] {
        assert!(
            transaction
                .query(&format!("FETCH ALL FROM c{schema}"), &[])
                .unwrap()
                .is_empty()
        );
        assert!(
            transaction
                .query(&format!("SELECT * FROM {schema}.person"), &[])
                .unwrap()
                .is_empty()
        );
    }
}

#[test]
fn a_grant_begins_at_its_time_and_each_row_is_asked_for_the_end_alone() {
    let mut place = Place::new();
    let begin = "SELECT to_char(now() at time zone 'UTC' + interval '3 s', 'YYYY-MM-DD\"T\"HH24:MI:SSZ')";
    let begin: String = place.admin.query_one(begin, &[]).unwrap().get(0);
    let tables = json!([{"name": "person", "columns": ["id"]}]);
    let schema = place
        .grant("f1", 600, &json!({"notBefore": begin, "tables": tables}))
        .schema;
    let mut consumer = place.consumer();
    let query = format!("SELECT id, clock_timestamp() < '{begin}'::timestamptz FROM {schema}.person");
    let asked_since = Instant::now();
    loop {
        let rows = consumer.query(&query, &[]).unwrap();
        assert!(
            !rows.iter().any(|row| row.get(1)),
            "a row was read before the grant began"
        );
        if rows.len() == 109 {
            break;
        }
        assert!(
            rows.is_empty() && asked_since.elapsed() < Duration::from_mins(1),
            "the grant does not begin"
        );
        thread::yield_now();
    }
    // The table of lives and the beginning are asked once for each query: what is asked for each row is what a view costs.
    let explain = format!("EXPLAIN (VERBOSE, FORMAT TEXT) SELECT id FROM {schema}.person");
    let lines = consumer.query(&explain, &[]).unwrap();
    let lines: Vec<&str> = lines.iter().map(|row| row.get(0)).collect();
    let scan = lines.iter().position(|line| line.contains("on public.person")).unwrap();
    let each_row = lines[scan..].iter().find(|line| line.contains(" Filter: ")).unwrap();
    assert_eq!(each_row.matches("clock_timestamp").count(), 1, "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("InitPlan")), "{lines:#?}");
}

#[test]
fn a_revoked_grant_gives_no_row_under_load_and_to_no_open_transaction() {
    let mut place = Place::new();
    let names = place.grant("d1", 600, &json!({}));
    let query = format!("SELECT id FROM {}.person", names.schema);
    let mut open = place.consumer();
    let mut transaction = open
        .build_transaction()
        .isolation_level(postgres::IsolationLevel::RepeatableRead)
        .start()
        .unwrap();
    assert_eq!(transaction.query(&query, &[]).unwrap().len(), 100);
    let (mut load, asked) = (place.consumer(), query.clone());
    let reader = thread::spawn(move || while load.query(&asked, &[]).is_ok_and(|rows| rows.len() == 100) {});
    place.withdraw("d1");
    reader.join().unwrap();
    assert!(transaction.query(&query, &[]).is_err());
    assert!(place.try_consumer().is_err(), "a consumer without a grant has no user");
    for left in [&names.reader, &names.owner] {
        let left = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{left}'");
        assert_eq!(count(&mut place.admin, &left), 0);
    }
}

#[test]
fn an_aggregate_shows_groups_of_ten_or_more_and_no_row() {
    let mut place = Place::new();
    let tables = json!([{"name": "person", "columns": ["region"], "sums": ["income"]}]);
    let schema = place
        .grant("e1", 600, &json!({"mode": "Aggregate", "tables": tables}))
        .schema;
    let mut consumer = place.consumer();
    let query = format!("SELECT region, row_count, sum_income::bigint FROM {schema}.person");
    let groups = consumer.query(&query, &[]).unwrap();
    // Of Busan there are nine.
    assert_eq!(groups.len(), 1);
    assert_eq!(
        (groups[0].get::<_, &str>(0), groups[0].get::<_, i64>(1)),
        ("Seoul", 100)
    );
    assert_eq!(groups[0].get::<_, i64>(2), 100_005_050);
    assert!(consumer.query(&format!("SELECT id FROM {schema}.person"), &[]).is_err());
}

#[test]
fn filters_are_read_as_written_and_refused_with_the_place_that_is_wrong() {
    let sql = |text: &str| Filter::parse(text).unwrap().sql().unwrap();
    assert_eq!(
        sql("region = 'O''Brien' AND (year >= 2020 OR NOT \"Old \"\"x\" IS NULL)"),
        "((t.\"region\" OPERATOR(pg_catalog.=) 'O''Brien') AND ((t.\"year\" OPERATOR(pg_catalog.>=) '2020') OR \
         (NOT (t.\"Old \"\"x\" IS NULL))))"
    );
    assert_eq!(
        sql("a in (1, -2.5)"),
        sql("A = 1 OR a = -2.5")
            .replace(") OR (", " OR ")
            .replace("((", "(")
            .replace("))", ")")
    );
    for (text, place) in [
        ("a = 1; DROP TABLE t", 6),
        ("a = b", 5),
        ("pg_sleep(1)", 9),
        ("a = 'open", 5),
        ("a = 1 --", 7),
        ("(a = 1", 7),
        ("a = (SELECT 1)", 5),
    ] {
        assert_eq!(Filter::parse(text).unwrap_err().at, place, "{text}");
    }
    assert!(Filter::parse(&"(".repeat(100_000)).is_err());
    assert!(Filter::parse(&"NOT ".repeat(100_000)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_name_and_value_comes_back_from_the_database_as_it_went_in(
        name in "[^\\x00]{1,20}", text in "[^\\x00]{0,40}",
    ) {
        prop_assume!(name.len() <= 63);
        thread_local! {
            static CLIENT: std::cell::RefCell<Client> = std::cell::RefCell::new(Client::connect(&shared().url("postgres"), NoTls).unwrap());
        }
        let query = format!("SELECT {} AS {}", literal(&text).unwrap(), identifier(&name).unwrap());
        CLIENT.with_borrow_mut(|client| {
            for strings in ["on", "off"] {
                client.batch_execute(&format!("SET standard_conforming_strings = {strings}")).unwrap();
                let row = client.query_one(&query, &[]).unwrap();
                assert_eq!(row.columns()[0].name(), name);
                assert_eq!(row.get::<_, &str>(0), text);
            }
        });
    }

    #[test]
    fn no_constant_of_a_filter_gets_out_of_its_quotes(text in "[^\\x00]{0,40}", column in "[^\\x00]{1,15}") {
        let written = format!("\"{}\" = '{}'", column.replace('"', "\"\""), text.replace('\'', "''"));
        let filter = Filter::parse(&written).unwrap();
        prop_assert_eq!(&filter, &Filter::Compare(column, maru_desire::dataset::Operator::Equal, text));
    }

    #[test]
    fn no_text_stops_the_reader(text in "[a-z0-9 ()='\"<>,\\\\;-]{0,60}") {
        let _ = Filter::parse(&text);
    }
}

#[test]
fn names_that_the_database_would_cut_are_refused() {
    assert_eq!(identifier(&"가".repeat(21)).unwrap().len(), 65);
    assert_eq!(identifier(&"가".repeat(22)), None);
    assert_eq!(identifier(""), None);
    assert_eq!(literal("a\0b"), None);
}
