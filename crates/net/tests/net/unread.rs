//! Bodies of HTTP/1.1 requests that the service does not read (RFC 9112 §9.3, §9.6): whether the next
//! request on the connection is answered, or the client was told not to send one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::service::start;

/// A connection in the clear, which writes requests and reads answers one by one.
struct Wire(BufReader<TcpStream>);

impl Wire {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The head of an answer, in small letters, and its body.
    fn answer(&mut self) -> (String, Vec<u8>) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "the connection ended: {head}");
        }
        head.make_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap_or("0").parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        (head, body)
    }

    /// Reads until the server closes.
    fn end(mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    }
}

fn post(more: &str) -> Vec<u8> {
    format!("POST /bytes/9 HTTP/1.1\r\nhost: x\r\n{more}\r\n").into_bytes()
}

/// RFC 9112 §7.1.2.
#[tokio::test]
async fn a_body_that_is_read_to_its_trailers_is_read() {
    let server = start();
    let port = server.plain_port();
    let asking = tokio::task::spawn_blocking(move || {
        let mut wire = Wire::open(port);
        for _ in 0..3 {
            let head = "POST /count HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
            wire.send(format!("{head}5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n").as_bytes());
            let (head, _) = wire.answer();
            assert!(head.starts_with("http/1.1 200"), "{head}");
            assert!(!head.contains("connection: close"), "{head}");
        }
    });
    asking.await.unwrap();
}

/// RFC 9112 §9.3.
#[tokio::test]
async fn a_short_body_is_read_away_and_the_connection_goes_on() {
    let server = start();
    let port = server.plain_port();
    let asking = tokio::task::spawn_blocking(move || {
        let mut wire = Wire::open(port);
        for len in [1, 100_000, 256 << 10, 100_000] {
            wire.send(&[post(&format!("content-length: {len}\r\n")), vec![7; len]].concat());
            let (head, body) = wire.answer();
            assert!(head.starts_with("http/1.1 200"), "{head}");
            assert!(!head.contains("connection: close"), "{len}: {head}");
            assert_eq!(body.len(), 9);
        }
    });
    asking.await.unwrap();
}

/// RFC 9112 §9.6, RFC 9110 §10.1.1.
#[tokio::test]
async fn a_client_is_told_when_the_rest_is_not_read() {
    let server = start();
    let port = server.plain_port();
    let asking = tokio::task::spawn_blocking(move || {
        for (more, sent) in [
            ("content-length: 262145\r\n", &[7; 1000][..]),
            ("transfer-encoding: chunked\r\n", b"1\r\nx\r\n"),
            // Nor is it asked for.
            ("content-length: 5\r\nexpect: 100-continue\r\n", b""),
        ] {
            let mut wire = Wire::open(port);
            wire.send(&[&post(more), sent].concat());
            let (head, body) = wire.answer();
            assert!(head.starts_with("http/1.1 200"), "{more}: {head}");
            assert!(head.contains("connection: close"), "{more}: {head}");
            assert_eq!(body.len(), 9);
            wire.end();
        }
    });
    asking.await.unwrap();
}
