//! The QUIC endpoint under HTTP/3: quinn, tuned for sending large bodies; one for each worker and
//! address, which a connection does not leave though its client's address changes, nor though
//! another process takes over.

mod cid;
mod elders;
mod handshakes;
mod joined;
mod passed;
mod steering;
mod strays;

use std::hash::RandomState;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::{AckFrequencyConfig, EndpointConfig, IdleTimeout, Runtime, TransportConfig, VarInt};

use super::keys::Keys;
use super::tls::{Current, Sessions, Terms};
use super::{ConnLimits, QuicConfig, ServerError, Tls, WorkerId};
use cid::{Ids, Owner};
use handshakes::Handshakes;
use joined::Joined;
use steering::{Mailbox, Reads, Steered};

pub(super) use cid::{GENERATIONS, MAX_WORKERS};
pub(super) use elders::{Elder, Elders, channel};
pub(super) use handshakes::{Begun, Handshake};

/// Unidirectional streams that a client of QUIC may have open at once; one more has to wait. Unit: streams.
/// Default 16. Bound: not to be set. Danger: none known: HTTP/3 needs three (RFC 9114 §6.2), and some
/// clients send one of a reserved type.
const UNI_STREAMS: u32 = 16;
/// Handshakes that may wait to be accepted, for each worker and address.
const WAITING_HANDSHAKES: usize = 1024;
/// Early packets kept for all of those together, in bytes.
const WAITING_BYTES: u64 = 16 << 20;

/// The settings of all workers' connections.
pub(super) type Settings = Current<quinn::ServerConfig>;

/// See [`Settings`].
pub(super) fn settings(
    tls: &Tls,
    quic: &QuicConfig,
    keys: &Keys,
    sessions: Arc<Sessions>,
) -> Result<Settings, ServerError> {
    let (transport, keys) = (Arc::new(transport(quic)), keys.clone());
    tls.over_quic(quic.early_data, sessions, move |crypto| {
        let mut config = quinn::ServerConfig::new(crypto, keys.token());
        config
            .transport_config(Arc::clone(&transport))
            .max_incoming(WAITING_HANDSHAKES)
            .incoming_buffer_size_total(WAITING_BYTES);
        config
    })
}

/// What the sessions of this server are made under.
pub(super) fn terms(tls: &Tls, quic: &QuicConfig, limits: &ConnLimits) -> Terms {
    tls.terms([quic.max_streams, UNI_STREAMS, quic.receive_window, limits.max_header_bytes])
}

fn transport(quic: &QuicConfig) -> TransportConfig {
    let mut transport = TransportConfig::default();
    // Clients that know the extension acknowledge once in ten packets instead of two: fewer wakes.
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(10));
    let receive_window = quic.receive_window.clamp(64 << 10, 1 << 30);
    let idle = quic.idle_timeout.max(Duration::from_millis(1));
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(quic.max_streams.clamp(1, 10_000)))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .max_idle_timeout(IdleTimeout::try_from(idle).ok())
        .send_window(quic.send_window.max(64 << 10))
        .receive_window(VarInt::from_u32(receive_window))
        .stream_receive_window(VarInt::from_u32(receive_window / 4))
        .datagram_receive_buffer_size(None)
        .ack_frequency_config(Some(acks));
    transport
}

/// What the workers' endpoints on one address share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    ids: Ids,
    keys: Keys,
    mailboxes: Arc<[Mailbox]>,
    /// Handshakes that this process has under way.
    handshakes: Arc<Handshakes>,
    elders: Arc<Elders>,
    /// From the process that takes over, for each worker.
    inbound: Arc<[Mutex<Option<OwnedFd>>]>,
    /// What spreads beginning connections, where there are fewer sockets than workers.
    spread: Option<RandomState>,
}

/// One worker's endpoint on one address.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) quinn: quinn::Endpoint,
    worker: u16,
    shared: Shared,
    reads: Option<Arc<Reads>>,
    settings: Settings,
}

impl Shared {
    /// For `workers` workers, of which `sockets` have one, of a process of this generation.
    pub(super) fn new(
        keys: &Keys,
        generation: u8,
        elders: Elders,
        workers: usize,
        sockets: usize,
    ) -> Self {
        Self {
            ids: Ids::new(keys.connection_ids, generation),
            keys: keys.clone(),
            mailboxes: (0..workers).map(|_| Mailbox::default()).collect(),
            handshakes: Arc::default(),
            elders: Arc::new(elders),
            inbound: (0..workers).map(|_| Mutex::default()).collect(),
            spread: (sockets < workers).then(RandomState::new),
        }
    }

