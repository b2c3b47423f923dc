//! A stand-in for S3: a bucket behind HTTP that answers nobody whose signature (AWS Signature Version 4)
//! it does not come to itself, by code of its own.
#![allow(clippy::format_collect, clippy::format_push_string, reason = "tests have time")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use headwater_net::range::{self, Selection};
use headwater_net::server::{Server, ServerHandle};
use headwater_net::{Body, BodyError, ConnInfo};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;
use tower::service_fn;

pub(crate) const KEY_ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(crate) const REGION: &str = "eu-test-1";
/// The object whose body breaks off halfway, the first time.
pub(crate) const BREAKS: &str = "/bucket/film/breaks.m4s";
/// The object whose body takes a second.
pub(crate) const DRIPS: &str = "/bucket/film/drips.m4s";
/// One that may not be read.
pub(crate) const FORBIDDEN: &str = "/bucket/film/forbidden.m4s";

pub(crate) struct S3 {
    server: ServerHandle,
    /// The paths that were asked for, with the ranges.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    /// By which connections.
    pub(crate) by: Arc<Mutex<Vec<SocketAddr>>>,
}

pub(crate) fn content(path: &str) -> Vec<u8> {
    (0..300_000_u32).map(|at| (at % 251) as u8 ^ path.len() as u8).collect()
}

impl S3 {
    pub(crate) fn start() -> Self {
        Self::guarded(verify)
    }

    /// A bucket of another kind of store: nobody is answered for whom `let_in` has an objection.
    pub(crate) fn guarded(let_in: fn(&Request<Body>) -> Result<(), String>) -> Self {
        let broke = Arc::new(AtomicBool::new(false));
        Self::answering(move |request| answer(request, &broke, let_in))
    }

    /// One that sends whoever asks elsewhere, by this status.
    pub(crate) fn moved(status: u16, to: String) -> Self {
        Self::answering(move |request| {
            let to = format!("{to}{}", request.uri().path());
            Response::builder().status(status).header("location", to).body(Body::Empty).unwrap()
        })
    }

    fn answering(
        answer: impl Fn(&Request<Body>) -> Response<Body> + Clone + Send + Sync + 'static,
    ) -> Self {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let by = Arc::<Mutex<Vec<SocketAddr>>>::default();
        let (heard, heard_by) = (Arc::clone(&asked), Arc::clone(&by));
        let service = service_fn(move |request: Request<Body>| {
            heard_by.lock().unwrap().push(request.extensions().get::<ConnInfo>().unwrap().peer);
            let range = request.headers().get(header::RANGE).map(|range| range.to_str().unwrap());
            let line = format!("{} {}", request.uri().path(), range.unwrap_or("whole"));
            heard.lock().unwrap().push(line.trim().to_owned());
            std::future::ready(Ok::<_, Infallible>(answer(&request)))
        });
        let server = Server::builder().http("127.0.0.1:0").workers(1);
        Self { server: server.serve(move |_| service.clone()).unwrap(), asked, by }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.http_addrs()[0])
    }
}

fn error(status: StatusCode, code: &str) -> Response<Body> {
    let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    Response::builder().status(status).body(Body::from(text)).unwrap()
}

