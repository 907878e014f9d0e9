//! Backups of a real PostgreSQL: made as an administrator who is no superuser, restored and compared row by row.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use jiff::{SignedDuration, Timestamp};
use maru_apply::sql::{Password, Way};
use maru_backup::{Asked, BackupError, Compared, Key, Manifest, Place, Whose, back_up, restore, verify};
use maru_crds::{ServerTls, TlsMode};
use maru_test_postgres::{Postgres, shared};

/// A database of its own with an owner's role, on the server that all tests share.
struct Database {
    server: &'static Postgres,
    name: String,
    owner: String,
    uid: String,
}

impl Database {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static ADMIN: std::sync::Once = std::sync::Once::new();
        let server = shared();
        ADMIN.call_once(|| {
            let made = server.sql(
                "postgres",
                "CREATE ROLE keeper LOGIN CREATEROLE CREATEDB PASSWORD 'keeps'",
            );
            made.unwrap();
        });
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (name, owner) = (format!("data{number}"), format!("owner{number}"));
        server
            .sql("postgres", &format!("CREATE ROLE {owner}; GRANT {owner} TO keeper"))
            .unwrap();
        server
            .sql("postgres", &format!("CREATE DATABASE {name} OWNER {owner}"))
            .unwrap();
        let uid = format!("00000000-0000-0000-0000-{number:012}");
        Self {
            server,
            name,
            owner,
            uid,
        }
    }

    /// What its owner does.
    fn sql(&self, sql: &str) -> String {
        self.server
            .sql(&self.name, &format!("SET ROLE {}; {sql}", self.owner))
            .unwrap()
    }

    /// The way of the administrator.
    fn way(&self) -> Way {
        let tls = ServerTls {
            mode: TlsMode::Disable,
            ..ServerTls::default()
        };
        Way::new(
            "127.0.0.1",
            i32::from(self.server.port()),
            &tls,
            None,
            "keeper",
            Password::new("keeps"),
        )
    }

    fn asked(&self) -> Asked {
        Asked {
            dataset: Whose {
                namespace: "nts".to_owned(),
                name: self.name.clone(),
                uid: self.uid.clone(),
            },
            database: self.name.clone(),
            owner: Some(self.owner.clone()),
            retention_days: 30,
        }
    }
}

/// Tables as people make them, and some as nobody should.
const TABLES: &str = r#"
CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL, born date, income numeric(12,2), notes text[], seen timestamptz, raw bytea, more jsonb);
INSERT INTO people SELECT i, 'Kim ' || i, date '1950-01-01' + i::int, i * 1.25, ARRAY['a', NULL, 'c' || i], timestamptz '2026-11-01' + i * interval '1 s',
  decode(md5(i::text), 'hex'), jsonb_build_object('n', i) FROM generate_series(1, 2000) i;
