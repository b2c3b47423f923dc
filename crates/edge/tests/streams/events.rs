//! An event is at the client before the next one is made (text/event-stream, WHATWG HTML §9.2).

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::h3::{Client, headers};
use crate::rig::{Rig, say, within};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                    Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n";
const EVENTS: [&str; 3] = ["data: one\n\n", "data: two\n\n", "data: three\n\n"];

/// One event as a chunk.
async fn send(upstream: &mut TcpStream, event: &str) {
    say(upstream, &format!("{:x}\r\n{event}\r\n", event.len())).await;
}

/// Sends the head and each event, after each of which `seen` waits until the client has it.
async fn play(rig: &Rig, mut seen: impl AsyncFnMut(&str)) {
    let (_, mut upstream) = rig.asked().await;
    say(&mut upstream, HEAD).await;
    for event in EVENTS {
        send(&mut upstream, event).await;
        within(seen(event)).await;
    }
    say(&mut upstream, "0\r\n\r\n").await;
}

#[tokio::test]
async fn an_event_passes_before_the_next_over_http1() {
    let rig = Rig::start().await;
    let mut client = TcpStream::connect(rig.plain()).await.unwrap();
    client.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut got = String::new();
    play(&rig, async |event| {
        while !got.contains(event) {
            let mut more = [0; 1024];
            let read = client.read(&mut more).await.unwrap();
            assert_ne!(read, 0, "{got}");
            got.push_str(std::str::from_utf8(&more[..read]).unwrap());
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_passes_before_the_next_over_http2() {
    let rig = Rig::start().await;
    let (client, base) = rig.http2();
    let asking = tokio::spawn(client.get(format!("{base}/events")).send());
    let (mut answer, mut asking) = (None, Some(asking));
    play(&rig, async |event| {
        if let Some(asking) = asking.take() {
            let response = asking.await.unwrap().unwrap();
            assert_eq!(response.version(), http::Version::HTTP_2);
            answer = Some(response);
        }
        assert_eq!(answer.as_mut().unwrap().chunk().await.unwrap().unwrap(), event);
    })
    .await;
    let rest = answer.unwrap().bytes().await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn an_event_passes_before_the_next_over_http3() {
    let rig = Rig::start().await;
    let client = Client::connect(rig.edge.https_addrs()[0], &rig.tls).await;
    let (mut send, mut recv) = client.quic.open_bi().await.unwrap();
    let request = headers(&[
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", b"/events"),
    ]);
    send.write_all(&request).await.unwrap();
    send.finish().unwrap();
    let mut got = Vec::new();
    play(&rig, async |event| {
        while !String::from_utf8_lossy(&got).contains(event) {
            let chunk = recv.read_chunk(1024, true).await.unwrap().expect("the stream goes on");
            got.extend_from_slice(&chunk.bytes);
        }
    })
    .await;
}
