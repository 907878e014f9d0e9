//! Agencies with datasets on one server, each granting to the next one's systems.

use super::{ADMIN, ADMIN_PASSWORD, Outcome};
use crate::bare::{Write, is_ready, primary, resource};
use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, DynamicObject, ListParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use kube::{Client, ResourceExt};
use maru_crds::{DataGrant, Dataset};
use maru_stories::data::put;
use maru_test_cluster::{Cluster, ClusterOptions, Limits};
use maru_test_postgres::{Postgres, PostgresOptions};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Datasets of one agency: its systems may accept no more than 64 grants each.
const EACH: usize = 20;

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) datasets: usize,
    agencies: usize,
}

impl Size {
    pub(super) fn of(datasets: usize) -> Self {
        let agencies = datasets.div_ceil(EACH).max(2);
        Self {
            datasets: agencies * EACH,
            agencies,
        }
    }

    pub(super) const fn grants(self) -> usize {
        self.datasets * 3
    }

    pub(super) fn all(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.agencies).flat_map(|agency| (0..EACH).map(move |dataset| (agency, dataset)))
    }
}

/// A cluster and a server that keeps every statement.
pub(super) struct Scene {
    pub(super) cluster: Cluster,
    pub(super) server: Postgres,
    size: Size,
    log: tempfile::TempDir,
}

pub(super) fn agency(index: usize) -> String {
    format!("agency-{index:03}")
}

fn dataset_name(index: usize) -> String {
    format!("data-{index:02}")
}

fn grant_name(dataset: usize, consumer: usize) -> String {
    format!("data-{dataset:02}-to-{consumer}")
}

fn dataset(of: usize, index: usize) -> Value {
    let column = |name: &str, class: &str| json!({"name": name, "type": "text", "classification": class});
    json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "Dataset",
        "metadata": {"name": dataset_name(index), "namespace": agency(of)},
        "spec": {
            "serverRef": {"name": "shared"}, "systems": [{"name": "registry"}],
            "schemas": [{"name": "public", "tables": [{"name": "business", "columns": [
                column("name", "Open"), column("region", "Open"), column("owner", "Personal"),
            ]}]}],
        },
    })
}

fn grant(size: Size, of: usize, index: usize, consumer: usize) -> Value {
    json!({
        "apiVersion": "maru.dev/v1alpha1", "kind": "DataGrant",
        "metadata": {"name": grant_name(index, consumer), "namespace": agency(of)},
        "spec": {
            "datasetRef": {"name": dataset_name(index)},
            "consumer": {"namespace": agency((of + 1) % size.agencies), "name": format!("reader-{consumer}")},
            "classification": "Open", "purpose": "A benchmark", "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-12-31T00:00:00Z",
            "tables": [{"name": "business", "columns": ["name", "region"]}],
        },
    })
}

