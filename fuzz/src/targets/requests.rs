//! Targets, hosts and pages, as strangers name them: what passes has one host and one path, in one form, and
//! nobody is let in by a page that is not of a host that is named.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::LazyLock;
use std::task::{Context, Poll};

use headwater_edge::normalise::{checked, other_reading};
use headwater_edge::{NormaliseLayer, ReferrerLayer, ReferrerRules, Referrers};
use headwater_net::Body;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use tower_layer::Layer;
use tower_service::Service;

use crate::at_once::at_once;

/// Requests: a method with a target, and fields.
pub(crate) const SEEDS: &[&str] = &[
    "GET /%41%7eb%2fc/%c3%a9?x=%2e%2e/..\nhost: Video.Example.:8443\nreferer: https://video.example/a?b",
    "GET https://video.example./a//b%2F..%2Fc\nhost: video.example.\nreferer: HTTP://a.video.example:80",
    "HEAD /a/%2e%2e/b\nhost: [::1]:8443\nreferer: https://video.example@evil.example/",
    "GET //evil/x\nhost: video.example\nreferer: https://evil.example\\@video.example/",
    "OPTIONS *\nhost: video.example\nx-forwarded-host: evil.example\ncache-control: no-cache",
    "GET /.well-known/x...%25%2a\nhost: video.example\nhost: other.example\nreferer: a\nreferer: b",
    "CONNECT video.example:443\nhost: video.example:443\naccept-encoding: br;q=1, gzip",
    "GET http://video.example\nhost: video.example\nheadwater-peer: x\nreferer: //video.example/",
];

/// The longest path with query that passes here, in bytes.
const MAX_TARGET: usize = 512;

/// The most fields of an input.
const MAX_LINES: usize = 64;

/// The hosts that are served, where some are named.
const HOSTS: [&str; 3] = ["video.example", "video.example:8443", "[::1]:8443"];

static ANY_HOST: LazyLock<NormaliseLayer> =
    LazyLock::new(|| NormaliseLayer::new().max_target(MAX_TARGET));
static NAMED_HOSTS: LazyLock<NormaliseLayer> = LazyLock::new(|| ANY_HOST.clone().hosts(HOSTS));

/// Pages of a host and of all below it; with those that name none, and without.
static REFERRERS: LazyLock<[ReferrerLayer; 2]> = LazyLock::new(|| {
    let referrers = Referrers::new(["video.example", "*.video.example"]);
    [false, true].map(|missing| {
        ReferrerLayer::new(ReferrerRules(Some(referrers.clone().or_missing(missing))))
    })
});

/// Shows what it was asked for, in the extensions of its answer.
#[derive(Clone)]
struct Mirror;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Seen {
    fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

impl Service<Request<()>> for Mirror {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let mut response = Response::new(Body::Empty);
        let (parts, ()) = request.into_parts();
        let seen = Seen { method: parts.method, uri: parts.uri, headers: parts.headers };
        response.extensions_mut().insert(seen);
        ready(Ok(response))
    }
}

/// What passes a layer, or the status of what is answered instead.
fn pass<L>(layer: &L, asked: &Seen) -> Result<Seen, StatusCode>
where
    L: Layer<Mirror, Service: Service<Request<()>, Response = Response<Body>, Error = Infallible>>,
{
    let mut service = layer.layer(Mirror);
    let Ok(mut answer) = at_once(service.call(asked.request()));
    answer.extensions_mut().remove().ok_or_else(|| answer.status())
}

/// The request that an input says.
fn asked(input: &[u8]) -> Option<Seen> {
    let mut lines = input.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let (method, target) = first.split_at_checked(space)?;
    let mut request = Request::builder().method(method).uri(target.get(1..)?);
    for line in lines.take(MAX_LINES) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at_checked(colon)?;
        request = request.header(name, value.get(1..)?.trim_ascii());
    }
    let (parts, ()) = request.body(()).ok()?.into_parts();
    Some(Seen { method: parts.method, uri: parts.uri, headers: parts.headers })
}

/// Tries an input.
pub(crate) fn run(input: &[u8]) {
    let Some(asked) = asked(input) else { return };
    let normal = pass(&*ANY_HOST, &asked);
    match &normal {
        Ok(seen) => {
            target(&asked, seen);
            fields(seen);
            assert_eq!(pass(&*ANY_HOST, seen).as_ref(), Ok(seen), "twice is once");
        }
        // The server as a whole.
        Err(StatusCode::NO_CONTENT) => {
            assert!(asked.method == Method::OPTIONS && asked.uri.path() == "*", "{asked:?}");
        }
        Err(status) => {
            let wrong = matches!(*status, StatusCode::BAD_REQUEST | StatusCode::URI_TOO_LONG);
            assert!(wrong, "{status} for {asked:?}");
        }
    }
    match pass(&*NAMED_HOSTS, &asked) {
        Ok(seen) => {
            let host = host(&seen);
            assert!(HOSTS.iter().any(|one| one.eq_ignore_ascii_case(&host)), "{host}");
            assert_eq!(Ok(seen), normal, "which hosts are served changes nothing else");
        }
        Err(StatusCode::MISDIRECTED_REQUEST) => {}
        Err(status) => assert_eq!(Err(status), normal),
    }
    referrer(&asked);
}

