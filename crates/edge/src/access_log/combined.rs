//! A line in the combined format, which programs read that count visitors:
//!
//! ```text
//! 192.0.2.7 - - [23/Nov/2026:15:03:04 +0000] "GET /a?b HTTP/3.0" 200 1024 "-" "player/1.0"
//! ```
//!
//! Address, date, request, status, bytes, referrer, user agent. What a client said stands in quotes;
//! in it, quotes and backslashes have a backslash before them, and control characters and all beyond
//! ASCII are written `\xHH`, so that no line can be made up and no terminal be steered. Where the
//! client left before there was an answer, the status is 499.

use std::io::Write as _;

use headwater_net::Protocol;

use super::numbers::{common, decimal};
use super::record::{Record, Text};

/// What stands for no answer: what nginx writes then.
const CLIENT_LEFT: u64 = 499;

/// Appends a line, with its line feed.
pub(super) fn write(record: &Record<'_>, out: &mut Vec<u8>) {
    let facts = record.facts;
    match facts.client {
        Some(client) => drop(write!(out, "{}", client.ip())),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" - - [");
    common(out, facts.time);
    out.extend_from_slice(b"] \"");
    escaped(out, record.method);
    out.push(b' ');
    escaped(out, record.path);
    if !record.query.bytes.is_empty() {
        out.push(b'?');
        escaped(out, record.query);
    }
    out.extend_from_slice(match facts.protocol {
        Some(Protocol::H3) => b" HTTP/3.0\" ",
        Some(Protocol::H2) => b" HTTP/2.0\" ",
        _ => b" HTTP/1.1\" ",
    });
    decimal(out, if facts.status == 0 { CLIENT_LEFT } else { facts.status.into() }, 3);
    out.push(b' ');
    decimal(out, facts.bytes, 1);
    for text in [record.referer, record.user_agent] {
        out.extend_from_slice(b" \"");
        match text.bytes {
            b"" => out.push(b'-'),
            _ => escaped(out, text),
        }
        out.push(b'"');
    }
    out.push(b'\n');
}

/// What a client said, inside quotes.
fn escaped(out: &mut Vec<u8>, Text { bytes, cut }: Text<'_>) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => drop(write!(out, "\\x{byte:02X}")),
        }
    }
    if cut {
        out.extend_from_slice(b"...");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use proptest::prelude::*;

    use super::super::address::Client;
    use super::super::query::Masked;
    use super::super::record::tests::{WORDS, facts};
    use super::super::record::{Facts, Page, Words};
    use super::*;

    fn line(facts: Facts, words: Words<'_>) -> String {
        let (mut page, mut out) = (Page::default(), Vec::new());
        page.push(facts, words);
        write(&page.records().next().unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_is_as_others_write_it() {
        let client = Some(Client::At("192.0.2.7:4711".parse().unwrap()));
        let masked = Masked::default();
        let words = Words {
            query: Some((b"b=1&token=x", &masked)),
            referer: b"https://page.example/",
            user_agent: b"player/1.0",
            ..WORDS
        };
        assert_eq!(
            line(Facts { client, ..facts() }, words),
            "192.0.2.7 - - [23/Nov/2026:15:03:04 +0000] \"GET /a?b=1&token=*** HTTP/3.0\" 206 7 \
             \"https://page.example/\" \"player/1.0\"\n"
        );
        let left = Facts { client: None, protocol: None, status: 0, ..facts() };
        assert_eq!(
            line(left, WORDS),
            "- - - [23/Nov/2026:15:03:04 +0000] \"GET /a HTTP/1.1\" 499 7 \"-\" \"-\"\n"
        );
    }

    #[test]
    fn no_client_makes_up_a_line_or_steers_a_terminal() {
        let words = Words { user_agent: b"x\" 200 1\n\x1b[2J\\\xc3\xa4\x7f", ..WORDS };
        let said = line(facts(), words);
        assert!(said.ends_with("\"x\\\" 200 1\\x0A\\x1B[2J\\\\\\xC3\\xA4\\x7F\"\n"), "{said}");
    }

    proptest! {
        #[test]
        fn any_bytes_make_one_line_of_ascii(
            path in proptest::collection::vec(any::<u8>(), 0..200),
            user_agent in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let said = line(facts(), Words { path: &path, user_agent: &user_agent, ..WORDS });
            let text = said.strip_suffix('\n').unwrap();
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", text);
            // Of the quotes that are not escaped there are as many as the format has.
            let mut quotes = 0;
            let mut bytes = text.bytes();
            while let Some(byte) = bytes.next() {
                match byte {
                    b'\\' => drop(bytes.next()),
                    b'"' => quotes += 1,
                    _ => {}
                }
            }
            prop_assert_eq!(quotes, 6);
        }
    }
}
