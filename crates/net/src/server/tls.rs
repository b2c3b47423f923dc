//! The certificate of a server, and the TLS settings made from it for TCP and for QUIC.
//!
//! TLS 1.3 and 1.2 by rustls on aws-lc-rs, which is passed explicitly: a process-wide default is
//! neither read nor set. The server's order of cipher suites counts, AES-128-GCM first.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::ServerError;
use crate::{Clock, spki};

/// QUIC sessions that may be resumed, kept for all workers; the oldest is forgotten first.
const QUIC_SESSIONS: usize = 4096;

/// A certificate with its private key.
#[derive(Clone, Debug)]
pub struct Tls {
    certified: Arc<CertifiedKey>,
    spki_sha256: [u8; 32],
}

impl Tls {
    /// Reads a certificate chain (leaf first) and its private key from two PEM files; they may be
    /// the same file. Blocks while it reads.
    ///
    /// # Errors
    /// [`ServerError::File`], [`ServerError::Pem`], [`ServerError::KeyMismatch`] or
    /// [`ServerError::Certificate`].
    pub fn from_pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, ServerError> {
        let read = |path: &Path| {
            std::fs::read(path)
                .map_err(|source| ServerError::File { path: path.to_owned(), source })
        };
        let (certificate, key) = (certificate.as_ref(), key.as_ref());
        Self::from_named_pem(
            &read(certificate)?,
            &certificate.display().to_string(),
            &read(key)?,
            &key.display().to_string(),
        )
    }

    /// Takes a certificate chain (leaf first) and its private key as PEM text.
    ///
    /// # Errors
    /// As [`Tls::from_pem_files`], except for [`ServerError::File`].
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, ServerError> {
        Self::from_named_pem(certificate, "the certificate given", key, "the key given")
    }

    /// A certificate for development, signed by itself: ECDSA P-256, valid for 13 days, for `names`
    /// (host names or IP addresses) and always `localhost`, `127.0.0.1` and `::1`.
    ///
    /// With a `dir` it is kept there (`dev-cert.pem`, and `dev-key.pem` readable by its owner only)
    /// and used again until a day before it expires or until other names are wanted. Blocks while
    /// it reads and writes.
    ///
    /// # Errors
    /// [`ServerError::File`] when `dir` cannot be used, [`ServerError::Certificate`] when a name
    /// cannot stand in a certificate.
    pub fn self_signed<N: Into<String>>(
        names: impl IntoIterator<Item = N>,
        dir: Option<&Path>,
        clock: &Clock,
    ) -> Result<Self, ServerError> {
        let names = names.into_iter().map(Into::into).collect();
        let pem = super::self_signed::load_or_make(names, dir, clock.now())?;
        Self::from_pem(pem.certificate.as_bytes(), pem.key.as_bytes())
    }

    /// The SHA-256 of the leaf's public key in base64, as Chromium's
    /// `--ignore-certificate-errors-spki-list` and [`crate::client`]'s pins take it.
    pub fn spki_sha256_base64(&self) -> String {
        spki::base64(&self.spki_sha256)
    }

    /// The leaf certificate in DER.
    pub fn leaf_der(&self) -> &[u8] {
        self.certified.cert.first().map_or(&[], |certificate| certificate.as_ref())
    }

    fn from_named_pem(
        certificate: &[u8],
        certificate_name: &str,
        key: &[u8],
        key_name: &str,
    ) -> Result<Self, ServerError> {
        let bad = |what: &str, wanted| ServerError::Pem { what: what.to_owned(), wanted };
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| bad(certificate_name, "certificate"))?;
        let leaf = chain.first().ok_or_else(|| bad(certificate_name, "certificate"))?;
        let spki_sha256 = spki::sha256(leaf).ok_or_else(|| {
            ServerError::Certificate(format!("{certificate_name} is no X.509 certificate"))
        })?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| bad(key_name, "private key"))?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                ServerError::KeyMismatch {
                    certificate: certificate_name.to_owned(),
                    key: key_name.to_owned(),
                }
            } else {
                ServerError::Certificate(error.to_string())
            }
        })?;
        Ok(Self { certified: Arc::new(certified), spki_sha256 })
    }

    /// TLS over TCP: HTTP/2 and HTTP/1.1 by ALPN, session tickets shared by all workers.
    pub(super) fn tcp_config(&self) -> Result<Arc<rustls::ServerConfig>, ServerError> {
        let mut config = self.config(rustls::ALL_VERSIONS)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(certificate_error)?;
        Ok(Arc::new(config))
    }

    /// TLS inside QUIC: TLS 1.3 and `h3` only. Sessions are kept in memory rather than in tickets,
    /// because rustls accepts early data only so.
    pub(super) fn quic_config(
        &self,
    ) -> Result<Arc<quinn::crypto::rustls::QuicServerConfig>, ServerError> {
        let mut config = self.config(&[&rustls::version::TLS13])?;
        config.alpn_protocols = vec![b"h3".to_vec()];
        config.session_storage = ServerSessionMemoryCache::new(QUIC_SESSIONS);
        let config = quinn::crypto::rustls::QuicServerConfig::try_from(config)
            .map_err(|error| ServerError::Certificate(error.to_string()))?;
        Ok(Arc::new(config))
    }

    fn config(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Result<rustls::ServerConfig, ServerError> {
        let resolver: Arc<dyn ResolvesServerCert> =
            Arc::new(SingleCertAndKey::from(Arc::clone(&self.certified)));
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(versions)
            .map_err(certificate_error)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.ignore_client_order = true;
        Ok(config)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn certificate_error(error: rustls::Error) -> ServerError {
    ServerError::Certificate(error.to_string())
}

/// aws-lc-rs with AES-128-GCM first: the cheapest suite on any CPU with AES instructions.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    provider
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn a_key_of_another_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let dir = dir.path().join(name);
            Tls::self_signed(["localhost"], Some(&dir), &Clock::system()).unwrap();
            dir
        };
        let (one, two) = (make("one"), make("two"));
        let error =
            Tls::from_pem_files(one.join("dev-cert.pem"), two.join("dev-key.pem")).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("two/dev-key.pem is not the private key"), "{said}");
        assert!(said.contains("one/dev-cert.pem"), "{said}");
    }

    #[test]
    fn pem_without_a_certificate_is_named() {
        let error = Tls::from_pem(b"hello", b"hello").unwrap_err();
        assert_eq!(error.to_string(), "the certificate given holds no certificate in PEM form");
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("no.pem");
        let error = Tls::from_pem_files(&missing, &missing).unwrap_err();
        assert!(error.to_string().contains("no.pem"), "{error}");
    }
}
