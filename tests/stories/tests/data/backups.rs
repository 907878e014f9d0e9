//! A dataset is backed up on schedule, its backups are restored to see that they can be, and data that goes is kept for a while: on a real API
//! server and a real PostgreSQL.

use kube::Client;
use kube::api::Api;
use maru_backup::{Key, Place};
use maru_controller::{Backups, Settings};
use maru_crds::Dataset;
use maru_stories::data::{ADMIN_PASSWORD, condition, dataset, everything, put, secrets_of_maru};
use maru_stories::{
    Acting, RELEASE_NAMESPACE, Scene, cluster_for_containers, delete, eventually, is_gone, looks_often, programs,
};
use maru_test_cluster::{Cluster, ObjectStore};
use maru_test_postgres::PostgresOptions;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;

/// A scene whose operator keeps backups, in an object store or in a folder.
struct Kept {
    scene: Scene,
    client: Client,
    /// Where everything is that is kept, and the file of the key.
    folder: TempDir,
    /// What the operator's backups are encrypted with.
    secret: String,
    /// Where backups are.
    place: String,
    store: Option<ObjectStore>,
    programs: PathBuf,
}

impl Kept {
    async fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (_, secret) = Key::generate();
        std::fs::write(folder.path().join("key"), &secret).unwrap();
        let cluster = cluster_for_containers().await;
        let store = match cluster.outside() {
            Some(ip) => Some(ObjectStore::start(folder.path(), ip, &["backups"]).await.unwrap()),
            None => None,
        };
        if let Some(store) = &store {
            secrets(&cluster.client().unwrap(), store, &secret).await;
        }
        let place = match &store {
            Some(_) => "s3://backups/of-data".to_owned(),
            None => folder.path().join("kept").to_str().unwrap().to_owned(),
        };
        let operator = operator(&cluster, &place, &secret).await;
        let scene = Scene::empty((cluster, operator), PostgresOptions::default());
        scene.with_data().await;
        Self {
            client: scene.client.clone(),
            programs: programs().await,
            scene,
            folder,
            secret,
            place,
            store,
        }
    }

    /// `kubectl maru dataset` without a cluster, as somebody does who has the place and the key.
    async fn maru(&self, arguments: &[&str]) -> Result<String, String> {
        let mut maru = Command::new(self.programs.join("kubectl-maru"));
        maru.arg("dataset").args(arguments).args(["--backups", &self.place]);
        if let Some(store) = &self.store {
            maru.envs(store.environment());
        }
        let output = maru.output().await.unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8(output.stderr).unwrap())
        }
    }

    /// Restores a backup into a new database and gives its rows.
    async fn restored(&self, backup: &str, database: &str) -> String {
        let server = &self.scene.server;
        let create = format!("CREATE DATABASE {database} OWNER maru_admin");
        server.sql("postgres", &create).unwrap();
        let url = format!(
            "postgresql://maru_admin:{ADMIN_PASSWORD}@{}:{}/{database}?sslmode=disable",
            server.host(),
            server.port()
        );
        let key = self.key_file();
        let restore = ["restore", backup, "--into", &url, "--key", &key];
        let said = self.maru(&restore).await.unwrap();
        let expected = format!("is restored into {database}: 1 tables with 3 rows");
        assert!(said.contains(&expected), "{said}");
        let all = "SELECT string_agg(name || owner, ',' ORDER BY name) FROM business";
        server.sql(database, all).unwrap()
    }

    fn key_file(&self) -> String {
        self.folder.path().join("key").to_str().unwrap().to_owned()
    }

    /// How many backups have a manifest, without which there is none.
    fn manifests(&self) -> usize {
        let files = files(self.folder.path());
        let manifests = files
            .iter()
            .filter(|file| file.extension().is_some_and(|suffix| suffix == "json"));
        manifests.count()
    }

    async fn status(&self) -> maru_crds::DatasetStatus {
        let api = Api::<Dataset>::namespaced(self.client.clone(), "nts");
        api.get("businesses").await.unwrap().status.unwrap()
    }
}

/// What the chart is told to use: the store's keys, and the key of the backups.
async fn secrets(client: &Client, store: &ObjectStore, key: &str) {
    let named = |name: &str, data: Value| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "namespace": RELEASE_NAMESPACE}, "stringData": data,
        })
    };
    let environment = store.environment().map(|(name, value)| (name.to_owned(), json!(value)));
    put(
        client,
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE_NAMESPACE}}),
    )
    .await;
    put(
        client,
        &named("store", Value::Object(environment.into_iter().collect())),
    )
    .await;
    put(client, &named("backup-key", json!({"key": key}))).await;
}

