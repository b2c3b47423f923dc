//! Trust for the load client: exactly the certificate that both servers were given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, NamedGroup, RootCertStore};

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

/// Tickets of sessions, kept until they are used; counts those.
#[derive(Debug)]
pub struct Tickets {
    kept: ClientSessionMemoryCache,
    used: AtomicU64,
}

impl Tickets {
    /// A store for `config`, which will resume sessions by it.
    pub fn of(config: &mut ClientConfig) -> Arc<Self> {
        let kept = ClientSessionMemoryCache::new(64);
        let tickets = Arc::new(Self { kept, used: AtomicU64::new(0) });
        config.resumption = Resumption::store(Arc::clone(&tickets) as Arc<dyn ClientSessionStore>);
        tickets
    }

    /// How many handshakes had one.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.kept.set_tls12_session(server, session);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.kept.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.kept.insert_tls13_ticket(server, ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let ticket = self.kept.take_tls13_ticket(server);
        self.used.fetch_add(u64::from(ticket.is_some()), Ordering::Relaxed);
        ticket
    }
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
