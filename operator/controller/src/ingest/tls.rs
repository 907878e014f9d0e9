//! Encryption of the endpoint, with a certificate that somebody else renews.

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often is looked whether the certificate was renewed.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long requests that are on their way may take once the operator ends.
const ENDING: Duration = Duration::from_secs(20);

/// The certificate and its key, as a Secret of the type `kubernetes.io/tls` is mounted.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(folder: &Path) -> Self {
        Self {
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        }
    }

    async fn bytes(&self) -> io::Result<(Vec<u8>, Vec<u8>)> {
        Ok((
            tokio::fs::read(&self.certificate).await?,
            tokio::fs::read(&self.key).await?,
        ))
    }
}

/// Serves encrypted until `shutdown`.
///
/// # Errors
/// Where the certificate cannot be read, or the listener fails.
pub(super) async fn serve(
    listener: tokio::net::TcpListener,
    app: Router,
    folder: &Path,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let files = Files::of(folder);
    let bytes = files.bytes().await.map_err(|error| {
        let message = format!("{} and tls.key: {error}", files.certificate.display());
        io::Error::new(error.kind(), message)
    })?;
    let config = RustlsConfig::from_pem(bytes.0.clone(), bytes.1.clone()).await?;
    let handle = Handle::<SocketAddr>::new();
    let renewing = tokio::spawn(renew(files, bytes, config.clone()));
    let ending = handle.clone();
    tokio::spawn(async move {
        shutdown.cancelled().await;
        ending.graceful_shutdown(Some(ENDING));
    });
    let served = axum_server::from_tcp_rustls(listener.into_std()?, config)?
        .handle(handle)
        .serve(app.into_make_service())
        .await;
    renewing.abort();
    served
}

/// Takes a renewed certificate up; one that is none leaves the one before in force.
async fn renew(files: Files, mut known: (Vec<u8>, Vec<u8>), config: RustlsConfig) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(found) = files.bytes().await else { continue };
        if found == known {
            continue;
        }
        match config.reload_from_pem(found.0.clone(), found.1.clone()).await {
            Ok(()) => tracing::info!("took up a renewed certificate"),
            Err(error) => tracing::warn!(%error, "a renewed certificate is none, and the one before stays"),
        }
        known = found;
    }
}
