//! HTTP manners, the same for everything (RFC 9110): validators, preconditions, ranges, content
//! coding, CORS.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use headwater_net::conditional::{ETag, Outcome, Validators, evaluate, range_applies};
use headwater_net::range::{Selection, content_range, select, unsatisfied_range};
use headwater_net::{Body, Chunks, Problem};
use http::{HeaderValue, Method, Response, StatusCode, header, request};

use super::body::{Large, Outlet, PlanBody, Rest};
use super::builds::Ready;
use super::cipher::Cipher;
use super::coding::{accepts_gzip, gzip};
use super::fault::Fault;
use super::layouts::Layouts;
use super::metrics::Metrics;
use crate::aes128::{SegmentKey, encrypted_len, vector};
use crate::download::{Download, DownloadTracks};
use crate::identity::Fnv;
use crate::plan::Part;
use crate::presentation::Presentation;
use crate::resource::Resource;

/// An answer that still lacks what all answers have.
pub(super) struct Answer {
    response: Response<Body>,
}

impl Answer {
    /// The answer to OPTIONS: what a browser's script may ask (Fetch standard, CORS protocol).
    pub(super) fn preflight() -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ALLOW, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        Self { response }
    }

    /// 405 with what is allowed.
    pub(super) fn method_not_allowed() -> Self {
        let mut answer = Self::problem(Problem::new(StatusCode::METHOD_NOT_ALLOWED));
        answer.response.headers_mut().insert(header::ALLOW, METHODS);
        answer
    }

    pub(super) fn problem(problem: Problem) -> Self {
        Self { response: problem.into_response() }
    }

    /// 416 for a representation of `len` bytes.
    fn unsatisfiable(len: u64) -> Self {
        let mut answer = Self::problem(
            Problem::new(StatusCode::RANGE_NOT_SATISFIABLE)
                .detail(format!("the representation has {len} bytes")),
        );
        answer.response.headers_mut().insert(header::CONTENT_RANGE, unsatisfied_range(len));
        answer
    }

    /// A manifest: short-lived, and compressed for those who accept that. Nothing is written for a
    /// client that has it already.
    pub(super) async fn manifest(
        request: &request::Parts,
        presentation: &Presentation,
        resource: Resource,
    ) -> Result<Self, Fault> {
        let zipped = accepts_gzip(&request.headers);
        let tagged = Tagged::manifest(&presentation.etag(resource), zipped);
        if let Some(answer) = tagged.precondition(request)? {
            return Ok(answer);
        }
        let work = {
            let presentation = presentation.clone();
            move || {
                let plan = presentation.plan(resource)?.ready()?;
                let [Part::Bytes(text)] = plan.parts.as_slice() else { return None };
                let text = if zipped { gzip(text)? } else { text.clone() };
                Some((plan.content_type, text))
            }
        };
        // A long title has playlists of megabytes, and a report looks at every sample; those are
        // not written on the runtime.
        let long = presentation.media().segments().len() > INLINE_SEGMENTS;
        let made = if long || resource == Resource::Report {
            tokio::task::spawn_blocking(work).await.map_err(|_| Fault::Busy)?
        } else {
            work()
        };
        let (content_type, text) = made.ok_or(Fault::UnknownPath)?;
        Ok(tagged.complete(request, content_type, text))
    }

    /// A JSON text that is ready; its tag follows from its content.
    pub(super) fn json(request: &request::Parts, text: String) -> Result<Self, Fault> {
        let zipped = accepts_gzip(&request.headers);
        let mut hash = Fnv::new();
        hash.field(text.as_bytes());
        let tagged = Tagged::manifest(&format!("\"{:016x}\"", hash.finish()), zipped);
        if let Some(answer) = tagged.precondition(request)? {
            return Ok(answer);
        }
        let text = if zipped {
            gzip(text.as_bytes()).ok_or(Fault::UnknownPath)?
        } else {
            Bytes::from(text)
        };
        Ok(tagged.complete(request, "application/json", text))
    }

    /// The key of encrypted segments, which no cache may keep.
    pub(super) fn key(key: &SegmentKey) -> Self {
        let mut response = Response::new(Body::from(Bytes::copy_from_slice(key.bytes())));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(key.bytes().len()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        Self { response }
    }

    /// An init or media segment: immutable unless a recording may go on in it, and read as it is
    /// sent.
    pub(super) async fn media(
        request: &request::Parts,
        ready: &Arc<Ready>,
        resource: Resource,
        layouts: &Layouts,
        outlet: &Arc<Outlet>,
    ) -> Result<Self, Fault> {
        let settled = ready.presentation.is_settled(resource);
        let tagged = Tagged::media(ready.presentation.etag(resource), settled);
        if let Some(answer) = tagged.precondition(request)? {
            return Ok(answer);
        }
        if let Some(whole) = ready.presentation.len_of_parts(resource) {
            return tagged.in_parts(request, ready, Large::Resource(resource), whole, outlet).await;
        }
        let plan = layouts.plan(ready, resource, &outlet.metrics).await?;
        let (whole, content_type) = (plan.len, plan.content_type);
        if let Some(lanes) = &ready.lanes {
            // Nothing of such an asset goes out in clear, whatever was planned.
            let (Resource::TsSegment(_, number) | Resource::IFrameTs(_, number)) = resource else {
                return Err(Fault::UnknownPath);
            };
            // One chain from start to end: a range of it costs the whole, so none is offered.
            let body = if request.method == Method::HEAD {
                Body::empty()
            } else {
                let (ready, cipher) = (Arc::clone(ready), Cipher::new(lanes, vector(number)));
                let body = PlanBody::start(ready, plan, None, Some(cipher), outlet).await?;
                Body::Stream(Box::pin(body))
            };
            let mut answer = tagged.answer(content_type, encrypted_len(whole), None, body);
            let headers = answer.response.headers_mut();
            headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
            return Ok(answer);
        }
        let (plan, part) = match tagged.select(request, whole) {
            Selection::Unsatisfiable => return Ok(Self::unsatisfiable(whole)),
            Selection::Whole => (plan, None),
            Selection::Part(part) => (plan.cut(&part), Some((part, whole))),
        };
        let len = plan.len;
        let body = if request.method == Method::HEAD {
            Body::empty()
        } else if let [Part::Bytes(bytes)] = plan.parts.as_slice() {
            Body::from(bytes.clone())
        } else {
            let body = PlanBody::start(Arc::clone(ready), plan, None, None, outlet).await?;
            Body::Stream(Box::pin(body))
        };
        Ok(tagged.answer(content_type, len, part, body))
    }

    /// A title as one file, called `name`. Its URL holds no version, so it is short-lived as
    /// manifests are; a client that goes on with a range says by its tag which one it has.
    pub(super) async fn download(
        request: &request::Parts,
        ready: &Arc<Ready>,
        download: Arc<Download>,
        tracks: DownloadTracks,
        name: Option<HeaderValue>,
        outlet: &Arc<Outlet>,
    ) -> Result<Self, Fault> {
        let labels = ready.presentation.media().labels();
        let (version, whole) = (ready.presentation.version(), download.len());
        let tagged = Tagged {
            etag: format!("\"{version}-{labels:x}-{tracks}-{whole:x}\""),
            cache_control: SHORT_LIVED,
            negotiated: false,
            gzip: false,
        };
        if let Some(answer) = tagged.precondition(request)? {
            return Ok(answer);
        }
        let large = Large::Download(download);
        let mut answer = tagged.in_parts(request, ready, large, whole, outlet).await?;
        if let Some(name) = name.filter(|_| answer.response.status().is_success()) {
            answer.response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
        }
        Ok(answer)
    }

    /// Adds what all answers have; of an answer to HEAD the headers are kept.
    pub(super) fn finish(self, method: &Method, metrics: &Metrics) -> Response<Body> {
        let mut response = self.response;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        if method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        // A body that is read from sources counts for itself.
        if let Body::Full(chunks) = response.body() {
            metrics.sent_bytes.inc_by(chunks.len());
        }
        response
    }
}

