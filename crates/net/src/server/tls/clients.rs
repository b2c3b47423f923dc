//! Certificates that clients show (mutual TLS): for links between an edge and its shield.

use std::sync::Arc;

use aws_lc_rs::digest;
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

/// The length of [`Asked`] in bytes.
pub(super) const ASKED: usize = digest::SHA256_OUTPUT_LEN;

/// What clients are asked to show, told from anything else that they could be: zeros for nothing.
pub(super) type Asked = [u8; ASKED];

/// What [`verifier`] has clients asked for.
pub(super) fn asked(pem: &[u8], wanted: ClientCertificate) -> Asked {
    let mut digest = digest::Context::new(&digest::SHA256);
    digest.update(&[u8::from(wanted == ClientCertificate::Required)]);
    digest.update(pem);
    let mut asked = [0; ASKED];
    asked.copy_from_slice(digest.finish().as_ref());
    asked
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
