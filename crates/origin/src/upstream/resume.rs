//! Resuming: a body that breaks off is not lost where the rest of it can be asked for.
//!
//! The rest is asked for by `Range` and `If-Range` with the strong validator of what came before (RFC 9110
//! §13.1.5), of the same origin first and of others then, and joined to it only if the answer is exactly
//! that rest of that very representation (§14.2, §15.3.7). Whoever reads the body sees a pause. Where it
//! cannot be, the body ends in the error that it broke off with.
//!
//! A strong validator is a strong entity tag (§8.8.3); or, where there is no entity tag at all, as §13.1.5
//! wants it, a `Last-Modified` that was strong by itself when it was sent (§8.8.2.2): a minute or more before
//! the answer's `Date`. §8.8.2.2 asks for a second where one clock makes both, and else for enough between
//! them to make it unlikely that clocks are to blame; nobody tells us about the origin's clocks, and a minute
//! is what RFC 7232 §2.2.2 asked for.
//!
//! Of a body whose length nobody told (chunked, or of HTTP/2 and HTTP/3 without `Content-Length`) the rest is all
//! from there on (`bytes=N-`), where the answer says that its origin gives parts (`Accept-Ranges: bytes`, §14.3):
//! the part that comes has to say how long the whole is, and to reach to its end. Where nothing is left, since it
//! broke off between its last byte and its end, the origin says so by 416 with the length (§15.5.17): with the
//! same validator that is the end, and without one it is an error, for a 416 may be of another representation.
//! What counts as a break is an error: a reset, or a chunked body without its last chunk. A body that ends as its
//! connection does (RFC 9112 §6.3) has no end of its own: closed is ended, as it is without resuming.
//!
//! One body is resumed a bounded number of times, and each counts against the budget of retries.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::range::{parse_content_range, unsatisfied_range};
use headwater_net::{Body, BodyError, Timestamp};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::Origins;

/// How often one body is resumed.
const MOST: u32 = 3;

/// How long after the last change an answer must have been sent for its date to name one state alone.
const APART: Duration = Duration::from_secs(60);

/// What an answer promised: bytes of one representation that can be named again.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    validator: Validator,
    /// The content coding of the bytes.
    coding: Option<HeaderValue>,
    /// The first byte of the representation that is still to come.
    next: u64,
    /// The first that is not to come any more; `None` as long as nobody told.
    end: Option<u64>,
    /// How long the representation is, where that was told.
    complete: Option<u64>,
}

impl Promise {
    /// The promise of an answer; `None` where it has no strong validator, says two lengths of a part, has no
    /// length and does not say that parts are given, or needs no resuming since all of it is here.
    pub(super) fn of(method: &Method, response: &Response<Body>) -> Option<Self> {
        if *method != Method::GET || !matches!(response.body(), Body::Stream(_)) {
            return None;
        }
        let fields = response.headers();
        let validator = Validator::of(fields)?;
        if fields.get(header::ACCEPT_RANGES).is_some_and(|value| value == "none") {
            return None;
        }
        let len = response.body().exact_len().or_else(|| length(fields));
        let (next, end, complete) = match response.status() {
            StatusCode::OK if len.is_some() || gives_parts(fields) => (0, len, len),
            StatusCode::PARTIAL_CONTENT => {
                let (part, complete) = parse_content_range(fields.get(header::CONTENT_RANGE)?)?;
                if len.is_some_and(|len| len != part.end - part.start) {
                    return None;
                }
                (part.start, Some(part.end), complete)
            }
            _ => return None,
        };
        let coding = fields.get(header::CONTENT_ENCODING).cloned();
        Some(Self { validator, coding, next, end, complete })
    }

    /// The request for what is left, like the one that was answered.
    fn ask(&self, mut head: Parts) -> Parts {
        for condition in [
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
            header::IF_UNMODIFIED_SINCE,
        ] {
            head.headers.remove(condition);
        }
        let next = self.next;
        let range = match self.end {
            Some(end) => format!("bytes={next}-{}", end.saturating_sub(1)),
            None => format!("bytes={next}-"),
        };
        if let Ok(range) = HeaderValue::try_from(range) {
            head.headers.insert(header::RANGE, range);
        }
        head.headers.insert(header::IF_RANGE, self.validator.value().clone());
        head
    }

