//! What players ask of content steering (RFC 8216bis §7.2, ETSI TS 103 998): whatever pathway and throughput
//! they name, they are told the pathways that there are, and nothing of what they said.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::LazyLock;
use std::task::{Context, Poll};

use headwater_edge::steering::{Steering, SteeringLayer};
use headwater_net::Body;
use http::{Method, Request, Response, StatusCode, Uri};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::at_once::at_once;

/// Targets that players ask for, of HLS and of DASH, and others.
pub(crate) const SEEDS: &[&str] = &[
    "GET /steer?_HLS_pathway=a&_HLS_throughput=5000",
    "GET /steer?_DASH_pathway=%22a%2Cb%22&_DASH_throughput=1200000%2C800000",
    "GET https://edge.example/steer?token=x&_HLS_pathway=%61&_HLS_throughput=-1",
    "HEAD /steer?_HLS_throughput=18446744073709551616&_HLS_pathway",
    "POST /steer",
    "GET /steer/?_HLS_pathway=a",
];

/// The answer, whoever asks.
const TOLD: &[u8] = br#"{"VERSION":1,"TTL":30,"PATHWAY-PRIORITY":["a","b","c"]}"#;

static LAYER: LazyLock<SteeringLayer> = LazyLock::new(|| {
    let pathways = ["a", "b", "c"].map(str::to_owned);
    let Ok(layer) = Steering::at("/steer", pathways).here("a").build() else {
        unreachable!("three pathways can be steered by");
    };
    layer
});

/// What is behind it.
#[derive(Clone)]
struct Pages;

impl Service<Request<Body>> for Pages {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::NOT_FOUND;
        ready(Ok(response))
    }
}

/// Asks what the input says: a method and a target.
pub(crate) fn run(input: &[u8]) {
    let Some((method, target)) =
        std::str::from_utf8(input).ok().and_then(|text| text.split_once(' '))
    else {
        return;
    };
    let (Ok(method), Ok(target)) = (method.parse::<Method>(), target.parse::<Uri>()) else {
        return;
    };
    let mut request = Request::new(Body::Empty);
    (*request.method_mut(), *request.uri_mut()) = (method.clone(), target.clone());
    let Ok(answer) = at_once(LAYER.layer(Pages).call(request));
    let (head, body) = answer.into_parts();
    if target.path() != "/steer" {
        assert_eq!(head.status, StatusCode::NOT_FOUND, "it is not asked there");
        return;
    }
    let told: &[u8] = match method {
        Method::GET => TOLD,
        Method::HEAD => b"",
        _ => {
            assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED);
            return;
        }
    };
    assert_eq!(head.status, StatusCode::OK);
    assert!(head.headers.get("cache-control").is_some_and(|said| said == "no-store"));
    assert_eq!(body.exact_len(), Some(told.len() as u64));
    if let Body::Full(said) = body {
        assert_eq!(said.to_bytes(), told, "{target}");
    }
}
