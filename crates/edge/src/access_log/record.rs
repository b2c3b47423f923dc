//! One line of the access log: a record of fixed size, and how it is written as JSON.
//!
//! | key | meaning |
//! |---|---|
//! | `time` | when the request came, RFC 3339 in UTC with milliseconds |
//! | `peer` | the client's address and port; null where no listener told it |
//! | `protocol` | `h1`, `h2`, `h3`; null where no listener told it |
//! | `method`, `host`, `path` | of the request; the path without its query, which may hold a token |
//! | `status` | of the answer; 0 where the client left before there was one |
//! | `bytes` | of the body, as handed to the connection |
//! | `duration_us` | from the request's arrival to the body's end, in microseconds |
//! | `cache` | `hit`, `stale`, `revalidated`, `miss`, `collapsed`, `pass`, `none` |
//! | `end` | `complete`, `failed` (the upstream broke off), `aborted` (the client left) |
//! | `user_agent` | as the client said it |

use std::io::Write as _;
use std::net::SocketAddr;

use headwater_net::{Protocol, Timestamp};
use http::Method;

use crate::cache_result::CacheResult;
use crate::watch::End;

/// A copy of a short text. Longer ones are cut: what comes from a client never makes a record
/// grow, and a record in the queue never holds on to a connection's buffer.
#[derive(Clone)]
pub(super) struct Text<const N: usize> {
    bytes: [u8; N],
    len: u8,
    cut: bool,
}

impl<const N: usize> Text<N> {
    pub(super) fn new(text: &[u8]) -> Self {
        const { assert!(N <= u8::MAX as usize) };
        let mut bytes = [0; N];
        let len = text.len().min(N);
        if let (Some(to), Some(from)) = (bytes.get_mut(..len), text.get(..len)) {
            to.copy_from_slice(from);
        }
        Self { bytes, len: len as u8, cut: len < text.len() }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// What one line says.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) time: Timestamp,
    pub(super) peer: Option<SocketAddr>,
    pub(super) protocol: Option<Protocol>,
    pub(super) method: Method,
    pub(super) host: Text<64>,
    pub(super) path: Text<160>,
    pub(super) user_agent: Text<144>,
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) duration_us: u64,
    pub(super) cache: CacheResult,
    pub(super) end: End,
}

impl Record {
    /// Appends the line to `out`, with its line feed.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let _ = write!(out, "{{\"time\":\"{}\",\"peer\":", Rfc3339(self.time));
        let _ = match self.peer {
            Some(peer) => write!(out, "\"{peer}\""),
            None => write!(out, "null"),
        };
        let _ = match self.protocol {
            Some(protocol) => write!(out, ",\"protocol\":\"{protocol}\""),
            None => write!(out, ",\"protocol\":null"),
        };
        string(out, "method", self.method.as_str().as_bytes(), false);
        string(out, "host", self.host.as_bytes(), self.host.cut);
        string(out, "path", self.path.as_bytes(), self.path.cut);
        let _ = writeln!(
            out,
            ",\"status\":{},\"bytes\":{},\"duration_us\":{},\"cache\":\"{}\",\"end\":\"{}\"",
            self.status,
            self.bytes,
            self.duration_us,
            self.cache.as_str(),
            self.end.as_str(),
        );
        // The line goes on after its last fixed part.
        out.pop();
        string(out, "user_agent", self.user_agent.as_bytes(), self.user_agent.cut);
        out.extend_from_slice(b"}\n");
    }
}

/// A member whose value came from a client; what is not UTF-8 is replaced, what was cut ends in an
/// ellipsis.
fn string(out: &mut Vec<u8>, key: &str, value: &[u8], cut: bool) {
    let _ = write!(out, ",\"{key}\":");
    let text = String::from_utf8_lossy(value);
    if cut {
        let text = format!("{}…", text.trim_end_matches('\u{fffd}'));
        let _ = serde_json::to_writer(&mut *out, &text);
    } else {
        let _ = serde_json::to_writer(&mut *out, text.as_ref());
    }
}

/// RFC 3339 §5.6 in UTC with milliseconds.
struct Rfc3339(Timestamp);

impl std::fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0.as_millis();
        let (secs, millis) = (millis / 1000, millis % 1000);
        let (days, second) = (secs / 86_400, secs % 86_400);
        // Days since 0000-03-01, by eras of 400 years of 146,097 days.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_446_184_007, "2026-11-23T15:03:04.007Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Rfc3339(Timestamp::from_millis(millis)).to_string(), text);
        }
    }

    #[test]
    fn a_line_is_json_whatever_the_client_said() {
        let long = "ä".repeat(200);
        let record = Record {
            time: Timestamp::from_millis(5),
            peer: "[::1]:80".parse().ok(),
            protocol: Some(Protocol::H3),
            method: Method::GET,
            host: Text::new(b"h\"\\\n"),
            path: Text::new(long.as_bytes()),
            user_agent: Text::new(b"\xff\x00<"),
            status: 206,
            bytes: 7,
            duration_us: 12,
            cache: CacheResult::Stale,
            end: End::Failed,
        };
        let mut out = Vec::new();
        record.write(&mut out);
        record.write(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 2);
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(line["host"], "h\"\\\n");
        assert_eq!(line["path"], format!("{}…", "ä".repeat(80)));
        assert_eq!(line["user_agent"], "\u{fffd}\u{0}<");
        assert_eq!((&line["peer"], &line["protocol"]), (&"[::1]:80".into(), &"h3".into()));
        assert_eq!((line["status"].as_u64(), line["bytes"].as_u64()), (Some(206), Some(7)));
        assert_eq!((&line["cache"], &line["end"]), (&"stale".into(), &"failed".into()));
    }
}
