//! Secrets with credentials, on a real API server.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed helper is a failed test

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use maru_apply::credentials::{Credentials, CredentialsError, WantedCredentials, random};
use maru_desire::SystemKey;
use maru_desire::dataset::Issued;
use maru_test_cluster::{Cluster, ClusterOptions, RealNode};
use serde_json::json;

#[tokio::test]
async fn of_two_operators_that_replace_a_credential_at_once_the_first_has_its_way() {
    let options = ClusterOptions {
        node: RealNode::Never,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client().unwrap();
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "mois"}})).unwrap();
    let namespaces = Api::<Namespace>::all(client.clone());
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let wanted = WantedCredentials {
        system: SystemKey::new("mois", "docs"),
        secret: "docs.data.nts.businesses".to_owned(),
        dataset: "nts/businesses".to_owned(),
        host: "db.example".to_owned(),
        port: 5432,
        database: "nts_businesses".to_owned(),
        roles: ["a", "b"].map(str::to_owned),
        sslmode: "verify-full",
        authority: None,
    };
    let credentials = Credentials::new(client, "maru-system".to_owned());
    let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let (issued, password) = credentials.ensure(&wanted, now).await.unwrap();
    assert_eq!((issued.role.as_str(), issued.since), ("a", now));
    let later: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
    let (again, same) = credentials.ensure(&wanted, later).await.unwrap();
    assert_eq!((&again, &same), (&issued, &password), "what is there stays");

    // Both read the same Secret, and each has made a password of its own for the next role.
    let next = Issued {
        role: "b".to_owned(),
        since: later,
        replaced: Some("a".to_owned()),
        version: issued.version.clone(),
    };
    let (first, second) = (random().unwrap(), random().unwrap());
    credentials.write(&wanted, &next, &first).await.unwrap();
    match credentials.write(&wanted, &next, &second).await {
        Err(CredentialsError::Unavailable { .. }) => {}
        other => panic!("{other:?}"),
    }
    let (seen, word) = credentials.ensure(&wanted, later).await.unwrap();
    assert_eq!(word, first);
    assert_eq!((seen.role.as_str(), seen.replaced.as_deref()), ("b", Some("a")));
    cluster.stop().await.unwrap();
}
