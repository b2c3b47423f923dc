//! A request's body goes on as it comes, and no faster than the upstream takes it.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::h3::{Client, framed, headers};
use crate::rig::{Rig, say, within};

/// More than all buffers on the way may hold.
const LEN: usize = 96 << 20;
/// What the edge, the sockets' buffers and the clients may hold of it together.
const HELD: usize = 48 << 20;
const PIECE: usize = 64 << 10;

/// Reads all of the body at the upstream, chunked or not, and answers.
async fn read_all(head: &str, mut stream: TcpStream) -> usize {
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let mut buffer = vec![0; 1 << 20];
    let mut read = 0;
    while read < LEN {
        if chunked {
            let mut size = Vec::new();
            while !size.ends_with(b"\r\n") {
                size.push(within(stream.read_u8()).await.unwrap());
            }
            let size = std::str::from_utf8(&size[..size.len() - 2]).unwrap();
            let mut left = usize::from_str_radix(size, 16).unwrap();
            read += left;
            left += 2;
            while left > 0 {
                let most = left.min(buffer.len());
                left -= within(stream.read_exact(&mut buffer[..most])).await.unwrap();
            }
        } else {
            match within(stream.read(&mut buffer)).await.unwrap() {
                0 => break,
                more => read += more,
            }
        }
    }
    say(&mut stream, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
    // Until the edge has read it.
    let _ = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut buffer)).await;
    read
}

/// Sends pieces by `send` until it has taken none for half a second; gives how many bytes went.
async fn until_full(mut send: impl AsyncFnMut(Bytes)) -> usize {
    let piece = Bytes::from(vec![7; PIECE]);
    let mut sent = 0;
    while sent < LEN {
        let taken = tokio::time::timeout(Duration::from_millis(500), send(piece.clone())).await;
        if taken.is_err() {
            return sent;
        }
        sent += PIECE;
    }
    sent
}

#[tokio::test]
async fn an_upload_over_http1_waits_for_the_upstream_and_arrives_whole() {
    let rig = Rig::start().await;
    let mut client = TcpStream::connect(rig.plain()).await.unwrap();
    let head = format!("PUT /film HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LEN}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    // In pieces of its own size, so that one that is given up is not half written.
    let mut sent = 0;
    let piece = vec![7; PIECE];
    let mut quiet = 0;
    while sent < LEN && quiet < 50 {
        if let Ok(more) = client.try_write(&piece[..PIECE.min(LEN - sent)]) {
            (sent, quiet) = (sent + more, 0);
        } else {
            quiet += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(sent < HELD, "{sent} bytes were taken before the upstream read one");
    let (head, stream) = rig.asked().await;
    assert!(head.starts_with("PUT /film HTTP/1.1\r\n"), "{head}");
    let reading = tokio::spawn(async move { read_all(&head, stream).await });
    while sent < LEN {
        let most = PIECE.min(LEN - sent);
        within(client.write_all(&piece[..most])).await.unwrap();
        sent += most;
    }
    let mut status = [0; 12];
    within(client.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 201");
    assert_eq!(reading.await.unwrap(), LEN);
}

#[tokio::test]
async fn an_upload_over_http2_waits_for_the_upstream_and_arrives_whole() {
    let rig = Rig::start().await;
    let (client, base) = rig.http2();
    let (send, receive) = tokio::sync::mpsc::channel::<Bytes>(1);
    let body =
        reqwest::Body::wrap_stream(futures_util::stream::unfold(receive, async |mut from| {
            from.recv().await.map(|piece| (Ok::<_, std::io::Error>(piece), from))
        }));
    let asking = tokio::spawn(client.patch(format!("{base}/film")).body(body).send());
    let mut sent = until_full(async |piece| {
        // A permit that is given up takes nothing.
        let room = send.reserve().await.unwrap();
        room.send(piece);
    })
    .await;
    assert!(sent < HELD, "{sent} bytes were taken before the upstream read one");
    let (head, stream) = rig.asked().await;
    let reading = tokio::spawn(async move { read_all(&head, stream).await });
    while sent < LEN {
        within(send.send(Bytes::from(vec![7; PIECE]))).await.unwrap();
        sent += PIECE;
    }
    drop(send);
    let answer = within(asking).await.unwrap().unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (201, http::Version::HTTP_2));
    assert_eq!(reading.await.unwrap(), LEN);
}

#[tokio::test]
async fn an_upload_over_http3_waits_for_the_upstream_and_arrives_whole() {
    let rig = Rig::start().await;
    let client = Client::connect(rig.edge.https_addrs()[0], &rig.tls).await;
    let (mut send, mut recv) = client.quic.open_bi().await.unwrap();
    let length = LEN.to_string();
    let request = headers(&[
        (b":method", b"PUT"),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", b"/film"),
        (b"content-length", length.as_bytes()),
    ]);
    send.write_all(&request).await.unwrap();
    let frame = framed(0, &vec![7; PIECE]);
    let (mut sent, mut at) = (0, 0);
    // What is written of a frame is counted, so that one that is given up can go on.
    while sent < LEN {
        let writing = tokio::time::timeout(Duration::from_millis(500), send.write(&frame[at..]));
        match writing.await {
            Ok(more) => at += more.unwrap(),
            Err(_) => break,
        }
        if at == frame.len() {
            (at, sent) = (0, sent + PIECE);
        }
    }
    assert!(sent < HELD, "{sent} bytes were taken before the upstream read one");
    let (head, stream) = rig.asked().await;
    let reading = tokio::spawn(async move { read_all(&head, stream).await });
    while sent < LEN {
        within(send.write_all(&frame[at..])).await.unwrap();
        (at, sent) = (0, sent + PIECE);
    }
    send.finish().unwrap();
    let answer = within(recv.read_to_end(10_000)).await.unwrap();
    assert_eq!(answer[0], 1, "HEADERS");
    assert_eq!(reading.await.unwrap(), LEN);
}
