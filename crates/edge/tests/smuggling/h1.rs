//! HTTP/1.1 in (RFC 9112).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::rig::Reaches::{Cut, Nothing, Once};
use crate::rig::{Reaches, Rig};

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: video.example\r\nConnection: close\r\n\r\n";

/// Sends the bytes and the next request, and gives the statuses of all answers.
fn exchange(rig: &Rig, bytes: &[u8]) -> Vec<u16> {
    let mut stream = TcpStream::connect(rig.edge.http_addrs()[0]).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // The server may have closed by then.
    let _ = stream.write_all(bytes).and_then(|()| stream.write_all(NEXT.as_bytes()));
    let mut all = Vec::new();
    if let Err(error) = stream.read_to_end(&mut all) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{}", all.escape_ascii());
    }
    statuses(&all)
}

fn statuses(all: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(all);
    let codes =
        text.match_indices("HTTP/1.").filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok());
    codes.filter(|code| *code != 100).collect()
}

/// A request that says 200 or one of the refusals; afterwards the connection is as good as new or
/// closed.
fn case(rig: &Rig, name: &str, bytes: impl AsRef<[u8]>, reaches: Reaches) {
    let bytes = bytes.as_ref();
    let codes = exchange(rig, bytes);
    let first = codes.first().copied();
    match reaches {
        Once(..) => assert_eq!(first, Some(200), "{name}: {codes:?}"),
        Nothing => {
            assert!(first.is_none_or(|code| (400..=505).contains(&code)), "{name}: {codes:?}");
        }
        // The client's fault, not the upstream's.
        Cut => assert!(first.is_none_or(|code| code == 400), "{name}: {codes:?}"),
        Reaches::AtMost(..) => {}
    }
    assert!(codes.len() <= 2, "{name}: answered too often, {codes:?}");
    let then = codes.get(1) == Some(&200);
    rig.check(name, reaches, then);
}

/// A POST with these fields and this body.
fn post(fields: &str, body: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: video.example\r\n{fields}\r\n\r\n{body}")
}

/// A GET with these fields.
fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: video.example\r\n{fields}\r\n")
}

const HELLO: Reaches = Once("POST /x HTTP/1.1", b"hello");
const PLAIN: Reaches = Once("GET /x HTTP/1.1", b"");

#[test]
fn a_body_has_one_length_or_none() {
    let rig = Rig::start();
    case(&rig, "plain", post("Content-Length: 5", "hello"), HELLO);
    case(&rig, "spaces around", post("Content-Length: \t 5 \t", "hello"), HELLO);
    case(&rig, "leading zeros", post("Content-Length: 0005", "hello"), HELLO);
    case(&rig, "twice the same", post("Content-Length: 5\r\nContent-Length: 5", "hello"), HELLO);
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    case(&rig, "chunked", post("Transfer-Encoding: chunked", chunked), HELLO);
    // RFC 9112 §6.3: the coding counts. hyper closes the connection after the answer.
    for both in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nContent-Length: 15",
    ] {
        case(&rig, both, post(both, chunked), HELLO);
        assert_eq!(exchange(&rig, post(both, chunked).as_bytes()), [200], "{both}: kept open");
        rig.check(both, HELLO, false);
    }
    case(&rig, "case", post("tRANSFER-eNCODING: cHUNKED", chunked), HELLO);
    for (name, fields) in [
        ("a length that is none, and a coding", "Content-Length: x\r\nTransfer-Encoding: chunked"),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6"),
        ("two lengths, the first none", "Content-Length: 0\r\nContent-Length: 15"),
        ("a sign", "Content-Length: +5"),
        ("a negative length", "Content-Length: -5"),
        ("a list", "Content-Length: 5, 5"),
        ("a list of two", "Content-Length: 5, 15"),
        ("two numbers", "Content-Length: 1 5"),
        ("hexadecimal", "Content-Length: 0xf"),
        ("empty", "Content-Length:"),
        ("a comma", "Content-Length: 5,"),
        ("a quote", "Content-Length: \"5\""),
        ("a fraction", "Content-Length: 5.0"),
        ("beyond 64 bits", "Content-Length: 18446744073709551621"),
        ("much beyond", "Content-Length: 55555555555555555555555555555555"),
        ("a vertical tab", "Content-Length: \x0b5"),
        ("a space before the colon", "Content-Length : 5"),
        ("folded", "Content-Length:\r\n 5"),
    ] {
        case(&rig, name, post(fields, chunked), Nothing);
    }
}

