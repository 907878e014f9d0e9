//! Whose a database is, who may use it, and what becomes of what others do there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed helper is a failed test

mod database;

use database::Place;
use maru_desire::dataset::{Part, Placing, Step, database_name, rehearse_new};
use maru_test_postgres::shared;
use serde_json::json;

#[test]
fn a_system_that_writes_writes_one_that_reads_reads_and_neither_makes_or_drops_anything() {
    let mut place = Place::new();
    let mut registry = place.own("registry");
    registry
        .batch_execute("INSERT INTO person VALUES (500, 'new', 'Jeju', 1); UPDATE person SET income = 2 WHERE id = 500")
        .unwrap();
    let mut statistics = place.own("statistics");
    assert_eq!(
        statistics
            .query("SELECT * FROM person WHERE region = 'Jeju'", &[])
            .unwrap()
            .len(),
        1
    );
    assert!(statistics.batch_execute("DELETE FROM person").is_err());
    for statement in [
        "DROP TABLE person",
        "ALTER TABLE person ADD COLUMN more text",
        "CREATE TABLE mine ()",
        "TRUNCATE person",
        "SELECT * FROM maru.grant_life",
    ] {
        assert!(registry.batch_execute(statement).is_err(), "{statement} was allowed");
    }
    assert!(place.plan().steps.is_empty(), "a second look finds nothing to do");
}

#[test]
fn what_is_declared_later_is_added_and_what_differs_is_told_and_left() {
    let mut place = Place::new();
    place
        .admin
        .batch_execute("CREATE TABLE stray (id int); ALTER TABLE person ALTER income TYPE bigint")
        .unwrap();
    let table = &mut place.dataset.spec.schemas[0].tables[0];
    table.columns.push(
        serde_json::from_value(json!({"name": "Né \"en\"", "type": "date", "classification": "Personal"})).unwrap(),
    );
    table.columns.push(
        serde_json::from_value(json!({"name": "must", "type": "text", "nullable": false, "classification": "Open"}))
            .unwrap(),
    );
    place.settle();
    let left = place.plan();
    assert_eq!(
        left.differences,
        [
            "public.person.income is declared integer and is bigint",
            "public.person.must is declared and not there: add it in a migration of your own",
            "public.stray is there and not declared",
        ]
    );
    let rows = place
        .admin
        .query("SELECT \"Né \"\"en\"\"\", name FROM person", &[])
        .unwrap();
    assert_eq!(rows.len(), 109, "no row was lost");
}

#[test]
fn what_strangers_grant_loosen_or_change_is_undone_and_counted() {
    let mut place = Place::new();
    let names = place.grant("g", 600, &json!({}));
    let user = place.user("consumer", "docs");
    let grant = Part::Grant(place.grants[0].metadata.uid.clone().unwrap());
    let (schema, reader, owner) = (&names.schema, &names.reader, &names.owner);
    for (deed, part) in [
        (format!("GRANT SELECT ON person TO {user}"), &Part::Dataset),
        (format!("GRANT SELECT (income) ON person TO {owner}"), &grant),
        ("GRANT SELECT ON person TO PUBLIC".to_owned(), &Part::Dataset),
        (format!("GRANT pg_read_all_data TO {user}"), &Part::Dataset),
        (format!("GRANT {owner} TO {user}"), &grant),
        (format!("GRANT {reader} TO pg_monitor"), &grant),
        (format!("ALTER ROLE {user} CREATEROLE"), &Part::Dataset),
        (format!("ALTER ROLE {reader} LOGIN"), &grant),
        (format!("ALTER VIEW {schema}.person RESET (security_barrier)"), &grant),
        (
            format!("CREATE OR REPLACE VIEW {schema}.person WITH (security_barrier) AS SELECT id, name FROM person"),
            &grant,
        ),
        (format!("ALTER VIEW {schema}.person OWNER TO postgres"), &grant),
        (format!("GRANT SELECT ON {schema}.person TO PUBLIC"), &grant),
        (
            format!("GRANT SELECT ON {schema}.person TO {reader} WITH GRANT OPTION"),
            &grant,
        ),
        (
            format!(
                "UPDATE maru.grant_life SET not_after = 'infinity' WHERE grant_id = '{}'",
                names.id
            ),
            &grant,
        ),
        ("GRANT CONNECT ON DATABASE \"DB\" TO PUBLIC".to_owned(), &Part::Dataset),
        (format!("GRANT CREATE ON SCHEMA public TO {user}"), &Part::Dataset),
    ] {
        let deed = deed.replace("\"DB\"", &format!("\"{}\"", place.database));
        place.stranger(&deed);
        let plan = place.settle();
        assert!(plan.undone(part) >= 1, "{deed} is not seen: {plan:#?}");
        assert!(place.plan().steps.is_empty(), "{deed}");
        let rows = place
            .consumer()
            .query(&format!("SELECT id, name FROM {schema}.person"), &[])
            .unwrap();
        assert_eq!(rows.len(), 100, "the consumer reads on after {deed}");
    }
    assert!(place.consumer().query("SELECT 1 FROM person", &[]).is_err());
}

