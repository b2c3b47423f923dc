//! HTTP/2 in (RFC 9113 §8), HTTP/1.1 out.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::client::Field;
use crate::rig::Reaches::{Nothing, Once};
use crate::rig::{HOST, Reaches, Rig};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Literals that are not indexed (RFC 7541 §6.2.2).
fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|len| *len < 127).unwrap());
            block.extend_from_slice(text);
        }
    }
    block
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Ok,
    Refused,
    Reset,
}

pub const NEXT: [Field<'static>; 4] = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":authority", HOST.as_bytes()),
    (b":path", b"/next"),
];

/// The request on stream 1, then an ordinary one on stream 3.
fn exchange(
    rig: &Rig,
    fields: &[Field<'_>],
    body: Option<&[u8]>,
    trailers: &[Field<'_>],
) -> [Ended; 2] {
    let mut stream = TcpStream::connect(rig.edge.http_addrs()[0]).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(SETTINGS, 0, 0, &[]));
    let ends = |last: bool| if last { END_STREAM } else { 0 };
    let head = block(fields);
    sent.extend(frame(HEADERS, END_HEADERS | ends(body.is_none()), 1, &head));
    if let Some(body) = body {
        sent.extend(frame(DATA, ends(trailers.is_empty()), 1, body));
    }
    if !trailers.is_empty() {
        sent.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(trailers)));
    }
    let _ = stream.write_all(&sent);
    let first = ended(&mut stream, 1);
    let _ = stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(&NEXT)));
    [first, ended(&mut stream, 3)]
}

fn ended(stream: &mut TcpStream, of: u32) -> Ended {
    let mut status = Ended::Reset;
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).is_err() {
            return Ended::Reset;
        }
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if stream.read_exact(&mut payload).is_err() || head[3] == GOAWAY {
            return Ended::Reset;
        }
        let on = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        if on != of {
            continue;
        }
        match head[3] {
            RST_STREAM => return Ended::Reset,
            // `:status: 200` in the static table (RFC 7541 appendix A), perhaps after a new size.
            HEADERS => {
                let index = payload.iter().find(|byte| **byte & 0xe0 != 0x20);
                status = if index == Some(&0x88) { Ended::Ok } else { Ended::Refused };
            }
            _ => {}
        }
        if head[4] & END_STREAM != 0 && matches!(head[3], DATA | HEADERS) {
            return status;
        }
    }
}

/// The pseudo-header fields of a request with `others` in place of those of their names, and after
/// them.
pub fn fields<'a>(method: &'a str, others: &[Field<'a>]) -> Vec<Field<'a>> {
    let mut all: Vec<Field<'a>> = vec![
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", HOST.as_bytes()),
        (b":path", b"/x"),
    ];
    for other in others {
        match all.iter_mut().find(|field| field.0 == other.0 && other.0.starts_with(b":")) {
            Some(field) => field.1 = other.1,
            None => all.push(*other),
        }
    }
    all
}