/// The headers that a representation has in every answer about it, with a body or without.
struct Tagged {
    etag: String,
    cache_control: &'static str,
    negotiated: bool,
    gzip: bool,
}

impl Tagged {
    /// `etag` is that of the text; each content coding has its own (RFC 9110 §8.8.3.3).
    fn manifest(etag: &str, gzip: bool) -> Self {
        let etag =
            if gzip { format!("{}-gzip\"", etag.trim_end_matches('"')) } else { etag.to_owned() };
        Self { etag, cache_control: SHORT_LIVED, negotiated: true, gzip }
    }

    fn media(etag: String, settled: bool) -> Self {
        let cache_control =
            if settled { "public, max-age=31536000, immutable" } else { SHORT_LIVED };
        Self { etag, cache_control, negotiated: false, gzip: false }
    }

    /// The answer where the request's preconditions end it.
    fn precondition(&self, request: &request::Parts) -> Result<Option<Answer>, Fault> {
        match evaluate(&request.method, &request.headers, self.validators()) {
            Outcome::Proceed => Ok(None),
            Outcome::Failed => Err(Fault::Precondition),
            Outcome::NotModified => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                self.dress(&mut response);
                Ok(Some(Answer { response }))
            }
        }
    }

    /// Which bytes of `len` the request asks for; ranges are for GET only (RFC 9110 §14.2).
    fn select(&self, request: &request::Parts, len: u64) -> Selection {
        let obeyed = request.method == Method::GET
            && range_applies(&request.headers, self.validators(), None);
        select(request.headers.get(header::RANGE).filter(|_| obeyed), len)
    }

    /// The answer from bytes in memory.
    fn complete(&self, request: &request::Parts, content_type: &'static str, all: Bytes) -> Answer {
        let whole = all.len() as u64;
        let all = Chunks::from(all);
        let (chosen, part) = match self.select(request, whole) {
            Selection::Unsatisfiable => return Answer::unsatisfiable(whole),
            Selection::Whole => (all, None),
            Selection::Part(part) => (all.slice(part.clone()), Some((part, whole))),
        };
        self.answer(content_type, chosen.len(), part, Body::from(chosen))
    }

    /// The answer about a resource of `whole` bytes that is planned as it is sent: of a range, only
    /// what it touches.
    async fn in_parts(
        &self,
        request: &request::Parts,
        ready: &Arc<Ready>,
        large: Large,
        whole: u64,
        outlet: &Arc<Outlet>,
    ) -> Result<Answer, Fault> {
        let (range, part) = match self.select(request, whole) {
            Selection::Unsatisfiable => return Ok(Answer::unsatisfiable(whole)),
            Selection::Whole => (0..whole, None),
            Selection::Part(part) => (part.clone(), Some((part, whole))),
        };
        let end = range.end.min(range.start.saturating_add(Rest::PIECE_BYTES));
        let plan = large.plan(ready, range.start..end);
        let plan = plan.ok_or(Fault::UnknownPath)?;
        let (content_type, len) = (plan.content_type, range.end - range.start);
        let body = if request.method == Method::HEAD {
            Body::empty()
        } else {
            let rest = Rest { large, range: end..range.end };
            let body = PlanBody::start(Arc::clone(ready), plan, Some(rest), None, outlet).await?;
            Body::Stream(Box::pin(body))
        };
        Ok(self.answer(content_type, len, part, body))
    }

    /// 200, or 206 for a part of so many bytes.
    fn answer(
        &self,
        content_type: &'static str,
        len: u64,
        part: Option<(Range<u64>, u64)>,
        body: Body,
    ) -> Answer {
        let mut response = Response::new(body);
        self.dress(&mut response);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if self.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some((part, whole)) = part {
            headers.insert(header::CONTENT_RANGE, content_range(&part, Some(whole)));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Answer { response }
    }

    /// What a 304 has, too (RFC 9110 §15.4.5).
    fn dress(&self, response: &mut Response<Body>) {
        let headers = response.headers_mut();
        // Tags are made of hexadecimal digits and names of ours.
        if let Ok(etag) = HeaderValue::try_from(self.etag.as_str()) {
            headers.insert(header::ETAG, etag);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache_control));
        if self.negotiated {
            headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
    }

    fn validators(&self) -> Validators<'_> {
        Validators { etag: ETag::parse(&self.etag), last_modified: None }
    }
}

const SHORT_LIVED: &str = "public, max-age=2";

/// Presentations with more segments than this have their manifests written on a blocking thread.
const INLINE_SEGMENTS: usize = 1_000;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Range, If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, \
     Authorization, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status",
);

const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Content-Length, Content-Range, ETag, Date, Age, Cache-Status, Server-Timing",
);
