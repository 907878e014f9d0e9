//! A ministry with a dataset, another that is granted some of it, their database server and an operator: what the stories of data are played on.

use crate::data::{
    ADMIN_PASSWORD, accept, ask, condition, dataset, grant, make_admin, put, register_server, secret, two_ministries,
};
use crate::{Acting, Faults, cluster_with_kinds, looks_often};
use kube::Client;
use kube::api::Api;
use maru_crds::DataGrant;
use maru_test_cluster::Cluster;
use maru_test_postgres::{Postgres, PostgresOptions};
use serde_json::json;
use std::fmt;

/// The Secret of the one that is granted something, in the namespace `mois`.
pub const CONSUMERS: &str = "docs.data.nts.businesses";
/// The Secret of the owner's own system, in the namespace `nts`.
pub const OWNERS: &str = "registry.data.nts.businesses";

/// What a story of data is played on.
pub struct Scene {
    /// Where Maru's objects are.
    pub cluster: Cluster,
    /// With the administrator's rights.
    pub client: Client,
    /// Where the data is.
    pub server: Postgres,
    /// The operator, wherever it runs.
    pub operator: Acting,
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene")
            .field("operator", &self.operator)
            .finish_non_exhaustive()
    }
}

impl Scene {
    /// An operator and a server that have not heard of each other.
    pub fn empty((cluster, operator): (Cluster, Acting), options: PostgresOptions) -> Self {
        let outside = cluster.outside();
        let server = Postgres::start(&PostgresOptions { outside, ..options }).unwrap();
        make_admin(&server);
        Self {
            client: cluster.client().unwrap(),
            cluster,
            server,
            operator,
        }
    }

    /// The same with an operator in this process, which reaches the API server through these faults.
    pub async fn among(faults: &Faults) -> Self {
        let cluster = cluster_with_kinds().await;
        let operator = Acting::here(&cluster, looks_often(), faults).await;
        Self::empty((cluster, operator), PostgresOptions::default())
    }

    /// Two ministries, a server, and a dataset with three businesses in it, on an operator as its users have it.
    pub async fn set() -> Self {
        let scene = Self::empty(Acting::on_a_cluster().await, PostgresOptions::default());
        scene.with_data().await;
        scene
    }

    /// The server is made known, and two ministries and a dataset with three businesses in it are there.
    pub async fn with_data(&self) {
        self.registered().await;
        self.filled().await;
    }

    /// Two ministries and a dataset with three businesses in it are there, on a server that is known.
    pub async fn filled(&self) {
        two_ministries(&self.client).await;
        condition(&self.client, &dataset(), "Ready", "True", "Ready").await;
        let rows =
            "INSERT INTO business VALUES ('one', 'Seoul', 'Kim'), ('two', 'Seoul', 'Lee'), ('three', 'Busan', 'Park')";
        self.query("nts", OWNERS, rows).await.unwrap();
    }

    /// The server is made known, without encryption.
    pub async fn registered(&self) {
        register_server(&self.client, &self.server, ADMIN_PASSWORD, json!({"mode": "Disable"})).await;
    }

    /// A grant that both sides want, in force; gives the view.
    pub async fn granted(&self, name: &str, seconds: i64) -> String {
        put(&self.client, &grant(name, seconds)).await;
        accept(&self.client, &[name]).await;
        condition(&self.client, &grant(name, seconds), "Ready", "True", "Ready").await;
        self.view(name).await
    }

    /// Where the consumer reads what it is granted.
    pub async fn view(&self, name: &str) -> String {
        format!("{}.business", self.schema(name).await)
    }

    /// The schema of a grant's views.
    pub async fn schema(&self, name: &str) -> String {
        let grants = Api::<DataGrant>::namespaced(self.client.clone(), "nts");
        grants.get(name).await.unwrap().status.unwrap().view_schema.unwrap()
    }

    /// The address in a Secret, with user and password.
    pub async fn uri(&self, namespace: &str, name: &str) -> String {
        secret(&self.client, namespace, name).await.unwrap()["uri"].clone()
    }

    /// Asks with the credentials of a Secret; how many rows there were.
    ///
    /// # Errors
    /// Where there is no Secret, or what the server says.
    pub async fn query(&self, namespace: &str, name: &str, sql: &str) -> Result<usize, String> {
        let found = secret(&self.client, namespace, name)
            .await
            .ok_or("there is no Secret")?;
        ask(found["uri"].clone(), sql.to_owned()).await
    }

    /// Takes everything away.
    pub async fn end(self) {
        self.operator.leave().await;
        self.cluster.stop().await.unwrap();
    }
}
