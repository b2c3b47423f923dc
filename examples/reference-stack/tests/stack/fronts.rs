//! What stands in front of an edge: whom it speaks for is believed where a flag names it, and nowhere else.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, UnixStream};

use crate::support::Stack;

/// Each of them has an address of its own, though all are this machine.
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);

/// A PROXY header, version 2: TCP over IPv4, from port 4711 of `client` to 198.51.100.2:443.
fn header(client: [u8; 4]) -> Vec<u8> {
    let ends = [198, 51, 100, 2, 0x12, 0x67, 0x01, 0xbb];
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &client, &ends].concat()
}

/// What a request for `path` is answered, behind what comes in front of it and with these fields; empty where
/// the connection is closed.
async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    front: &[u8],
    path: &str,
    fields: &str,
) -> String {
    let asks = format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{fields}\r\n");
    let mut answer = Vec::new();
    let exchange = async {
        // Who is not served may be closed while this is being sent.
        if stream.write_all(&[front, asks.as_bytes()].concat()).await.is_ok() {
            let _ = stream.read_to_end(&mut answer).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), exchange).await.expect("answered or closed");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The clients that the access log tells of, each with what it asked for, in the order of the paths.
fn logged(log: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(log).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let word = |of: &serde_json::Value| of.as_str().unwrap().to_owned();
    let mut all: Vec<_> = lines.map(|line| (word(&line["path"]), word(&line["peer"]))).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_client_is_whom_a_named_balancer_or_proxy_says_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (log, socket) = (dir.path().join("access.log"), dir.path().join("edge.sock"));
    let stack = Stack::start(
        &dir.path().join("state"),
        &[
            &["--role", "edge", "--upstream", "http://127.0.0.1:1"][..],
            &["--proxy-protocol-from", "127.0.0.2"],
            &["--forwarded-by", "127.0.0.3,unix", "--forwarded-field", "forwarded"],
            &["--socket", socket.to_str().unwrap()],
            &["--access-log", log.to_str().unwrap()],
        ]
        .concat(),
    );
    let addr: SocketAddr = stack.field("http").strip_prefix("http://").unwrap().parse().unwrap();
    let from = async |source: Ipv4Addr| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let stream = socket.connect(addr).await.unwrap();
        let own = stream.local_addr().unwrap().to_string();
        (stream, own)
    };
    let served = |answer: &str| answer.starts_with("HTTP/1.1 404 ");
    let names = "forwarded: for=192.0.2.2\r\n";

    let (balancer, _) = from(BALANCER).await;
    assert!(served(&ask(balancer, &header([192, 0, 2, 1]), "/1-balancer", "").await));
    let (silent, _) = from(BALANCER).await;
    assert_eq!(ask(silent, b"", "/silent", "").await, "", "it has to say whom it speaks for");
    // Its clients are no proxies.
    let (balancer, _) = from(BALANCER).await;
    assert!(served(&ask(balancer, &header([192, 0, 2, 9]), "/2-its-client", names).await));

    let (proxy, _) = from(PROXY).await;
    assert!(served(&ask(proxy, b"", "/3-proxy", names).await));
    let (proxy, itself) = from(PROXY).await;
    let other = "x-forwarded-for: 192.0.2.2\r\n";
    assert!(served(&ask(proxy, b"", "/4-other-field", other).await));
    let by_socket = UnixStream::connect(&socket).await.unwrap();
    assert!(served(&ask(by_socket, b"", "/5-socket", "forwarded: for=192.0.2.3\r\n").await));

    let (stranger, own) = from(STRANGER).await;
    assert!(served(&ask(stranger, b"", "/6-stranger", names).await));
    let (stranger, _) = from(STRANGER).await;
    let answer = ask(stranger, &header([192, 0, 2, 1]), "/refused", "").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");

    assert_eq!(stack.end("-TERM"), Some(0));
    let expected = [
        ("/1-balancer", "192.0.2.1:4711"),
        ("/2-its-client", "192.0.2.9:4711"),
        ("/3-proxy", "192.0.2.2:0"),
        ("/4-other-field", &itself),
        ("/5-socket", "192.0.2.3:0"),
        ("/6-stranger", &own),
    ];
    assert_eq!(logged(&log), expected.map(|(path, peer)| (path.to_owned(), peer.to_owned())));
    assert!(!socket.exists());
}
