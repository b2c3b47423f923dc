//! A line as JSON.
//!
//! | key | meaning |
//! |---|---|
//! | `time` | when the request came, RFC 3339 in UTC with milliseconds |
//! | `peer` | the client's address and port, or its network where addresses are anonymised; null where no listener told it |
//! | `protocol` | `h1`, `h2`, `h3`; null where no listener told it |
//! | `method`, `host`, `path` | of the request; the path without its query |
//! | `query` | where queries are told and there is one: with the values of masked names as `***` |
//! | `route` | where the request's [route](crate::RoutePolicy::name) has a name: that |
//! | `status` | of the answer; 0 where the client left before there was one |
//! | `bytes` | of the body, as handed to the connection |
//! | `duration_us` | from the request's arrival to the body's end, in microseconds |
//! | `cache` | `hit`, `stale`, `revalidated`, `miss`, `collapsed`, `pass`, `none` |
//! | `end` | `complete`, `failed` (the upstream broke off), `aborted` (the client left) |
//! | `user_agent` | as the client said it |
//!
//! What a client said stands in JSON strings, whatever bytes it is of: quotes and control characters
//! are escaped, what is not UTF-8 is replaced, what was cut ends in an ellipsis.

use std::io::Write as _;
use std::net::SocketAddr;

use super::address::Client;
use super::numbers::{decimal, rfc_3339};
use super::record::{Record, Text};

/// Appends a line, with its line feed.
pub(super) fn write(record: &Record<'_>, out: &mut Vec<u8>) {
    let facts = record.facts;
    out.extend_from_slice(b"{\"time\":\"");
    rfc_3339(out, facts.time);
    out.extend_from_slice(b"\",\"peer\":");
    match facts.client {
        Some(Client::At(SocketAddr::V4(peer))) => {
            let [a, b, c, d] = peer.ip().octets();
            for (before, number) in [(b'"', a), (b'.', b), (b'.', c), (b'.', d)] {
                out.push(before);
                decimal(out, number.into(), 1);
            }
            out.push(b':');
            decimal(out, peer.port().into(), 1);
            out.push(b'"');
        }
        Some(Client::At(SocketAddr::V6(peer))) => drop(write!(out, "\"{peer}\"")),
        Some(Client::Within(network)) => drop(write!(out, "\"{network}\"")),
        None => out.extend_from_slice(b"null"),
    }
    match facts.protocol {
        Some(protocol) => {
            out.extend_from_slice(b",\"protocol\":\"");
            out.extend_from_slice(protocol.as_str().as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b",\"protocol\":null"),
    }
    string(out, "method", record.method);
    string(out, "host", record.host);
    string(out, "path", record.path);
    if !record.query.bytes.is_empty() {
        string(out, "query", record.query);
    }
    if !record.route.bytes.is_empty() {
        string(out, "route", record.route);
    }
    for (key, number) in [
        (&b",\"status\":"[..], facts.status.into()),
        (b",\"bytes\":", facts.bytes),
        (b",\"duration_us\":", facts.duration_us),
    ] {
        out.extend_from_slice(key);
        decimal(out, number, 1);
    }
    for (key, word) in
        [(&b",\"cache\":\""[..], facts.cache.as_str()), (b"\",\"end\":\"", facts.end.as_str())]
    {
        out.extend_from_slice(key);
        out.extend_from_slice(word.as_bytes());
    }
    out.push(b'"');
    string(out, "user_agent", record.user_agent);
    out.extend_from_slice(b"}\n");
}

/// A member whose value came from a client.
fn string(out: &mut Vec<u8>, key: &str, Text { bytes, cut }: Text<'_>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
    // To the end, whatever is found: a compiler makes several bytes at once of that.
    let is_odd = |b: u8| !(b' '..=b'~').contains(&b) || b == b'"' || b == b'\\';
    if !cut && !bytes.iter().fold(false, |odd, byte| odd | is_odd(*byte)) {
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let text = String::from_utf8_lossy(bytes);
    let text = if cut { text.trim_end_matches('\u{fffd}') } else { &text };
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
            // Those beyond ASCII as well, which terminals heed.
            _ if c.is_control() => drop(write!(out, "\\u{:04x}", u32::from(c))),
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    if cut {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use proptest::prelude::*;

    use super::super::query::Masked;
    use super::super::record::tests::{WORDS, facts};
    use super::super::record::{Facts, Page, Words};
    use super::*;

    fn line(facts: Facts, words: Words<'_>) -> serde_json::Value {
        let (mut page, mut out) = (Page::default(), Vec::new());
        page.push(facts, words);
        write(&page.records().next().unwrap(), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.trim_end_matches('\n').contains(char::is_control), "{text:?}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_line_is_json_whatever_the_client_said() {
        let long = "ä".repeat(200);
        let words = Words {
            host: b"h\"\\\n",
            path: long.as_bytes(),
            user_agent: b"\xff\x00<\x1b[2J\x7f\xc2\x9b\r\n{\"time\":",
            ..WORDS
        };
        let said = line(facts(), words);
        assert_eq!(said["time"], "2026-11-23T15:03:04.007Z");
        assert_eq!(said["method"], "GET");
        assert_eq!(said["host"], "h\"\\\n");
        assert_eq!(said["path"], format!("{}…", "ä".repeat(80)));
        assert_eq!(said["user_agent"], "\u{fffd}\u{0}<\u{1b}[2J\u{7f}\u{9b}\r\n{\"time\":");
        assert_eq!((&said["peer"], &said["protocol"]), (&"[::1]:80".into(), &"h3".into()));
        assert_eq!((said["status"].as_u64(), said["bytes"].as_u64()), (Some(206), Some(7)));
        assert_eq!((&said["cache"], &said["end"]), (&"stale".into(), &"failed".into()));
        assert!(said.get("query").is_none() && said.get("route").is_none());
        assert_eq!(line(facts(), Words { route: b"films", ..WORDS })["route"], "films");
        let method = line(facts(), Words { method: b"AN-EXTENSION-METHOD", ..WORDS });
        assert_eq!(method["method"], "AN-EXTENSION-MET…");
    }

    #[test]
    fn a_network_and_a_masked_query_are_told() {
        let client = Client::anonymous("192.0.2.77:4711".parse().unwrap());
        let masked = Masked::default();
        let words = Words { query: Some((b"a=1&sig=x", &masked)), ..WORDS };
        let said = line(Facts { client: Some(client), ..facts() }, words);
        assert_eq!((&said["peer"], &said["query"]), (&"192.0.2.0".into(), &"a=1&sig=***".into()));
    }

    proptest! {
        #[test]
        fn any_bytes_make_one_line(
            host in proptest::collection::vec(any::<u8>(), 0..80),
            path in proptest::collection::vec(any::<u8>(), 0..200),
            user_agent in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let words = Words { host: &host, path: &path, user_agent: &user_agent, ..WORDS };
            prop_assert_eq!(&line(facts(), words)["method"], "GET");
        }
    }
}
