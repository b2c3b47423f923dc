//! The configuration of an edge, as whoever writes one meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod access;
mod bounds;
mod documents;
mod from_others;
mod messages;
mod policies;
mod round_trip;
mod variables;

use headwater_proto::config::Edge;

/// A document with which nothing is wrong; tests put more into it, or break it.
pub(crate) const SMALL: &str = r#"
[server]
listen_http = "127.0.0.1:0"

[[upstream]]
name = "media"
origins = "http://127.0.0.1:8080"

[[site]]
hosts = "*"
upstream = "media"

"#;

/// What is wrong with a document, each in a line; empty for nothing.
pub(crate) fn wrongs(text: &str) -> String {
    match Edge::parse("edge.toml", text, []) {
        Ok(_) => String::new(),
        Err(wrongs) => wrongs.to_string(),
    }
}
