//! The QUIC endpoint under HTTP/3: quinn, tuned for sending large bodies; one for each worker and
//! address, which a connection does not leave though its client's address changes.

mod cid;
mod steering;

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use quinn::{AckFrequencyConfig, EndpointConfig, IdleTimeout, Runtime, TransportConfig, VarInt};

use super::{Metrics, QuicConfig, ServerError, Tls, WorkerId};
use cid::Ids;
use steering::{Mailbox, Steered};

/// Unidirectional streams a client may have open: HTTP/3 needs three (RFC 9114 §6.2), and some
/// send one of a reserved type.
const UNI_STREAMS: u32 = 16;
/// Handshakes that may wait to be accepted, for each worker and address.
const WAITING_HANDSHAKES: usize = 1024;
/// Early packets kept for all of those together, in bytes.
const WAITING_BYTES: u64 = 16 << 20;

/// The settings of all workers' endpoints.
pub(super) fn server_config(
    tls: &Tls,
    quic: &QuicConfig,
    metrics: &Metrics,
) -> Result<quinn::ServerConfig, ServerError> {
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
    let crypto = tls.quic_config(quic.early_data, metrics.count_tickets_refused())?;
    let mut config = quinn::ServerConfig::with_crypto(crypto);
    config
        .transport_config(Arc::new(transport))
        .max_incoming(WAITING_HANDSHAKES)
        .incoming_buffer_size_total(WAITING_BYTES);
    Ok(config)
}

/// What the workers' endpoints on one address share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    ids: Ids,
    mailboxes: Arc<[Mailbox]>,
}

impl Shared {
    pub(super) fn new(workers: usize) -> Self {
        let mailboxes = (0..workers).map(|_| Mailbox::default()).collect();
        Self { ids: Ids::new(), mailboxes }
    }

    /// The endpoint of one worker over `socket`, driven by the runtime this is called in.
    pub(super) fn endpoint(
        self,
        socket: UdpSocket,
        config: quinn::ServerConfig,
        worker: WorkerId,
    ) -> io::Result<quinn::Endpoint> {
        let worker = u16::try_from(worker.0)
            .map_err(|_| io::Error::other("there are more workers than connection IDs can name"))?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let ids = self.ids.clone();
        let mut endpoint = EndpointConfig::default();
        endpoint.cid_generator(move || ids.of_worker(worker));
        let socket = runtime.wrap_udp_socket(socket)?;
        let Self { ids, mailboxes } = self;
        let socket = Arc::new(Steered { socket, ids, worker, mailboxes });
        quinn::Endpoint::new_with_abstract_socket(endpoint, Some(config), socket, runtime)
    }
}
