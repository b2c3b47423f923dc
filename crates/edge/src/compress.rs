//! Text answers made smaller on their way into the cache: manifests, JSON, pages, subtitles; never
//! media, which is compressed already.
//!
//! The layer stands behind the cache, so that what is stored is what was compressed: one fill for
//! each coding that clients ask for, and no work at a hit. For that, requests must come to the cache
//! with one coding each in `Accept-Encoding`: [`NormaliseLayer::codings`] sees to it, and
//! [`EdgeBuilder::compress`] to both.
//!
//! [`NormaliseLayer::codings`]: crate::NormaliseLayer::codings
//! [`EdgeBuilder::compress`]: crate::EdgeBuilder::compress
//!
//! Compressed is a 200 of a type that [`is_text`] knows, at least [`CompressLayer::min_size`] long
//! or of unknown length, without a coding of its own and without `no-transform` (RFC 9110 §7.7). Its
//! strong entity tag becomes a weak one (§8.8.1): the bytes are others. `Vary` names
//! `Accept-Encoding` on it and on the plain variant. Ranges, and event streams, which are read as
//! they come, are left alone. HEAD is answered as GET would be (RFC 9110 §9.3.2), and where the length is
//! not told, as if that were enough. The service behind is asked for `gzip` where that is what was asked
//! for, and may make it itself; for other codings it is asked for plain text.

mod level;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use headwater_cache::Confirming;
use headwater_net::Body;
use headwater_net::encoding::{self, Coding};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use tower_http::compression::Compression;
use tower_http::compression::predicate::Predicate;
use tower_layer::Layer;
use tower_service::Service;

pub use level::Level;

/// Compresses text answers; see the module.
#[derive(Clone, Debug)]
pub struct CompressLayer {
    min_size: u64,
    level: Level,
}

impl CompressLayer {
    /// Text from 512 bytes up, at [`Level::Balanced`].
    pub const fn new() -> Self {
        Self { min_size: 512, level: Level::Balanced }
    }

    /// The least length in bytes that is worth it; 512 by default. Below a packet's size nothing is
    /// won.
    #[must_use]
    pub const fn min_size(mut self, bytes: u64) -> Self {
        self.min_size = bytes;
        self
    }

    /// How much time a text is worth. What the service behind has compressed itself stays as it is.
    #[must_use]
    pub const fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }
}

impl Default for CompressLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for CompressLayer {
    type Service = Compress<S>;

    fn layer(&self, inner: S) -> Compress<S> {
        Compress::new(inner, Some(self))
    }
}

/// Whether a media type is text that compression makes smaller, by its `Content-Type`.
pub fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/event-stream" => false,
        "application/vnd.apple.mpegurl"
        | "application/x-mpegurl"
        | "audio/mpegurl"
        | "audio/x-mpegurl"
        | "application/dash+xml"
        | "application/json"
        | "application/javascript"
        | "application/xml"
        | "image/svg+xml" => true,
        other => {
            other.starts_with("text/")
                || other.starts_with("application/")
                    && (other.ends_with("+json") || other.ends_with("+xml"))
        }
    }
}

/// Which answers are compressed.
#[derive(Clone, Copy, Debug)]
struct Worthwhile {
    min_size: u64,
    /// The request is for what came as it came.
    forbidden: bool,
    /// What comes has no body to be measured, and tells what GET would get (RFC 9110 §9.3.2).
    to_head: bool,
}

impl Predicate for Worthwhile {
    fn should_compress<B: http_body::Body>(&self, response: &Response<B>) -> bool {
        let headers = response.headers();
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let measured = || response.body().size_hint().exact().filter(|_| !self.to_head);
        let length = length.or_else(measured);
        response.status() == StatusCode::OK
            && text(header::CONTENT_TYPE).is_some_and(is_text)
            && length.is_none_or(|length| length >= self.min_size)
            && !self.forbidden
            && !forbids(headers)
    }
}

fn forbids(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let mut members = lines.flat_map(|line| line.split(','));
    members.any(|member| member.trim().eq_ignore_ascii_case("no-transform"))
}

/// The service of [`CompressLayer`].
#[derive(Clone, Debug)]
pub struct Compress<S> {
    inner: S,
    rules: Option<(Worthwhile, Level)>,
}

impl<S> Compress<S> {
    /// Without a layer, everything passes as it is.
    pub(crate) fn new(inner: S, layer: Option<&CompressLayer>) -> Self {
        let rules = layer.map(|layer| {
            let min_size = layer.min_size;
            (Worthwhile { min_size, forbidden: false, to_head: false }, layer.level)
        });
        Self { inner, rules }
    }
}

