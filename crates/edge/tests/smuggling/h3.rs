//! HTTP/3 in (RFC 9114 §4), HTTP/1.1 out.

use std::time::Duration;

use crate::client::{Client, Field, framed, headers};
use crate::h2::{Ended, MALFORMED, NEXT, WELL_FORMED, fields, name};
use crate::rig::Reaches::{AtMost, Cut, Nothing, Once};
use crate::rig::Rig;

/// Of a body that does not come.
const LENGTH: Field<'_> = (b"content-length", b"5");

async fn send(
    client: &Client,
    fields: &[Field<'_>],
    body: Option<&[u8]>,
    trailers: Option<&[Field<'_>]>,
) -> Ended {
    let Ok((mut send, mut recv)) = client.quic.open_bi().await else { return Ended::Reset };
    let mut frames = headers(fields);
    if let Some(body) = body {
        frames.extend(framed(0, body));
    }
    if let Some(trailers) = trailers {
        frames.extend(headers(trailers));
    }
    let _ = send.write_all(&frames).await;
    let _ = send.finish();
    let answer = tokio::time::timeout(Duration::from_secs(60), recv.read_to_end(10_000));
    match answer.await.expect("no answer in a minute") {
        // `:status: 200` in the static table (RFC 9204 appendix A), after the prefix.
        Ok(answer) if answer.first() == Some(&1) => {
            let status = answer.iter().skip(2).skip_while(|byte| **byte != 0).nth(2);
            if status == Some(&0xd9) { Ended::Ok } else { Ended::Refused }
        }
        Ok(_) | Err(_) => Ended::Reset,
    }
}

async fn case(rig: &Rig, fields: &[Field<'_>], body: Option<&[u8]>) -> [Ended; 2] {
    with_trailers(rig, fields, body, None).await
}

async fn with_trailers(
    rig: &Rig,
    fields: &[Field<'_>],
    body: Option<&[u8]>,
    trailers: Option<&[Field<'_>]>,
) -> [Ended; 2] {
    let client = Client::connect(rig.edge.https_addrs()[0], &rig.tls).await;
    let first = send(&client, fields, body, trailers).await;
    [first, send(&client, &NEXT, None, None).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn malformed_requests_reach_nobody() {
    let rig = Rig::start();
    for others in MALFORMED {
        let [first, next] = case(&rig, &fields("GET", others), None).await;
        assert_ne!(first, Ended::Ok, "{}", name(others));
        // Unlike in HTTP/2, a request may end in a later packet than its headers: a body that never
        // comes is missed only then, and what was sent on is cut off.
        let reaches = if *others == [LENGTH] { Cut } else { Nothing };
        rig.check(&name(others), reaches, next == Ended::Ok);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn well_formed_requests_pass_once() {
    let rig = Rig::start();
    for others in WELL_FORMED {
        let ended = case(&rig, &fields("GET", others), None).await;
        assert_eq!(ended, [Ended::Ok; 2], "{}", name(others));
        rig.check(&name(others), Once("GET /x HTTP/1.1", b""), true);
    }
    let cookies = fields("GET", &[(b"cookie", b"a=1"), (b"cookie", b"b=2")]);
    assert_eq!(case(&rig, &cookies, None).await, [Ended::Ok; 2]);
    assert_eq!(rig.upstream.take()[0].values("cookie"), [b"a=1; b=2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bodies_are_as_long_as_they_say() {
    let rig = Rig::start();
    let length: &[Field<'_>] = &[LENGTH];
    for others in [&[][..], length] {
        let ended = case(&rig, &fields("POST", others), Some(b"hello")).await;
        assert_eq!(ended, [Ended::Ok; 2], "{}", name(others));
        rig.check(&name(others), Once("POST /x HTTP/1.1", b"hello"), true);
    }
    for len in [&b"4"[..], b"6", b"x", b"5, 5", b"-5"] {
        let others = [(&b"content-length"[..], len)];
        let [first, next] = case(&rig, &fields("POST", &others), Some(b"hello")).await;
        assert_ne!(first, Ended::Ok, "{}", name(&others));
        rig.check(&name(&others), Cut, next == Ended::Ok);
    }
}

/// What no trailer section may have (RFC 9114 §4.2, §4.3): the request is malformed (§4.1.2).
const MALFORMED_TRAILERS: &[&[Field<'static>]] = &[
    &[(b":path", b"/evil")],
    &[(b":method", b"GET")],
    &[(b":scheme", b"http")],
    &[(b":authority", b"evil.example")],
    &[(b":status", b"200")],
    &[(b":evil", b"x")],
    &[(b"x", b"a"), (b":path", b"/evil")],
    &[(b"connection", b"close")],
    &[(b"keep-alive", b"5")],
    &[(b"proxy-connection", b"close")],
    &[(b"transfer-encoding", b"chunked")],
    &[(b"upgrade", b"h2c")],
    &[(b"te", b"gzip")],
    &[(b"X-Upper", b"a")],
    &[(b"x:y", b"a")],
    &[(b"", b"a")],
    &[(b"x\r\ny", b"a")],
    &[(b"x", b"a\r\n\r\nGET /evil HTTP/1.1")],
    &[(b"x", b"a\nb")],
    &[(b"x", b"a\0b")],
];

/// What a trailer section is not to have (RFC 9110 §6.5.1), and what it may: an upstream of HTTP/1.1 might
/// take it for the request's own, so it is told of neither.
const FORBIDDEN_TRAILERS: &[&[Field<'static>]] = &[
    &[(b"content-length", b"50")],
    &[(b"content-length", b"0"), (b"content-length", b"5")],
    &[(b"host", b"evil.example")],
    &[(b"authorization", b"evil")],
    &[(b"cookie", b"evil=1")],
    &[(b"content-encoding", b"gzip")],
    &[(b"content-type", b"text/evil")],
    &[(b"expect", b"100-continue")],
    &[(b"range", b"bytes=0-0")],
    &[(b"te", b"trailers")],
    &[(b"trailer", b"x-evil")],
    &[(b"x-forwarded-for", b"192.0.2.1")],
    &[(b"x-evil", b"evil")],
    &[],
];

/// Without a word about them beforehand, announced, and behind a body of which the length is said.
const BEFORE_TRAILERS: [&[Field<'static>]; 3] = [
    &[],
    &[
        (b"te", b"trailers"),
        (b"trailer", b"content-length, host, authorization, cookie, x, x-evil, te, trailer"),
    ],
    &[LENGTH],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn rfc_9114_4_1_2_malformed_trailers_end_their_request_alone_and_go_nowhere() {
    let rig = Rig::start();
    for before in BEFORE_TRAILERS {
        for trailers in MALFORMED_TRAILERS {
            let name = format!("{} / {}", name(before), name(trailers));
            let request = fields("POST", before);
            let [first, next] = with_trailers(&rig, &request, Some(b"hello"), Some(trailers)).await;
            assert_eq!(next, Ended::Ok, "{name}: it is an error of the stream");
            if before == [LENGTH] {
                // All that the length says has been passed on by then.
                rig.check(&name, AtMost("POST /x HTTP/1.1", b"hello"), true);
            } else {
                assert_ne!(first, Ended::Ok, "{name}");
                rig.check(&name, Cut, true);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn rfc_9110_6_5_1_trailers_do_not_become_fields_of_the_request() {
    let rig = Rig::start();
    for before in BEFORE_TRAILERS {
        for trailers in FORBIDDEN_TRAILERS {
            let name = format!("{} / {}", name(before), name(trailers));
            let request = fields("POST", before);
            let ended = with_trailers(&rig, &request, Some(b"hello"), Some(trailers)).await;
            assert_eq!(ended, [Ended::Ok; 2], "{name}");
            rig.check(&name, Once("POST /x HTTP/1.1", b"hello"), true);
        }
    }
    // They are no body either.
    let trailers: &[Field<'_>] = &[(b"content-length", b"5")];
    let ended = with_trailers(&rig, &fields("POST", &[]), None, Some(trailers)).await;
    assert_eq!(ended, [Ended::Ok; 2]);
    rig.check("no body", Once("POST /x HTTP/1.1", b""), true);
}