    /// Whether an answer is what is left, all of it and nothing else: then up to where that is.
    fn kept_by(&self, response: &Response<Body>) -> Option<u64> {
        let fields = response.headers();
        let named = fields.get(header::CONTENT_RANGE)?;
        if !self.validator.is_of(fields) {
            return None;
        }
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            let nothing_left = self.end.is_none() && *named == unsatisfied_range(self.next);
            return nothing_left.then_some(self.next);
        }
        // A part need not say what the whole has said, but must not contradict it (§15.3.7).
        let coding = fields.get(header::CONTENT_ENCODING);
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT
            && (coding.is_none() || coding == self.coding.as_ref());
        let (part, complete) = parse_content_range(named).filter(|_| is_part)?;
        let end = self.end.or(complete)?;
        let is_same = self.complete.is_none() || self.complete == complete;
        (is_same && part == (self.next..end)).then_some(end)
    }

    /// Bytes that are still to come, where that is known.
    fn left(&self) -> Option<u64> {
        Some(self.end?.saturating_sub(self.next))
    }

    fn is_kept(&self) -> bool {
        self.left() == Some(0)
    }
}

/// Whether an answer says that its origin gives parts (RFC 9110 §14.3).
fn gives_parts(fields: &HeaderMap) -> bool {
    let units =
        fields.get_all(header::ACCEPT_RANGES).iter().filter_map(|units| units.to_str().ok());
    let mut units = units.flat_map(|units| units.split(','));
    units.any(|unit| unit.trim().eq_ignore_ascii_case("bytes"))
}

/// What names one state of a representation and no other (RFC 9110 §8.8.1).
#[derive(Clone, Debug)]
enum Validator {
    Tag(HeaderValue),
    /// Where there is no tag: a client that has one says no date (§13.1.5).
    Date(HeaderValue),
}

impl Validator {
    /// The strong one of an answer.
    fn of(fields: &HeaderMap) -> Option<Self> {
        if fields.contains_key(header::ETAG) {
            return strong_tag(fields).cloned().map(Self::Tag);
        }
        strong_date(fields).cloned().map(Self::Date)
    }

    /// Whether an answer bears it. One that has a tag where there was none is of another make.
    fn is_of(&self, fields: &HeaderMap) -> bool {
        match self {
            Self::Tag(tag) => strong_tag(fields) == Some(tag),
            Self::Date(date) => {
                let is_bare = !fields.contains_key(header::ETAG);
                is_bare && fields.get(header::LAST_MODIFIED) == Some(date)
            }
        }
    }

    const fn value(&self) -> &HeaderValue {
        match self {
            Self::Tag(value) | Self::Date(value) => value,
        }
    }
}

/// The date of the last change, if there is one and it is strong (RFC 9110 §8.8.2.2); see the module.
fn strong_date(fields: &HeaderMap) -> Option<&HeaderValue> {
    let said = fields.get(header::LAST_MODIFIED)?;
    let date = |value: &HeaderValue| Timestamp::from_http_date(value.to_str().ok()?);
    let (changed, sent) = (date(said)?, date(fields.get(header::DATE)?)?);
    (sent.since(changed) >= APART).then_some(said)
}

/// The entity tag, if there is one and it is strong (RFC 9110 §8.8.3).
fn strong_tag(fields: &HeaderMap) -> Option<&HeaderValue> {
    fields.get(header::ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""))
}