impl<S> Service<Request<Body>> for Compress<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some((rules, level)) = self.rules else { return Box::pin(self.inner.call(request)) };
        let forbidden = forbids(request.headers());
        let coding = encoding::choose(&Coding::ALL, request.headers()).filter(|_| !forbidden);
        let to_head = request.method() == Method::HEAD;
        let held = coding.and(request.headers().get(header::IF_NONE_MATCH).cloned());
        let varies = confirms_what_varies(&request, coding);
        // The one that is ready answers; its clone waits for the next.
        let spare = self.inner.clone();
        let inner = Plain { inner: std::mem::replace(&mut self.inner, spare), coding };
        let rules = Worthwhile { forbidden, to_head, ..rules };
        let mut answer = Compression::new(inner).compress_when(rules);
        if let Some(coding) = coding {
            answer = answer.quality(level.of(coding));
        }
        let answer = answer.call(request);
        Box::pin(async move {
            let mut response = answer.await?.map(Body::stream);
            let compressed = response.extensions_mut().remove::<WasPlain>().is_some()
                && response.headers().contains_key(header::CONTENT_ENCODING);
            let confirms = response.status() == StatusCode::NOT_MODIFIED
                && held.is_some_and(|held| names_weak(&held, response.headers()));
            if compressed || confirms {
                weaken(response.headers_mut());
            }
            if response.status() == StatusCode::NOT_MODIFIED && varies {
                vary_by_coding(response.headers_mut());
            }
            if to_head {
                *response.body_mut() = Body::Empty;
            }
            Ok(response)
        })
    }
}

/// Whether what was asked for is the weak form of the tag that an answer confirms: then it is the
/// compressed variant that is confirmed.
fn names_weak(held: &HeaderValue, headers: &HeaderMap) -> bool {
    let (Ok(held), Some(tag)) = (held.to_str(), headers.get(header::ETAG)) else { return false };
    tag.to_str()
        .is_ok_and(|tag| held.split(',').any(|one| one.trim().strip_prefix("W/") == Some(tag)))
}

/// Whether what a request would have confirmed varies by its coding: the stored response does, or, as
/// far as can be told where a client asks, it may be a compressed one, whose tag is weak.
fn confirms_what_varies(request: &Request<Body>, coding: Option<Coding>) -> bool {
    if let Some(stored) = request.extensions().get::<Confirming>() {
        return varies_by_coding(stored.headers());
    }
    let weak = |tags: &HeaderValue| tags.as_bytes().windows(2).any(|two| two == b"W/");
    coding.is_some() && request.headers().get(header::IF_NONE_MATCH).is_none_or(weak)
}

fn varies_by_coding(headers: &HeaderMap) -> bool {
    let named = |name: &str| name == "*" || name.eq_ignore_ascii_case("accept-encoding");
    let mut lines = headers.get_all(header::VARY).iter().filter_map(|line| line.to_str().ok());
    lines.any(|line| line.split(',').map(str::trim).any(named))
}

/// Sees to it that `Vary` goes on naming the coding: the one of a confirmation takes the place of the
/// stored one (RFC 9111 §3.2), and the service behind knows of no coding (RFC 9110 §12.5.5).
fn vary_by_coding(headers: &mut HeaderMap) {
    if headers.contains_key(header::VARY) && !varies_by_coding(headers) {
        headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// Digests of bytes that are not the ones that are sent (RFC 9530).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

fn weaken(headers: &mut HeaderMap) {
    for name in DIGESTS {
        headers.remove(name);
    }
    let strong = headers.get(header::ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"));
    let weak = strong.map(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()));
    if let Some(Ok(weak)) = weak {
        headers.insert(header::ETAG, weak);
    }
}

/// An extension of answers that came without a coding.
#[derive(Clone, Copy)]
struct WasPlain;

/// Asks for plain text where another coding than gzip is wanted, and notes what came.
#[derive(Clone)]
struct Plain<S> {
    inner: S,
    coding: Option<Coding>,
}

impl<S> Service<Request<Body>> for Plain<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if matches!(self.coding, Some(Coding::Brotli | Coding::Zstd)) {
            let plain = HeaderValue::from_static("identity");
            request.headers_mut().insert(header::ACCEPT_ENCODING, plain);
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            if !response.headers().contains_key(header::CONTENT_ENCODING) {
                response.extensions_mut().insert(WasPlain);
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_and_other_text_are_worth_it_and_media_is_not() {
        for text in [
            "application/vnd.apple.mpegurl",
            "Application/DASH+xml; charset=utf-8",
            "application/problem+json",
            "image/svg+xml",
            "text/vtt",
            "text/html; charset=utf-8",
        ] {
            assert!(is_text(text), "{text}");
        }
        for other in
            ["video/mp4", "video/mp2t", "image/jpeg", "text/event-stream", "font/woff2", ""]
        {
            assert!(!is_text(other), "{other}");
        }
    }
}
