//! The grants of a namespace, both ways.

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::Api;
use maru_crds::{AgencySystem, DataGrant};
use serde::Serialize;

use super::GrantsArgs;
use super::line::GrantLine;
use crate::connect::{list, trouble};
use crate::problem::Problem;

/// Who may read what of ours, and what we may read.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Grants {
    /// None: of all namespaces, and each grant stands once, under `given`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    /// What others may read of ours.
    pub(super) given: Vec<GrantLine>,
    /// What we may read of others'.
    pub(super) received: Vec<GrantLine>,
    /// Grants that our systems accept and that cannot be looked at from here: `namespace/name of the system` with the grant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) accepted_unseen: Vec<Unseen>,
}

/// A grant that one of our systems accepts, and of which only its owner may see more.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Unseen {
    pub(super) system: String,
    /// The grant, `namespace/name`.
    pub(super) grant: String,
}

pub(super) async fn gather(args: &GrantsArgs) -> Result<Grants, Problem> {
    let (client, context) = args.connection.open().await?;
    let now = Timestamp::now();
    if args.all_namespaces {
        return Ok(Grants {
            given: lines(all(&client).await.map_err(wrong)?, now),
            ..Grants::default()
        });
    }
    let namespace = args.namespace.clone().unwrap_or(context);
    match all(&client).await {
        Ok(grants) => {
            let is_ours = |grant: &DataGrant| grant.metadata.namespace.as_deref() == Some(namespace.as_str());
            let (given, others): (Vec<_>, Vec<_>) = grants.into_iter().partition(is_ours);
            let ours = others
                .into_iter()
                .filter(|grant| grant.spec.consumer.namespace == namespace);
            Ok(Grants {
                given: lines(given, now),
                received: lines(ours.collect(), now),
                accepted_unseen: Vec::new(),
                namespace: Some(namespace),
            })
        }
        // An agency's people see their own namespace, and what their systems accept.
        Err(kube::Error::Api(status)) if status.code == 403 => own(&client, namespace, now).await,
        Err(error) => Err(wrong(error)),
    }
}

async fn own(client: &Client, namespace: String, now: Timestamp) -> Result<Grants, Problem> {
    let given = Api::<DataGrant>::namespaced(client.clone(), &namespace);
    let given = list(&given).await.map_err(wrong)?;
    let systems = Api::<AgencySystem>::namespaced(client.clone(), &namespace);
    let systems = list(&systems).await.map_err(wrong)?;
    let accepted_unseen = systems
        .into_iter()
        .flat_map(|system| {
            let name = system.metadata.name.unwrap_or_default();
            system.spec.accepted_grants.into_iter().map(move |grant| Unseen {
                system: name.clone(),
                grant: format!("{}/{}", grant.namespace, grant.name),
            })
        })
        .collect();
    Ok(Grants {
        given: lines(given, now),
        received: Vec::new(),
        accepted_unseen,
        namespace: Some(namespace),
    })
}

async fn all(client: &Client) -> Result<Vec<DataGrant>, kube::Error> {
    let api = Api::<DataGrant>::all(client.clone());
    list(&api).await
}

/// By namespace and name.
pub(super) fn lines(grants: Vec<DataGrant>, now: Timestamp) -> Vec<GrantLine> {
    let mut lines: Vec<GrantLine> = grants.into_iter().map(|grant| GrantLine::of(grant, now)).collect();
    lines.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    lines
}

fn wrong(error: kube::Error) -> Problem {
    trouble("grants and systems", error)
}
