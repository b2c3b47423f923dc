//! Whose pages may read (Fetch §3.2): by one pattern of a configuration, an origin is told so, and a preflight of
//! it answered, where it is the pattern's or below its host, and nobody else is told anything.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use headwater_edge::{Cors, CorsLayer};
use headwater_net::Body;
use headwater_proto::config::cors::PageOrigin;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::at_once::at_once;

/// A pattern, and on the line after it what a page says that it is of.
pub(crate) const SEEDS: &[&str] = &[
    "https://*.video.example\nhttps://a.video.example",
    "https://*.video.example:8443\nhttps://a.b-c.video.example:8443",
    "https://video.example\nhttps://video.example",
    "http://*.tv\nhttp://a_1.tv",
    "https://*.video.example\nhttps://a@thief.example/.video.example",
    "https://*.video.example\nhttps://video.example:1.video.example",
    "*\nnull",
    "https://*.video.example\nnull",
];

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
        ready(Ok(Response::new(Body::Empty)))
    }
}

/// What a page of `origin` is answered.
fn ask(layer: &CorsLayer, method: Method, origin: &HeaderValue) -> Response<Body> {
    let mut request = Request::new(Body::Empty);
    if method == Method::OPTIONS {
        let get = HeaderValue::from_static("GET");
        request.headers_mut().insert(header::ACCESS_CONTROL_REQUEST_METHOD, get);
    }
    *request.method_mut() = method;
    request.headers_mut().insert(header::ORIGIN, origin.clone());
    let Ok(answer) = at_once(layer.layer(Pages).call(request));
    answer
}

/// Whether an origin is one that a host is below of: as a URL has its parts.
fn is_below(host: &str, origin: &str) -> bool {
    let Ok(named) = host.parse::<Uri>() else { return false };
    let Ok(page) = origin.parse::<Uri>() else { return false };
    let own = named.host().unwrap_or_default();
    let labels = page.host().and_then(|host| host.strip_suffix(own)?.strip_suffix('.'));
    page.scheme() == named.scheme()
        && page.port_u16() == named.port_u16()
        && labels.is_some_and(|labels| !labels.is_empty())
        && !origin.contains('@')
        && origin.matches('/').count() == 2
}

/// Has a page ask that is of the input's second line, where those of the first may read.
pub(crate) fn run(input: &[u8]) {
    let Some((pattern, origin)) =
        std::str::from_utf8(input).ok().and_then(|text| text.split_once('\n'))
    else {
        return;
    };
    let (Ok(pattern), Ok(page)) = (pattern.parse::<PageOrigin>(), origin.parse::<HeaderValue>())
    else {
        return;
    };
    let cors = match &pattern {
        PageOrigin::Any => Cors::any(),
        one => Cors::of([one.to_string()]).credentials(true),
    };
    let layer = CorsLayer::new(cors);
    let answer = ask(&layer, Method::GET, &page);
    let told = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    let may_read = match &pattern {
        PageOrigin::Any => told.is_some_and(|told| told == "*"),
        PageOrigin::One(_) | PageOrigin::Below(_) => told.is_some_and(|told| *told == page),
    };
    assert_eq!(told.is_some(), may_read, "{origin:?} is told of another");
    match &pattern {
        PageOrigin::Any => assert!(may_read),
        PageOrigin::One(known) => assert_eq!(may_read, **known == *origin, "{origin:?}"),
        PageOrigin::Below(known) => assert!(!may_read || is_below(known, origin), "{origin:?}"),
    }
    let credentials = answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
    assert_eq!(credentials, may_read && pattern != PageOrigin::Any);
    let preflight = ask(&layer, Method::OPTIONS, &page);
    let status = if may_read { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN };
    assert_eq!(preflight.status(), status, "{origin:?}");
}
