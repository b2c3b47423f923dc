//! One certificate chain with its private key, and the names it is for.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::super::ServerError;
use super::x509::Validity;
use crate::spki;

/// A PEM text and what to call it in messages.
pub(in crate::server) struct Named<'a> {
    pub(in crate::server) text: &'a [u8],
    pub(in crate::server) name: &'a str,
}

/// See the module.
#[derive(Clone, Debug)]
pub(in crate::server) struct Identity {
    pub(in crate::server) certified: Arc<CertifiedKey>,
    /// The DNS names of the leaf (RFC 5280 §4.2.1.6) in lower case, wildcards as `*.`.
    pub(in crate::server) names: Vec<String>,
    pub(in crate::server) spki_sha256: [u8; 32],
    /// Whether the server signed it itself, until there is one from an authority.
    pub(in crate::server) stands_in: bool,
}

impl Identity {
    /// Reads a chain, leaf first, and its key.
    pub(in crate::server) fn from_pem(
        certificate: &Named<'_>,
        key: &Named<'_>,
        provider: &CryptoProvider,
    ) -> Result<Self, ServerError> {
        let bad = |what: &str, wanted| ServerError::Pem { what: what.to_owned(), wanted };
        let chain = CertificateDer::pem_slice_iter(certificate.text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| bad(certificate.name, "certificate"))?;
        let leaf = chain.first().ok_or_else(|| bad(certificate.name, "certificate"))?;
        let no_x509 =
            || ServerError::Certificate(format!("{} is no X.509 certificate", certificate.name));
        let spki_sha256 = spki::sha256(leaf).ok_or_else(no_x509)?;
        let parsed = EndEntityCert::try_from(leaf).map_err(|_| no_x509())?;
        let names = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
        let private =
            PrivateKeyDer::from_pem_slice(key.text).map_err(|_| bad(key.name, "private key"))?;
        let certified = CertifiedKey::from_der(chain, private, provider).map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                ServerError::KeyMismatch {
                    certificate: certificate.name.to_owned(),
                    key: key.name.to_owned(),
                }
            } else {
                ServerError::Certificate(error.to_string())
            }
        })?;
        Ok(Self { certified: Arc::new(certified), names, spki_sha256, stands_in: false })
    }

    /// From when until when the leaf is valid; `None` where it does not say so as others do.
    pub(in crate::server) fn validity(&self) -> Option<Validity> {
        Validity::of(self.leaf())
    }

    /// The leaf in DER.
    pub(in crate::server) fn leaf(&self) -> &[u8] {
        self.certified.cert.first().map_or(&[], |certificate| certificate.as_ref())
    }
}
