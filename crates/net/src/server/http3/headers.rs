//! The HEADERS frames of an answer (RFC 9114 §7.2.2), their fields encoded with QPACK's static table
//! (RFC 9204 §4.5, appendix A). Values go out as they are here, without Huffman's code, as nginx sends
//! them: coding them costs more than the bytes that it saves.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::body::data_header;
use super::framing::integer::put_prefixed as put_integer;
use super::framing::qpack::FIELD_OVERHEAD;

/// What the measure of a section counts for its `:status`.
const STATUS: usize = ":status200".len() + FIELD_OVERHEAD;
/// And for its `date`.
const DATED: usize = "dateSun, 06 Nov 1994 08:49:37 GMT".len() + FIELD_OVERHEAD;

/// The longest section whose length takes two bytes, and the longest of all: their length takes
/// four (RFC 9000 §16).
const SHORT_SECTION: usize = (1 << 14) - 1;
const MAX_SECTION: usize = (1 << 30) - 1;
/// An indexed field line of the static table.
const INDEXED: u8 = 0xc0;
/// A literal field line whose name is in the static table.
const NAMED: u8 = 0x50;
const NAMED_SENSITIVE: u8 = 0x20;
/// A literal field line with its name.
const LITERAL: u8 = 0x20;
const LITERAL_SENSITIVE: u8 = 0x10;

/// The HEADERS frame, and the head of the one DATA frame that follows it when `data` bytes do.
/// Fields about a connection (RFC 9114 §4.2) are left out, and `date` is added where none is set.
///
/// `None` where the section may be larger than `largest`, by the measure of RFC 9114 §4.2.2.
pub(super) fn frame(
    status: StatusCode,
    headers: &HeaderMap,
    date: impl FnOnce() -> HeaderValue,
    data: Option<u64>,
    largest: u64,
) -> Option<Bytes> {
    let mut out = begin(STATUS + DATED, headers, largest)?;
    put_status(&mut out, status);
    if !put_fields(&mut out, headers) {
        put_indexed(&mut out, DATE, &[], &date());
    }
    finish(&mut out);
    if let Some(data) = data {
        let (head, len) = data_header(data);
        out.extend_from_slice(&head[..len]);
    }
    Some(Bytes::from(out))
}

/// The HEADERS frame of an interim response (RFC 9114 §4.1); `None` as with [`frame`].
pub(super) fn interim(status: StatusCode, headers: &HeaderMap, largest: u64) -> Option<Bytes> {
    let mut out = begin(STATUS, headers, largest)?;
    put_status(&mut out, status);
    put_fields(&mut out, headers);
    finish(&mut out);
    Some(Bytes::from(out))
}

/// The HEADERS frame of trailers; `None` as with [`frame`].
pub(super) fn trailers(trailers: &HeaderMap, largest: u64) -> Option<Bytes> {
    let mut out = begin(0, trailers, largest)?;
    put_fields(&mut out, trailers);
    finish(&mut out);
    Some(Bytes::from(out))
}

/// The beginning of a frame that has room for these fields and so much more.
fn begin(more: usize, headers: &HeaderMap, largest: u64) -> Option<Vec<u8>> {
    let mut size = more;
    for (name, value) in headers {
        size += name.as_str().len() + value.len() + FIELD_OVERHEAD;
    }
    if size as u64 > largest || size > MAX_SECTION {
        return None;
    }
    // The overhead is more than any field line adds to its name and value.
    let size = size + FIELD_OVERHEAD;
    let mut out = Vec::with_capacity(size + FIELD_OVERHEAD);
    // Room for the length, which comes last; the two zeros behind it say that no dynamic table is
    // used (RFC 9204 §4.5.1).
    let length: &[u8] = if size <= SHORT_SECTION { &[0x40, 0] } else { &[0x80, 0, 0, 0] };
    out.push(0x01);
    out.extend_from_slice(length);
    out.extend_from_slice(&[0, 0]);
    Some(out)
}

/// Writes the length of a frame that holds all that there is.
fn finish(out: &mut [u8]) {
    if out[1] == 0x40 {
        let length = 0x4000 | (out.len() - 3) as u16;
        out[1..3].copy_from_slice(&length.to_be_bytes());
    } else {
        let length = 0x8000_0000 | (out.len() - 5) as u32;
        out[1..5].copy_from_slice(&length.to_be_bytes());
    }
}

