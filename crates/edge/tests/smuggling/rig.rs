//! An edge with its cache between a raw client and the strict upstream.

use headwater_cache::Cache;
use headwater_edge::{Edge, MethodsLayer};
use headwater_net::Clock;
use headwater_net::server::{Server, ServerHandle, Tls};
use http::Method;

use crate::upstream::{Seen, Upstream};

pub const HOST: &str = "video.example";

pub struct Rig {
    pub upstream: Upstream,
    pub edge: ServerHandle,
    pub tls: Tls,
}

/// What the upstream is to see of a case.
#[derive(Clone, Copy, Debug)]
pub enum Reaches {
    Nothing,
    /// One request: its line and its body.
    Once(&'static str, &'static [u8]),
    /// One request that is cut off before its end.
    Cut,
    /// Any of these.
    AtMost(&'static str, &'static [u8]),
}

impl Rig {
    pub fn start() -> Self {
        let upstream = Upstream::start();
        let client = headwater_net::client::Upstream::builder(format!("http://{}", upstream.addr));
        let client = client.build().unwrap();
        let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS];
        let builder = Edge::builder()
            .cache(Cache::builder().name("edge").honour_request_directives(false).build())
            .methods(MethodsLayer::new(methods));
        let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
        let edge = Server::builder()
            .http("127.0.0.1:0")
            .https("127.0.0.1:0")
            .tls(tls.clone())
            .workers(1)
            .serve(move |_| builder.build(client.clone()))
            .unwrap();
        Self { upstream, edge, tls }
    }

    /// Compares what the upstream saw with what it was to see; `then` says whether the ordinary
    /// request after it was answered.
    pub fn check(&self, name: &str, reaches: Reaches, then: bool) {
        let mut seen = self.upstream.take();
        if then {
            let last = seen.pop().unwrap_or_else(|| panic!("{name}: the next request is lost"));
            assert_eq!(last.line, "GET /next HTTP/1.1", "{name}: the next request is spoilt");
            assert!(last.body.is_empty() && last.whole, "{name}: {last:?}");
        }
        for one in &seen {
            self.check_one(name, one);
        }
        match (reaches, &seen[..]) {
            (Reaches::Once(line, body), [one]) => {
                assert_eq!((one.line.as_str(), &one.body[..]), (line, body), "{name}");
                assert!(one.whole, "{name}: cut");
                let framings =
                    one.values("content-length").len() + one.values("transfer-encoding").len();
                assert!(framings == 1 || body.is_empty(), "{name}: {one:?}");
            }
            (Reaches::AtMost(line, body), [Seen { whole: true, .. }]) => {
                let one = &seen[0];
                assert_eq!((one.line.as_str(), &one.body[..]), (line, body), "{name}");
            }
            (Reaches::Nothing, [])
            | (Reaches::Cut | Reaches::AtMost(..), [] | [Seen { whole: false, .. }]) => {}
            _ => panic!("{name}: {reaches:?}, and the upstream saw {seen:?}"),
        }
    }

    /// What holds of everything that an upstream sees.
    fn check_one(&self, name: &str, seen: &Seen) {
        let authority = self.upstream.addr.to_string();
        assert_eq!(seen.values("host"), [authority.as_bytes()], "{name}: the client chose a host");
        assert!(seen.trailers.is_empty(), "{name}: {seen:?}");
        for of_connection in [
            "connection",
            "upgrade",
            "te",
            "trailer",
            "keep-alive",
            "proxy-connection",
            "http2-settings",
        ] {
            assert!(!seen.has(of_connection), "{name}: {of_connection} passed: {seen:?}");
        }
        for (field, value) in &seen.fields {
            let evil = value.windows(4).any(|part| part == b"evil");
            assert!(!evil, "{name}: {field} carries what was to be refused");
        }
    }
}
