//! The listeners and the upstream client against real sockets on loopback, on every protocol.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod activation;
mod alive;
mod answers;
mod client;
mod cut;
mod drain;
mod early_data;
mod floods;
mod fronts;
#[path = "../support/h3_client.rs"]
mod h3_client;
mod hand_over;
mod held;
mod http2_floods;
mod http2_frames;
mod http3;
mod http3_errors;
mod http3_frames;
mod http3_upstream;
mod interim;
mod limits;
#[cfg(feature = "dns")]
#[path = "../support/name_server.rs"]
mod name_server;
#[cfg(feature = "dns")]
mod name_servers;
mod names;
mod protocols;
#[cfg(feature = "qlog")]
mod qlog;
mod quic;
mod quic_limits;
#[path = "../support/relay.rs"]
mod relay;
mod service;
mod slow;
mod startup;
mod tls;
mod unread;
mod upstream;
mod watchdog;
mod websockets;