/// Says whether there was a `date` among them.
fn put_fields(out: &mut Vec<u8>, headers: &HeaderMap) -> bool {
    let mut dated = false;
    for (name, value) in headers {
        let name = name.as_str();
        match lookup(name) {
            Name::Forbidden => {}
            Name::Indexed(index, values) => {
                dated |= index == DATE;
                put_indexed(out, index, values, value);
            }
            Name::Unknown => {
                let sensitive = if value.is_sensitive() { LITERAL_SENSITIVE } else { 0 };
                put_integer(out, LITERAL | sensitive, 3, name.len());
                out.extend_from_slice(name.as_bytes());
                put_value(out, value.as_bytes());
            }
        }
    }
    dated
}

fn put_status(out: &mut Vec<u8>, status: StatusCode) {
    let index = match status.as_u16() {
        103 => 24,
        200 => 25,
        304 => 26,
        404 => 27,
        503 => 28,
        100 => 63,
        204 => 64,
        206 => 65,
        302 => 66,
        400 => 67,
        403 => 68,
        421 => 69,
        425 => 70,
        500 => 71,
        _ => {
            put_integer(out, NAMED, 4, 24);
            return put_value(out, status.as_str().as_bytes());
        }
    };
    put_integer(out, INDEXED, 6, index);
}

fn put_indexed(out: &mut Vec<u8>, name: u8, values: &[(&str, u8)], value: &HeaderValue) {
    for (known, index) in values {
        if known.as_bytes() == value.as_bytes() {
            return put_integer(out, INDEXED, 6, usize::from(*index));
        }
    }
    let sensitive = if value.is_sensitive() { NAMED_SENSITIVE } else { 0 };
    put_integer(out, NAMED | sensitive, 4, usize::from(name));
    put_value(out, value.as_bytes());
}

/// A string without Huffman's code.
#[inline]
fn put_value(out: &mut Vec<u8>, value: &[u8]) {
    put_integer(out, 0, 7, value.len());
    out.extend_from_slice(value);
}

/// What is known about a field's name.
enum Name {
    /// It speaks about an HTTP/1.1 connection.
    Forbidden,
    /// An index of the static table with this name, and values that are there with it.
    Indexed(u8, &'static [(&'static str, u8)]),
    Unknown,
}

const DATE: u8 = 6;

