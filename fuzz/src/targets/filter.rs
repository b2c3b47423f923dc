//! Filters of the live log: read or refused, by a sentence that names a byte of them.

use headwater_edge::access_log::Filter;

/// Good ones, and bad.
pub(crate) const SEEDS: &[&str] = &[
    "status >= 500 and not path ~ /health",
    "(cache = miss or cache = collapsed) and host = video.example",
    "peer = 192.0.2.0/24 and duration_us > 250000",
    "user_agent ~ \"Smart \\\"TV\\\"\"",
    "((((((((status = 1))))))))",
    "not not not end = complete",
    "status = and",
    "",
];

/// Reads the input as a filter.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Err(wrong) = text.parse::<Filter>() {
        assert!(wrong.at <= text.len(), "{} of {}", wrong.at, text.len());
    }
}
