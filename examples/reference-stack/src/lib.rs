//! The reference stack: every role of Headwater in one binary, composed as a user would.
//!
//! ```text
//! Server ─▶ Gate ─▶ Edge (layers, cache) ─▶ Router ─┬─▶ Shield (cache) ─▶ Packager ─▶ files
//!                                                   └─▶ Pages
//! ```
//!
//! `--role all` puts them together with no socket between them; `--role edge`, `shield` and
//! `packager` are the same parts as three processes over HTTP. This library holds the parts, so
//! that tests can look at them; `src/main.rs` is the command.

pub mod args;
pub mod banner;
mod certificates;
pub mod clients;
pub mod demo_video;
mod edges;
pub mod error;
mod gate;
pub mod inputs;
pub mod pages;
pub mod ready;
pub mod roles;
pub mod router;
pub mod run;
mod standing;
pub mod traces;
mod upkeep;
pub mod viewers;

use std::io::Write as _;

pub use args::{Args, Role};
pub use clients::Clients;
pub use error::Error;
pub use viewers::Viewers;

/// Tells the person at the terminal something; standard error, so that standard output stays free
/// for the access log. Each text is one write: while one process takes over from another, both speak
/// here, and their lines must not mix.
pub fn say(text: &str) {
    // Where nobody listens any more, there is nobody to be told so.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