/// An operator that keeps backups there, with this key.
async fn operator(cluster: &Cluster, place: &str, key: &str) -> Acting {
    let values = [
        "metering.enabled=false",
        "metering.secret=store",
        &format!("backups.place={place}"),
        "backups.keySecret=backup-key",
    ];
    let backups = || Backups {
        place: Place::at(place).unwrap(),
        key: key.parse().unwrap(),
    };
    let settings = Settings {
        look_for_backups_every: Duration::from_millis(200),
        backups: (!cluster.has_real_node()).then(backups),
        ..looks_often()
    };
    Acting::on(cluster, &values, settings).await
}

const ROWS: &str = "oneKim,threePark,twoLee";

#[tokio::test]
async fn a_dataset_is_backed_up_and_verified_on_schedule_and_anybody_with_the_key_restores_it() {
    let kept = Kept::set().await;
    let mut wanted = dataset();
    wanted["spec"]["backup"] = json!({"schedule": "* * * * *", "verifySchedule": "* * * * *", "retentionDays": 7});
    put(&kept.client, &wanted).await;
    condition(&kept.client, &wanted, "BackedUp", "False", "BackupMissing").await;
    // The next minute comes.
    let status = eventually("a backup to be made and verified", 160, async || {
        let status = kept.status().await;
        match (&status.last_backup, &status.last_verified_restore) {
            (Some(_), Some(_)) => Ok(status),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    condition(&kept.client, &wanted, "BackedUp", "True", "BackedUp").await;
    let verified = status.last_verified_restore.unwrap();
    assert!(
        verified.name.starts_with("nts/businesses/20") && verified.verified_at.is_some(),
        "{verified:?}"
    );
    assert!(kept.scene.operator.metric("maru_backups_total{outcome=\"Made\"}").await >= 1);
    assert!(
        kept.scene
            .operator
            .metric("maru_backups_total{outcome=\"Verified\"}")
            .await
            >= 1
    );

    let listed = kept.maru(&["backups", "nts/businesses"]).await.unwrap();
    assert!(listed.contains(&verified.name), "{listed}");
    assert_eq!(kept.restored(&verified.name, "again").await, ROWS);
    let nowhere = "postgresql://a:b@127.0.0.1/x?sslmode=disable";
    let refused = ["restore", "nts/nothing", "--into", nowhere, "--key", &kept.key_file()];
    let refused = kept.maru(&refused).await;
    assert!(refused.unwrap_err().contains("no backup of nts/nothing"));
    let told = everything(&kept.client).await;
    let word = kept.secret.lines().last().unwrap();
    assert!(
        !told.contains(word) && !told.contains(ADMIN_PASSWORD),
        "no secret is told"
    );
    kept.scene.end().await;
}

#[tokio::test]
async fn data_goes_only_after_a_last_backup_was_made_and_restored_and_that_backup_is_kept() {
    let kept = Kept::set().await;
    let mut goes = dataset();
    goes["spec"]["deletionPolicy"] = json!("Delete");
    put(&kept.client, &goes).await;
    eventually("the policy to be recorded", 20, async || {
        let recorded = kept.status().await.deletion_policy;
        (recorded == Some(maru_crds::DeletionPolicy::Delete))
            .then_some(())
            .ok_or(String::new())
    })
    .await;
    // A table that the owner may not read: no backup can be made, so nothing is dropped.
    let hidden = "CREATE TABLE hidden (id int)";
    kept.scene.server.sql("nts_businesses", hidden).unwrap();
    let datasets = Api::<Dataset>::namespaced(kept.client.clone(), "nts");
    delete(&datasets, "businesses").await;
    it_is_held(&kept).await;

    // Somebody takes it away; a new leader does not wait for the next try.
    let seen = "DROP TABLE hidden";
    kept.scene.server.sql("nts_businesses", seen).unwrap();
    kept.scene.operator.kill().await;
    kept.scene.operator.start().await;
    is_gone(&datasets, "businesses", 90).await;
    let count = |what: &str| {
        let sql = format!("SELECT count(*) FROM {what}");
        kept.scene.server.sql("postgres", &sql).unwrap()
    };
    assert_eq!(
        count("pg_database WHERE datname = 'nts_businesses'"),
        "0",
        "the database is gone"
    );
    let roles = "pg_roles WHERE rolname ~ '^maru_(db|write|read|user|owner|reader)_'";
    assert_eq!(count(roles), "0", "its roles are gone");
    let secrets = secrets_of_maru(&kept.client).await;
    assert_eq!(secrets, Vec::<String>::new(), "its credentials are gone");
    assert!(kept.manifests() > 0, "a backup that is made has a manifest");
    assert_eq!(
        kept.restored("nts/businesses", "again").await,
        ROWS,
        "the last backup is kept"
    );
    kept.scene.end().await;
}

/// The delete waits for a backup that cannot be made, and says why; the data is untouched.
async fn it_is_held(kept: &Kept) {
    let held = eventually("the delete to be held", 60, async || {
        let conditions = kept.status().await.conditions;
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
    assert_eq!(kept.manifests(), 0, "a failed backup is none");
    let rows = kept.scene.server.sql("nts_businesses", "SELECT count(*) FROM business");
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
