//! The listeners and the upstream client against real sockets on loopback, on every protocol.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod activation;
mod alive;
mod client;
mod cut;
mod drain;
mod early_data;
mod floods;
mod fronts;
mod hand_over;
mod held;
mod http2_frames;
mod http3;
mod http3_errors;
mod http3_frames;
mod interim;
mod limits;
mod protocols;
mod quic;
mod quic_limits;
mod relay;
mod service;
mod startup;
mod tls;
mod upstream;

/// The transport under h3, also used as a client's here.
#[path = "../../src/server/quic_stream.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "the server uses the rest")]
mod quic_stream;
