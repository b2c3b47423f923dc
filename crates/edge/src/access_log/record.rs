//! One line of the access log: what is kept of it in a page, and how it is written as JSON.
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

use crate::cache_result::CacheResult;
use crate::watch::End;

/// Records one after the other and, beside them, the texts they speak of, without gaps: what a
/// request writes is as long as what its client said, and lies in one stretch of memory.
#[derive(Debug, Default)]
pub(super) struct Page {
    records: Vec<(Facts, Lengths)>,
    text: Vec<u8>,
}

/// What one line says in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) time: Timestamp,
    pub(super) peer: Option<SocketAddr>,
    pub(super) protocol: Option<Protocol>,
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) duration_us: u64,
    pub(super) cache: CacheResult,
    pub(super) end: End,
}

/// What one line says in the client's words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    pub(super) method: &'a [u8],
    pub(super) host: &'a [u8],
    pub(super) path: &'a [u8],
    pub(super) user_agent: &'a [u8],
}

/// How much of each text is in the page.
#[derive(Clone, Copy, Debug)]
struct Lengths {
    method: Length,
    host: Length,
    path: Length,
    user_agent: Length,
}

#[derive(Clone, Copy, Debug)]
struct Length {
    bytes: u8,
    /// There was more.
    cut: bool,
}

impl Page {
    /// A page with room for `records` of an ordinary size.
    pub(super) fn with_room_for(records: usize) -> Self {
        let text = records.saturating_mul(192);
        Self { records: Vec::with_capacity(records), text: Vec::with_capacity(text) }
    }

    /// Copies a record in. Long texts are cut: what comes from a client never makes a page grow
    /// beyond half a kilobyte a record, nor hold on to a connection's buffer.
    pub(super) fn push(&mut self, facts: Facts, words: Words<'_>) {
        let lengths = Lengths {
            method: self.copy(words.method, 16),
            host: self.copy(words.host, 64),
            path: self.copy(words.path, 160),
            user_agent: self.copy(words.user_agent, 144),
        };
        self.records.push((facts, lengths));
    }

    fn copy(&mut self, text: &[u8], most: u8) -> Length {
        match text.get(..usize::from(most)) {
            Some(beginning) if beginning.len() < text.len() => {
                self.text.extend_from_slice(beginning);
                Length { bytes: most, cut: true }
            }
            _ => {
                self.text.extend_from_slice(text);
                Length { bytes: text.len() as u8, cut: false }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.text.clear();
    }

    /// Appends each line to `out`, with its line feed, and calls `after` when it is there.
    pub(super) fn write(&self, out: &mut Vec<u8>, mut after: impl FnMut(&mut Vec<u8>)) {
        let mut rest = self.text.as_slice();
        for (facts, lengths) in &self.records {
            let mut next = |length: Length| {
                let (text, left) = rest.split_at_checked(length.bytes.into()).unwrap_or_default();
                rest = left;
                (text, length.cut)
            };
            let method = next(lengths.method);
            let host = next(lengths.host);
            let path = next(lengths.path);
            facts.write(out, [method, host, path, next(lengths.user_agent)]);
            after(out);
        }
    }
}

/// A text, and whether it was cut.
type Cut<'a> = (&'a [u8], bool);

impl Facts {
    fn write(&self, out: &mut Vec<u8>, [method, host, path, user_agent]: [Cut<'_>; 4]) {
        out.extend_from_slice(b"{\"time\":\"");
        rfc_3339(out, self.time);
        out.extend_from_slice(b"\",\"peer\":");
        match self.peer {
            Some(SocketAddr::V4(peer)) => {
                let [a, b, c, d] = peer.ip().octets();
                for (before, number) in [(b'"', a), (b'.', b), (b'.', c), (b'.', d)] {
                    out.push(before);
                    decimal(out, number.into(), 1);
                }
                out.push(b':');
                decimal(out, peer.port().into(), 1);
                out.push(b'"');
            }
            Some(SocketAddr::V6(peer)) => drop(write!(out, "\"{peer}\"")),
            None => out.extend_from_slice(b"null"),
        }
        match self.protocol {
            Some(protocol) => drop(write!(out, ",\"protocol\":\"{protocol}\"")),
            None => out.extend_from_slice(b",\"protocol\":null"),
        }
        string(out, "method", method);
        string(out, "host", host);
        string(out, "path", path);
        for (key, number) in [
            (&b",\"status\":"[..], self.status.into()),
            (b",\"bytes\":", self.bytes),
            (b",\"duration_us\":", self.duration_us),
        ] {
            out.extend_from_slice(key);
            decimal(out, number, 1);
        }
        for (key, word) in
            [(&b",\"cache\":\""[..], self.cache.as_str()), (b"\",\"end\":\"", self.end.as_str())]
        {
            out.extend_from_slice(key);
            out.extend_from_slice(word.as_bytes());
        }
        out.push(b'"');
        string(out, "user_agent", user_agent);
        out.extend_from_slice(b"}\n");
    }
}

/// A member whose value came from a client; what is not UTF-8 is replaced, what was cut ends in an
/// ellipsis.
fn string(out: &mut Vec<u8>, key: &str, (value, cut): Cut<'_>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
    if !cut && value.iter().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\')) {
        out.push(b'"');
        out.extend_from_slice(value);
        out.push(b'"');
        return;
    }
    let text = String::from_utf8_lossy(value);
    if cut {
        let text = format!("{}…", text.trim_end_matches('\u{fffd}'));
        let _ = serde_json::to_writer(&mut *out, &text);
    } else {
        let _ = serde_json::to_writer(&mut *out, text.as_ref());
    }
}

/// A number in decimal, with zeros before it up to `width` digits.
fn decimal(out: &mut Vec<u8>, mut number: u64, width: usize) {
    // The longest has twenty digits.
    let mut digits = [b'0'; 20];
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        if number == 0 && count >= width {
            break;
        }
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        count += 1;
    }
    out.extend_from_slice(digits.get(digits.len() - count..).unwrap_or_default());
}