#[test]
fn a_transfer_coding_is_chunked_and_nothing_else() {
    let rig = Rig::start();
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    for coding in [
        "xchunked",
        "chunkedx",
        "identity",
        "chunked, identity",
        "identity, chunked",
        "gzip, chunked",
        "chunked, chunked",
        "chunked;q=0.5",
        "\"chunked\"",
        "chu nked",
        "chunked,",
        ",chunked",
        "\x0bchunked",
        "chunked\x0c",
        "chunked\0",
        "\u{a0}chunked",
        "",
    ] {
        let name = format!("coding {}", coding.escape_default());
        case(&rig, &name, post(&format!("Transfer-Encoding: {coding}"), chunked), Nothing);
    }
    for (name, fields) in [
        ("twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ("and another", "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow"),
        ("another first", "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked"),
        ("a space before the colon", "Transfer-Encoding : chunked"),
        ("a tab before the colon", "Transfer-Encoding\t: chunked"),
        ("a space before the name", " Transfer-Encoding: chunked"),
        ("folded", "Transfer-Encoding:\r\n chunked"),
        ("folded with a tab", "Transfer-Encoding:\r\n\tchunked"),
        ("after a bare carriage return", "X: a\rTransfer-Encoding: chunked"),
        ("a null in the name", "Transfer\0-Encoding: chunked"),
        ("a dash beyond ASCII", "Transfer\u{2010}Encoding: chunked"),
        ("without a colon", "Transfer-Encoding chunked"),
    ] {
        case(&rig, name, post(fields, chunked), Nothing);
    }
    // One line feed ends a line (RFC 9112 §2.2): it is a coding like any, and goes on with CRLF.
    case(&rig, "after a line feed", post("X: a\nTransfer-Encoding: chunked", chunked), HELLO);
    // Another field, of which no upstream is told that it frames anything.
    let other = "Content-Length: 5\r\nTransfer_Encoding: chunked";
    case(&rig, "an underscore", post(other, "hello"), HELLO);
    // A version without it (RFC 9112 §6.1).
    let old = "POST /x HTTP/1.0\r\nHost: video.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    case(&rig, "HTTP/1.0", format!("{old}{chunked}"), Nothing);
}

#[test]
fn chunks_are_as_long_as_they_say() {
    let rig = Rig::start();
    let chunked = |body: &str| post("Transfer-Encoding: chunked", body);
    for (name, body) in [
        ("an extension", "5;evil=1\r\nhello\r\n0\r\n\r\n"),
        ("a quoted extension", "5;a=\"evil\"\r\nhello\r\n0;b\r\n\r\n"),
        ("leading zeros", "00005\r\nhello\r\n000\r\n\r\n"),
        ("two chunks", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        ("a trailer", "5\r\nhello\r\n0\r\nX-Evil: evil\r\n\r\n"),
        ("a forbidden trailer", "5\r\nhello\r\n0\r\nContent-Length: 50\r\nHost: evil\r\n\r\n"),
    ] {
        case(&rig, name, chunked(body), HELLO);
    }
    for (name, body) in [
        ("no number", "x\r\nhello\r\n0\r\n\r\n"),
        ("a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("a sign", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        ("beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("much beyond", "fffffffffffffffffffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("an empty size", "\r\nhello\r\n0\r\n\r\n"),
        ("two sizes", "5 6\r\nhello\r\n0\r\n\r\n"),
        ("data that is longer", "5\r\nhello!\r\n0\r\n\r\n"),
        ("a line feed in an extension", "5;a\nhello\r\n0\r\n\r\n"),
        ("a bare line feed after the size", "5\nhello\r\n0\r\n\r\n"),
        ("a bare carriage return after the size", "5\rhello\r\n0\r\n\r\n"),
    ] {
        case(&rig, name, chunked(body), Cut);
    }
}

#[test]
fn a_head_is_made_of_fields() {
    let rig = Rig::start();
    for (name, fields) in [
        ("folded", "X: a\r\n b\r\n"),
        ("folded first", " X: a\r\n"),
        ("a bare carriage return", "X: a\rb\r\n"),
        ("a null", "X: a\0b\r\n"),
        ("a null in a name", "X\0: a\r\n"),
        ("a delete", "X: a\x7f\r\n"),
        ("a name beyond ASCII", "X\u{e9}: a\r\n"),
        ("no name", ": a\r\n"),
        ("no colon", "X\r\n"),
        ("a space in a name", "X Y: a\r\n"),
        ("a space before the colon", "X : a\r\n"),
        ("a bracket in a name", "X[]: a\r\n"),
    ] {
        case(&rig, name, get("/x", fields), Nothing);
    }
    // Octets beyond ASCII are opaque data (RFC 9110 §5.5).
    case(&rig, "a value beyond ASCII", get("/x", "X: \u{e9}\r\n"), PLAIN);
    case(&rig, "an empty value", get("/x", "X:\r\n"), PLAIN);
    case(&rig, "line feeds alone", "GET /x HTTP/1.1\nHost: video.example\nX: a\n\n", PLAIN);
    case(&rig, "an empty line before", format!("\r\n{}", get("/x", "")), PLAIN);
}

#[test]
fn a_request_line_has_three_parts() {
    let rig = Rig::start();
    let host = "Host: video.example\r\n\r\n";
    for line in [
        "GET /x",
        "GET /x HTTP/2.0",
        "GET /x HTTP/1.2",
        "GET /x http/1.1",
        "GET /x HTTP/1.1 x",
        "GET /x evil HTTP/1.1",
        "GET /x\tHTTP/1.1",
        "GET  /x HTTP/1.1",
        "GET\t/x HTTP/1.1",
        "get /x HTTP/1.1",
        "G\0T /x HTTP/1.1",
        " GET /x HTTP/1.1",
        "CONNECT video.example:80 HTTP/1.1",
        "CONNECT /x HTTP/1.1",
        "TRACE /x HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET * HTTP/1.1",
        "GET video.example:80 HTTP/1.1",
        "GET evil.example HTTP/1.1",
        "GET x HTTP/1.1",
        "GET ?x HTTP/1.1",
        "GET //evil.example/x HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /x?\u{e9} HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /x\\..\\y HTTP/1.1",
        "GET /a/../x HTTP/1.1",
        "GET /a/%2e%2e/x HTTP/1.1",
        "GET /x%00 HTTP/1.1",
        "GET /x%0d%0aX:evil HTTP/1.1",
        "GET http://evil.example/x HTTP/1.1",
        "GET http://evil.example@video.example/x HTTP/1.1",
        "GET http://video.example@evil.example/x HTTP/1.1",
        "GET http://video.example:99/x HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET ftp://video.example/x HTTP/1.1",
        "GET file:///x HTTP/1.1",
    ] {
        case(&rig, &line.escape_default().to_string(), format!("{line}\r\n{host}"), Nothing);
    }
    for (line, reaches) in [
        ("GET /x HTTP/1.0", PLAIN),
        ("GET http://video.example/x HTTP/1.1", PLAIN),
        ("GET HTTP://VIDEO.EXAMPLE/x HTTP/1.1", PLAIN),
        ("GET http://video.example HTTP/1.1", Once("GET / HTTP/1.1", b"")),
        ("GET /x#evil HTTP/1.1", PLAIN),
        ("GET /%78 HTTP/1.1", PLAIN),
        ("OPTIONS /x HTTP/1.1", Once("OPTIONS /x HTTP/1.1", b"")),
        ("HEAD /x HTTP/1.1", Once("HEAD /x HTTP/1.1", b"")),
    ] {
        // An HTTP/1.0 client's connection ends unless it asks otherwise.
        case(&rig, line, format!("{line}\r\n{host}"), reaches);
    }
    // The server as a whole (RFC 9110 §9.3.7) is this one; what is behind it is nobody's business.
    assert_eq!(exchange(&rig, format!("OPTIONS * HTTP/1.1\r\n{host}").as_bytes())[0], 204);
    rig.check("OPTIONS *", Nothing, true);
}

#[test]
fn a_request_names_one_host_and_it_chooses_no_upstream() {
    let rig = Rig::start();
    for (name, hosts) in [
        ("none", ""),
        ("two", "Host: video.example\r\nHost: evil.example\r\n"),
        ("the same twice", "Host: video.example\r\nHost: video.example\r\n"),
        ("empty", "Host:\r\n"),
        ("a list", "Host: video.example, evil.example\r\n"),
        ("a path", "Host: video.example/evil\r\n"),
        ("a user", "Host: evil@video.example\r\n"),
        ("a space", "Host: video.example evil\r\n"),
        ("a fragment", "Host: video.example#evil\r\n"),
        ("a query", "Host: video.example?evil\r\n"),
        ("a backslash", "Host: video.example\\evil\r\n"),
        ("beyond ASCII", "Host: vid\u{e9}o.example\r\n"),
        ("folded", "Host: video.example\r\n evil\r\n"),
        ("a space before the colon", "Host : video.example\r\n"),
        ("a port that is none", "Host: video.example:evil\r\n"),
        ("two ports", "Host: video.example:80:81\r\n"),
    ] {
        case(&rig, name, format!("GET /x HTTP/1.1\r\n{hosts}\r\n"), Nothing);
    }
    // The rig sees to it that the upstream's own host reaches it, whatever the client says.
    for host in ["evil.example", "127.0.0.1:1", "[::1]:1", "localhost"] {
        case(&rig, host, format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"), PLAIN);
        let whole = format!("GET http://{host}/x HTTP/1.1\r\nHost: {host}\r\n\r\n");
        case(&rig, host, whole, PLAIN);
    }
    let old = "GET http://evil.example/x HTTP/1.0\r\n\r\n";
    case(&rig, "absolute without a host", old, PLAIN);
}

#[test]
fn what_is_for_one_connection_stays_there() {
    let rig = Rig::start();
    for (name, fields) in [
        ("close", "Connection: keep-alive, x-evil\r\nX-Evil: evil\r\nKeep-Alive: 5\r\n"),
        (
            "h2c",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        ),
        ("an upgrade", "Connection: Upgrade\r\nUpgrade: evil\r\n"),
        ("the host", "Connection: host\r\n"),
        ("te", "Connection: te\r\nTE: trailers, evil\r\n"),
        ("a proxy's", "Proxy-Connection: keep-alive\r\nProxy-Authorization: evil\r\n"),
        ("a field that keys go by", "Connection: accept-language\r\nAccept-Language: evil\r\n"),
    ] {
        case(&rig, name, get("/x", fields), PLAIN);
    }
    let body = |fields: &str, body| post(fields, body);
    let named = "Connection: content-length\r\nContent-Length: 5";
    case(&rig, "the length", body(named, "hello"), HELLO);
    let named = "Connection: transfer-encoding\r\nTransfer-Encoding: chunked";
    case(&rig, "the coding", body(named, "5\r\nhello\r\n0\r\n\r\n"), HELLO);
    let expects = "Expect: 100-continue\r\nContent-Length: 5";
    case(&rig, "expected", body(expects, "hello"), HELLO);
}

#[test]
fn a_body_where_none_is_expected_is_still_one_body() {
    const SMUGGLED: &str = "GET /other HTTP/1.1\r\nHost: video.example\r\n\r\n";
    let rig = Rig::start();
    let len = SMUGGLED.len();
    for (method, line) in [
        ("GET", "GET /x HTTP/1.1"),
        ("HEAD", "HEAD /x HTTP/1.1"),
        ("OPTIONS", "OPTIONS /x HTTP/1.1"),
    ] {
        let head = format!("{method} /x HTTP/1.1\r\nHost: video.example\r\n");
        let whole = format!("{head}Content-Length: {len}\r\n\r\n{SMUGGLED}");
        case(&rig, method, whole, Once(line, SMUGGLED.as_bytes()));
        let coding = "Transfer-Encoding: chunked";
        let whole = format!("{head}{coding}\r\n\r\n{len:x}\r\n{SMUGGLED}\r\n0\r\n\r\n");
        // The client of upstreams sends no body of unknown length where none is expected.
        let left = if method == "OPTIONS" { SMUGGLED } else { "" };
        case(&rig, method, whole, Once(line, left.as_bytes()));
    }
}
