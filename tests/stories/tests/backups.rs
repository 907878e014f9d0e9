//! A dataset is backed up on schedule, its backups are restored to see that they can be, and data that goes is kept for a while: on a real API
//! server and a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper is a failed test")]

use clap::Parser;
use kube::Client;
use kube::api::Api;
use maru_backup::{Key, Place};
use maru_controller::{Backups, Settings};
use maru_crds::Dataset;
use maru_stories::data::{
    ADMIN_PASSWORD, condition, dataset, everything, make_admin, put, register_server, two_ministries,
};
use maru_stories::{Faults, Operator, cluster_with_kinds, delete, eventually, is_gone};
use maru_test_cluster::Cluster;
use maru_test_postgres::{Postgres, PostgresOptions};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

struct Scene {
    cluster: Cluster,
    client: Client,
    server: Postgres,
    operator: Operator,
    /// Where backups are, and the file of their key.
    folder: TempDir,
    secret: String,
}

/// An operator that keeps backups in a folder, with a key.
fn operator(cluster: &Cluster, folder: &Path, secret: &str) -> Operator {
    let settings = Settings {
        verify_data_every: Duration::from_secs(1),
        look_for_backups_every: Duration::from_millis(200),
        backups: Some(Backups {
            place: Place::at(folder.join("kept").to_str().unwrap()).unwrap(),
            key: secret.parse().unwrap(),
        }),
        ..Settings::default()
    };
    Operator::start(&cluster.config(), settings, &Faults::none())
}

impl Scene {
    /// Two ministries, and a dataset with three businesses in it, with a place for backups.
    async fn set() -> Self {
        let cluster = cluster_with_kinds().await;
        let client = cluster.client().unwrap();
        let server = Postgres::start(&PostgresOptions::default()).unwrap();
        make_admin(&server);
        let folder = tempfile::tempdir().unwrap();
        let (_, secret) = Key::generate();
        std::fs::write(folder.path().join("key"), &secret).unwrap();
        let operator = operator(&cluster, folder.path(), &secret);
        register_server(&client, &server, ADMIN_PASSWORD, json!({"mode": "Disable"})).await;
        two_ministries(&client).await;
        condition(&client, &dataset(), "Ready", "True", "Ready").await;
        let rows =
            "INSERT INTO business VALUES ('one', 'Seoul', 'Kim'), ('two', 'Seoul', 'Lee'), ('three', 'Busan', 'Park')";
        server.sql("nts_businesses", rows).unwrap();
        Self {
            cluster,
            client,
            server,
            operator,
            folder,
            secret,
        }
    }

    /// `kubectl maru dataset` without a cluster, as somebody does who has the place and the key.
    fn maru(&self, arguments: &[&str]) -> Result<String, String> {
        let place = self.folder.path().join("kept");
        let mut all = vec!["kubectl-maru", "dataset"];
        all.extend(arguments);
        all.extend(["--backups", place.to_str().unwrap()]);
        let command = maru_cli::Cli::try_parse_from(all).unwrap();
        let printed = std::thread::scope(|scope| scope.spawn(|| command.run()).join().unwrap());
        printed
            .map(|printed| String::from_utf8(printed.bytes).unwrap())
            .map_err(|problem| problem.to_string())
    }

    /// Restores a backup into a new database and gives its rows.
    fn restored(&self, backup: &str, database: &str) -> String {
        self.server
            .sql("postgres", &format!("CREATE DATABASE {database} OWNER maru_admin"))
            .unwrap();
        let url = format!(
            "postgresql://maru_admin:{ADMIN_PASSWORD}@127.0.0.1:{}/{database}?sslmode=disable",
            self.server.port()
        );
        let key = self.folder.path().join("key");
        let said = self
            .maru(&["restore", backup, "--into", &url, "--key", key.to_str().unwrap()])
            .unwrap();
        assert!(
            said.contains(&format!("is restored into {database}: 1 tables with 3 rows")),
            "{said}"
        );
        self.server
            .sql(
                database,
                "SELECT string_agg(name || owner, ',' ORDER BY name) FROM business",
            )
            .unwrap()
    }

    async fn status(&self) -> maru_crds::DatasetStatus {
        let api = Api::<Dataset>::namespaced(self.client.clone(), "nts");
        api.get("businesses").await.unwrap().status.unwrap()
    }
}

const ROWS: &str = "oneKim,threePark,twoLee";

