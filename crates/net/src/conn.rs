//! What is known of the connection a request came by.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use crate::Interim;
use crate::handshake::Handshake;
use crate::path::{KnowsPath, Path};

/// Facts about the connection that carried a request; an extension of every request that a
/// listener of this crate hands to its service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnInfo {
    /// The other end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// The HTTP version spoken.
    pub protocol: Protocol,
    /// Whether the bytes were encrypted (always so for [`Protocol::H3`]).
    pub tls: bool,
    /// The server name the client asked for in its TLS hello, if any (RFC 6066 §3).
    pub sni: Option<Arc<str>>,
    /// The certificate the client showed, in DER, if it was asked for one and showed one that an
    /// authority named for it has signed.
    pub client: Option<Arc<[u8]>>,
    /// Whether the request arrived as TLS 1.3 early data and may be a replay (RFC 8470 §2). Only
    /// safe requests without a body are handed to a service so, and only where
    /// [`QuicConfig::early_data`](crate::server::QuicConfig::early_data) allows it. What must not be
    /// done twice waits for [`ConnInfo::established`], or is answered 425 (Too Early).
    pub early_data: bool,
    /// Of a request in early data: when its handshake is done.
    pub(crate) handshake: Option<Handshake>,
    /// The connection, as far as it is asked for its path.
    pub(crate) path: Option<Weak<dyn KnowsPath>>,
    /// The way to send interim responses to this request.
    pub(crate) interim: Option<Interim>,
}

impl ConnInfo {
    /// The facts of a plain connection: no TLS, no server name, no early data.
    pub fn new(peer: SocketAddr, local: SocketAddr, protocol: Protocol) -> Self {
        Self {
            peer,
            local,
            protocol,
            tls: false,
            sni: None,
            client: None,
            early_data: false,
            handshake: None,
            path: None,
            interim: None,
        }
    }

    /// Whether the request came early and the handshake is still not done.
    #[cfg_attr(not(feature = "client"), allow(dead_code, reason = "only clients pass it on"))]
    pub(crate) fn may_be_replay(&self) -> bool {
        self.early_data && !self.handshake.as_ref().is_some_and(Handshake::is_done)
    }

    /// Waits until the client has shown, by ending its handshake, that it is there and that its
    /// request is no replay; says `false` where its connection ended before. At once `true` for a
    /// request that did not come in early data. Cancel safe.
    pub async fn established(&self) -> bool {
        match &self.handshake {
            Some(handshake) => handshake.clone().done().await,
            None => true,
        }
    }

    /// How the path to the other end does just now: to the client, or to the proxy that has the
    /// connection with us. `None` once the connection is gone, by a Unix socket, and on TCP elsewhere
    /// than on Linux. It costs nothing until it is asked for, and then a call of the system on TCP,
    /// or a look at the connection's state on QUIC. On TCP it is no older than 20 ms.
    pub fn path(&self) -> Option<Path> {
        self.path.as_ref()?.upgrade()?.path()
    }

    /// The same, with another way to send interim responses: how a service that asks upstream for
    /// several clients has [all of them](crate::Interims) told.
    #[must_use]
    pub fn with_interim(mut self, interim: Interim) -> Self {
        self.interim = Some(interim);
        self
    }

    /// Sends interim responses (RFC 9110 §15.2) to the client of this request, such as 103 with
    /// links to preload; `None` where the protocol has no way to.
    pub const fn interim(&self) -> Option<&Interim> {
        self.interim.as_ref()
    }
}

/// Held, it has its request count as under way after the answer, so that its connection is not idle: an
/// extension of each CONNECT over HTTP/2, whose stream may go on as a tunnel, such as a WebSocket (RFC 8441).
/// Who makes it one takes this from the request and drops it at the tunnel's end. Over HTTP/1.1 there is none:
/// an upgraded connection counts by itself.
#[derive(Clone)]
pub struct UnderWay {
    _busy: Arc<dyn Send + Sync>,
}

impl UnderWay {
    /// With what counts until it is dropped.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "listeners make it"))]
    pub(crate) fn new(busy: impl Send + Sync + 'static) -> Self {
        Self { _busy: Arc::new(busy) }
    }
}

impl fmt::Debug for UnderWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnderWay").finish_non_exhaustive()
    }
}

/// The HTTP version of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1 (RFC 9112).
    H1,
    /// HTTP/2 (RFC 9113).
    H2,
    /// HTTP/3 (RFC 9114).
    H3,
}

impl Protocol {
    /// Every protocol, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::H1, Self::H2, Self::H3];

    /// The short name used in metrics and logs: `h1`, `h2`, `h3`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
            Self::H3 => "h3",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