fn length(fields: &HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body that asks for the rest where it breaks off.
pub(super) struct Resuming {
    origins: Origins,
    /// The request that was answered, without its body: it had none.
    head: Parts,
    promise: Promise,
    /// Which origin the bytes come from.
    from: usize,
    resumed: u32,
    state: State,
}

enum State {
    Reading(Body),
    /// With the error that is told if it comes to nothing.
    Asking(Rest, BodyError),
    Ended,
}

/// The rest of a body, up to where it is, and which origin it comes from.
type Rest = Pin<Box<dyn Future<Output = Option<(Body, u64, usize)>> + Send>>;

impl Resuming {
    pub(super) fn new(
        origins: Origins,
        head: Parts,
        promise: Promise,
        from: usize,
        body: Body,
    ) -> Self {
        Self { origins, head, promise, from, resumed: 0, state: State::Reading(body) }
    }

    /// The body broke off with `error`: what is left is asked for, if it may be.
    fn broke(&mut self, error: BodyError) -> State {
        let origins = &self.origins;
        origins.broke(self.from);
        if self.promise.is_kept() || self.resumed >= MOST || !origins.may_retry() {
            return State::Asking(Box::pin(std::future::ready(None)), error);
        }
        self.resumed += 1;
        // The same origin has the same representation most surely; one that broke off twice is
        // the less likely to keep its word.
        let avoid = (self.resumed > 1).then_some(self.from);
        let (origins, promise) = (origins.clone(), self.promise.clone());
        let head = promise.ask(self.head.clone());
        tracing::debug!(%error, at = promise.next, "a body broke off and is resumed");
        let rest = async move {
            let (answer, from) = origins.answer(&head, Body::Empty, avoid).await;
            let answer = answer.ok()?;
            let end = promise.kept_by(&answer)?;
            // What says that nothing is left has words of its own.
            let body = if end > promise.next { answer.into_body() } else { Body::Empty };
            Some((body, end, from))
        };
        State::Asking(Box::pin(rest), error)
    }
}

impl HttpBody for Resuming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Reading(body) => {
                    let left = this.promise.left();
                    let error = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                        Some(Ok(frame)) => {
                            let len = frame.data_ref().map_or(0, |data| data.len() as u64);
                            if left.is_some_and(|left| len > left) {
                                this.state = State::Ended;
                                let limit = this.promise.complete.or(this.promise.end);
                                let limit = limit.unwrap_or(u64::MAX);
                                return Poll::Ready(Some(Err(BodyError::TooLarge { limit })));
                            }
                            this.promise.next = this.promise.next.saturating_add(len);
                            if left.is_none() && body.is_end_stream() {
                                this.state = State::Ended;
                                this.origins.came_whole(this.from);
                            } else if len > 0 && this.promise.is_kept() {
                                this.origins.came_whole(this.from);
                            }
                            return Poll::Ready(Some(Ok(frame)));
                        }
                        // It was this side that gave it up: the origin is not to blame.
                        Some(Err(error @ BodyError::Aborted)) => {
                            this.state = State::Ended;
                            return Poll::Ready(Some(Err(error)));
                        }
                        // More than this side takes does not become less by asking again.
                        Some(Err(error @ BodyError::TooLarge { .. })) => {
                            this.origins.broke(this.from);
                            this.state = State::Ended;
                            return Poll::Ready(Some(Err(error)));
                        }
                        Some(Err(error)) => error,
                        None if left.is_none_or(|left| left == 0) => {
                            if left.is_none() {
                                this.origins.came_whole(this.from);
                            }
                            this.state = State::Ended;
                            return Poll::Ready(None);
                        }
                        None => BodyError::Truncated {
                            expected: this.promise.end.unwrap_or(u64::MAX),
                            received: this.promise.next,
                        },
                    };
                    this.state = this.broke(error);
                }
                State::Asking(rest, error) => {
                    let Some((body, end, from)) = ready!(rest.as_mut().poll(cx)) else {
                        this.origins.shared.metrics.bodies_lost.inc();
                        let error = error.clone();
                        this.state = State::Ended;
                        return Poll::Ready(Some(Err(error)));
                    };
                    this.origins.shared.metrics.bodies_resumed.inc();
                    this.from = from;
                    this.promise.end = Some(end);
                    if this.promise.is_kept() {
                        this.origins.came_whole(from);
                    }
                    this.state = State::Reading(body);
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Reading(body) => {
                self.promise.left().is_none_or(|left| left == 0) && body.is_end_stream()
            }
            State::Asking(..) => false,
            State::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.promise.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