#[tokio::test]
async fn a_dataset_is_backed_up_and_verified_on_schedule_and_anybody_with_the_key_restores_it() {
    let scene = Scene::set().await;
    let mut kept = dataset();
    kept["spec"]["backup"] = json!({"schedule": "* * * * *", "verifySchedule": "* * * * *", "retentionDays": 7});
    put(&scene.client, &kept).await;
    condition(&scene.client, &kept, "BackedUp", "False", "BackupMissing").await;
    // The next minute comes.
    let status = eventually("a backup to be made and verified", 100, async || {
        let status = scene.status().await;
        match (&status.last_backup, &status.last_verified_restore) {
            (Some(_), Some(_)) => Ok(status),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    condition(&scene.client, &kept, "BackedUp", "True", "BackedUp").await;
    let verified = status.last_verified_restore.unwrap();
    assert!(
        verified.name.starts_with("nts/businesses/20") && verified.verified_at.is_some(),
        "{verified:?}"
    );
    assert!(scene.operator.metric("maru_backups_total{outcome=\"Made\"}") >= 1);
    assert!(scene.operator.metric("maru_backups_total{outcome=\"Verified\"}") >= 1);

    let listed = scene.maru(&["backups", "nts/businesses"]).unwrap();
    assert!(listed.contains(&verified.name), "{listed}");
    assert_eq!(scene.restored(&verified.name, "again"), ROWS);
    let refused = scene.maru(&[
        "restore",
        "nts/nothing",
        "--into",
        "postgresql://a:b@127.0.0.1/x?sslmode=disable",
        "--key",
        scene.folder.path().join("key").to_str().unwrap(),
    ]);
    assert!(refused.unwrap_err().contains("no backup of nts/nothing"));
    let told = everything(&scene.client).await;
    let word = scene.secret.lines().last().unwrap();
    assert!(
        !told.contains(word) && !told.contains(ADMIN_PASSWORD),
        "no secret is told"
    );
    scene.operator.kill();
    scene.cluster.stop().await.unwrap();
}

#[tokio::test]
async fn data_goes_only_after_a_last_backup_was_made_and_restored_and_that_backup_is_kept() {
    let mut scene = Scene::set().await;
    let mut goes = dataset();
    goes["spec"]["deletionPolicy"] = json!("Delete");
    put(&scene.client, &goes).await;
    eventually("the policy to be recorded", 20, async || {
        let recorded = scene.status().await.deletion_policy;
        (recorded == Some(maru_crds::DeletionPolicy::Delete))
            .then_some(())
            .ok_or(String::new())
    })
    .await;
    // A table that the owner may not read: no backup can be made, so nothing is dropped.
    scene
        .server
        .sql("nts_businesses", "CREATE TABLE hidden (id int)")
        .unwrap();
    let datasets = Api::<Dataset>::namespaced(scene.client.clone(), "nts");
    delete(&datasets, "businesses").await;
    it_is_held(&scene).await;

    // Somebody takes it away; a new leader does not wait for the next try.
    scene.server.sql("nts_businesses", "DROP TABLE hidden").unwrap();
    scene.operator.kill();
    scene.operator = operator(&scene.cluster, scene.folder.path(), &scene.secret);
    is_gone(&datasets, "businesses", 60).await;
    let count = |what: &str| {
        scene
            .server
            .sql("postgres", &format!("SELECT count(*) FROM {what}"))
            .unwrap()
    };
    assert_eq!(
        count("pg_database WHERE datname = 'nts_businesses'"),
        "0",
        "the database is gone"
    );
    let roles = "pg_roles WHERE rolname ~ '^maru_(db|write|read|user|owner|reader)_'";
    assert_eq!(count(roles), "0", "its roles are gone");
    let secrets = maru_stories::data::secrets_of_maru(&scene.client).await;
    assert_eq!(secrets, Vec::<String>::new(), "its credentials are gone");
    assert_eq!(
        scene.restored("nts/businesses", "again"),
        ROWS,
        "the last backup is kept"
    );
    scene.operator.kill();
    scene.cluster.stop().await.unwrap();
}

/// The delete waits for a backup that cannot be made, and says why; the data is untouched.
async fn it_is_held(scene: &Scene) {
    let held = eventually("the delete to be held", 40, async || {
        let conditions = scene.status().await.conditions;
        let ready = conditions.into_iter().find(|one| one.type_ == "Ready").unwrap();
        let waits = "the data goes once a last backup is made and was restored, and";
        if ready.message.contains(waits) {
            Ok(ready.message)
        } else {
            Err(ready.message)
        }
    })
    .await;
    assert!(held.contains("hidden") || held.contains("may not"), "{held}");
    let manifests = files(scene.folder.path());
    let manifests = manifests
        .iter()
        .filter(|file| file.extension().is_some_and(|suffix| suffix == "json"));
    assert_eq!(manifests.count(), 0, "a failed backup is none");
    let rows = scene.server.sql("nts_businesses", "SELECT count(*) FROM business");
    assert_eq!(rows.unwrap(), "3");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
