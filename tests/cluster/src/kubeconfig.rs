//! Kubeconfig files: how a person, a test or a part of the cluster reaches the API server.

use std::path::Path;

use k8s_openapi::ByteString;
use serde_json::json;

use crate::{
    error::ClusterError,
    pki::{Identity, write_private},
};

/// Writes a kubeconfig that holds everything it needs, so that it may be copied elsewhere.
pub(crate) fn write(
    path: &Path,
    server: &str,
    authority: &Identity,
    user: &str,
    identity: &Identity,
) -> Result<(), ClusterError> {
    let base64 = |pem: &str| serde_json::to_value(ByteString(pem.as_bytes().to_vec()));
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "maru", "cluster": {
            "server": server,
            "certificate-authority-data": base64(&authority.certificate)?,
        }}],
        "users": [{"name": user, "user": {
            "client-certificate-data": base64(&identity.certificate)?,
            "client-key-data": base64(&identity.key)?,
        }}],
        "contexts": [{"name": "maru", "context": {"cluster": "maru", "user": user}}],
        "current-context": "maru",
    });
    let text = serde_saphyr::to_string(&document).map_err(|error| ClusterError::Format {
        what: "kubeconfig",
        message: error.to_string(),
    })?;
    write_private(path, &text)
}