#[test]
fn a_smaller_grant_in_place_of_a_larger_one_leaves_nothing_of_the_larger() {
    let mut place = Place::new();
    let large = place.grant(
        "large",
        600,
        &json!({"tables": [{"name": "person", "columns": ["id", "income"]}]}),
    );
    place.grants.clear();
    let small = place.grant(
        "small",
        600,
        &json!({"tables": [{"name": "person", "columns": ["id"]}]}),
    );
    let mut consumer = place.consumer();
    assert_eq!(
        consumer
            .query(&format!("SELECT id FROM {}.person", small.schema), &[])
            .unwrap()
            .len(),
        109
    );
    assert!(
        consumer
            .query(&format!("SELECT id FROM {}.person", large.schema), &[])
            .is_err()
    );
    let left = format!(
        "SELECT FROM pg_catalog.pg_roles WHERE rolname IN ('{}', '{}') UNION ALL \
         SELECT FROM pg_catalog.pg_namespace WHERE nspname = '{}'",
        large.owner, large.reader, large.schema
    );
    assert!(place.admin.query(&left, &[]).unwrap().is_empty());
    place.withdraw("small");
    assert!(place.try_consumer().is_err());
    let plan = place.plan();
    assert!(plan.steps.is_empty(), "{plan:#?}");
}

#[test]
fn a_consumer_that_loses_its_grant_is_forgotten_after_its_rights_went_and_before_its_role_does() {
    let mut place = Place::new();
    place.grant("g", 600, &json!({}));
    place.grants[0].spec.revoked = true;
    let plan = place.settle();
    let purposes: Vec<&str> = plan
        .steps
        .iter()
        .map(|step| match step {
            Step::Run(transaction) => transaction.purpose.as_str(),
            Step::Forget(_) => "forget",
        })
        .collect();
    assert_eq!(
        purposes,
        [
            "take the rights of what is no longer granted",
            "end the sessions of those who lost rights",
            "forget",
            "clear away what is no longer granted"
        ]
    );
}

#[test]
fn columns_of_a_higher_class_or_of_none_are_not_granted() {
    let mut place = Place::new();
    place.dataset.spec.schemas[0].tables[0].columns[3].classification = maru_crds::Classification::Sensitive;
    place.grant(
        "higher",
        600,
        &json!({"tables": [{"name": "person", "columns": ["income"]}]}),
    );
    place.grant(
        "asks",
        600,
        &json!({"tables": [{"name": "person", "columns": ["id"], "filter": "income > 5"}]}),
    );
    place
        .admin
        .batch_execute("ALTER TABLE person ADD COLUMN hidden text")
        .unwrap();
    place.grant(
        "hidden",
        600,
        &json!({"tables": [{"name": "person", "columns": ["hidden"]}]}),
    );
    assert!(place.try_consumer().is_err(), "none of the grants is in force");
}

#[test]
fn an_existing_database_is_adopted_only_where_the_platform_agrees_and_keeps_its_own_rights() {
    let strange = format!("Se\"lect; 데이터 '{}", std::process::id());
    let quoted = format!("\"{}\"", strange.replace('"', "\"\""));
    let mut place = Place::empty(&json!({
        "adopt": {"database": strange}, "serverRef": {"name": "shared"},
        "schemas": [{"name": "public", "tables": [{"name": "user", "columns": [{"name": "select", "classification": "Open"}]}]}],
    }));
    assert!(matches!(place.placing(), Placing::Refused(problem) if problem.reason.as_str() == "DatabaseMissing"));
    let (app, reader) = (
        format!("App \"{}", place.admin_role),
        format!("reader_{}", place.admin_role),
    );
    let app_role = format!("\"{}\"", app.replace('"', "\"\""));
    let setup = [
        format!("CREATE ROLE {app_role} LOGIN PASSWORD 'word'"),
        format!("CREATE ROLE {reader} LOGIN PASSWORD 'word'"),
        format!("CREATE DATABASE {quoted} OWNER {app_role}"),
    ];
    for statement in setup {
        shared().sql("postgres", &statement).unwrap();
    }
    let mut owner = database::try_connect(&app, &strange).unwrap();
    owner
        .batch_execute(&format!(
            "CREATE TABLE \"user\" (\"select\" text, \"{}\" int); INSERT INTO \"user\" VALUES ('kept', 1); GRANT SELECT ON \"user\" TO {reader}",
            "긴".repeat(21)
        ))
        .unwrap();
    assert!(matches!(place.placing(), Placing::Refused(problem) if problem.reason.as_str() == "AdoptionNotAllowed"));
    let namespace = place.facts().namespace().to_owned();
    place.server.spec.adoptable = vec![maru_crds::Adoptable {
        database: strange.clone(),
        namespace,
    }];
    place.place();
    let plan = place.settle();
    assert_eq!(plan.undone(&Part::Dataset), 0, "what was there is not undone");
    // The old application and its reader go on, and the dataset's own systems use the same table.
    owner.batch_execute("INSERT INTO \"user\" VALUES ('more', 2)").unwrap();
    let mut old = database::try_connect(&reader, &strange).unwrap();
    assert_eq!(old.query("SELECT * FROM \"user\"", &[]).unwrap().len(), 2);
    assert_eq!(
        place
            .own("registry")
            .query("SELECT * FROM \"user\"", &[])
            .unwrap()
            .len(),
        2
    );
    // What comes later is a stranger's.
    owner
        .batch_execute(&format!("GRANT INSERT ON \"user\" TO {reader}"))
        .unwrap();
    assert_eq!(place.settle().undone(&Part::Dataset), 1);
    assert!(old.batch_execute("INSERT INTO \"user\" VALUES ('x', 3)").is_err());
}

