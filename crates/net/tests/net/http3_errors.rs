//! One case for each error of RFC 9114 §8.1 and RFC 9204 §6 that a client can have the server raise;
//! the table in docs/http3.md is made of these. Frames are written by hand.

use std::sync::atomic::Ordering;
use std::time::Duration;

use quinn::{Connection, ReadError, ReadToEndError, SendStream, WriteError};

use crate::client::quic;
use crate::http3_frames::{addr, application_code, connect, headers};
use crate::service::{short_limits, start, start_with, until};

const NO_ERROR: u32 = 0x100;
const INTERNAL_ERROR: u32 = 0x102;
const STREAM_CREATION_ERROR: u32 = 0x103;
const CLOSED_CRITICAL_STREAM: u32 = 0x104;
const FRAME_UNEXPECTED: u32 = 0x105;
const FRAME_ERROR: u32 = 0x106;
const EXCESSIVE_LOAD: u32 = 0x107;
const ID_ERROR: u32 = 0x108;
const SETTINGS_ERROR: u32 = 0x109;
const MISSING_SETTINGS: u32 = 0x10a;
const REQUEST_INCOMPLETE: u32 = 0x10d;
const MESSAGE_ERROR: u32 = 0x10e;
const QPACK_DECOMPRESSION_FAILED: u32 = 0x200;
const QPACK_ENCODER_STREAM_ERROR: u32 = 0x201;
const QPACK_DECODER_STREAM_ERROR: u32 = 0x202;

/// How a stream that was written ends.
#[derive(Clone, Copy)]
enum End {
    Open,
    Finish,
    Reset,
}
use End::{Finish, Open, Reset};

async fn send_uni(quic: &Connection, bytes: &[u8], end: End) -> SendStream {
    let mut stream = quic.open_uni().await.unwrap();
    // The connection may be closed already.
    let _ = stream.write_all(bytes).await;
    match end {
        Open => {}
        Finish => {
            let _ = stream.finish();
        }
        Reset => {
            // What has not been sent by then never is.
            let _ = ask(quic, &literals(&REQUEST)).await;
            let _ = stream.reset(0u32.into());
        }
    }
    stream
}

/// The code that the server closes the connection with.
async fn closed(quic: &Connection) -> Option<u32> {
    let closed = tokio::time::timeout(Duration::from_secs(60), quic.closed()).await;
    closed.ok().as_ref().and_then(application_code)
}