/// RFC 3339 §5.6 in UTC with milliseconds.
fn rfc_3339(out: &mut Vec<u8>, time: Timestamp) {
    let millis = time.as_millis();
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
    for (number, width, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (hour, 2, b':'),
        (minute, 2, b':'),
        (second, 2, b'.'),
        (millis, 3, b'Z'),
    ] {
        decimal(out, number, width);
        out.push(after);
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
            let mut out = Vec::new();
            rfc_3339(&mut out, Timestamp::from_millis(millis));
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn numbers_are_decimal() {
        for (number, width, text) in
            [(0, 1, "0"), (7, 3, "007"), (1_234, 2, "1234"), (u64::MAX, 1, "18446744073709551615")]
        {
            let mut out = Vec::new();
            decimal(&mut out, number, width);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn a_line_is_json_whatever_the_client_said() {
        let long = "ä".repeat(200);
        let facts = Facts {
            time: Timestamp::from_millis(5),
            peer: "[::1]:80".parse().ok(),
            protocol: Some(Protocol::H3),
            status: 206,
            bytes: 7,
            duration_us: 12,
            cache: CacheResult::Stale,
            end: End::Failed,
        };
        let words = Words {
            method: b"GET",
            host: b"h\"\\\n",
            path: long.as_bytes(),
            user_agent: b"\xff\x00<",
        };
        let (mut page, mut out, mut lines) = (Page::default(), Vec::new(), 0);
        page.push(facts, Words { method: b"AN-EXTENSION-METHOD", host: b"", ..words });
        page.push(facts, words);
        page.write(&mut out, |_| lines += 1);
        assert_eq!((page.len(), lines), (2, 2));
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 2);
        let line =
            |n| serde_json::from_str::<serde_json::Value>(text.lines().nth(n).unwrap()).unwrap();
        assert_eq!(
            (&line(0)["method"], &line(0)["host"]),
            (&"AN-EXTENSION-MET…".into(), &"".into())
        );
        let line = line(1);
        assert_eq!(line["method"], "GET");
        assert_eq!(line["host"], "h\"\\\n");
        assert_eq!(line["path"], format!("{}…", "ä".repeat(80)));
        assert_eq!(line["user_agent"], "\u{fffd}\u{0}<");
        assert_eq!((&line["peer"], &line["protocol"]), (&"[::1]:80".into(), &"h3".into()));
        assert_eq!((line["status"].as_u64(), line["bytes"].as_u64()), (Some(206), Some(7)));
        assert_eq!((&line["cache"], &line["end"]), (&"stale".into(), &"failed".into()));
    }
}