fn answer(
    request: &Request<Body>,
    broke: &AtomicBool,
    let_in: fn(&Request<Body>) -> Result<(), String>,
) -> Response<Body> {
    if let Err(why) = let_in(request) {
        println!("refused: {why}");
        return error(StatusCode::FORBIDDEN, "SignatureDoesNotMatch");
    }
    // Google's is asked for with escapes in the place of slashes.
    let path = &*written(request.uri().path());
    let name =
        path.strip_prefix("/bucket/film/").filter(|name| name.strip_suffix(".m4s").is_some());
    if path == FORBIDDEN {
        return error(StatusCode::FORBIDDEN, "AccessDenied");
    }
    if name.is_none_or(|name| name.starts_with("missing")) {
        return error(StatusCode::NOT_FOUND, "NoSuchKey");
    }
    let all = content(path);
    let answer = Response::builder()
        .header("etag", "\"v1\"")
        .header("last-modified", "Wed, 01 Jan 2025 00:00:00 GMT")
        .header("content-type", "video/iso.segment")
        .header("content-disposition", "inline")
        .header("cache-control", "max-age=600");
    let said = |name| request.headers().get(name).map(|value| value.to_str().unwrap());
    if said(header::IF_MATCH).is_some_and(|tag| tag != "\"v1\"") {
        return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
    }
    if said(header::IF_NONE_MATCH) == Some("\"v1\"") {
        return answer.status(304).body(Body::Empty).unwrap();
    }
    let (answer, part) = match range::select(request.headers().get(header::RANGE), 300_000) {
        Selection::Whole => (answer, 0..300_000),
        Selection::Part(part) => {
            let said = range::content_range(&part, Some(300_000));
            (answer.status(206).header("content-range", said), part)
        }
        Selection::Unsatisfiable => {
            return error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
        }
    };
    let bytes = Bytes::from(all[part.start as usize..part.end as usize].to_vec());
    let answer = answer.header("content-length", HeaderValue::from(bytes.len()));
    if request.method() == Method::HEAD {
        return answer.body(Body::Empty).unwrap();
    }
    let body = if path == BREAKS && !broke.swap(true, Ordering::SeqCst) {
        let half = bytes.slice(..bytes.len() / 2);
        let pieces = futures_util::stream::unfold(Some(half), |half| async move {
            if let Some(half) = half {
                return Some((Ok(Frame::data(half)), None));
            }
            // So long that the head and the half have left.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            Some((Err(BodyError::Aborted), None))
        });
        Body::stream(StreamBody::new(Box::pin(pieces)))
    } else if path == DRIPS {
        let pieces = futures_util::stream::unfold(bytes, |mut rest| async move {
            if rest.is_empty() {
                return None;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            let piece = rest.split_to(rest.len().min(30_000));
            Some((Ok::<_, BodyError>(Frame::data(piece)), rest))
        });
        Body::stream(StreamBody::new(Box::pin(pieces)))
    } else {
        Body::from(bytes)
    };
    answer.body(body).unwrap()
}

pub(crate) fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path as S3 writes it, whatever a client has escaped of it.
fn written(path: &str) -> String {
    let mut bytes = path.bytes();
    let mut out = String::new();
    while let Some(byte) = bytes.next() {
        let digits: String = if byte == b'%' {
            bytes.by_ref().take(2).map(char::from).collect()
        } else {
            String::new()
        };
        let byte = u8::from_str_radix(&digits, 16).unwrap_or(byte);
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

/// Comes to the signature itself, from what came and what it says is signed.
pub(crate) fn verify(request: &Request<Body>) -> Result<(), String> {
    let said = |name: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let authorization = said("authorization").strip_prefix("AWS4-HMAC-SHA256 ");
    let authorization = authorization.ok_or("not signed")?;
    let parts: BTreeMap<&str, &str> =
        authorization.split(',').filter_map(|part| part.trim().split_once('=')).collect();
    let part = |name: &str| parts.get(name).copied().ok_or(format!("no {name}"));
    let (scope, signed) = (part("Credential")?, part("SignedHeaders")?);
    let (key_id, scope) = scope.split_once('/').ok_or("no scope")?;
    let stamp = said("x-amz-date");
    let day = stamp.get(..8).ok_or("no date")?;
    if key_id != KEY_ID || scope != format!("{day}/{REGION}/s3/aws4_request") {
        return Err(format!("scope {key_id}/{scope}"));
    }
    for needed in ["host", "x-amz-date", "x-amz-content-sha256"] {
        if !signed.split(';').any(|name| name == needed) {
            return Err(format!("{needed} is not signed"));
        }
    }
    let mut canonical = format!("{}\n{}\n", request.method(), written(request.uri().path()));
    let mut query: Vec<_> =
        request.uri().query().into_iter().flat_map(|query| query.split('&')).collect();
    query.sort_unstable();
    canonical += &format!("{}\n", query.join("&"));
    for name in signed.split(';') {
        let host = request.uri().authority().map(ToString::to_string);
        let value = if name == "host" {
            host.unwrap_or(said(name).to_owned())
        } else {
            said(name).to_owned()
        };
        canonical += &format!("{name}:{}\n", value.trim());
    }
    canonical += &format!("\n{signed}\n{}", said("x-amz-content-sha256"));
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hash}");
    let mut key = mac(format!("AWS4{SECRET}").as_bytes(), day);
    for part in [REGION, "s3", "aws4_request"] {
        key = mac(&key, part);
    }
    let expected = hex(&mac(&key, &text));
    if part("Signature")? == expected { Ok(()) } else { Err(format!("of\n{canonical}")) }
}
