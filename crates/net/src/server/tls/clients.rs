//! Certificates that clients show (mutual TLS): for links between an edge and its shield.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::super::ServerError;
use super::provider;

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// A handshake without one fails.
    Required,
    /// A handshake without one goes on; [`ConnInfo::client`](crate::ConnInfo::client) tells.
    Optional,
}

/// Accepts what the authorities in `pem` have signed.
pub(super) fn verifier(
    pem: &[u8],
    wanted: ClientCertificate,
) -> Result<Arc<dyn ClientCertVerifier>, ServerError> {
    let none = || ServerError::Pem {
        what: "the text with the authorities of clients".to_owned(),
        wanted: "certificate",
    };
    let refused = |error: String| ServerError::Certificate(error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| none())?).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(none());
    }
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider()));
    if wanted == ClientCertificate::Optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| refused(error.to_string()))
}
