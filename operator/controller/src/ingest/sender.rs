//! Who sends: the API server says whose a token is, and the service account says of which system it is.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use maru_desire::{AGENCY_LABEL, SYSTEM_LABEL};
use maru_meter::events::Sender;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What tokens must be made for: one that was made for something else is none for this.
pub const AUDIENCE: &str = "maru.dev/usage";
/// How long an answer of the API server holds.
const HOLDS: Duration = Duration::from_mins(1);
/// Most answers that are remembered.
const MOST: usize = 10_000;

/// Why a sender is not let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum SenderError {
    /// No token, or none that the API server knows.
    #[error(
        "who sends is not known: allowed is `Authorization: Bearer TOKEN`, a service account's token for the audience {AUDIENCE}"
    )]
    Unknown,
    /// Somebody who has no system.
    #[error("{0}")]
    NoSystem(String),
    /// The API server could not be asked.
    #[error("the API server could not be asked who sends: {0}")]
    Unasked(#[from] kube::Error),
}

/// Asks who sends, and remembers it for a while.
pub(super) struct Senders {
    client: Client,
    known: Mutex<HashMap<String, (Sender, Instant)>>,
}

impl Senders {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            known: Mutex::default(),
        }
    }

    pub(super) async fn of(&self, token: &str) -> Result<Sender, SenderError> {
        if let Some((sender, since)) = self.known().get(token)
            && since.elapsed() < HOLDS
        {
            return Ok(sender.clone());
        }
        let sender = self.ask(token).await?;
        let mut known = self.known();
        if known.len() >= MOST {
            known.retain(|_, (_, since)| since.elapsed() < HOLDS);
        }
        if known.len() < MOST {
            known.insert(token.to_owned(), (sender.clone(), Instant::now()));
        }
        Ok(sender)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Sender, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, token: &str) -> Result<Sender, SenderError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![AUDIENCE.to_owned()]),
                token: token.to_owned(),
            },
            ..TokenReview::default()
        };
        let reviews = Api::<TokenReview>::all(self.client.clone());
        let status = reviews
            .create(&PostParams::default(), &review)
            .await?
            .status
            .unwrap_or_default();
        let meant = status.audiences.iter().flatten().any(|audience| audience == AUDIENCE);
        if status.authenticated != Some(true) || !meant {
            return Err(SenderError::Unknown);
        }
        let user = status.user.and_then(|user| user.username).unwrap_or_default();
        let Some((namespace, name)) = user
            .strip_prefix("system:serviceaccount:")
            .and_then(|account| account.split_once(':'))
        else {
            let said = format!("`{user}` is no service account: allowed is the one of a system");
            return Err(SenderError::NoSystem(said));
        };
        let account = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace)
            .get_metadata(name)
            .await?;
        let Some(system) = account.labels().get(SYSTEM_LABEL).filter(|system| !system.is_empty()) else {
            let said = format!(
                "service account {namespace}/{name} has no label {SYSTEM_LABEL}: allowed is the one of a system"
            );
            return Err(SenderError::NoSystem(said));
        };
        let owner = Api::<Namespace>::all(self.client.clone())
            .get_metadata(namespace)
            .await?;
        let Some(agency) = owner.labels().get(AGENCY_LABEL) else {
            return Err(SenderError::NoSystem(format!("namespace {namespace} is no agency's")));
        };
        Ok(Sender {
            agency: agency.clone(),
            namespace: namespace.to_owned(),
            system: system.clone(),
        })
    }
}