/// What no request may have, over HTTP/2 and HTTP/3 alike.
pub const MALFORMED: &[&[Field<'static>]] = &[
    &[(b"connection", b"close")],
    &[(b"transfer-encoding", b"chunked")],
    &[(b"upgrade", b"h2c")],
    &[(b"keep-alive", b"5")],
    &[(b"proxy-connection", b"close")],
    &[(b"te", b"gzip")],
    &[(b"X-Upper", b"a")],
    &[(b"x y", b"a")],
    &[(b"x:y", b"a")],
    &[(b"", b"a")],
    &[(b"x\r\ny", b"a")],
    &[(b"x", b"a\r\nTransfer-Encoding: chunked")],
    &[(b"x", b"a\nb")],
    &[(b"x", b"a\rb")],
    &[(b"x", b"a\0b")],
    &[(b":path", b"/x evil HTTP/1.1\r\nX: y")],
    &[(b":path", b"/x evil")],
    &[(b":path", b"/x\r\n")],
    &[(b":path", b"")],
    &[(b":path", b"x")],
    &[(b":path", b"*")],
    &[(b":path", b"//evil.example/x")],
    &[(b":path", b"http://evil.example/x")],
    &[(b":path", b"@evil.example/x")],
    &[(b":path", b":99/x")],
    &[(b":path", b"/a/../x")],
    &[(b":path", b"/\xc3\xa9")],
    &[(b":path", b"/x?\xc3\xa9")],
    &[(b":method", b"GET /evil HTTP/1.1\r\nX:")],
    &[(b":method", b"")],
    &[(b":method", b"CONNECT")],
    &[(b":method", b"get")],
    &[(b":scheme", b"http://evil.example/?")],
    &[(b":authority", b"evil.example"), (b"host", b"video.example")],
    &[(b"host", b"evil.example")],
    &[(b"host", b"video.example"), (b"host", b"video.example")],
    &[(b":authority", b"")],
    &[(b":authority", b"evil@video.example")],
    &[(b":authority", b"video.example/evil")],
    &[(b":authority", b"video.example\r\nX: y")],
    &[(b":authority", b"video.example evil")],
    &[(b":evil", b"x")],
    &[(b"content-length", b"5")],
    &[(b"content-length", b"+0")],
    &[(b"content-length", b"0"), (b"content-length", b"5")],
];

/// What is said otherwise and means the plain request.
pub const WELL_FORMED: &[&[Field<'static>]] = &[
    &[],
    &[(b"te", b"trailers")],
    &[(b"host", b"video.example")],
    &[(b":authority", b"evil.example")],
    &[(b"x", b"\xc3\xa9")],
    &[(b"x", b"")],
    &[(b"http2-settings", b"AAMAAABk")],
    &[(b"expect", b"100-continue")],
];

pub fn name(fields: &[Field<'_>]) -> String {
    let text =
        |(name, value): &Field<'_>| format!("{}: {}", name.escape_ascii(), value.escape_ascii());
    fields.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn check(rig: &Rig, name: &str, ended: [Ended; 2], reaches: Reaches) {
    let [first, next] = ended;
    assert_eq!(first == Ended::Ok, matches!(reaches, Once(..)), "{name}: {first:?}");
    rig.check(name, reaches, next == Ended::Ok);
}

#[test]
fn malformed_requests_reach_nobody() {
    let rig = Rig::start();
    for others in MALFORMED {
        let ended = exchange(&rig, &fields("GET", others), None, &[]);
        check(&rig, &name(others), ended, Nothing);
    }
    // h3 overlooks an answer's pseudo-header field; what goes on is without it either way.
    let status = fields("GET", &[(b":status", b"200")]);
    check(&rig, "an answer's", exchange(&rig, &status, None, &[]), Nothing);
    // Pseudo-header fields after others, and twice.
    let late = [(&b"x"[..], &b"a"[..])].into_iter().chain(fields("GET", &[])).collect::<Vec<_>>();
    check(&rig, "late", exchange(&rig, &late, None, &[]), Nothing);
    let twice = [fields("GET", &[]), vec![(b":path", b"/evil")]].concat();
    check(&rig, "twice", exchange(&rig, &twice, None, &[]), Nothing);
}

#[test]
fn well_formed_requests_pass_once() {
    let rig = Rig::start();
    for others in WELL_FORMED {
        let ended = exchange(&rig, &fields("GET", others), None, &[]);
        check(&rig, &name(others), ended, Once("GET /x HTTP/1.1", b""));
    }
    // One Cookie in HTTP/1.1, however many there were (RFC 9113 §8.2.3).
    let cookies = fields("GET", &[(b"cookie", b"a=1"), (b"cookie", b"b=2")]);
    assert_eq!(exchange(&rig, &cookies, None, &[]), [Ended::Ok; 2]);
    let seen = rig.upstream.take();
    assert_eq!(seen[0].values("cookie"), [b"a=1; b=2"]);
}

#[test]
fn bodies_are_as_long_as_they_say() {
    const HELLO: Reaches = Once("POST /x HTTP/1.1", b"hello");
    let rig = Rig::start();
    let length: &[Field<'_>] = &[(b"content-length", b"5")];
    for others in [&[][..], length] {
        let ended = exchange(&rig, &fields("POST", others), Some(b"hello"), &[]);
        check(&rig, &name(others), ended, HELLO);
    }
    // RFC 9110 §8.6: two that are equal are one.
    let twice = fields("POST", &[(b"content-length", b"5"), (b"content-length", b"5")]);
    assert_eq!(exchange(&rig, &twice, Some(b"hello"), &[]), [Ended::Ok; 2]);
    assert_eq!(rig.upstream.take()[0].values("content-length"), [b"5"]);
    let trailers: &[Field<'_>] = &[(b"content-length", b"0"), (b"x-evil", b"evil")];
    let ended = exchange(&rig, &fields("POST", &[]), Some(b"hello"), trailers);
    check(&rig, "trailers", ended, HELLO);
    for len in [&b"4"[..], b"6", b"x", b"5, 5", b"-5"] {
        let others = [(&b"content-length"[..], len)];
        let ended = exchange(&rig, &fields("POST", &others), Some(b"hello"), &[]);
        check(&rig, &name(&others), ended, Reaches::Cut);
    }
}
