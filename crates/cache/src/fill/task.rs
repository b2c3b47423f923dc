//! The task that runs one fill: asks upstream (here), decides who may have the answer, and takes in
//! its [`body`].

mod body;
mod slice;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_net::conditional::Validators;
use headwater_net::{Body, BodyError, Timestamp};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use tower_service::Service;

use super::length;
use super::{End, Fill, Interest, Outcome};
use crate::cache::{Downstream, Inner};
use crate::confirming::Confirming;
use crate::directives::RequestDirectives;
use crate::headers;
use crate::object::{Exchange, Head, Object};
use crate::policy::Lifetime;
use crate::policy::reuse::Failure;
use crate::policy::storable::{Asked, Refusal};
use crate::proxy_status::ProxyError;
use crate::slices;
use crate::sync::lock;
use crate::upstream::{self, BoxError};

pub(crate) use slice::{First, Part, Slice};

/// What a fill needs to know of the request that began it.
pub(crate) struct Order {
    /// The request upstream gets, without conditionals.
    pub(crate) request: Parts,
    pub(crate) part: Part,
    pub(crate) asked: Asked,
    /// Fields of the client that were left out, as they are its own.
    pub(crate) left_out: Vec<HeaderName>,
    pub(crate) directives: RequestDirectives,
    /// The stored response to be confirmed or replaced.
    pub(crate) stale: Option<Arc<Object>>,
    /// Holds the fill up where no request waits for it.
    pub(crate) background: Option<Interest>,
}

/// Runs a fill to its end. Dropped at any point, even before it was first polled, it fails the
/// fill: nobody waits for what no task works on.
pub(crate) fn run<S>(
    inner: Arc<Inner>,
    fill: Arc<Fill>,
    service: S,
    mut order: Order,
) -> impl Future<Output = ()> + Send
where
    S: Service<Request<Body>, Response = Response<Body>> + Send,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    inner.metrics.fills.inc();
    // What upstream says to one client's credentials or cookies before it answers may be for that
    // client alone, as its answer may be.
    let own = [header::AUTHORIZATION, header::COOKIE];
    if !own.iter().any(|name| order.request.headers.contains_key(name)) {
        fill.tell_all(&mut order.request);
    }
    let stale = order.stale.clone();
    let background = order.background.take();
    let anonymous = (!order.left_out.is_empty()).then(|| {
        let mut request = fill.request.clone();
        for name in &order.left_out {
            request.remove(name);
        }
        request
    });
    let slice = match &order.part {
        Part::Slice(slice) => Some(slice.clone()),
        _ => None,
    };
    let began = inner.clock.now();
    let work = Work { inner, fill, stale, anonymous, background, slice, began, ended: false };
    carry_out(work, service, order)
}

async fn carry_out<S>(mut work: Work, mut service: S, order: Order)
where
    S: Service<Request<Body>, Response = Response<Body>> + Send,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    let outcome = tokio::select! {
        biased;
        answer = work.ask(&mut service, &order) => answer,
        () = work.nobody() => None,
    };
    match outcome {
        None => work.abandon(),
        Some(Answer::Settled(outcome)) => work.settle_without_body(outcome),
        Some(Answer::Alone(response, outcome)) => {
            *lock(&work.fill.alone) = Some(response);
            work.settle_without_body(outcome);
        }
        Some(Answer::Sliced(head, begun)) => work.keep_in_slices(*head, begun),
        Some(Answer::Stream(head, body)) => {
            drop(service);
            work.stream(head, body).await;
        }
    }
}

/// What upstream's answer means.
enum Answer {
    Settled(Outcome),
    Alone(Response<Body>, Outcome),
    Stream(Arc<Head>, Body),
    /// It is kept in slices; the first is coming.
    Sliced(Box<Head>, Option<(Range<u64>, Body)>),
}

/// One fill being worked on; fails it when dropped before its end.
struct Work {
    inner: Arc<Inner>,
    fill: Arc<Fill>,
    /// What is to be confirmed or replaced.
    stale: Option<Arc<Object>>,
    /// The leader's fields without those that were left out, if any were.
    anonymous: Option<HeaderMap>,
    /// Holds the fill up where no request waits for it.
    background: Option<Interest>,
    /// The slice it fetches, if it is one.
    slice: Option<Slice>,
    began: Timestamp,
    ended: bool,
}

