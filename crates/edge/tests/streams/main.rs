//! What must not be gathered up on its way through the edge: event streams, uploads, WebSockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod events;
#[path = "../support/h3.rs"]
mod h3;
mod rig;
mod uploads;
mod websocket;
