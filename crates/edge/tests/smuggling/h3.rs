//! HTTP/3 in (RFC 9114 §4), HTTP/1.1 out.

use std::time::Duration;

use crate::client::{Client, Field, framed, headers};
use crate::h2::{Ended, MALFORMED, NEXT, WELL_FORMED, fields, name};
use crate::rig::Reaches::{Cut, Nothing, Once};
use crate::rig::Rig;

/// Of a body that does not come.
const LENGTH: Field<'_> = (b"content-length", b"5");

async fn send(client: &Client, fields: &[Field<'_>], body: Option<&[u8]>) -> Ended {
    let Ok((mut send, mut recv)) = client.quic.open_bi().await else { return Ended::Reset };
    let mut frames = headers(fields);
    if let Some(body) = body {
        frames.extend(framed(0, body));
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
    let client = Client::connect(rig.edge.https_addrs()[0], &rig.tls).await;
    let first = send(&client, fields, body).await;
    [first, send(&client, &NEXT, None).await]
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