impl Work {
    async fn ask<S>(&self, service: &mut S, order: &Order) -> Option<Answer>
    where
        S: Service<Request<Body>, Response = Response<Body>> + Send,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        if let Part::Slice(slice) = &order.part {
            return self.ask_slice(service, order, slice).await;
        }
        let requested = self.inner.clock.now();
        let confirmable = order.stale.as_ref().filter(|object| object.head.has_validator());
        let mut request = request(&order.request, confirmable);
        let first = self.first(order);
        if let Some(range) = &first {
            slices::ask(request.headers_mut(), range);
        }
        let answer = upstream::ask(service, request).await;
        let response = match answer {
            Ok(response) => response,
            Err(error) => return Some(self.failed(&error, order)),
        };
        match (response.status(), &first) {
            (StatusCode::NOT_MODIFIED | StatusCode::RANGE_NOT_SATISFIABLE, _) => {}
            (StatusCode::PARTIAL_CONTENT, Some(range)) => {
                if let Some(answer) = self.begun(response, range, requested, order) {
                    return Some(answer);
                }
                self.inner.remembered.note_whole(&self.fill.key, self.inner.clock.now());
                return Some(self.ask_whole(service, order).await);
            }
            _ => return Some(self.answered(response, requested, order)),
        }
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && first.is_none() {
            return Some(self.answered(response, requested, order));
        }
        if response.status() == StatusCode::NOT_MODIFIED
            && let Some(object) = confirmable
            && (self.inner.choices.trusts_any_304() || object.head.is_meant_by(response.headers()))
        {
            let exchange = self.exchange(order, requested);
            let mut update = response.into_parts().0;
            self.inner.policy.receive(&order.request, update.status, &mut update.headers);
            return Some(Answer::Settled(self.confirmed(object, &update, exchange)));
        }
        // A 304 that confirms nothing we have (RFC 9111 §4.3.4), or no first slice.
        Some(self.ask_whole(service, order).await)
    }

    /// Asks for the whole, without conditions.
    async fn ask_whole<S>(&self, service: &mut S, order: &Order) -> Answer
    where
        S: Service<Request<Body>, Response = Response<Body>> + Send,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        let requested = self.inner.clock.now();
        let request = self::request(&order.request, None);
        match upstream::ask(service, request).await {
            Ok(response) => self.answered(response, requested, order),
            Err(error) => self.failed(&error, order),
        }
    }

    /// The first slice of what nothing is known of, where that is to be asked for.
    fn first(&self, order: &Order) -> Option<Range<u64>> {
        let Part::First(first) = &order.part else { return None };
        let whole = self.inner.remembered.is_whole(&self.fill.key, self.inner.clock.now());
        (!whole).then(|| first.range.clone())
    }

    /// The fields that upstream answers to, for what `Vary` names.
    fn request(&self) -> &HeaderMap {
        self.anonymous.as_ref().unwrap_or(&self.fill.request)
    }

    /// Upstream did not confirm or replace the stale response: it has a rest, as long as it says,
    /// within bounds.
    fn pause(&self, retry_after: Option<&HeaderValue>, failure: Failure) {
        const PAUSE: Duration = Duration::from_secs(5);
        const LONGEST: Duration = Duration::from_secs(60);
        let Some(stale) = &self.stale else { return };
        let now = self.inner.clock.now();
        let said = retry_after.and_then(|value| value.to_str().ok()).and_then(|text| {
            let date = || Timestamp::from_http_date(text).map(|date| date.since(now));
            text.trim().parse().ok().map(Duration::from_secs).or_else(date)
        });
        let delay = said.unwrap_or(PAUSE);
        stale.pause(now, delay.clamp(Duration::from_secs(1), LONGEST), failure);
    }

    fn exchange<'a>(&'a self, order: &'a Order, requested: Timestamp) -> Exchange<'a> {
        Exchange {
            sent: &order.request,
            request: self.request(),
            asked: order.asked,
            requested,
            received: self.inner.clock.now(),
            policy: self.inner.policy.as_ref(),
            purge_seq: self.fill.purge_seq,
            keep_tags: self.inner.downstream == Downstream::Caches,
            choices: &self.inner.choices,
        }
    }

    /// Upstream gave no answer.
    fn failed(&self, error: &BoxError, order: &Order) -> Answer {
        self.inner.metrics.fills_failed.inc();
        tracing::warn!(error = %error, "upstream gave no answer");
        let failure = Failure::Unreachable(self.inner.choices.unreachable_grace());
        self.pause(None, failure);
        let error = ProxyError::of(error);
        Answer::Settled(self.stale_on_error(order, failure, None).unwrap_or(Outcome::Failed {
            status: error.status(),
            retry_after: None,
            error: Some(error),
        }))
    }

    /// The stored response in place of a failure, if it may be (RFC 5861 §4, RFC 9111 §4.2.4).
    fn stale_on_error(
        &self,
        order: &Order,
        failure: Failure,
        fwd_status: Option<StatusCode>,
    ) -> Option<Outcome> {
        let object = order.stale.as_ref()?;
        let now = self.inner.clock.now();
        object.may_answer_on_error(&order.directives, failure, now).then(|| Outcome::Stored {
            object: Arc::clone(object),
            fwd_status,
            open: true,
        })
    }

    /// A final answer that is no 304.
    fn answered(&self, response: Response<Body>, requested: Timestamp, order: &Order) -> Answer {
        let status = response.status();
        if matches!(status, StatusCode::LOOP_DETECTED | StatusCode::TOO_EARLY) {
            // RFC 8586 and RFC 8470 §5.2: that is about `CDN-Loop` or `Early-Data`, which are the
            // leader's own, and nobody else's.
            let (parts, body) = response.into_parts();
            let len = length::promised(parts.status, &parts.headers, &body);
            let response = Response::from_parts(parts, body.metered(len));
            return Answer::Alone(response, Outcome::Alone);
        }
        if matches!(status.as_u16(), 500 | 502 | 503 | 504) {
            self.pause(response.headers().get(header::RETRY_AFTER), Failure::Error);
            if let Some(outcome) = self.stale_on_error(order, Failure::Error, Some(status)) {
                return Answer::Settled(outcome);
            }
        }
        if self.anonymous.is_some() && matches!(status.as_u16(), 401 | 403) {
            // The client has credentials: it is to ask with them.
            self.pause(None, Failure::Error);
            return Answer::Settled(Outcome::Alone);
        }
        let (mut parts, body) = response.into_parts();
        self.inner.policy.receive(&order.request, status, &mut parts.headers);
        let len = length::promised(parts.status, &parts.headers, &body);
        match Head::receive(&parts, len, self.exchange(order, requested)) {
            Ok(head) if self.anonymous.is_some() && !head.vary.matches(&self.fill.request) => {
                Answer::Settled(Outcome::Alone)
            }
            Ok(mut head) => {
                if self.settle_ends(&mut head, order, None) && len > Some(self.inner.max_object) {
                    return Answer::Sliced(Box::new(head), None);
                }
                let targets = self.inner.choices.targets();
                *lock(&self.fill.withheld) = headers::withheld(&parts.headers, targets);
                Answer::Stream(Arc::new(head), body)
            }
            Err(refusal) => {
                tracing::trace!(?refusal, %status, "not stored");
                self.pause(parts.headers.get(header::RETRY_AFTER), Failure::Error);
                let outcome = if status.is_server_error() || status.is_informational() {
                    Outcome::Failed {
                        status,
                        retry_after: parts.headers.get(header::RETRY_AFTER).cloned(),
                        error: None,
                    }
                } else {
                    if refusal.is_of_the_answer(order.asked) {
                        self.inner.remembered.note_alone(&self.fill.key, self.inner.clock.now());
                    }
                    Outcome::Alone
                };
                Answer::Alone(Response::from_parts(parts, body.metered(len)), outcome)
            }
        }
    }

    /// A 304: the stored response lives on with new fields (RFC 9111 §4.3.4).
    fn confirmed(
        &self,
        stale: &Object,
        update: &http::response::Parts,
        exchange: Exchange<'_>,
    ) -> Outcome {
        self.inner.metrics.revalidated.inc();
        let fwd_status = Some(StatusCode::NOT_MODIFIED);
        let within = Lifetime::given(&update.extensions);
        let head = match slices::confirmed(stale, &update.headers, within, exchange) {
            Ok(head) => head,
            Err(refusal) => {
                // The leader gets it as it was. It goes, unless that is about the leader alone.
                if refusal != Refusal::Authorization {
                    self.inner.store.remove(&self.fill.key);
                }
                let object = stale.with_head(stale.head.clone());
                return Outcome::Stored { object: Arc::new(object), fwd_status, open: false };
            }
        };
        let open = head.is_shareable(exchange.received);
        let object = Arc::new(stale.with_head(head));
        self.inner.fills.retire(&self.fill, || {
            if object.holds(self.inner.purges.ledger(), &self.fill.key) {
                let kept = Arc::clone(&object);
                self.inner.store.update(&self.fill.key, kept, self.request());
            }
        });
        Outcome::Stored { object, fwd_status, open }
    }

    /// Stores what came, unless it was purged meanwhile, or something newer came.
    fn keep(&self, object: Arc<Object>) {
        let inner = &self.inner;
        if object.holds(inner.purges.ledger(), &self.fill.key) && !self.is_overtaken(&object) {
            inner.store.insert(&self.fill.key, object, self.request());
        }
    }

    /// Whether what is in RAM in the place of what came is the answer to another fetch, which came
    /// since this one was asked for, and is newer. What was asked for later is newer whatever its
    /// `Date` says: clocks of origins differ.
    fn is_overtaken(&self, object: &Object) -> bool {
        let Some(variants) = self.inner.store.get(&self.fill.key) else { return false };
        variants.select(self.request()).is_some_and(|stored| {
            stored.head.freshness.received > self.began && object.head.is_older_than(&stored.head)
        })
    }

    fn settle_without_body(&mut self, outcome: Outcome) {
        self.inner.fills.retire(&self.fill, || ());
        self.ended = true;
        self.fill.settle(outcome);
        self.fill.finish(End::Complete);
    }

    fn is_alone(&self) -> bool {
        self.fill.interested.load(Ordering::Acquire) == 0
    }

    /// Ends when nobody is interested any more, having taken the fill out of the table.
    async fn nobody(&self) {
        while !(self.is_alone() && self.inner.fills.retire_if_idle(&self.fill, || ())) {
            self.fill.attention.notified().await;
        }
    }

    fn abandon(&mut self) {
        self.ended = true;
        self.inner.metrics.fills_abandoned.inc();
        self.fill.finish(End::Failed(BodyError::Aborted));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.ended {
            self.inner.metrics.fills_failed.inc();
            self.inner.fills.retire(&self.fill, || ());
            self.fill.finish(End::Failed(BodyError::Aborted));
        }
    }
}

/// The request that goes upstream, asking to confirm `known` where there is one (RFC 9111 §4.3.1).
fn request(parts: &Parts, known: Option<&Arc<Object>>) -> Request<Body> {
    let mut parts = parts.clone();
    parts.method = Method::GET;
    if let Some(object) = known {
        parts.extensions.insert(Confirming::new(object));
        let head = &object.head;
        let validators: Validators<'_> = head.validators();
        let conditions = [
            (header::IF_NONE_MATCH, header::ETAG, validators.etag.is_some()),
            (header::IF_MODIFIED_SINCE, header::LAST_MODIFIED, validators.last_modified.is_some()),
        ];
        for (condition, validator, _) in conditions.into_iter().filter(|one| one.2) {
            let value: Option<&HeaderValue> = head.headers.get(validator);
            if let Some(value) = value {
                parts.headers.insert(condition, value.clone());
            }
        }
    }
    Request::from_parts(parts, Body::empty())
}
