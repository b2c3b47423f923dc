//! WebSockets pass where they are let to, as many as an upstream is said to take, and not those in which
//! nobody says anything.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::process::{Edge, Files, get, wait_for};

/// An origin that agrees to be spoken to by WebSockets, and says back what comes; all else it answers 404. Its
/// URL.
fn agreeing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || echo(stream));
        }
    });
    url
}

fn echo(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut asked = String::new();
    while !asked.ends_with("\r\n\r\n") {
        reader.read_line(&mut asked).ok().filter(|read| *read > 0)?;
    }
    if !asked.to_ascii_lowercase().contains("upgrade: websocket") {
        return stream.write_all(b"HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n").ok();
    }
    let head = "HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-accept: x\r\n\r\n";
    stream.write_all(head.as_bytes()).ok()?;
    let mut piece = [0; 100];
    loop {
        let read = reader.read(&mut piece).ok().filter(|read| *read > 0)?;
        stream.write_all(&piece[..read]).ok()?;
    }
}

/// Asks for a WebSocket; the connection, and the status.
fn open(addr: SocketAddr) -> (BufReader<TcpStream>, u16) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
        .write_all(
            b"GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    (reader, status)
}

fn says_back(socket: &mut BufReader<TcpStream>) {
    socket.get_mut().write_all(b"hello").unwrap();
    let mut said = [0; 5];
    socket.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"hello");
}

#[test]
fn as_many_pass_as_an_upstream_takes_and_who_says_nothing_makes_room() {
    let url = agreeing();
    let edge = |keys: &str| {
        let files = Files::new(&format!(
            "[server]\nlisten_http = '127.0.0.1:0'\nwebsockets = true\n\
             [[upstream]]\nname = 'media'\norigins = '{url}'\n{keys}\n\
             [[site]]\nhosts = '*'\nupstream = 'media'\n"
        ));
        (Edge::start(&files), files)
    };
    let (one, _files) = edge("max_websockets = 1\nwebsocket_idle_timeout = '1 s'");
    let addr = one.addr("http");
    let (mut first, status) = open(addr);
    assert_eq!(status, 101);
    says_back(&mut first);
    // Both are quiet, and it ends; how soon is not what is looked at.
    let mut rest = Vec::new();
    let ended = first.read_to_end(&mut rest);
    assert!(!ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "it is ended");
    assert_eq!(rest, b"");
    let mut next = wait_for("room for the next", || {
        let (socket, status) = open(addr);
        (status == 101).then_some(socket)
    });
    says_back(&mut next);

    // One that is not ended keeps its place.
    let (one, _files) = edge("max_websockets = 1\nwebsocket_idle_timeout = '1 h'");
    let addr = one.addr("http");
    let (mut first, status) = open(addr);
    assert_eq!(status, 101);
    assert_eq!(open(addr).1, 503, "one more than it takes");
    says_back(&mut first);
    // That says nothing of the origin's health.
    let (none, _files) = edge("max_websockets = 0\nfailures = 1\nwhen_down = 'refuse'");
    let addr = none.addr("http");
    for _ in 0..3 {
        assert_eq!(open(addr).1, 503);
    }
    assert_eq!(get(addr, "a", "/x").status, 404, "it is asked");
}
