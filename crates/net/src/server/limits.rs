//! What one client may use up, and how QUIC is tuned.

use std::time::Duration;

/// Limits on connections and requests. The defaults suit a public edge.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnLimits {
    /// Time for a request's headers: on HTTP/3 exactly; on HTTP/1.1, and for the first request of
    /// HTTP/2, checked once in this time, so that a slow one is cut off after one to two of it.
    /// Unit: time. Default 10 s. Bound: more than zero. Danger: too short cuts off phones on slow
    /// links; too long lets slow senders hold connections.
    pub header_timeout: Duration,
    /// Time for a TLS or QUIC handshake. Default 10 s. Bound: more than zero. Danger: as for `header_timeout`.
    pub handshake_timeout: Duration,
    /// Time after which a connection without a request, on which no answer is being sent any
    /// more, is closed: on TCP in steps of `header_timeout`, on QUIC, where only a client gets so far
    /// that keeps its connection alive by PINGs (see [`QuicConfig::idle_timeout`]), up to a quarter
    /// late. Unit: time. Default 60 s. Bound: more than zero. Danger: too
    /// short makes players shake hands again between segments; too long keeps memory for clients
    /// that left.
    pub idle_timeout: Duration,
    /// Time in which a client must take at least one byte while there is something to write: on
    /// HTTP/1.1 and HTTP/2 of the connection, which is otherwise cut, on HTTP/3 of the stream, which
    /// is otherwise reset. On TCP checked in steps of the shortest of the three times, up to two
    /// steps late. Unit: time. Default 60 s. Bound: more than zero. Danger: too short cuts off
    /// players that pause a download in its middle and cannot go on where they were; too long
    /// lets clients that do not read hold connections and memory.
    pub write_timeout: Duration,
    /// Header fields in one request, whatever the protocol; more is answered 431. The lines that HTTP/2 and
    /// HTTP/3 clients may spread their cookies over count as one. Unit: fields. Default 100. Bound: 1 to
    /// 10,000. Danger: each costs memory while the request lives.
    pub max_headers: usize,
    /// Size of a request's header section; more is answered 431 or reset. Unit: bytes. Default
    /// 32 KiB. Bound: at least 8 KiB. Danger: one client can make the server hold this much for each
    /// of its requests.
    pub max_header_bytes: u32,
    /// Concurrent requests on one HTTP/2 connection. Unit: streams. Default 128. Bound: at least 1;
    /// browsers want 100. Danger: one connection can start this many fills.
    pub h2_max_streams: u32,
    /// Bytes of answers buffered for one HTTP/2 stream. Unit: bytes. Default 1 MiB. Bound: at
    /// least 16 KiB. Danger: too small slows single answers down; together, [`ConnLimits::send_budget`]
    /// bounds them.
    pub h2_send_buffer: usize,
    /// Bytes of answers made for one connection of HTTP/1.1 or HTTP/2 ahead of what its client takes;
    /// beyond it, all its answers wait until it takes more. Unit: bytes. Default
    /// 8 MiB. Bound: none; with 0, one piece of each answer. Danger: this and what the sockets hold is what a
    /// client that does not read can make the server hold, whatever the number of its requests; too
    /// low makes fast clients wait.
    pub send_budget: usize,
    /// Streams of HTTP/2 that a client has reset and the server has not yet come to; one more ends
    /// the connection (ENHANCE_YOUR_CALM), as does, in a connection's life, one more than a thousand that the
    /// server reset for errors in the client's frames. Unit: streams. Default 20. Bound: at least 1. Danger:
    /// each was a request that was begun for nothing (CVE-2023-44487, CVE-2025-8671); too low ends the
    /// connections of players that seek.
    pub h2_pending_resets: usize,
    /// Size of a request's body; one that says it is larger is answered 413, and one that turns out
    /// to be ends in [`BodyError::TooLarge`](crate::BodyError::TooLarge). Unit: bytes. Default
    /// 4 GiB. Bound: none; 0 allows no bodies. Danger: bodies are streamed and not held, so this
    /// bounds what a service may be made to take in, not memory.
    pub max_body: u64,
    /// Request bytes accepted ahead of the service on one connection of HTTP/2; a stream gets a quarter of
    /// it. Unit: bytes. Default 4 MiB. Bound: 256 KiB to 1 GiB. Danger: one client can make the server
    /// hold this much; too low slows uploads from afar.
    pub h2_receive_window: u32,
    /// Bytes a second that a request's body must bring, on average of each `body_timeout` that the
    /// service waits for it, and that a client must take of its answer, on average of each
    /// `write_timeout` in which there is something to write; then it ends as at those. Time in which
    /// nothing is there to be written, or another answer of the connection is more urgent, does not
    /// count, nor what follows an upgrade. Unit: bytes a second. Default 500 B. Bound: none; 0 lets
    /// any through. Danger: too high cuts off phones at the edge of a cell; without it, a byte a minute
    /// holds a request and [`ConnLimits::send_budget`] for ever.
    pub min_rate: u64,
    /// Longest silence inside a request's body while the service waits for more of it; then the
    /// body ends in [`BodyError::TimedOut`](crate::BodyError::TimedOut). Unit: time. Default 60 s.
    /// Bound: more than zero. Danger: too short breaks uploads from phones off, too long lets
    /// senders that stopped hold requests.
    pub body_timeout: Duration,
    /// Connections of all kinds, WebSockets among them, open at once from one address, or one IPv6 network of
    /// 64 bits; one more is closed at once (TCP) or refused (QUIC; CONNECTION_REFUSED before its handshake, whether
    /// or not its address has been shown, and H3_EXCESSIVE_LOAD where the last place went during it). What a
    /// trusted balancer or proxy opens counts for the client it names by the PROXY protocol, or not at all. Unit: connections. Default
    /// 2,048. Bound: at least 1. Danger: too low locks out the many behind one address of a
    /// provider; too high lets one client take all of `max_connections`.
    pub max_per_address: usize,
    /// Connections of TCP and of Unix sockets at once in the whole server that have yet to finish their
    /// TLS handshake or, in the clear, to say what they speak. One more takes the place of the oldest, which
    /// is closed, if that has had a second, and is otherwise closed at once. They take no place of
    /// `max_connections`. Unit: handshakes. Default 4,096. Bound: at least 1, and with
    /// `max_connections` below the process's limit on open files. Danger: too low turns clients away
    /// when many come at once; too high lets silent ones hold files and memory.
    pub max_handshakes: usize,
    /// Connections of all kinds open at once in the whole server; one more is closed at once (TCP)
    /// or refused (QUIC). Unit: connections. Default 16,384. Bound: at least 1, and below the
    /// process's limit on open files. Danger: too high runs out of files and memory.
    pub max_connections: usize,
}

