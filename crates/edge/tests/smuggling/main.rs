//! Requests that two programs in a row could read differently: raw bytes from a client over each
//! protocol, raw bytes at an HTTP/1.1 upstream behind the edge.
//!
//! Each case says what the client sends and what the upstream is to see of it: nothing, or one
//! request with one framing and one host. After each comes an ordinary request on the same
//! connection, which must come through as itself: what is left of a case in a buffer would spoil it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

#[path = "../support/h3.rs"]
mod client;
mod h1;
mod h2;
mod h3;
mod rig;
mod upstream;