#[test]
fn a_database_that_was_kept_is_found_again_by_the_same_agency_and_by_nobody_else() {
    let mut place = Place::new();
    place.grant("g", 600, &json!({}));
    place.dataset.metadata.uid = Some(format!("ffffffff{:024x}", std::process::id()));
    place.grants.clear();
    place.place();
    place.settle();
    let rows = place.own("registry").query("SELECT * FROM person", &[]).unwrap();
    assert_eq!(rows.len(), 109, "nothing was lost");
    let namespace = place.facts().namespace().to_owned();
    place.dataset.metadata.uid = Some(format!("eeeeeeee{:024x}", std::process::id()));
    place.dataset.metadata.name = Some("others".to_owned());
    assert_eq!(place.database, database_name(&namespace, "people"));
    assert!(matches!(place.placing(), Placing::Refused(problem) if problem.reason.as_str() == "DatabaseTaken"));
}

#[test]
fn two_roles_of_a_system_do_the_same_until_the_old_one_has_had_its_time() {
    let mut place = Place::new();
    let names = place.grant("g", 600, &json!({}));
    let [old, new] = place.users("consumer", "docs");
    let all = format!("SELECT id FROM {}.person", names.schema);
    let mut long = place.consumer();
    place.turns = vec![0, 1];
    let plan = place.settle();
    assert_eq!(plan.undone(&Part::Dataset), 0, "nobody did anything wrong: {plan:#?}");
    for user in [&old, &new] {
        let mut session = database::try_connect(user, &place.database).unwrap();
        assert_eq!(session.query(&all, &[]).unwrap().len(), 100, "{user}");
        assert!(session.query("SELECT FROM person", &[]).is_err(), "{user}");
    }
    assert_eq!(long.query(&all, &[]).unwrap().len(), 100, "an open session goes on");

    place.turns = vec![1];
    let plan = place.settle();
    let forgets = |step: &Step| matches!(step, Step::Forget(_));
    assert!(
        !plan.steps.iter().any(forgets),
        "the Secret stays, for it has the other role"
    );
    assert!(database::try_connect(&old, &place.database).is_err());
    let mut session = database::try_connect(&new, &place.database).unwrap();
    assert_eq!(session.query(&all, &[]).unwrap().len(), 100);
    assert!(place.plan().steps.is_empty());
}

#[test]
fn what_is_rehearsed_without_a_server_is_all_that_there_is_to_do_on_one() {
    let mut place = Place::empty(&json!({"schemas": [
        {"name": "public", "tables": [{"name": "person", "primaryKey": ["id"], "columns": [
            {"name": "id", "type": "integer", "nullable": false, "classification": "Open"},
            {"name": "name", "type": "text", "classification": "Open"},
            {"name": "region", "type": "varchar(40)", "classification": "Open"},
            {"name": "income", "type": "numeric(12,2)", "classification": "Open"},
        ]}]},
        {"name": "Other \"one\"", "tables": [{"name": "t", "columns": [
            {"name": "c", "type": "text[]", "classification": "Open"},
        ]}]},
    ]}));
    let rows = place.agree("rows", 600, &json!({}));
    let sums = json!({"mode": "Aggregate", "tables": [{"name": "person", "columns": ["region"], "sums": ["income"]}]});
    place.agree("sums", 600, &sums);
    let now: String = place
        .admin
        .query_one(
            "SELECT to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SSZ')",
            &[],
        )
        .unwrap()
        .get(0);
    let rehearsed = rehearse_new(&place.facts(), &now);
    assert_eq!(rehearsed.problems, [], "nothing stands in the way");
    place.carry_out(&rehearsed);
    // The rehearsal has no password, and the harness says that each has this one.
    let left = place.plan();
    let statements: Vec<&str> = left
        .transactions()
        .flat_map(|one| &one.statements)
        .map(|statement| statement.sql.as_str())
        .filter(|sql| !sql.starts_with("ALTER ROLE") && !sql.starts_with("COMMENT ON ROLE"))
        .collect();
    assert_eq!(statements, [""; 0], "something was not rehearsed");
    place.settle();
    let view = format!("SELECT FROM {}.person", rows.schema);
    assert_eq!(place.consumer().query(&view, &[]).unwrap().len(), 0);
}