#[tokio::test]
async fn rfc_9114_6_2_what_clients_may_not_do_on_unidirectional_streams() {
    // The streams, each with its type first, and how it ends.
    type Case = (&'static str, u32, &'static [(&'static [u8], End)]);
    const CASES: &[Case] = &[
        ("9114 6.2.1 no SETTINGS", MISSING_SETTINGS, &[(&[0, 7, 1, 0], Open)]),
        ("9114 6.2.1 an unknown frame first", MISSING_SETTINGS, &[(&[0, 0x21, 0], Open)]),
        ("9114 7.2.4 SETTINGS twice", FRAME_UNEXPECTED, &[(&[0, 4, 0, 4, 0], Open)]),
        ("9114 7.2.4 a setting twice", SETTINGS_ERROR, &[(&[0, 4, 4, 6, 0, 6, 0], Open)]),
        ("9114 7.2.4.1 a setting of HTTP/2", SETTINGS_ERROR, &[(&[0, 4, 2, 2, 0], Open)]),
        ("9114 7.2.1 DATA", FRAME_UNEXPECTED, &[(&[0, 4, 0, 0, 1, 0], Open)]),
        ("9114 7.2.2 HEADERS", FRAME_UNEXPECTED, &[(&[0, 4, 0, 1, 0], Open)]),
        ("9114 7.2.5 PUSH_PROMISE", FRAME_UNEXPECTED, &[(&[0, 4, 0, 5, 1, 0], Open)]),
        ("9114 7.2.8 a frame of HTTP/2", FRAME_UNEXPECTED, &[(&[0, 4, 0, 6, 0], Open)]),
        ("9114 7.2.3 CANCEL_PUSH", ID_ERROR, &[(&[0, 4, 0, 3, 1, 0], Open)]),
        ("9114 7.2.7 a lower MAX_PUSH_ID", ID_ERROR, &[(&[0, 4, 0, 13, 1, 5, 13, 1, 4], Open)]),
        ("9114 5.2 a higher GOAWAY", ID_ERROR, &[(&[0, 4, 0, 7, 1, 0, 7, 1, 4], Open)]),
        ("9114 7.1 bytes behind a GOAWAY", FRAME_ERROR, &[(&[0, 4, 0, 7, 2, 0, 0], Open)]),
        ("9114 7.1 half a GOAWAY", FRAME_ERROR, &[(&[0, 4, 0, 7, 1, 0x40], Open)]),
        ("9114 7.1 an empty MAX_PUSH_ID", FRAME_ERROR, &[(&[0, 4, 0, 13, 0], Open)]),
        ("9218 7.2 priority of a push", ID_ERROR, &[(&[0, 4, 0, 0x80, 15, 7, 1, 1, 0], Open)]),
        ("9218 7.2 of no request", ID_ERROR, &[(&[0, 4, 0, 0x80, 15, 7, 0, 1, 2], Open)]),
        ("9114 6.2.1 control ended", CLOSED_CRITICAL_STREAM, &[(&[0, 4, 0], Finish)]),
        ("9114 6.2.1 control reset", CLOSED_CRITICAL_STREAM, &[(&[0, 4, 0], Reset)]),
        ("9114 6.2.1 two", STREAM_CREATION_ERROR, &[(&[0, 4, 0], Open), (&[0, 4, 0], Open)]),
        ("9114 6.2.2 a push", STREAM_CREATION_ERROR, &[(&[0, 4, 0], Open), (&[1, 0], Open)]),
        ("9204 4.2 two encoders", STREAM_CREATION_ERROR, &[(&[2], Open), (&[2], Open)]),
        ("9204 4.2 two decoders", STREAM_CREATION_ERROR, &[(&[3], Open), (&[3], Open)]),
        ("9204 4.2 encoder ended", CLOSED_CRITICAL_STREAM, &[(&[2], Finish)]),
        ("9204 4.2 decoder reset", CLOSED_CRITICAL_STREAM, &[(&[3, 0x40], Reset)]),
        ("9204 4.3.1 capacity", QPACK_ENCODER_STREAM_ERROR, &[(&[2, 0x20, 0x21], Open)]),
        ("9204 4.3.3 insert", QPACK_ENCODER_STREAM_ERROR, &[(b"\x02\x41a\x01b", Open)]),
        ("9204 4.3.2 insert", QPACK_ENCODER_STREAM_ERROR, &[(b"\x02\xc1\x01b", Open)]),
        ("9204 4.3.4 duplicate", QPACK_ENCODER_STREAM_ERROR, &[(&[2, 0], Open)]),
        ("9204 4.4.1 acknowledgment", QPACK_DECODER_STREAM_ERROR, &[(&[3, 0x80], Open)]),
        ("9204 4.4.3 increment", QPACK_DECODER_STREAM_ERROR, &[(&[3, 0x40, 0x01], Open)]),
        ("9204 4.4.3 of nothing", QPACK_DECODER_STREAM_ERROR, &[(&[3, 0], Open)]),
    ];
    let server = start();
    for (name, code, streams) in CASES {
        let (_endpoint, quic) = quic(addr(&server), "localhost", &server.tls).await;
        let mut open = Vec::new();
        for (bytes, end) in *streams {
            open.push(send_uni(&quic, bytes, *end).await);
        }
        assert_eq!(closed(&quic).await, Some(*code), "{name}");
    }
}

#[tokio::test]
async fn rfc_9114_4_1_what_clients_may_not_send_on_a_request_s_stream() {
    let get = headers(false, "/bytes/5");
    let post = headers(true, "/count");
    let trailers: &[u8] = b"\x01\x08\0\0\x23x-a\x01b";
    let server = start();
    let cases: Vec<(&str, u32, Vec<&[u8]>)> = vec![
        ("9114 4.1 DATA first", FRAME_UNEXPECTED, vec![&[0, 1, 0]]),
        ("9114 4.1 DATA behind trailers", FRAME_UNEXPECTED, vec![&post, trailers, &[0, 1, 0]]),
        ("9114 4.1 HEADERS behind trailers", FRAME_UNEXPECTED, vec![&post, trailers, trailers]),
        ("9114 7.2.3 CANCEL_PUSH", FRAME_UNEXPECTED, vec![&post, &[3, 1, 0]]),
        ("9114 7.2.4 SETTINGS", FRAME_UNEXPECTED, vec![&post, &[4, 0]]),
        ("9114 7.2.5 PUSH_PROMISE", FRAME_UNEXPECTED, vec![&post, &[5, 1, 0]]),
        ("9114 7.2.6 GOAWAY", FRAME_UNEXPECTED, vec![&post, &[7, 1, 0]]),
        ("9114 7.2.7 MAX_PUSH_ID", FRAME_UNEXPECTED, vec![&post, &[13, 1, 0]]),
        ("9114 7.2.8 a frame of HTTP/2", FRAME_UNEXPECTED, vec![&post, &[9, 0]]),
        ("9218 7.2 PRIORITY_UPDATE", FRAME_UNEXPECTED, vec![&post, &[0x80, 15, 7, 0, 1, 0]]),
        ("9218 7.2 before HEADERS", FRAME_UNEXPECTED, vec![&[0x80, 15, 7, 0, 1, 0], &get]),
        ("9114 7.1 half a frame", FRAME_ERROR, vec![&post, &[0, 5, 1]]),
        ("9114 7.1 half HEADERS", FRAME_ERROR, vec![&get[..9]]),
        ("9204 2.2.1 the dynamic table", QPACK_DECOMPRESSION_FAILED, vec![&[1, 3, 2, 0, 0x80]]),
        ("9204 4.5.1.2 a negative base", QPACK_DECOMPRESSION_FAILED, vec![&[1, 3, 0, 0x80, 0xd1]]),
        ("9204 3.1 no such static line", QPACK_DECOMPRESSION_FAILED, vec![&[1, 4, 0, 0, 0xff, 64]]),
        ("9204 4.5.1 half a section", QPACK_DECOMPRESSION_FAILED, vec![b"\x01\x04\0\0\x23x"]),
        (
            "9204 4.1.2 a bad Huffman code",
            QPACK_DECOMPRESSION_FAILED,
            vec![b"\x01\x05\0\0\x51\x81\0"],
        ),
    ];
    for (name, code, frames) in cases {
        let (_endpoint, quic, _control) = connect(&server).await;
        let (mut send, _recv) = quic.open_bi().await.unwrap();
        let _ = send.write_all(&frames.concat()).await;
        let _ = send.finish();
        assert_eq!(closed(&quic).await, Some(code), "{name}");
    }
}

/// A HEADERS frame of literals with literal names (RFC 9204 §4.5.6).
fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut section = vec![0, 0];
    for (name, value) in fields {
        match u8::try_from(name.len()).unwrap() {
            len @ 0..7 => section.push(0x20 | len),
            len => section.extend_from_slice(&[0x27, len - 7]),
        }
        section.extend_from_slice(name.as_bytes());
        section.push(u8::try_from(value.len()).unwrap());
        section.extend_from_slice(value.as_bytes());
    }
    assert!(section.len() < 0x4000);
    let len = u16::try_from(section.len()).unwrap() | 0x4000;
    [&[1][..], &len.to_be_bytes(), &section].concat()
}

const REQUEST: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/bytes/5")];

async fn ask(quic: &Connection, frames: &[u8]) -> Result<Vec<u8>, ReadToEndError> {
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(frames).await.unwrap();
    send.finish().unwrap();
    recv.read_to_end(100_000).await
}

fn reset_with(answer: &Result<Vec<u8>, ReadToEndError>) -> Option<u32> {
    match answer {
        Err(ReadToEndError::Read(ReadError::Reset(code))) => u32::try_from(code.into_inner()).ok(),
        _ => None,
    }
}

#[tokio::test]
async fn rfc_9114_4_1_2_malformed_requests_are_reset_and_the_connection_goes_on() {
    let server = start();
    let (_endpoint, quic, _control) = connect(&server).await;
    assert!(ask(&quic, &literals(&REQUEST)).await.unwrap().len() > 5);
    let without = |name: &str| -> Vec<(&str, &str)> {
        REQUEST.into_iter().filter(|(each, _)| *each != name).collect()
    };
    let with = |field: (&'static str, &'static str)| [&REQUEST[..], &[field]].concat();
    let cases = [
        ("4.3.1 no :method", without(":method")),
        ("4.3.1 no :scheme", without(":scheme")),
        ("4.3.1 no :path", without(":path")),
        ("4.3.1 no authority", without(":authority")),
        ("4.3.1 an empty :path", [&without(":path")[..], &[(":path", "")]].concat()),
        ("4.3.1 another host", with(("host", "example.com"))),
        ("4.3 an unknown one", with((":colour", "red"))),
        ("4.3 of an answer", with((":status", "200"))),
        ("4.3 of no extension", with((":protocol", "websocket"))),
        ("4.3 behind a field", [&[("x-a", "b")][..], &REQUEST].concat()),
        ("4.3.1 :path twice", [&[(":path", "/bytes/5")][..], &REQUEST].concat()),
        ("4.3.1 :method twice", [&[(":method", "GET")][..], &REQUEST].concat()),
        ("4.3.1 a fragment", [&without(":path")[..], &[(":path", "/bytes/5#1")]].concat()),
        ("4.3.1 a user", [&without(":authority")[..], &[(":authority", "u@localhost")]].concat()),
        ("4.3.1 two hosts", [&with(("host", "localhost"))[..], &[("host", "localhost")]].concat()),
        ("4.4 CONNECT with a path", [&[(":method", "CONNECT")][..], &REQUEST[1..]].concat()),
        (
            "4.1.2 two lengths",
            [&with(("content-length", "0"))[..], &[("content-length", "0")]].concat(),
        ),
        ("4.2 upper case", with(("X-A", "b"))),
        ("4.2 connection", with(("connection", "close"))),
        ("4.2 keep-alive", with(("keep-alive", "1"))),
        ("4.2 transfer-encoding", with(("transfer-encoding", "chunked"))),
        ("4.2 upgrade", with(("upgrade", "h2c"))),
        ("4.2 te", with(("te", "gzip"))),
        ("10.3 a line break", with(("x-a", "b\r\nc: d"))),
        ("10.3 NUL", with(("x-a", "b\0c"))),
    ];
    for (name, fields) in cases {
        let answer = ask(&quic, &literals(&fields)).await;
        assert_eq!(reset_with(&answer), Some(MESSAGE_ERROR), "{name}: {answer:?}");
    }
    assert!(ask(&quic, &literals(&REQUEST)).await.unwrap().len() > 5);
}

#[tokio::test]
async fn rfc_9114_4_1_2_a_body_longer_than_it_was_said_to_be_is_stopped() {
    let server = start();
    let (_endpoint, quic, _control) = connect(&server).await;
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/count"),
        ("content-length", "1"),
    ];
    let (mut send, _recv) = quic.open_bi().await.unwrap();
    send.write_all(&[&literals(&fields)[..], b"\0\x02xy"].concat()).await.unwrap();
    assert_eq!(send.stopped().await.unwrap(), Some(MESSAGE_ERROR.into()));
    assert!(ask(&quic, &literals(&REQUEST)).await.is_ok(), "the connection goes on");
}

/// The length is known to be another one with the request, behind it, and where an answer has begun.
#[tokio::test]
async fn rfc_9114_4_1_2_a_body_of_another_length_than_it_was_said_to_have_is_reset() {
    let server = start();
    let (_endpoint, quic, _control) = connect(&server).await;
    for (path, length, parts) in [
        ("/count", "5", &[&b""[..]][..]),
        ("/count", "5", &[b"\0\x02xy"]),
        ("/count", "5", &[b"\0\x02xy", b""]),
        ("/count", "5", &[b"\0\x02xy", b"\0\x01z"]),
        ("/count", "0", &[b"\0\x01x"]),
        ("/count", "1", &[b"\0\x01x", b"\0\x01y"]),
        ("/echo", "5", &[b"\0\x02xy", b""]),
        ("/echo", "1", &[b"\0\x01x", b"\0\x01y"]),
    ] {
        let fields = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", path),
            ("content-length", length),
        ];
        let (mut send, mut recv) = quic.open_bi().await.unwrap();
        send.write_all(&[&literals(&fields)[..], parts[0]].concat()).await.unwrap();
        for part in &parts[1..] {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _ = send.write_all(part).await;
        }
        let _ = send.finish();
        let answer = recv.read_to_end(1000).await;
        assert_eq!(
            reset_with(&answer),
            Some(MESSAGE_ERROR),
            "{path} {length} {parts:?}: {answer:?}"
        );
    }
    assert!(ask(&quic, &literals(&REQUEST)).await.is_ok(), "the connection goes on");
}