/// The one host of a request that passed.
fn host(seen: &Seen) -> String {
    let fields: Vec<_> = seen.headers.get_all(header::HOST).iter().collect();
    assert!(fields.len() <= 1, "{fields:?}");
    let field = fields.first().and_then(|host| host.to_str().ok()).map(str::to_ascii_lowercase);
    let authority = seen.uri.authority().map(|host| host.as_str().to_ascii_lowercase());
    assert!(field.is_none() || authority.is_none() || field == authority, "{seen:?}");
    let Some(host) = field.or(authority) else { unreachable!("{seen:?} names no host") };
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (&*host, ""),
    };
    assert!(port.bytes().all(|byte| byte.is_ascii_digit()), "{host}");
    assert!(!name.is_empty() && !name.ends_with('.'), "{host}");
    assert!(!name.contains(['@', '/', '\\', '?', '#', ' ']), "{host}");
    assert!(name.starts_with('[') || !name.contains(':'), "{host}");
    host
}

/// The path that passed is what was asked for, and leads nowhere else.
fn target(asked: &Seen, seen: &Seen) {
    host(seen);
    let path = seen.uri.path();
    let whole = seen.uri.path_and_query().map_or(0, |target| target.as_str().len());
    assert!(whole <= MAX_TARGET, "{whole} bytes");
    assert_eq!((&seen.method, seen.uri.query()), (&asked.method, asked.uri.query()));
    assert_eq!(checked(&asked.uri).as_deref().map(Uri::path), Some(path), "the one form");
    assert_eq!(decoded(path), decoded(asked.uri.path()), "it means what it meant");
    assert!(path.starts_with('/') && !path.starts_with("//"), "{path}");
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'), "{path}");
    assert!(!path.split('/').any(|segment| segment == "." || segment == ".."), "{path}");
    for escape in path.split('%').skip(1) {
        let Some(digits) = escape.get(..2) else { unreachable!("{path}") };
        let plain = |digit: u8| digit.is_ascii_digit() || matches!(digit, b'A'..=b'F');
        let Ok(meant) = u8::from_str_radix(digits, 16) else { unreachable!("{path}") };
        assert!(digits.bytes().all(plain) && !is_unreserved(meant), "{path}");
        assert!(!meant.is_ascii_control() && meant != b'\\', "{path}");
    }
    // Whoever takes escaped slashes for slashes finds one other path, and it is told beforehand which.
    if let Ok(Some(other)) = other_reading(path) {
        assert!(other.starts_with('/') && !other.contains("//"), "{other}");
        assert!(!other.to_ascii_lowercase().contains("%2f"), "{other}");
        assert!(!other.split('/').any(|segment| segment == "." || segment == ".."), "{other}");
        assert_eq!(other_reading(&other), Ok(None), "{path}");
    }
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// What a path means, byte by byte: an escaped slash is none.
fn decoded(path: &str) -> Vec<(u8, bool)> {
    let mut all = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let meant = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(meant) = meant {
            all.push((meant, !is_unreserved(meant)));
            rest = after.get(2..).unwrap_or_default();
        } else {
            all.push((*first, false));
            rest = after;
        }
    }
    all
}

/// Nothing goes further by which a stranger chooses what others get.
fn fields(seen: &Seen) {
    for name in seen.headers.keys().map(header::HeaderName::as_str) {
        let stays = ["headwater-debug", "headwater-device", "headwater-purge-seq"].contains(&name);
        let goes = ["x-forwarded-", "x-original-", "x-http-", "cmcd-", "headwater-"];
        assert!(stays || !goes.iter().any(|prefix| name.starts_with(prefix)), "{name}");
        assert!(!["cache-control", "pragma", "forwarded", "x-real-ip"].contains(&name), "{name}");
    }
    let codings: Vec<_> = seen.headers.get_all(header::ACCEPT_ENCODING).iter().collect();
    assert!(codings.len() <= 1 && codings.iter().all(|one| *one == "gzip" || *one == "identity"));
}

/// A page is one of a host that is named, or there is none.
fn referrer(asked: &Seen) {
    let [named, any] = REFERRERS.each_ref().map(|layer| pass(layer, asked));
    let lines: Vec<_> = asked.headers.get_all(header::REFERER).iter().collect();
    for passed in [&named, &any] {
        match passed {
            Ok(seen) => assert_eq!(seen, asked, "it takes nothing off"),
            Err(status) => assert_eq!(*status, StatusCode::FORBIDDEN),
        }
    }
    let [page] = lines[..] else {
        assert!(named.is_err(), "{lines:?}");
        assert_eq!(any.is_ok(), lines.is_empty(), "two lines are two stories");
        return;
    };
    assert_eq!(named, any, "who names a page is judged by it");
    if named.is_err() {
        return;
    }
    let page = page.as_bytes().to_ascii_lowercase();
    let rest = page.strip_prefix(b"https://").or_else(|| page.strip_prefix(b"http://"));
    let Some(rest) = rest else { unreachable!("{page:?} is no page") };
    // As browsers read it (https://url.spec.whatwg.org/#authority-state).
    let end = rest.iter().position(|byte| b"/?#\\".contains(byte)).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let host = authority.split(|byte| *byte == b'@').next_back().unwrap_or_default();
    let host = host.split(|byte| *byte == b':').next().unwrap_or_default();
    assert!(host == b"video.example" || host.ends_with(b".video.example"), "{page:?}");
}