INSERT INTO people VALUES (0, 'the word that nobody may read', NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE nothing (id int);
CREATE SCHEMA "Köln ""x""";
CREATE TABLE "Köln ""x"""."select" ("from" int GENERATED ALWAYS AS IDENTITY, "a b" double precision);
INSERT INTO "Köln ""x"""."select" ("a b") SELECT random() FROM generate_series(1, 100);
CREATE TABLE parts (at date, n int) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
INSERT INTO parts SELECT date '2026-01-01' + i, i FROM generate_series(0, 300) i;
CREATE VIEW grown AS SELECT name FROM people WHERE born < '2000-01-01';
CREATE SCHEMA maru; CREATE TABLE maru.grant_life (id int); CREATE SCHEMA maru_grant_1; CREATE VIEW maru_grant_1.v AS SELECT name FROM public.people;
"#;

fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, suffix));
        } else if path.to_str().unwrap().ends_with(suffix) {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn what_is_restored_is_what_was_backed_up_row_by_row_and_nothing_of_it_can_be_read_without_the_key() {
    let (data, folder) = (Database::new(), tempfile::tempdir().unwrap());
    data.sql(TABLES);
    let (place, (key, _)) = (Place::at(folder.path().to_str().unwrap()).unwrap(), Key::generate());
    let made = back_up(&data.way(), &data.asked(), &place, &key).await.unwrap();
    let named: Vec<(&str, u64)> = made
        .tables
        .iter()
        .map(|table| (table.table.as_str(), table.rows))
        .collect();
    assert_eq!(
        named,
        [
            ("select", 100),
            ("nothing", 0),
            ("parts_1", 181),
            ("parts_2", 120),
            ("people", 2001)
        ]
    );
    assert_eq!(
        place.list(Some(("nts", &data.name))).await.unwrap(),
        std::slice::from_ref(&made)
    );
    let [dump] = &files(folder.path(), ".dump.age")[..] else {
        panic!("one dump")
    };
    let bytes = std::fs::read(dump).unwrap();
    assert_eq!(bytes.len() as u64, made.bytes);
    let holds = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    assert!(
        !holds(b"people") && !holds(b"nobody may read") && !holds(b"PGDMP"),
        "it is encrypted"
    );

    // What comes later is not in it.
    data.sql("DELETE FROM people WHERE id > 1000; DROP TABLE nothing");
    let other = Database::new();
    let compared = restore(&other.way(), &other.name, &made, &place, &key).await.unwrap();
    assert_eq!(compared, Compared { tables: 5, rows: 2402 });
    let rows = |database: &str| {
        other
            .server
            .sql(database, "SELECT * FROM people WHERE id <= 1000 ORDER BY id")
            .unwrap()
    };
    assert_eq!(rows(&other.name), rows(&data.name));
    let views = other.server.sql(&other.name, "SELECT count(*) FROM grown").unwrap();
    assert!(views.contains("2000"), "{views}");
    let ours = other
        .server
        .sql(
            &other.name,
            "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'maru%'",
        )
        .unwrap();
    assert!(ours.contains('0'), "what is Maru's is made by Maru: {ours}");
}

#[tokio::test]
async fn a_verified_restore_leaves_nothing_behind_and_finds_every_damage() {
    let (data, folder) = (Database::new(), tempfile::tempdir().unwrap());
    data.sql(
        "CREATE TABLE t (id int, word text); INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1, 5000) i",
    );
    let (place, (key, _)) = (Place::at(folder.path().to_str().unwrap()).unwrap(), Key::generate());
    let made = back_up(&data.way(), &data.asked(), &place, &key).await.unwrap();
    let verified = async |manifest: &Manifest, key: &Key| verify(&data.way(), "postgres", manifest, &place, key).await;
    assert_eq!(verified(&made, &key).await.unwrap(), Compared { tables: 1, rows: 5000 });

    let (stranger, _) = Key::generate();
    let refused = verified(&made, &stranger).await.unwrap_err();
    assert!(matches!(refused, BackupError::WrongKey { .. }), "{refused}");
    // A manifest that promises other rows than there are.
    let mut wrong = made.clone();
    wrong.tables[0].sum = "1".to_owned();
    let refused = verified(&wrong, &key).await.unwrap_err().to_string();
    assert!(refused.contains("public.t has other rows"), "{refused}");
    let [dump] = &files(folder.path(), ".dump.age")[..] else {
        panic!("one dump")
    };
    let whole = std::fs::read(dump).unwrap();
    for damage in [whole.len() / 3, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[damage] ^= 1;
        std::fs::write(dump, &bytes).unwrap();
        let refused = verified(&made, &key).await.unwrap_err().to_string();
        assert!(
            refused.contains("checksum") && refused.contains("take an earlier one"),
            "{refused}"
        );
    }
    std::fs::write(dump, &whole[..whole.len() - 10]).unwrap();
    let refused = verified(&made, &key).await.unwrap_err().to_string();
    assert!(refused.contains("bytes in place of"), "{refused}");
    std::fs::remove_file(dump).unwrap();
    let refused = verified(&made, &key).await.unwrap_err().to_string();
    assert!(refused.contains("its dump is not there"), "{refused}");
    let scratch = data
        .server
        .sql(
            "postgres",
            "SELECT datname FROM pg_database WHERE datname LIKE 'maru_scratch%'",
        )
        .unwrap();
    assert!(!scratch.contains("maru_scratch"), "{scratch}");
}

/// Ends whoever writes, however the test ends.
struct Ends<'a>(&'a AtomicBool);
impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_is_of_one_moment_whatever_is_written_meanwhile() {
    let (data, folder) = (Database::new(), tempfile::tempdir().unwrap());
    data.sql("CREATE TABLE a (id serial, n int); CREATE TABLE b (id serial, n int)");
    let (place, (key, _)) = (Place::at(folder.path().to_str().unwrap()).unwrap(), Key::generate());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&done);
        scope.spawn(|| {
            let mut n = 0;
            while !done.load(Ordering::Relaxed) {
                data.sql(&format!(
                    "BEGIN; INSERT INTO a (n) VALUES ({n}); INSERT INTO b (n) VALUES ({n}); COMMIT"
                ));
                n += 1;
            }
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            for _ in 0..3 {
                let made = back_up(&data.way(), &data.asked(), &place, &key).await.unwrap();
                assert_eq!(
                    made.tables[0].rows, made.tables[1].rows,
                    "both tables are of one moment"
                );
                let compared = verify(&data.way(), "postgres", &made, &place, &key).await.unwrap();
                assert_eq!(compared.rows, made.rows());
            }
        });
    });
}

