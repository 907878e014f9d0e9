//! Secrets with credentials: read by name, written for one system in its own namespace, and taken away again.

use crate::sql::Password;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use maru_desire::dataset::Issued;
use maru_desire::{MANAGED_BY, MANAGED_BY_LABEL, Problem, Reason, SYSTEM_LABEL, SystemKey};
use std::collections::BTreeMap;

/// The field manager that these Secrets are applied with.
const FIELD_MANAGER: &str = "maru-dataset";
/// The kind of Secret, as the Service Binding specification names it, so that libraries find what they know.
const SECRET_TYPE: &str = "servicebinding.io/postgresql";
/// The role that the operator binds itself to where it delivers credentials, as the chart installs it.
const CREDENTIALS_ROLE: &str = "maru-credentials";
/// The operator's ServiceAccount, as the chart installs it.
const OPERATOR_ACCOUNT: &str = "maru-operator";
/// The annotation with the dataset that the credentials are for.
const DATASET_ANNOTATION: &str = "maru.dev/dataset";
/// The annotation with the instant at which the credential was written.
const ISSUED_ANNOTATION: &str = "maru.dev/issued-at";
/// The annotation with the role that stood there before, which works for a while longer.
const REPLACED_ANNOTATION: &str = "maru.dev/replaced-username";

/// What a system needs in order to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedCredentials {
    /// The system.
    pub system: SystemKey,
    /// The Secret's name, in the system's namespace.
    pub secret: String,
    /// The dataset, `namespace/name`.
    pub dataset: String,
    /// The server's host.
    pub host: String,
    /// The server's port.
    pub port: i32,
    /// The database.
    pub database: String,
    /// The roles that take turns.
    pub roles: [String; 2],
    /// `verify-full` and so on, as libpq has it.
    pub sslmode: &'static str,
    /// The authority's certificate, PEM.
    pub authority: Option<String>,
}

/// Why a Secret could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It cannot be as it is; people must act.
    #[error("{}", .0.message)]
    Refused(Problem),
    /// The API server did not take it; it is tried again.
    #[error("{what}: {source}")]
    Unavailable {
        /// What was tried.
        what: &'static str,
        /// What the client says.
        source: Box<kube::Error>,
    },
}

/// Reads and writes credentials through one client.
#[derive(Clone)]
pub struct Credentials {
    client: Client,
    /// The namespace that the operator runs in.
    home: String,
}

impl Credentials {
    /// Through `client`, for the operator of the namespace `home`.
    pub const fn new(client: Client, home: String) -> Self {
        Self { client, home }
    }

    /// The value of a key of a Secret, read by name; nothing if either is not there.
    ///
    /// # Errors
    /// Where the API server cannot be asked.
    pub async fn read(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, String>>, CredentialsError> {
        let found = self
            .api(namespace)
            .get_opt(name)
            .await
            .map_err(unavailable("a Secret could not be read"))?;
        Ok(found.map(|secret| {
            let data = secret.data.unwrap_or_default().into_iter();
            data.filter_map(|(key, value)| Some((key, String::from_utf8(value.0).ok()?)))
                .collect()
        }))
    }

    /// The credential in a system's Secret. It is written where it is missing or says something else than is wanted, and the role and the
    /// password in it stay as long as they are there. `now` is when one that is new is issued.
    ///
    /// # Errors
    /// Where somebody else's Secret has the name, or the API server cannot be asked.
    pub async fn ensure(
        &self,
        wanted: &WantedCredentials,
        now: Timestamp,
    ) -> Result<(Issued, Password), CredentialsError> {
        let api = self.api(&wanted.system.namespace);
        let found = match api.get_opt(&wanted.secret).await {
            Err(kube::Error::Api(status)) if status.code == 403 => {
                self.bind(&wanted.system.namespace).await?;
                api.get_opt(&wanted.secret).await
            }
            answer => answer,
        };
        let found = found.map_err(unavailable("a Secret could not be read"))?;
        if found.as_ref().is_some_and(|secret| !is_ours(secret)) {
            let message = format!(
                "the Secret {}/{} is there already and is not Maru's: rename or delete it",
                wanted.system.namespace, wanted.secret
            );
            return Err(CredentialsError::Refused(Problem::new(Reason::NameTaken, message)));
        }
        let kept = found.as_ref().and_then(|secret| kept(wanted, secret));
        let dated = kept.as_ref().is_some_and(|(_, since, _)| since.is_some());
        let (mut issued, password) = if let Some((issued, since, password)) = kept {
            let since = since.unwrap_or(now);
            (Issued { since, ..issued }, password)
        } else {
            let version = found
                .as_ref()
                .and_then(|secret| secret.metadata.resource_version.clone());
            let issued = first(wanted, now);
            (Issued { version, ..issued }, random()?)
        };
        let data = found.as_ref().and_then(|secret| secret.data.as_ref());
        if !dated || data != Some(&body(wanted, &issued.role, &password)) {
            issued.version = self.write(wanted, &issued, &password).await?;
        }
        Ok((issued, password))
    }

    /// Writes a credential into a system's Secret, in one piece: whoever reads it sees the one before or this one. Gives its version.
    ///
    /// # Errors
    /// Where the API server does not take it, for one because another operator, not yet told that it leads no more, wrote in between.
    pub async fn write(
        &self,
        wanted: &WantedCredentials,
        issued: &Issued,
        password: &Password,
    ) -> Result<Option<String>, CredentialsError> {
        let api = self.api(&wanted.system.namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let written = api
            .patch(
                &wanted.secret,
                &params,
                &Patch::Apply(&manifest(wanted, issued, password)),
            )
            .await;
        written
            .map(|secret| secret.metadata.resource_version)
            .map_err(|error| refused_or_unavailable(&wanted.system, error))
    }

    /// Takes a system's Secret away, if it is Maru's.
    ///
    /// # Errors
    /// Where the API server cannot be asked.
    pub async fn forget(&self, system: &SystemKey, name: &str) -> Result<(), CredentialsError> {
        let api = self.api(&system.namespace);
        let found = api
            .get_opt(name)
            .await
            .map_err(unavailable("a Secret could not be read"))?;
        let Some(secret) = found.filter(is_ours) else {
            return Ok(());
        };
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: secret.metadata.uid,
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match api.delete(name, &params).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            answer => answer.map(drop).map_err(unavailable("a Secret could not be deleted")),
        }
    }

    /// Lets the operator read and write Secrets by name in this namespace: it has that right in no namespace where it has no credentials to
    /// deliver. The API server may take a moment to know, and the next turn finds it so.
    async fn bind(&self, namespace: &str) -> Result<(), CredentialsError> {
        let binding = serde_json::json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": CREDENTIALS_ROLE, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": CREDENTIALS_ROLE},
            "subjects": [{"kind": "ServiceAccount", "name": OPERATOR_ACCOUNT, "namespace": self.home}],
        });
        let api = Api::<RoleBinding>::namespaced(self.client.clone(), namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let bound = api.patch(CREDENTIALS_ROLE, &params, &Patch::Apply(&binding)).await;
        bound
            .map(drop)
            .map_err(unavailable("the right to deliver credentials was not taken"))
    }

    fn api(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

fn is_ours(secret: &Secret) -> bool {
    let labels = secret.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(MANAGED_BY_LABEL))
        .is_some_and(|by| by == MANAGED_BY)
}

