//! What says for whom it speaks: the PROXY protocol before a connection, and `Forwarded` and
//! `X-Forwarded-For` with a request. Whatever a client wrote, whom the nearest proxy names is the client.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::LazyLock;

use headwater_net::proxies::BadNetwork;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::at_once::at_once;
use crate::seeds::Seed;

#[path = "../../../crates/net/src/proxies/forwarded.rs"]
#[allow(dead_code, reason = "the server uses the rest")]
mod forwarded;
#[path = "../../../crates/net/src/server/proxy_protocol.rs"]
mod proxy_protocol;

use forwarded::Forwarded;
use proxy_protocol::Ends;

// What stands around `forwarded` in headwater-net, and is no part of what it shows.

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Which field counts.
#[derive(Clone, Copy)]
enum ForwardedField {
    XForwardedFor,
    Forwarded,
}

/// Whom to trust.
#[derive(Default)]
struct Proxies(headwater_net::Proxies);

impl FromStr for Proxies {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        text.parse().map(Self)
    }
}

impl Proxies {
    fn trust(&self, address: IpAddr) -> bool {
        self.0.trust(address)
    }
}

static PROXIES: LazyLock<Proxies> = LazyLock::new(|| {
    let Ok(proxies) = "10.0.0.0/8 ::1".parse() else { unreachable!("a network and an address") };
    proxies
});

/// The most fields of an input.
const MAX_LINES: usize = 64;

/// Headers of the PROXY protocol, and what a connection begins with after them; lines of fields, after a first
/// byte that is none.
pub(crate) fn seeds() -> Vec<Seed> {
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let four =
        b"\x21\x11\x00\x10\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x67\x01\xbb\x04\x00\x01\x00GET /";
    let mut six = b"\x21\x21\x00\x24\x20\x01\x0d\xb8".to_vec();
    six.extend([7; 32]);
    let own = b"\x20\x00\x00\x00GET /";
    let fields: &[u8] = b"Ff=for=6.6.6.6;proto=https, for=\"[2001:db8::1]:4711\";by=_x\n\
        f=For=\"10.1.2.3:80\" ; PROTO=http\nx=6.6.6.6, 192.0.2.1\nx= ::1,10.0.0.9\np=https";
    let hidden: &[u8] =
        b"Fx=\xff, 192.0.2.1, ::ffff:10.0.0.1\nf=for=unknown, for=\"\nh=evil.example";
    let headers = [&four[..], &six, own].map(|rest| [&signature[..], rest].concat());
    let seeds = headers.into_iter().chain([fields.to_vec(), hidden.to_vec()]);
    seeds.enumerate().map(|(number, seed)| (format!("proxy-{number}"), seed)).collect()
}

/// Tries an input: as a connection, or where it begins so, as fields.
pub(crate) fn run(input: &[u8]) {
    match input.split_first() {
        Some((b'F', lines)) => fields(lines),
        _ => connection(input),
    }
}

/// Whom a connection is for, and what is left of it to be read; `None` where it begins with no header.
fn read(mut bytes: &[u8]) -> Option<(Option<Ends>, &[u8])> {
    let ends = at_once(proxy_protocol::read(&mut bytes)).ok()?;
    Some((ends, bytes))
}

fn connection(input: &[u8]) {
    let Some((ends, rest)) = read(input) else { return };
    let Some(header) = input.strip_suffix(rest) else { unreachable!("it reads from the front") };
    let said = header.get(14..16).and_then(|len| len.try_into().ok()).map(u16::from_be_bytes);
    assert_eq!(said.map(|len| usize::from(len) + 16), Some(header.len()), "and not a byte more");
    assert_eq!(read(header), Some((ends, &[][..])), "what comes after does not count");
    for len in 0..header.len() {
        assert!(header.get(..len).is_some_and(|less| read(less).is_none()), "{len} bytes are less");
    }
    let Some(Ends { client, server }) = ends else { return };
    let all = [client, server];
    assert!(all.iter().all(|end| end.ip() == end.ip().to_canonical()), "{all:?}");
    // A balancer that says the same in IPv6.
    let six = |end: &SocketAddr| match end.ip() {
        IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
        IpAddr::V6(six) => six.octets(),
    };
    let mut again = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24".to_vec();
    again.extend(all.iter().flat_map(six));
    again.extend(all.iter().flat_map(|end| end.port().to_be_bytes()));
    assert_eq!(read(&again), Some((ends, &[][..])));
}

/// Fields, one a line: a letter, `=` and a value.
fn fields(input: &[u8]) {
    let mut written = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(MAX_LINES) {
        let name = match line.first() {
            Some(b'x') => FOR,
            Some(b'f') => header::FORWARDED,
            Some(b'p') => HeaderName::from_static("x-forwarded-proto"),
            Some(b'h') => HeaderName::from_static("x-forwarded-host"),
            _ => header::VIA,
        };
        if let Ok(value) = HeaderValue::from_bytes(line.get(2..).unwrap_or_default()) {
            written.append(name, value);
        }
    }
    for (field, name, names) in [
        (ForwardedField::XForwardedFor, FOR, ""),
        (ForwardedField::Forwarded, header::FORWARDED, "for="),
    ] {
        let said = take(written.clone(), field);
        if let Some(said) = said {
            let lines = written.get_all(&name).iter();
            let mut lines = lines.map(|line| String::from_utf8_lossy(line.as_bytes()));
            let named = lines.any(|line| has(&line, said.client.ip()));
            assert!(named, "nobody wrote {said:?}");
        }
        for others in ["", ", 10.0.0.9"] {
            let others = others.replace("10", &format!("{names}10"));
            let expected = Some("192.0.2.7:0".parse().ok());
            let appended = format!("{names}192.0.2.7{others}");
            let mut own_line = written.clone();
            if let Ok(value) = appended.parse() {
                own_line.append(&name, value);
            }
            assert_eq!(
                Some(take(own_line, field).map(|said| said.client)),
                expected,
                "{written:?}"
            );
            let mut lines: Vec<HeaderValue> = written.get_all(&name).iter().cloned().collect();
            let Some(last) = lines.last_mut() else { continue };
            let longer = [last.as_bytes(), b", ", appended.as_bytes()].concat();
            let Ok(longer) = HeaderValue::from_bytes(&longer) else { continue };
            *last = longer;
            let mut same_line = written.clone();
            same_line.remove(&name);
            for line in lines {
                same_line.append(&name, line);
            }
            assert_eq!(
                Some(take(same_line, field).map(|said| said.client)),
                expected,
                "{written:?}"
            );
        }
    }
}

/// What proxies say; nothing of it is left, and all else is.
fn take(mut headers: HeaderMap, field: ForwardedField) -> Option<Forwarded> {
    let others = headers.get_all(header::VIA).iter().count();
    let said = PROXIES.take(&mut headers, field);
    assert_eq!(headers.len(), others, "{headers:?}");
    said
}

/// Whether an address is one of the words of a line.
fn has(line: &str, address: IpAddr) -> bool {
    let mut words = line.split(|c: char| c.is_whitespace() || ",;=\"".contains(c));
    words.any(|word| {
        let node = word.parse::<SocketAddr>().ok().map(|node| node.ip());
        let node = node.or_else(|| word.trim_matches(['[', ']']).parse().ok());
        node.is_some_and(|node| node.to_canonical() == address)
    })
}
