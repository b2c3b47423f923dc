//! `headwater edge` as an operator meets it: the built binary, a file, signals, and an origin.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![cfg(all(feature = "cli", feature = "edge", feature = "origin"))]

mod check;
mod log;
mod media;
mod observing;
mod operator;
mod process;
mod prometheus;
mod reload;
mod routes;
mod serves;
mod shield;
mod succession;
mod tokens;
mod trace;
mod watch;