impl Scene {
    pub(super) async fn set(size: Size, connections: usize) -> Outcome<Self> {
        let options = ClusterOptions {
            limits: Limits {
                max_requests_inflight: Some(3_000),
                max_mutating_requests_inflight: Some(1_000),
                ..Limits::default()
            },
            ..ClusterOptions::simulated(1)
        };
        let cluster = Cluster::start(options).await?;
        let client = cluster.client()?;
        maru_stories::install_kinds(&client).await;
        let log = tempfile::tempdir()?;
        std::fs::set_permissions(log.path(), std::fs::Permissions::from_mode(0o777))?;
        let settings = [
            ("max_connections", "300"),
            ("logging_collector", "on"),
            ("log_destination", "jsonlog"),
            ("log_directory", &log.path().display().to_string()),
            ("log_filename", "statements"),
            ("log_file_mode", "0644"),
            ("log_rotation_age", "0"),
            ("log_rotation_size", "0"),
            ("log_statement", "all"),
        ];
        let server = Postgres::start(&PostgresOptions {
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..PostgresOptions::default()
        })?;
        let role = format!("CREATE ROLE {ADMIN} LOGIN CREATEROLE CREATEDB PASSWORD '{ADMIN_PASSWORD}'");
        server.sql("postgres", &role)?;
        put(
            &client,
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "maru-system"}}),
        )
        .await;
        put(
            &client,
            &json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shared-admin", "namespace": "maru-system"},
                "stringData": {"username": ADMIN, "password": ADMIN_PASSWORD},
            }),
        )
        .await;
        put(&client, &json!({
            "apiVersion": "maru.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "shared"},
            "spec": {"host": "127.0.0.1", "port": server.port(), "tls": {"mode": "Disable"}, "adminSecretRef": {"name": "shared-admin"},
                     "limits": {"operatorConnections": connections}},
        }))
        .await;
        Ok(Self {
            cluster,
            server,
            size,
            log,
        })
    }

    /// The file that has every statement.
    pub(super) fn statements(&self) -> PathBuf {
        self.log.path().join("statements.json")
    }

    /// What was asked so far is not what is measured.
    pub(super) fn forget_log(&self) -> Outcome<()> {
        std::fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(self.statements())?;
        Ok(())
    }

    /// The agencies and their systems, which already accept what will be granted to them.
    pub(super) async fn agencies(&self) -> Outcome<()> {
        let client = self.cluster.client()?;
        let size = self.size;
        for index in 0..size.agencies {
            maru_stories::apply(&client, &maru_stories::agency(&agency(index))).await;
        }
        for index in 0..size.agencies {
            let namespace = agency(index);
            maru_stories::agency_ready(&client, &namespace, 120).await;
            let mut registry = maru_stories::system(&namespace, "registry");
            registry["spec"]["suspended"] = json!(true);
            maru_stories::apply(&client, &registry).await;
            let before = agency((index + size.agencies - 1) % size.agencies);
            for consumer in 0..3 {
                let mut reader = maru_stories::system(&namespace, &format!("reader-{consumer}"));
                reader["spec"]["suspended"] = json!(true);
                let accepted =
                    (0..EACH).map(|dataset| json!({"namespace": before, "name": grant_name(dataset, consumer)}));
                reader["spec"]["acceptedGrants"] = accepted.collect();
                maru_stories::apply(&client, &reader).await;
            }
        }
        for index in 0..size.agencies {
            maru_stories::system_ready(&client, &agency(index), "reader-2", 120).await;
        }
        Ok(())
    }

    /// The namespaces alone, for the bare client.
    pub(super) async fn namespaces(&self) -> Outcome<()> {
        let client = self.cluster.client()?;
        for index in 0..self.size.agencies {
            put(
                &client,
                &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": agency(index)}}),
            )
            .await;
        }
        Ok(())
    }

    /// Applies datasets and grants and waits until all of them are ready.
    pub(super) async fn all_ready(&self, at_once: usize) -> Outcome<Duration> {
        let client = self.cluster.client()?;
        let size = self.size;
        let began = Instant::now();
        let waiting = tokio::spawn(until_ready(client.clone(), size.datasets + size.grants()));
        futures::stream::iter(size.all())
            .for_each_concurrent(at_once, |(of, index)| {
                let client = client.clone();
                async move {
                    put(&client, &dataset(of, index)).await;
                    for consumer in 0..3 {
                        put(&client, &grant(size, of, index, consumer)).await;
                    }
                }
            })
            .await;
        waiting.await??;
        Ok(began.elapsed())
    }

    /// What stands in the cluster of each dataset, as writes, by its database.
    pub(super) async fn objects(&self) -> Outcome<BTreeMap<String, Vec<Write>>> {
        let client = self.cluster.client()?;
        let secrets = resource("", "v1", "Secret", "secrets");
        let owned = ListParams::default().labels("app.kubernetes.io/managed-by=maru");
        let mut all: BTreeMap<String, Vec<Write>> = BTreeMap::new();
        let found = Api::<DynamicObject>::all_with(client.clone(), &secrets);
        for secret in found.list(&owned).await? {
            // `system.data.namespace.dataset`, of which none has a dot.
            let name = secret.name_any();
            let mut parts = name.rsplit('.');
            if let (Some(dataset), Some(namespace)) = (parts.next(), parts.next()) {
                let database = format!("{namespace}_{dataset}");
                all.entry(database).or_default().push(primary(&secrets, secret).0);
            }
        }
        let kinds = [("Dataset", "datasets"), ("DataGrant", "datagrants")];
        for (kind, plural) in kinds {
            let kind = resource("maru.dev", "v1alpha1", kind, plural);
            let found = Api::<DynamicObject>::all_with(client.clone(), &kind);
            for object in found.list(&ListParams::default()).await? {
                let namespace = object.namespace().unwrap_or_default();
                let dataset = object.data["spec"]["datasetRef"]["name"].as_str();
                let database = format!(
                    "{namespace}_{}",
                    dataset.map_or_else(|| object.name_any(), str::to_owned)
                );
                let (apply, status) = primary(&kind, object);
                let writes = all.entry(database).or_default();
                writes.push(apply);
                writes.extend(status);
            }
        }
        Ok(all)
    }

    pub(super) async fn end(self) -> Outcome<()> {
        self.cluster.stop().await?;
        Ok(())
    }
}

async fn until_ready(client: Client, count: usize) -> Outcome<()> {
    let config = Config::default().streaming_lists();
    let datasets = watcher(Api::<Dataset>::all(client.clone()), config.clone()).default_backoff();
    let grants = watcher(Api::<DataGrant>::all(client), config).default_backoff();
    let datasets = datasets.applied_objects().map_ok(|one| {
        let ready = is_ready(one.status.as_ref().map(|status| status.conditions.as_slice()));
        (
            format!("{}/{}", one.namespace().unwrap_or_default(), one.name_any()),
            ready,
        )
    });
    let grants = grants.applied_objects().map_ok(|one| {
        let ready = is_ready(one.status.as_ref().map(|status| status.conditions.as_slice()));
        (
            format!("{}:{}", one.namespace().unwrap_or_default(), one.name_any()),
            ready,
        )
    });
    let mut seen = std::pin::pin!(futures::stream::select(datasets, grants));
    let mut ready = BTreeSet::new();
    while let Some(seen) = seen.next().await {
        let Ok((key, is_ready)) = seen else { continue };
        if is_ready {
            ready.insert(key);
        } else {
            ready.remove(&key);
        }
        if ready.len() == count {
            return Ok(());
        }
    }
    Err("the watch ended".into())
}