/// A new password.
///
/// # Errors
/// Where the system has no randomness.
pub fn random() -> Result<Password, CredentialsError> {
    Password::random()
        .ok_or_else(|| CredentialsError::Refused(Problem::new(Reason::Refused, "the system has no randomness to give")))
}

/// A credential that nothing was before.
fn first(wanted: &WantedCredentials, now: Timestamp) -> Issued {
    let [role, _] = wanted.roles.clone();
    Issued {
        role,
        since: now,
        replaced: None,
        version: None,
    }
}

/// What a Secret has for one of the system's roles, and when it says that this was issued.
fn kept(wanted: &WantedCredentials, secret: &Secret) -> Option<(Issued, Option<Timestamp>, Password)> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    let role = text("username").filter(|role| wanted.roles.contains(role))?;
    let password = text("password").filter(|word| !word.is_empty())?;
    let said = |annotation: &str| secret.metadata.annotations.as_ref()?.get(annotation);
    let since = said(ISSUED_ANNOTATION).and_then(|text| text.parse::<Timestamp>().ok());
    let replaced = said(REPLACED_ANNOTATION).filter(|other| **other != role && wanted.roles.contains(*other));
    let issued = Issued {
        role,
        since: since.unwrap_or_default(),
        replaced: replaced.cloned(),
        version: secret.metadata.resource_version.clone(),
    };
    Some((issued, since, Password::new(password)))
}

fn body(wanted: &WantedCredentials, user: &str, password: &Password) -> BTreeMap<String, ByteString> {
    let uri = format!(
        "postgresql://{}:{}@{}:{}/{}?sslmode={}",
        user,
        password.word(),
        bracketed(&wanted.host),
        wanted.port,
        percent(&wanted.database),
        wanted.sslmode
    );
    let mut all = BTreeMap::from([
        ("type", "postgresql".to_owned()),
        ("provider", "maru".to_owned()),
        ("host", wanted.host.clone()),
        ("port", wanted.port.to_string()),
        ("database", wanted.database.clone()),
        ("username", user.to_owned()),
        ("password", password.word().to_owned()),
        ("sslmode", wanted.sslmode.to_owned()),
        ("uri", uri),
    ]);
    if let Some(authority) = &wanted.authority {
        all.insert("ca.crt", authority.clone());
    }
    all.into_iter()
        .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())))
        .collect()
}

fn manifest(wanted: &WantedCredentials, issued: &Issued, password: &Password) -> serde_json::Value {
    let mut annotations = BTreeMap::from([
        (DATASET_ANNOTATION, wanted.dataset.clone()),
        (ISSUED_ANNOTATION, issued.since.to_string()),
    ]);
    annotations.extend(issued.replaced.iter().map(|role| (REPLACED_ANNOTATION, role.clone())));
    let mut secret = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "type": SECRET_TYPE,
        "metadata": {
            "name": wanted.secret, "namespace": wanted.system.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY, SYSTEM_LABEL: wanted.system.name},
            "annotations": annotations,
        },
        "data": body(wanted, &issued.role, password),
    });
    if let Some(version) = &issued.version {
        secret["metadata"]["resourceVersion"] = version.as_str().into();
    }
    secret
}

/// A host as a URI has it.
fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// A text as a URI has it.
fn percent(text: &str) -> String {
    let one = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(one).collect::<Vec<_>>().concat()
}

fn unavailable(what: &'static str) -> impl FnOnce(kube::Error) -> CredentialsError {
    move |source| CredentialsError::Unavailable {
        what,
        source: Box::new(source),
    }
}

fn refused_or_unavailable(system: &SystemKey, error: kube::Error) -> CredentialsError {
    match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 404 | 422) => {
            let message = format!(
                "the Secret with the credentials of {system} was not taken: {}",
                status.message
            );
            CredentialsError::Refused(Problem::new(Reason::Refused, message))
        }
        error => unavailable("a Secret was not taken")(error),
    }
}
