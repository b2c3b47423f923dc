//! Trust for the load client: exactly the certificate that both servers were given.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{Load, Result};

/// A client that trusts one certificate and speaks TLS 1.3 with AES-128-GCM, so that two servers
/// are measured at the same cipher.
///
/// # Errors
/// When the certificate cannot be a root.
pub fn trust_only(certificate: &CertificateDer<'static>) -> Result<ClientConfig> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites =
        vec![rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    Ok(ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Connects over TCP and TLS with one ALPN protocol, which the server must take.
pub(super) async fn connect(load: &Load, alpn: &[u8]) -> Result<TlsStream<TcpStream>> {
    let mut config = load.tls.clone();
    config.alpn_protocols = vec![alpn.to_vec()];
    let tcp = TcpStream::connect(load.addr).await?;
    tcp.set_nodelay(true)?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect("localhost".try_into()?, tcp).await?;
    if stream.get_ref().1.alpn_protocol() != Some(alpn) {
        return Err("the server did not take the protocol offered".into());
    }
    Ok(stream)
}
