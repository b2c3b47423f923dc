//! Which certificates an upstream may show, and which one we show it.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, WantsVerifier,
};

use super::UpstreamError;
use crate::spki;

/// Which certificates an upstream may show.
#[derive(Debug)]
pub(super) enum Trust {
    /// Those of the system's authorities.
    Native,
    /// Those of these authorities.
    Roots(RootCertStore),
    /// The one whose public key has this SHA-256 in base64.
    Pin(String),
}

impl Trust {
    /// The authorities in a PEM text.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        if roots.is_empty() {
            return Err("the trusted authorities hold no certificate in PEM form".to_owned());
        }
        Ok(Self::Roots(roots))
    }

    /// TLS that trusts so, and shows `own` where the upstream asks. Reads the system's authorities,
    /// once for each upstream.
    pub(super) fn client_config(self, own: Option<Own>) -> Result<ClientConfig, UpstreamError> {
        let refused = |error: Error| UpstreamError::Config(error.to_string().into());
        let builder = builder()?;
        let builder = match self {
            Self::Native => builder
                .with_native_roots()
                .map_err(|error| UpstreamError::Config(error.to_string().into()))?,
            Self::Roots(roots) => builder.with_root_certificates(roots),
            Self::Pin(pin) => {
                let provider = aws_lc_rs::default_provider();
                let verifier = Arc::new(PinnedKey { pin, provider });
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        match own {
            Some(own) => builder.with_client_auth_cert(own.chain, own.key).map_err(refused),
            None => Ok(builder.with_no_client_auth()),
        }
    }

    /// TLS that trusts nobody, for upstreams without it.
    pub(super) fn none() -> Result<ClientConfig, UpstreamError> {
        Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, UpstreamError> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| UpstreamError::Config(error.to_string().into()))
}

/// The certificate we show an upstream that asks for one.
#[derive(Debug)]
pub(super) struct Own {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Own {
    /// A chain, leaf first, and its key.
    pub(super) fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let none = |what| format!("the client certificate's text holds no {what} in PEM form");
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|chain| !chain.is_empty())
            .ok_or_else(|| none("certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| none("private key"))?;
        Ok(Self { chain, key })
    }
}

/// Accepts one public key, and whoever proves to hold its private key.
#[derive(Debug)]
struct PinnedKey {
    pin: String,
    provider: CryptoProvider,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = spki::sha256(end_entity).map(|hash| spki::base64(&hash));
        if shown.as_ref() == Some(&self.pin) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