impl Default for ConnLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            max_headers: 100,
            max_header_bytes: 32 << 10,
            h2_max_streams: 128,
            h2_send_buffer: 1 << 20,
            send_budget: 8 << 20,
            h2_pending_resets: 20,
            max_body: 4 << 30,
            h2_receive_window: 4 << 20,
            min_rate: 500,
            body_timeout: Duration::from_secs(60),
            max_per_address: 2048,
            max_handshakes: 4096,
            max_connections: 16_384,
        }
    }
}

/// How QUIC (RFC 9000) behaves under HTTP/3.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QuicConfig {
    /// Silence after which a connection is dropped without a word (RFC 9000 §10.1). Default 30 s.
    /// Bound: more than zero. Danger: too short loses players that pause, too long keeps memory for
    /// clients that left.
    pub idle_timeout: Duration,
    /// Concurrent requests on one connection. Unit: streams. Default 128. Bound: 1 to 10,000; RFC
    /// 9114 §6.1 asks for at least 100. Danger: one connection can start this many fills.
    pub max_streams: u32,
    /// Answer bytes held for one connection until they are acknowledged. Unit: bytes. Default
    /// 8 MiB. Bound: at least 64 KiB. Danger: below bandwidth × round trip it caps the speed; a client
    /// that does not acknowledge holds this much.
    pub send_window: u64,
    /// Handshakes under way on one worker and address from which on a client must first show that it
    /// is where it says (Retry, RFC 9000 §8.1.2). Unit: handshakes. Default 64. Bound: none; 0 asks
    /// every client. Danger: too low costs clients a round trip; too high lets forged addresses hold
    /// this many handshakes.
    pub retry_above: usize,
    /// Handshakes under way on one worker and address. One more takes the place of the oldest, if that
    /// has had a second, and is otherwise refused (CONNECTION_REFUSED), and its client may come again. Unit: handshakes. Default 1,024. Bound: at least 1. Danger: each
    /// costs memory and two signatures' time; too low turns clients away when many come at once.
    pub max_handshakes: usize,
    /// Request bytes accepted ahead of the service on one connection; a stream gets a quarter of
    /// it. Unit: bytes. Default 4 MiB. Bound: 64 KiB to 1 GiB. Danger: one client can make the
    /// server hold this much.
    pub receive_window: u32,
    /// SO_RCVBUF and SO_SNDBUF asked for on each UDP socket; the system may grant less
    /// (net.core.rmem_max, wmem_max). Unit: bytes. Default 8 MiB. Danger: too small
    /// drops packets whenever a worker is busy for some milliseconds.
    pub socket_buffer: usize,
    /// Whether clients that come back may ask before their handshake is done (0-RTT, RFC 9001
    /// §4.6), which saves them a round trip. Early GET and HEAD requests without a body go to the
    /// service at once, marked [`ConnInfo::early_data`](crate::ConnInfo::early_data); all others
    /// wait for the handshake. A ticket is good once, so that a recorded flight is not answered
    /// again here; but whoever keeps our answer from a client makes it ask twice (RFC 8470 §2).
    /// Default off, since a service has to know of this (RFC 8446 §E.5); headwater-edge's does.
    /// Danger: a GET that does something may do it twice.
    pub early_data: bool,
    /// Where QUIC's events on each connection are logged, for diagnosis. Default nowhere. Danger: the
    /// log of a busy connection is megabytes a second, written on the worker's own thread.
    #[cfg(feature = "qlog")]
    pub qlog: Option<super::Qlog>,
}

impl Default for QuicConfig {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            max_streams: 128,
            send_window: 8 << 20,
            retry_above: 64,
            max_handshakes: 1024,
            receive_window: 4 << 20,
            socket_buffer: 8 << 20,
            early_data: false,
            #[cfg(feature = "qlog")]
            qlog: None,
        }
    }
}
