//! What two processes say to each other when one takes over from the other: messages as bytes.
//!
//! Each is one JSON object in one message of a Unix socket that keeps messages apart; descriptors
//! ride beside it. [`VERSION`] stands in the first message of either side, whose shape never changes;
//! who knows only another version says so, and the older process serves on.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::server::keys::SavedKeys;
use crate::server::quic::Handshake;
use crate::server::tls::{Session, Terms};

/// The version of these messages, and of what they mean.
pub(super) const VERSION: u32 = 2;

/// The largest message in bytes.
pub(super) const MAX_BYTES: usize = 64 << 10;
/// The most descriptors beside one message; the system allows 253.
pub(super) const MAX_DESCRIPTORS: usize = 128;
/// Handshakes that one message tells of: each takes 200 bytes at most.
pub(super) const MAX_HANDSHAKES: usize = 256;
/// Bytes of sessions that one message tells of: each takes four at most as it is written.
pub(super) const SESSION_BYTES: usize = 12 << 10;
/// The most messages before [`Message::Everything`], and before [`Message::Go`].
pub(super) const MAX_MESSAGES: usize = 4096;

/// What is said. New: the process that takes over. Old: the one before it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(super) enum Message {
    /// Both, first: the version of the messages.
    Hello { version: u32 },
    /// Old: it serves on, for this reason.
    Refused { why: String },
    /// Old: what follows is of this server.
    Server { name: String, generation: u8, keys: SavedKeys },
    /// Old: some sockets, as the descriptors beside it.
    Sockets(Sockets),
    /// Old: nothing more comes before the new one is ready.
    Everything,
    /// New: it could serve now.
    Ready,
    /// Old: handshakes under way on an address of a server, some of them.
    Handshakes { server: String, addr: SocketAddr, list: Vec<Handshake> },
    /// Old: sessions that it has given up, some of them, and what they were made under.
    Sessions { server: String, terms: Terms, list: Vec<Session> },
    /// Old: it has let go of all sockets.
    Go,
    /// New: it serves.
    Serving,
}

/// What sockets are, and what they are for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sockets {
    /// How many.
    pub(super) count: usize,
    pub(super) place: Place,
    pub(super) kind: Kind,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::server) enum Place {
    /// For TLS and QUIC: the address that was asked for, and the one that it became.
    Https { asked: SocketAddr, bound: SocketAddr },
    /// In the clear.
    Http { asked: SocketAddr, bound: SocketAddr },
    /// A Unix socket, and whether its file is a supervisor's, who keeps it.
    Unix {
        path: PathBuf,
        #[serde(default)]
        keep: bool,
    },
}

/// What a socket does at its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// It accepts connections.
    Stream,
    /// It receives datagrams.
    Datagram,
    /// It leads to the workers of the older process of this generation, in order.
    Way { generation: u8 },
}

impl Place {
    /// As it was bound.
    pub(in crate::server) fn addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Https { bound, .. } | Self::Http { bound, .. } => Some(*bound),
            Self::Unix { .. } => None,
        }
    }

    /// Whether it is a file that stays when the server ends.
    pub(in crate::server) fn is_kept(&self) -> bool {
        matches!(self, Self::Unix { keep: true, .. })
    }
}

impl Message {
    pub(super) fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::Clock;
    use crate::server::keys::Keys;

    #[test]
    fn the_first_message_is_what_every_version_understands() {
        let hello = Message::Hello { version: 1 };
        assert_eq!(hello.write().unwrap(), br#"{"say":"hello","version":1}"#);
        let later = br#"{"say":"hello","version":7,"more":true}"#;
        assert!(matches!(Message::read(later), Ok(Message::Hello { version: 7 })));
    }

    #[test]
    fn a_server_arrives_with_its_keys() {
        let clock = Clock::system();
        let keys = Keys::new(&clock).unwrap();
        let said = Message::Server { name: "main".into(), generation: 5, keys: keys.save() };
        assert!(!format!("{said:?}").contains('['), "keys are not for logs: {said:?}");
        let read = Message::read(&said.write().unwrap()).unwrap();
        let Message::Server { name, generation: 5, keys: saved } = read else { unreachable!() };
        let restored = Keys::restore(saved, &clock);
        assert_eq!((name.as_str(), restored.connection_ids), ("main", keys.connection_ids));
        let mut reset = vec![0; keys.reset().signature_len()];
        keys.reset().sign(b"an ID", &mut reset);
        assert!(restored.reset().verify(b"an ID", &reset).is_ok(), "stateless resets");
        let mut token = b"an address".to_vec();
        keys.token().aead_from_hkdf(&[7; 32]).seal(&mut token, b"").unwrap();
        let read = restored.token().aead_from_hkdf(&[7; 32]);
        assert_eq!(read.open(&mut token, b"").unwrap(), b"an address", "tokens");
    }

    #[test]
    fn the_longest_message_fits() {
        let one = Handshake {
            client: "[2001:db8:1111:2222:3333:4444:5555:6666]:65535".parse().unwrap(),
            id: vec![255; 20],
            generation: 63,
            worker: 1023,
        };
        let said = Message::Handshakes {
            server: "x".repeat(64),
            addr: one.client,
            list: vec![one; MAX_HANDSHAKES],
        };
        assert!(said.write().unwrap().len() < MAX_BYTES);
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [&b""[..], b"{", b"{}", br#"{"say":"what"}"#, br#"{"say":"hello"}"#, b"\xff"] {
            assert!(Message::read(bytes).is_err(), "{bytes:?}");
        }
    }
}