/// Limit: `ConnLimits::header_timeout`.
#[tokio::test]
async fn rfc_9114_4_1_what_is_no_whole_request_is_reset() {
    let server = start_with(|builder| builder.limits(short_limits()));
    let (_endpoint, quic, _control) = connect(&server).await;
    let answer = ask(&quic, b"").await;
    assert_eq!(reset_with(&answer), Some(REQUEST_INCOMPLETE), "{answer:?}");
    // Frames of a reserved type alone are no request either.
    let answer = ask(&quic, &[0x21, 1, 0]).await;
    assert_eq!(reset_with(&answer), Some(REQUEST_INCOMPLETE), "{answer:?}");
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&[1, 0x40]).await.unwrap();
    let answer = recv.read_to_end(1000).await;
    assert_eq!(reset_with(&answer), Some(REQUEST_INCOMPLETE), "too slow: {answer:?}");
}

#[tokio::test]
async fn rfc_9114_4_1_nothing_comes_behind_trailers_at_any_time() {
    let server = start();
    let (_endpoint, quic, _control) = connect(&server).await;
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    let trailers: &[u8] = b"\x01\x08\0\0\x23x-a\x01b";
    send.write_all(&[&headers(true, "/echo")[..], b"\0\x01x", trailers].concat()).await.unwrap();
    // The echo's first data is there: what came so far was read.
    let mut answer = vec![0; 1000];
    while !answer.ends_with(b"x") {
        let read = recv.read(&mut answer).await.unwrap().unwrap();
        answer.truncate(read);
    }
    send.write_all(b"\0\x01y").await.unwrap();
    assert_eq!(closed(&quic).await, Some(FRAME_UNEXPECTED));
}