/// The names that answers use, from the static table.
fn lookup(name: &str) -> Name {
    let (index, values): (u8, &[_]) = match name {
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => {
            return Name::Forbidden;
        }
        "accept-ranges" => (32, &[("bytes", 32)]),
        "access-control-allow-credentials" => (73, &[]),
        "access-control-allow-headers" => (33, &[("*", 75)]),
        "access-control-allow-methods" => (76, &[]),
        "access-control-allow-origin" => (35, &[("*", 35)]),
        "access-control-expose-headers" => (79, &[]),
        "age" => (2, &[("0", 2)]),
        "alt-svc" => (83, &[("clear", 83)]),
        "cache-control" => {
            (36, &[("no-store", 40), ("no-cache", 39), ("public, max-age=31536000", 41)])
        }
        "content-disposition" => (3, &[]),
        "content-encoding" => (42, &[("br", 42), ("gzip", 43)]),
        "content-length" => (4, &[("0", 4)]),
        "content-security-policy" => (85, &[]),
        "content-type" => (44, &[("application/json", 46)]),
        "date" => (DATE, &[]),
        "etag" => (7, &[]),
        "last-modified" => (10, &[]),
        "link" => (11, &[]),
        "location" => (12, &[]),
        "server" => (92, &[]),
        "set-cookie" => (14, &[]),
        "strict-transport-security" => (56, &[("max-age=31536000", 56)]),
        "timing-allow-origin" => (93, &[("*", 93)]),
        "vary" => (59, &[("accept-encoding", 59), ("origin", 60)]),
        "x-content-type-options" => (61, &[("nosniff", 61)]),
        "x-frame-options" => (97, &[("deny", 97), ("sameorigin", 98)]),
        _ => return Name::Unknown,
    };
    Name::Indexed(index, values)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use crate::server::http3::framing::integer::read_var_int;

    const DAY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn encoded(status: u16, fields: &[(&'static str, &str)], data: Option<u64>) -> Option<Bytes> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let date = || HeaderValue::from_static(DAY);
        frame(StatusCode::from_u16(status).unwrap(), &headers, date, data, 10_000)
    }

    /// The dated frame that holds `lines` after the prefix.
    fn expected(lines: &[u8]) -> Vec<u8> {
        let mut block = vec![0, 0];
        block.extend_from_slice(lines);
        block.extend_from_slice(&[0x56, 29]);
        block.extend_from_slice(DAY.as_bytes());
        let mut frame = vec![0x01, 0x40 | (block.len() >> 8) as u8, block.len() as u8];
        frame.extend_from_slice(&block);
        frame
    }

    /// RFC 9204 §4.5.2, §4.5.4 and §4.5.6.
    #[test]
    fn fields_take_the_shortest_form_that_the_static_table_has() {
        let fields = [("vary", "origin"), ("etag", "\"1\""), ("x-a", "b")];
        let mut lines = vec![0xd9, 0xfc];
        lines.extend_from_slice(b"\x57\x03\"1\"");
        lines.extend_from_slice(b"\x23x-a\x01b");
        assert_eq!(encoded(200, &fields, None).unwrap(), expected(&lines));
    }

    #[test]
    fn long_integers_go_on_behind_their_prefix() {
        let value = "v".repeat(300);
        let mut lines = vec![0x5f, 24 - 15, 3];
        lines.extend_from_slice(b"410");
        // 25 letters: 7 in the prefix, 18 behind it. 300 letters: 127, then 173 in two bytes.
        lines.extend_from_slice(b"\x27\x12x-twenty-five-letters-aaa\x7f\xad\x01");
        lines.extend_from_slice(value.as_bytes());
        let fields = [("x-twenty-five-letters-aaa", &*value)];
        assert_eq!(encoded(410, &fields, None).unwrap(), expected(&lines));
    }

    #[test]
    fn fields_about_the_connection_stay_behind_and_a_date_is_kept() {
        let fields = [("connection", "close"), ("transfer-encoding", "chunked"), ("date", "x")];
        let bytes = encoded(200, &fields, None).unwrap();
        assert_eq!(&bytes[..], b"\x01\x40\x06\0\0\xd9\x56\x01x");
    }

    #[test]
    fn secrets_are_marked_so_that_no_proxy_indexes_them() {
        let mut secret = HeaderValue::from_static("s");
        secret.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (http::header::DATE, HeaderValue::from_static("x")),
            (http::header::SET_COOKIE, secret.clone()),
            (http::HeaderName::from_static("x-a"), secret),
        ]);
        let date = || HeaderValue::from_static("");
        let bytes = frame(StatusCode::OK, &headers, date, None, 10_000).unwrap();
        assert!(bytes.ends_with(b"\x7e\x01s\x33x-a\x01s"), "{bytes:x?}");
    }

    #[test]
    fn the_head_of_the_data_comes_with_it() {
        let bytes = encoded(204, &[], Some(1024)).unwrap();
        assert_eq!(bytes.strip_suffix(&[0x00, 0x44, 0x00]).unwrap(), expected(&[0xff, 1]));
    }

    #[test]
    fn rfc_9114_4_2_2_no_section_is_larger_than_the_client_takes() {
        let headers = HeaderMap::from_iter([(http::header::LINK, HeaderValue::from_static("l"))]);
        let size = (STATUS + DATED + "linkl".len() + FIELD_OVERHEAD) as u64;
        let date = || HeaderValue::from_static(DAY);
        assert!(frame(StatusCode::OK, &headers, date, None, size).is_some());
        assert_eq!(frame(StatusCode::OK, &headers, date, None, size - 1), None);
        let link = "l".repeat(300_000);
        let large = HeaderMap::from_iter([(http::header::LINK, link.parse().unwrap())]);
        let bytes = frame(StatusCode::OK, &large, date, None, u64::MAX).unwrap();
        let (_, rest) = read_var_int(&bytes[1..]).unwrap();
        assert_eq!(read_var_int(&bytes[1..]).unwrap().0, rest.len() as u64);
    }

    #[test]
    fn interim_responses_are_not_dated() {
        let link = HeaderMap::from_iter([(http::header::LINK, HeaderValue::from_static("</a>"))]);
        let bytes = interim(StatusCode::EARLY_HINTS, &link, 82).unwrap();
        assert_eq!(&bytes[..], b"\x01\x40\x09\0\0\xd8\x5b\x04</a>");
        assert_eq!(interim(StatusCode::EARLY_HINTS, &link, 81), None);
    }

    #[test]
    fn trailers_are_fields_alone() {
        let sum = HeaderMap::from_iter([
            (http::HeaderName::from_static("x-sum"), HeaderValue::from_static("1")),
            (http::header::CONNECTION, HeaderValue::from_static("close")),
        ]);
        assert_eq!(&trailers(&sum, 1000).unwrap()[..], b"\x01\x40\x0a\0\0\x25x-sum\x011");
        assert_eq!(trailers(&sum, 50), None);
    }
}
