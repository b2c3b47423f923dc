//! The reference stack as processes: how its parts go together, and its manners.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

#[allow(dead_code, reason = "other tests use the rest")]
mod app;
mod application;
mod certificates;
mod clients;
#[path = "../../../../tests/edge/collector.rs"]
mod collector;
mod composition;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../tests/edge/crowd.rs"]
mod crowd;
mod fronts;
#[path = "../../../../crates/net/tests/support/h3_client.rs"]
mod h3_client;
mod hand_over;
mod hints;
mod manners;
#[path = "../../../../crates/edge/tests/support/mmdb.rs"]
mod mmdb;
mod operator;
mod over_quic;
#[path = "../../../../crates/net/tests/support/relay.rs"]
mod relay;
mod replaced;
mod shields;
mod supervised;
mod support;
mod traces;
#[path = "../../../../crates/net/tests/support/unfinished.rs"]
mod unfinished;
mod viewers;