#[tokio::test]
async fn what_fails_leaves_no_backup_and_says_why() {
    let (data, folder) = (Database::new(), tempfile::tempdir().unwrap());
    let (place, (key, _)) = (Place::at(folder.path().to_str().unwrap()).unwrap(), Key::generate());
    let nowhere = Asked {
        database: "nowhere".to_owned(),
        ..data.asked()
    };
    let refused = back_up(&data.way(), &nowhere, &place, &key)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("no such database"), "{refused}");
    // A table of somebody else's, that the owner may not read.
    data.server.sql(&data.name, "CREATE TABLE secret (id int)").unwrap();
    let refused = back_up(&data.way(), &data.asked(), &place, &key)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("secret") || refused.contains("may not"), "{refused}");
    assert_eq!(place.list(None).await.unwrap(), []);
    let missing = place
        .manifest("nts/data/20260101T000000Z")
        .await
        .unwrap_err()
        .to_string();
    assert!(missing.contains("no backup of nts/data"), "{missing}");
}

#[tokio::test]
async fn backups_go_when_their_time_is_over_but_the_newest_of_a_dataset_that_is_there_stays() {
    let (data, folder) = (Database::new(), tempfile::tempdir().unwrap());
    let (place, (key, _)) = (Place::at(folder.path().to_str().unwrap()).unwrap(), Key::generate());
    let first = back_up(&data.way(), &data.asked(), &place, &key).await.unwrap();
    // The next one has another name as soon as the second is over.
    let second = loop {
        let made = back_up(&data.way(), &data.asked(), &place, &key).await.unwrap();
        if made.name != first.name {
            break made;
        }
    };
    let after = |days: i64| Timestamp::now() + SignedDuration::from_hours(24 * days);
    let none: Vec<String> = Vec::new();
    assert_eq!(place.forget_old(after(29), |_| true).await.unwrap(), none);
    assert_eq!(place.forget_old(after(31), |_| true).await.unwrap(), [first.name]);
    assert_eq!(place.list(None).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(files(folder.path(), ".dump.age").len(), 1);
    assert_eq!(
        place.forget_old(after(31), |_| false).await.unwrap(),
        [second.name],
        "a deleted dataset keeps its last for that long"
    );
    assert_eq!(files(folder.path(), "").len(), 0);
}
