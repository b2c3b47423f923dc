//! `headwater edge` as an operator meets it: the built binary, a file, signals, and an origin.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![cfg(all(feature = "cli", feature = "edge", feature = "origin"))]

mod access;
mod authority;
mod busy;
mod check;
mod collector;
mod crowd;
mod foreign_tokens;
#[path = "../../crates/net/tests/support/h3_client.rs"]
mod h3_client;
mod leaving;
mod log;
mod media;
#[path = "../../crates/net/tests/support/name_server.rs"]
mod name_server;
mod observing;
mod operator;
mod over_quic;
mod process;
mod prometheus;
mod recipes;
mod refusals;
#[path = "../../crates/net/tests/support/relay.rs"]
mod relay;
mod reload;
mod routes;
mod serves;
mod shield;
#[cfg(feature = "aws")]
mod stores;
mod succession;
mod tokens;
mod trace;
#[path = "../../crates/net/tests/support/unfinished.rs"]
mod unfinished;
mod unprivileged;
mod upstreams;
mod watch;
mod websockets;
