//! The reference stack as processes: how its parts go together, and its manners.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod certificates;
mod clients;
#[path = "../../../../tests/edge/collector.rs"]
mod collector;
mod composition;
mod hand_over;
mod hints;
mod manners;
#[path = "../../../../crates/edge/tests/support/mmdb.rs"]
mod mmdb;
mod operator;
mod replaced;
mod shields;
mod supervised;
mod support;
mod traces;
mod viewers;