    /// The endpoint of one worker over `socket`, driven by the runtime this is called in. Reads
    /// nothing until [`Endpoint::read`]; and only what others pass on, where the socket is another
    /// worker's.
    pub(super) fn endpoint(
        self,
        socket: UdpSocket,
        is_own: bool,
        settings: &Settings,
        worker: WorkerId,
    ) -> io::Result<Endpoint> {
        let number = u16::try_from(worker.0).map_err(io::Error::other)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let mut endpoint = EndpointConfig::new(self.keys.reset());
        let ids = self.ids.clone();
        endpoint.cid_generator(move || ids.of_worker(number));
        let reads = is_own.then(Arc::<Reads>::default);
        let socket = Joined::new(Steered {
            socket: runtime.wrap_udp_socket(socket)?,
            ids: self.ids.clone(),
            worker: number,
            mailboxes: Arc::clone(&self.mailboxes),
            elders: Arc::clone(&self.elders),
            reads: reads.clone(),
            spread: self.spread.clone(),
        });
        let server = settings.get().map(|settings| (*settings).clone());
        let socket = Arc::new(socket);
        let quinn = quinn::Endpoint::new_with_abstract_socket(endpoint, server, socket, runtime)?;
        Ok(Endpoint { quinn, worker: number, shared: self, reads, settings: settings.clone() })
    }

    /// Ways to each worker of this process, for the process that takes over.
    pub(super) fn ways(&self) -> io::Result<Vec<OwnedFd>> {
        let way = |inbound: &Mutex<Option<OwnedFd>>| {
            let (from, to) = channel()?;
            *inbound.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
            Ok(from)
        };
        self.inbound.iter().map(way).collect()
    }

    pub(super) fn elders(&self) -> &Arc<Elders> {
        &self.elders
    }

    /// Handshakes under way, here and in older processes.
    pub(super) fn handshakes(&self) -> Vec<Handshake> {
        let mut all = self.handshakes.list();
        all.append(&mut self.elders.handshakes.list());
        all
    }
}

impl Endpoint {
    /// Begins to read the socket, or leaves it to another process.
    pub(super) fn read(&self, on: bool) {
        if let Some(reads) = &self.reads {
            reads.set(on);
        }
    }

    /// Takes what the process that takes over passes on, as long as it does.
    pub(super) async fn receive(&self) {
        let Some(inbound) = self.shared.inbound.get(usize::from(self.worker)) else { return };
        let way = inbound.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(way) = way {
            elders::receive(way, Arc::clone(&self.shared.mailboxes), self.worker).await;
        }
    }

    /// Forgets the handshakes of older processes: by now they are done, or given up.
    pub(super) fn forget_handshakes(&self) {
        self.shared.elders.handshakes.clear();
    }

    /// The settings of a connection that begins now; `None` where it is to be refused.
    #[cfg_attr(not(feature = "qlog"), expect(unused_variables, reason = "as with the feature"))]
    pub(super) fn settings(&self, quic: &QuicConfig) -> Option<Arc<quinn::ServerConfig>> {
        let settings = self.settings.get()?;
        #[cfg(feature = "qlog")]
        if let Some(stream) = quic.qlog.as_ref().and_then(super::Qlog::begin) {
            let mut transport = transport(quic);
            transport.qlog_stream(Some(stream));
            let mut logged = (*settings).clone();
            logged.transport_config(Arc::new(transport));
            return Some(Arc::new(logged));
        }
        Some(settings)
    }

    /// Notes that a handshake is under way until the guard is dropped.
    pub(super) fn shakes_hands(&self, client: SocketAddr, id: &[u8]) -> Begun {
        let owner = Owner { generation: self.shared.ids.generation, worker: self.worker };
        self.shared.handshakes.begin(client, id, owner)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::server::socket::bind_all;

    /// What the system gives without being asked.
    const PLAIN_BUFFER: usize = 212_992;

    #[tokio::test]
    async fn sockets_take_and_give_many_datagrams_at_once_and_have_large_buffers() {
        let bound = bind_all(&["127.0.0.1:0".parse().unwrap()], true, 1, Some(8 << 20)).unwrap();
        let socket = bound.into_iter().next().unwrap().udp.pop().unwrap();
        let buffers = socket2::SockRef::from(&socket);
        assert!(buffers.recv_buffer_size().unwrap() > PLAIN_BUFFER);
        assert!(buffers.send_buffer_size().unwrap() > PLAIN_BUFFER);
        let socket = quinn::TokioRuntime.wrap_udp_socket(socket).unwrap();
        assert!(socket.max_transmit_segments() > 1, "GSO");
        assert!(socket.max_receive_segments() > 1, "GRO");
    }
}
