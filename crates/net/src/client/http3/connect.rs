//! Connections of HTTP/3 to one upstream: one at a time is made, by a task that goes on when the request it is
//! for is given up, so that its failure is known in any case. Addresses of both families are raced as those of
//! TCP are (RFC 8305): the family that comes first, and [`HEAD_START`] later the other one beside it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h3::client::SendRequest;
use quinn::crypto::rustls::QuicClientConfig;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::transport::{Opener, Transport};
use crate::client::UpstreamError;
use crate::client::resolve::Names;

/// What may be on its way to us, of one answer and of all.
const STREAM_WINDOW: u32 = 4 << 20;
const WINDOW: u32 = 32 << 20;
/// The largest head of an answer.
const MAX_HEAD: u64 = 256 << 10;
/// What the family that comes first has before the other.
const HEAD_START: Duration = Duration::from_millis(300);

/// A connection; it ends with the last of its clones.
#[derive(Clone)]
pub(in crate::client) struct Live {
    pub(super) requests: SendRequest<Opener, Bytes>,
    pub(super) quic: quinn::Connection,
}

impl Live {
    /// Whether it can be asked: it has not ended, and its address is still the name's.
    pub(super) fn is_good(&self, names: Option<&Arc<Names>>) -> bool {
        let at = self.quic.remote_address().ip();
        self.quic.close_reason().is_none() && !names.is_some_and(|names| names.lacks(at))
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.quic.stable_id() == other.quic.stable_id()
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

/// Where connections lead.
#[derive(Debug)]
pub(super) struct Way {
    config: quinn::ClientConfig,
    /// Whose certificate is asked for.
    name: String,
    host: String,
    port: u16,
    pub(super) names: Option<Arc<Names>>,
}

impl Way {
    /// Says so to who shows the certificate of `name`; a connection counts as gone after `idle` of silence.
    pub(super) fn new(
        mut tls: rustls::ClientConfig,
        idle: Duration,
        name: String,
        (host, port): (String, u16),
        names: Option<Arc<Names>>,
    ) -> Result<Self, UpstreamError> {
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let config =
            |error: &dyn std::error::Error| UpstreamError::Config(error.to_string().into());
        let tls = QuicClientConfig::try_from(tls).map_err(|error| config(&error))?;
        let mut transport = quinn::TransportConfig::default();
        let silence = quinn::IdleTimeout::try_from(idle).map_err(|error| config(&error))?;
        transport
            .max_idle_timeout(Some(silence))
            .stream_receive_window(STREAM_WINDOW.into())
            .receive_window(WINDOW.into())
            .max_concurrent_bidi_streams(0_u8.into());
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(transport));
        Ok(Self { config, name, host, port, names })
    }

    /// A new connection.
    pub(super) async fn connect(&self, within: Duration) -> Option<Live> {
        timeout(within, self.race(within)).await.ok()?
    }

    async fn race(&self, within: Duration) -> Option<Live> {
        let addresses = match &self.names {
            Some(names) => names.addresses().await.ok()?,
            None => vec![SocketAddr::new(self.host.parse().ok()?, 0)],
        };
        let first = addresses.first()?.is_ipv6();
        let (one, other): (Vec<SocketAddr>, Vec<SocketAddr>) =
            addresses.into_iter().partition(|address| address.is_ipv6() == first);
        let failed = Notify::new();
        let one = async {
            let made = self.first_of(one, within).await;
            failed.notify_one();
            made
        };
        let other = async {
            let _ = timeout(HEAD_START, failed.notified()).await;
            self.first_of(other, within).await
        };
        tokio::select! {
            Some(live) = one => Some(live),
            Some(live) = other => Some(live),
            else => None,
        }
    }

    /// One after the other, each for its share of the time.
    async fn first_of(&self, addresses: Vec<SocketAddr>, within: Duration) -> Option<Live> {
        let share = within / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        for address in addresses {
            let address = SocketAddr::new(address.ip(), self.port);
            if let Ok(Some(live)) = timeout(share, self.connect_to(address)).await {
                return Some(live);
            }
        }
        None
    }

    async fn connect_to(&self, address: SocketAddr) -> Option<Live> {
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let endpoint = quinn::Endpoint::client(SocketAddr::new(any, 0)).ok()?;
        let connecting = endpoint.connect_with(self.config.clone(), address, &self.name).ok()?;
        let quic = connecting.await.ok()?;
        let mut builder = h3::client::builder();
        builder.send_grease(false).max_field_section_size(MAX_HEAD);
        let (mut driver, requests) = builder.build(Transport::new(quic.clone())).await.ok()?;
        // It ends with the connection, which ends with the last who asks by it.
        tokio::spawn(async move {
            let _endpoint = endpoint;
            driver.wait_idle().await
        });
        Some(Live { requests, quic })
    }
}
