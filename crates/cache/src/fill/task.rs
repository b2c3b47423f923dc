//! The task that runs one fill: asks upstream, decides who may have the answer, takes the body in
//! at the pace it may, and stores it once it came whole.

mod slice;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use headwater_net::conditional::Validators;
use headwater_net::{Body, BodyError, Timestamp};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use smallvec::SmallVec;
use tower_service::Service;

use super::buffer::CHUNK;
use super::meter::{self, Meter};
use super::pump::{Next, Pump};
use super::{End, Fill, Interest, Outcome};
use crate::cache::{Downstream, Inner, MIN_WINDOW};
use crate::directives::RequestDirectives;
use crate::headers;
use crate::object::{Exchange, Head, Object};
use crate::policy::reuse::Failure;
use crate::policy::storable::{Asked, Refusal};
use crate::proxy_status::ProxyError;
use crate::slices;
use crate::sync::{lock, yield_now};
use crate::upstream::{self, BoxError};

pub(crate) use slice::{Part, Slice};

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
        let mut request = request(&order.request, confirmable.map(|object| &object.head));
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
            return Some(Answer::Settled(self.confirmed(object, &update.headers, exchange)));
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
        let Part::First(number) = order.part else { return None };
        let grid = self.inner.grid?;
        let whole = self.inner.remembered.is_whole(&self.fill.key, self.inner.clock.now());
        (!whole).then(|| grid.range(number, u64::MAX))
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
            let len = meter::promised(parts.status, &parts.headers, &body);
            let response = Response::from_parts(parts, meter::metered(body, len));
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
        let len = meter::promised(parts.status, &parts.headers, &body);
        match Head::receive(&parts, len, self.exchange(order, requested)) {
            Ok(head) if self.anonymous.is_some() && !head.vary.matches(&self.fill.request) => {
                Answer::Settled(Outcome::Alone)
            }
            Ok(head) if len > Some(self.inner.max_object) && self.cuts(&head).is_some() => {
                Answer::Sliced(Box::new(head), None)
            }
            Ok(head) => {
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
                Answer::Alone(Response::from_parts(parts, meter::metered(body, len)), outcome)
            }
        }
    }

    /// A 304: the stored response lives on with new fields (RFC 9111 §4.3.4).
    fn confirmed(&self, stale: &Object, update: &HeaderMap, exchange: Exchange<'_>) -> Outcome {
        self.inner.metrics.revalidated.inc();
        let fwd_status = Some(StatusCode::NOT_MODIFIED);
        let head = match stale.head.confirmed(update, exchange) {
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

    async fn stream(&mut self, head: Arc<Head>, body: Body) {
        let mut meter = Meter::new(head.len);
        let most = self.largest(head.status);
        let too_large = head.len.is_some_and(|len| len > most);
        if too_large {
            self.fill.windowed.store(true, Ordering::Release);
        }
        let open = self.slice.is_some() || head.is_shareable(self.inner.clock.now());
        self.fill.settle(Outcome::Shared { head: Arc::clone(&head), open, stored: !too_large });
        if let Some(begun) = self.slice.as_ref().and_then(Slice::begun) {
            let bytes = begun.len();
            let known = meter.add(bytes);
            debug_assert!(known.is_ok(), "less than the slice");
            self.publish(begun.clone().collect(), bytes, most);
        }
        let mut pump = Pump::new(body);
        let mut finishing = false;
        let mut since_yield = 0;
        let end = loop {
            let next = tokio::select! {
                biased;
                next = pump.next() => Some(next),
                () = self.fill.attention.notified(), if !finishing => None,
            };
            match next {
                None => {}
                Some(Next::Bytes(batch)) => {
                    let bytes = batch.iter().map(|piece| piece.len() as u64).sum();
                    if let Err(error) = meter.add(bytes) {
                        break End::Failed(error);
                    }
                    self.publish(batch, bytes, most);
                    since_yield += bytes;
                }
                Some(Next::End) => {
                    break meter.end().map_or_else(End::Failed, |()| End::Complete);
                }
                Some(Next::Failed(error)) => break End::Failed(error),
            }
            if !finishing && self.is_alone() {
                finishing =
                    !self.fill.is_windowed() && meter.is_worth_finishing(self.inner.finish_percent);
                if !finishing
                    && self.inner.fills.retire_if_idle(&self.fill, || self.keep_part(&head))
                {
                    return self.abandon();
                }
            }
            if self.fill.is_windowed() {
                finishing = false;
                // What is not kept is fetched for readers only.
                if self.background.take().is_some() {
                    self.pause(None, Failure::Error);
                }
                if self.keep_pace().await {
                    return self.abandon();
                }
            }
            // A body that is all there never waits: let readers have a turn.
            if since_yield >= 16 * CHUNK as u64 {
                since_yield = 0;
                yield_now().await;
            }
        };
        self.end_body(&head, end);
    }

    /// The largest body of a response with this status that is stored.
    fn largest(&self, status: StatusCode) -> u64 {
        let most = self.inner.max_object;
        self.inner.choices.max_body(status).map_or(most, |error| error.min(most))
    }

    fn end_body(&mut self, head: &Arc<Head>, end: End) {
        self.ended = true;
        match &end {
            End::Complete if !self.fill.is_windowed() => {
                let body = self.fill.state().buffer.whole();
                self.inner.fills.retire(&self.fill, || {
                    let Some(body) = body else { return };
                    let head = match head.len {
                        Some(_) => Head::clone(head),
                        None => head.with_len(body.len()),
                    };
                    let charge = Arc::downgrade(&self.fill.charge);
                    self.keep(Arc::new(Object::new(head, body, charge)));
                });
                self.complete();
            }
            End::Failed(error) => {
                self.inner.metrics.fills_failed.inc();
                tracing::warn!(error = %error, "a fill broke off");
                self.pause(None, Failure::Error);
                // One that goes on past its end has not kept its word in what came, either.
                let kept = !matches!(error, BodyError::TooLarge { .. });
                self.inner.fills.retire(&self.fill, || {
                    if kept {
                        self.keep_part(head);
                    }
                });
            }
            _ => self.inner.fills.retire(&self.fill, || ()),
        }
        self.fill.finish(end);
    }

    /// Makes bytes readable, within the bounds on what one fill and all of them may hold.
    fn publish(&self, batch: SmallVec<[Bytes; 4]>, bytes: u64, most: u64) {
        self.fill.charge.add(bytes);
        {
            let mut state = self.fill.state_mut();
            for piece in batch {
                state.buffer.push(piece);
            }
            if state.buffer.held() > most || self.inner.budget.is_over() {
                self.fill.windowed.store(true, Ordering::Release);
            }
            self.fill.published.store(state.buffer.end(), Ordering::Release);
        }
        self.fill.changed.notify_waiters();
    }

    /// Lets go of what lies further than a window behind the furthest reader: it alone sets the
    /// pace, and when a body turns out too large to keep, it loses nothing.
    fn trim(&self) {
        let to = self.fill.pace().saturating_sub(self.window());
        if to > 0 {
            let released = self.fill.state_mut().buffer.trim(to);
            self.fill.charge.release(released);
        }
    }

    /// The window, which is the least there is while all fills together hold too much.
    fn window(&self) -> u64 {
        if self.inner.budget.is_over() { MIN_WINDOW } else { self.inner.window }
    }

    /// Waits until the furthest reader is at most half a window behind; says whether the fill was
    /// given up because there is none.
    async fn keep_pace(&self) -> bool {
        loop {
            self.trim();
            if self.is_alone() && self.inner.fills.retire_if_idle(&self.fill, || ()) {
                return true;
            }
            let came = self.fill.published.load(Ordering::Acquire);
            let ahead = came.saturating_sub(self.fill.pace());
            if ahead <= self.window() / 2 {
                return false;
            }
            self.fill.attention.notified().await;
        }
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
fn request(parts: &Parts, known: Option<&Head>) -> Request<Body> {
    let mut parts = parts.clone();
    parts.method = Method::GET;
    if let Some(head) = known {
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
