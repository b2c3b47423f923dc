//! A collector that can be asked, and headers that it can be given.

use super::{FRAMING, Found, path};
use crate::config::quantity::Time;
use crate::config::trace::Trace;
use crate::config::tree::Step;

/// The most headers for a collector.
const MAX_HEADERS: usize = 16;

pub(super) fn check(found: &mut Found, trace: &Trace) {
    let at = |key: &str| path(["trace", key]);
    found.within(&at("sample"), trace.sample, 0, 1_000_000_000);
    found.within(&at("queue"), trace.queue, 1, 1_000_000);
    found.within(&at("timeout"), trace.timeout, Time::millis(1), Time::secs(60));
    let encrypted = trace.endpoint.as_deref().is_some_and(|url| url.starts_with("https:"));
    if trace.ca.is_some() && !encrypted {
        found.add(&at("ca"), "endpoint is not https");
    }
    let headers = trace.header_files.len() + trace.header_envs.len();
    if headers > MAX_HEADERS {
        found.add(&at("header_files"), format!("{headers} headers are more than {MAX_HEADERS}"));
    }
    if headers > 0 && trace.endpoint.is_none() {
        let key = if trace.header_files.is_empty() { "header_envs" } else { "header_files" };
        found.add(&at(key), "nobody is told: endpoint is missing");
    }
    let named = trace.header_files.keys().map(|name| ("header_files", name));
    for (key, name) in named.chain(trace.header_envs.keys().map(|name| ("header_envs", name))) {
        let path: [Step; 3] = ["trace".into(), key.into(), (&**name).into()];
        if FRAMING.contains(&&**name) || &**name == "content-type" {
            found.add(&path, "it is said already what this header says");
        } else if key == "header_envs" && trace.header_files.contains_key(name) {
            found.add(&path, "header_files says it, too");
        }
    }
}
