//! What is verified of a server's certificate.

use super::error::SqlError;
use maru_crds::TlsMode;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// The way through TLS; nothing where none is asked for. `authority` is PEM; without it the system's authorities are asked.
pub(super) fn connector(mode: TlsMode, authority: Option<&str>) -> Result<Option<MakeRustlsConnect>, SqlError> {
    // Two crates of the tree bring a provider each, and rustls then refuses to choose. One that is there already stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let wrong = |error: rustls::Error| SqlError::Certificate(error.to_string());
    let builder = || {
        ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(wrong)
    };
    let lenient = |check| Lenient {
        check,
        provider: Arc::clone(&provider),
    };
    let config = match mode {
        TlsMode::Disable => return Ok(None),
        TlsMode::Require => builder()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(lenient(None)))
            .with_no_client_auth(),
        TlsMode::VerifyFull | TlsMode::VerifyCa => {
            let Some(pem) = authority else {
                // The host name is checked too, which is more than VerifyCa asks for.
                let system = MakeRustlsConnect::with_native_certs();
                let system = system.map_err(|_| SqlError::Certificate("the system has no authorities".to_owned()))?;
                return Ok(Some(system.0));
            };
            let roots = Arc::new(roots(pem)?);
            if mode == TlsMode::VerifyFull {
                builder()?.with_root_certificates(roots).with_no_client_auth()
            } else {
                let check = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .build()
                    .map_err(|error| SqlError::Certificate(error.to_string()))?;
                builder()?
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(lenient(Some(check))))
                    .with_no_client_auth()
            }
        }
    };
    Ok(Some(MakeRustlsConnect::new(config)))
}

fn roots(pem: &str) -> Result<RootCertStore, SqlError> {
    let wrong = |error: String| SqlError::Certificate(format!("ca.crt in the Secret of caSecretRef: {error}"));
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        store.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    Ok(store)
}

/// Checks the certificate but not the name it is for, or nothing but that the server has the key of what it shows.
#[derive(Debug)]
struct Lenient {
    check: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(check) = &self.check else {
            return Ok(ServerCertVerified::assertion());
        };
        match check.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            answer => answer,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
