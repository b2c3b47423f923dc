//! The QUIC endpoint under HTTP/3: quinn, tuned for sending large bodies.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use quinn::{AckFrequencyConfig, EndpointConfig, IdleTimeout, TransportConfig, VarInt};

use super::{QuicConfig, ServerError, Tls};

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
    let mut config = quinn::ServerConfig::with_crypto(tls.quic_config()?);
    config
        .transport_config(Arc::new(transport))
        .max_incoming(WAITING_HANDSHAKES)
        .incoming_buffer_size_total(WAITING_BYTES);
    Ok(config)
}

/// An endpoint over `socket`, driven by the runtime this is called in.
pub(super) fn endpoint(
    socket: UdpSocket,
    config: quinn::ServerConfig,
) -> io::Result<quinn::Endpoint> {
    let runtime = Arc::new(quinn::TokioRuntime);
    quinn::Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime)
}