/// Limit: `connection::FRAME_SLACK`.
#[tokio::test]
async fn rfc_9114_10_5_frames_that_bring_nothing_end_the_request() {
    let server = start();
    let (_endpoint, quic, _control) = connect(&server).await;
    for empty in [&[0u8, 0][..], &[0x21, 0], &[0x21, 3, 1, 2, 3]] {
        let (mut send, _recv) = quic.open_bi().await.unwrap();
        send.write_all(&headers(true, "/count")).await.unwrap();
        let many = empty.repeat(5000);
        let mut sent = 0;
        let stopped = loop {
            match send.write_all(&many).await {
                Ok(()) => sent += many.len(),
                Err(error) => break error,
            }
            assert!(sent < 8 << 20, "took {sent} bytes of nothing");
        };
        let code = WriteError::Stopped(EXCESSIVE_LOAD.into());
        assert_eq!(stopped, code, "{empty:?}");
    }
    assert!(ask(&quic, &literals(&REQUEST)).await.is_ok(), "the connection goes on");
}

#[tokio::test]
async fn rfc_9114_8_1_our_own_failures_and_refusals_have_their_codes() {
    let mut limits = headwater_net::server::ConnLimits::default();
    limits.max_body = 10;
    let server = start_with(|builder| builder.limits(limits));
    let (_endpoint, quic, _control) = connect(&server).await;
    let answer = ask(&quic, &headers(false, "/cut/known")).await;
    assert_eq!(reset_with(&answer), Some(INTERNAL_ERROR), "{answer:?}");
    // An answer that needs no more of the request: 413.
    let fields = [&REQUEST[..], &[("content-length", "99")]].concat();
    let (mut send, mut recv) = quic.open_bi().await.unwrap();
    send.write_all(&literals(&fields)).await.unwrap();
    assert!(recv.read_to_end(1000).await.is_ok());
    let stopped = loop {
        if let Err(error) = send.write_all(&[0x21, 0]).await {
            break error;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    assert!(matches!(&stopped, WriteError::Stopped(code) if *code == NO_ERROR.into()), "{stopped}");
}

#[tokio::test]
async fn what_is_reserved_or_given_up_means_nothing() {
    let server = start();
    let (_endpoint, quic, mut control) = connect(&server).await;
    // Frames of reserved types and MAX_PUSH_ID on the control stream.
    control.write_all(&[0x21, 2, 9, 9, 13, 1, 0, 13, 1, 3]).await.unwrap();
    // QPACK's streams, and what may be said there.
    let _encoder = send_uni(&quic, &[2, 0x20, 0x20], Open).await;
    let _decoder = send_uni(&quic, &[3, 0x40, 0x7f, 0x80, 0x01, 0x44], Open).await;
    // A stream of a reserved type is not wanted, and one may end before it has any.
    let reserved = send_uni(&quic, &[0x21, 1, 2, 3], Open).await;
    let stopped = reserved.stopped().await.unwrap();
    assert_eq!(stopped, Some(STREAM_CREATION_ERROR.into()));
    send_uni(&quic, &[], Finish).await;
    send_uni(&quic, &[0x40], Reset).await;
    for _ in 0..3 {
        assert!(ask(&quic, &[&[0x21, 1, 9][..], &literals(&REQUEST)].concat()).await.is_ok());
    }
    assert!(quic.close_reason().is_none());
}

/// Opens streams, or writes on one, until the server closes the connection.
async fn flood(quic: &Connection, mut more: impl AsyncFnMut() -> bool) -> Option<u32> {
    for _ in 0..200_000 {
        if !more().await || quic.close_reason().is_some() {
            return closed(quic).await;
        }
    }
    panic!("no end");
}

/// Limit: `uni::STRANGE_STREAMS`, `uni::MOST_BYTES`.
#[tokio::test]
async fn rfc_9114_10_5_floods_end_the_connection() {
    let server = start();
    // Unidirectional streams of reserved types.
    let (_endpoint, quic, _control) = connect(&server).await;
    let code = flood(&quic, async || {
        let Ok(mut stream) = quic.open_uni().await else { return false };
        stream.write_all(&[0x21]).await.is_ok() && stream.finish().is_ok()
    });
    assert_eq!(code.await, Some(EXCESSIVE_LOAD), "streams");
    // Frames on the control stream, none of which is wrong.
    let (_endpoint, quic, mut control) = connect(&server).await;
    let updates = [0x80, 15, 7, 0, 4, 0, b'u', b'=', b'1'].repeat(20_000);
    let code = flood(&quic, async || control.write_all(&updates).await.is_ok());
    assert_eq!(code.await, Some(EXCESSIVE_LOAD), "PRIORITY_UPDATE");
    // An instruction of QPACK that means nothing here.
    let (_endpoint, quic, _control) = connect(&server).await;
    let mut stream = send_uni(&quic, &[3], Open).await;
    let cancellations = [0x40].repeat(200_000);
    let code = flood(&quic, async || stream.write_all(&cancellations).await.is_ok());
    assert_eq!(code.await, Some(EXCESSIVE_LOAD), "Stream Cancellation");
}

#[tokio::test]
async fn rfc_9114_10_5_requests_that_are_taken_back_at_once_are_counted() {
    let server = start();
    let (_endpoint, quic, _control) = connect(&server).await;
    let code = flood(&quic, async || {
        let Ok((mut send, mut recv)) = quic.open_bi().await else { return false };
        let sent = send.write_all(&headers(false, "/forever")).await.is_ok();
        let _ = send.reset(0x10cu32.into());
        let _ = recv.stop(0x10cu32.into());
        sent
    });
    assert_eq!(code.await, Some(EXCESSIVE_LOAD));
    let waiting = &server.play.waiting;
    until("nothing is left of them", || waiting.load(Ordering::SeqCst) == 0).await;
}
