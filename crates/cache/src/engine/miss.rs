//! A request that the store cannot answer: it joins the fetch of what it wants or begins it, and
//! reads from it while it grows.

use std::sync::Arc;

use headwater_net::range;
use headwater_net::{Body, Problem};
use http::header::{AUTHORIZATION, COOKIE, RANGE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use tower_service::Service;

use super::{
    Forward, Miss, answer_from, disk_marks, hit, hit_marks, is_usable, make_ready, revalidate,
    signed, usable,
};
use crate::answer::{self, Marks, Shape};
use crate::cache::Inner;
use crate::directives::RequestDirectives;
use crate::fill::reader::Reader;
use crate::fill::table::{Joined, Joining};
use crate::fill::task::{self, First, Order, Part, Slice};
use crate::fill::{Interest, Located, Outcome};
use crate::found::Found;
use crate::headers;
use crate::object::{Head, Object};
use crate::policy::reuse::{Reuse, Why};
use crate::policy::storable::Asked;
use crate::proxy_status::ProxyError;
use crate::purge::PurgeSeq;
use crate::service::StoredOnly;
use crate::slices::is_sliced;
use crate::status::{Fwd, Member};
use crate::upstream::{self, BoxError};

/// Why no more fetches may begin.
pub(super) const TOO_MANY: &str = "too many fetches are under way";

/// How often a request joins a fetch that turns out to answer others, before it asks alone.
pub(super) const MAX_JOINS: usize = 4;

impl<S> Forward<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    /// The answer where only a stored response would do (RFC 9111 §5.2.1.7).
    pub(crate) fn nothing_stored(&self) -> Response<Body> {
        let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT)
            .detail("the request takes stored answers only, and none is stored");
        let error = Some(ProxyError::ProxyInternalResponse);
        let mut response = self.sign_error(problem.into_response(), error, &Member::default());
        response.extensions_mut().insert(StoredOnly);
        response
    }

    /// Gets the answer by a fetch that is shared with all who want the same.
    pub(crate) async fn miss(self, mut miss: Miss) -> Response<Body> {
        let inner = Arc::clone(self.cache.inner());
        if miss.stale.is_none()
            && let Some(response) = self.answer_from_disk(&inner, &mut miss).await
        {
            return response;
        }
        if miss.directives.only_if_cached {
            return self.nothing_stored();
        }
        // HEAD is answered from a stored GET, and waits for the confirmation of one; but it does
        // not start the fetch of a body that nobody asked for.
        let confirmable = miss.stale.as_ref().is_some_and(|object| object.head.has_validator());
        if miss.directives.no_store || self.parts.method == Method::HEAD && !confirmable {
            return self.pass(miss.fwd, Body::empty()).await;
        }
        if miss.stale.is_none() && inner.remembered.is_alone(&miss.key, inner.clock.now()) {
            return self.pass_alone(&miss).await;
        }
        inner.metrics.misses.inc();
        for _ in 0..MAX_JOINS {
            let joined = match self.join(&inner, &miss) {
                Ok(joined) => joined,
                Err(object) if is_sliced(&object) => {
                    let marks = || hit_marks(&inner, &object, &self.parts, inner.clock.now());
                    match self.answer_stored_slices(&object, &miss, marks).await {
                        Some(response) => return response,
                        None => continue,
                    }
                }
                Err(object) => {
                    let asked = (&self.parts, Found::of(&self.parts.headers));
                    return hit(&inner, &object, asked, inner.clock.now());
                }
            };
            let (interest, leader) = match joined {
                Joined::Leader(interest) => (interest, true),
                Joined::Refused => return self.refused(miss.fwd, TOO_MANY),
                Joined::Follower(interest) => {
                    inner.metrics.collapsed.inc();
                    (interest, false)
                }
            };
            interest.fill().tell(&self.parts);
            let outcome = interest.fill().settled().await;
            let mut member =
                Member { fwd: Some(miss.fwd), collapsed: !leader, ..Member::default() };
            match outcome {
                Outcome::Shared { head, open, stored } => {
                    if !leader && !open {
                        break;
                    }
                    if leader || head.vary.matches(&self.parts.headers) {
                        member.stored = stored;
                        member.fwd_status = Some(head.status);
                        match self.read_fill(interest, &head, leader, &member).await {
                            Some(response) => return response,
                            None => break,
                        }
                    }
                }
                Outcome::Stored { object, fwd_status, open } => {
                    if !leader && !open {
                        break;
                    }
                    if leader || object.head.vary.matches(&self.parts.headers) {
                        let now = inner.clock.now();
                        member.fwd_status = fwd_status;
                        member.ttl = Some(object.ttl(now));
                        member.stored = fwd_status.is_some_and(|code| !code.is_server_error());
                        let new = matches!(
                            fwd_status,
                            Some(StatusCode::OK | StatusCode::PARTIAL_CONTENT)
                        );
                        let age =
                            (!leader || !new || object.head.aged).then(|| object.head.age(now));
                        let cache_status = signed(&inner, &self.parts, &member);
                        let marks = Marks { cache_status, age };
                        if !is_sliced(&object) {
                            return answer_from(&object, &self.parts, marks);
                        }
                        drop(interest);
                        let marks = |_| marks;
                        if let Some(response) = self.answer_in_slices(&object, &miss, marks).await {
                            return response;
                        }
                    }
                }
                // Said of slices alone.
                Outcome::Changed | Outcome::NoParts => break,
                Outcome::Alone => {
                    let response = if leader { interest.fill().take_alone() } else { None };
                    match response {
                        // Who wanted a part of what cannot be kept asks for the part.
                        Some(response) if !self.wants_part_of(&response) => {
                            member.fwd_status = Some(response.status());
                            return self.forwarded(response, &member);
                        }
                        _ => break,
                    }
                }
                Outcome::Failed { status: code, retry_after, error } => {
                    member.fwd_status = error.is_none().then_some(code);
                    if leader && let Some(response) = interest.fill().take_alone() {
                        return self.forwarded(response, &member);
                    }
                    let mut response = upstream::problem(code).into_response();
                    if let Some(retry_after) = retry_after {
                        response.headers_mut().insert(RETRY_AFTER, retry_after);
                    }
                    return self.sign_error(response, error, &member);
                }
            }
        }
        self.pass(miss.fwd, Body::empty()).await
    }

    /// Answers from disk; or finds there what upstream is to confirm.
    async fn answer_from_disk(&self, inner: &Inner, miss: &mut Miss) -> Option<Response<Body>> {
        let object = inner.store.find_on_disk(&miss.key, &self.parts.headers).await?;
        if !is_usable(inner, &object, &miss.key, miss.since) {
            return None;
        }
        let now = inner.clock.now();
        match object.reuse(&miss.directives, now) {
            Reuse::Fresh | Reuse::Stale => {}
            Reuse::StaleWhileRevalidate => {
                revalidate(&self.cache, &self.service, &self.parts, Arc::clone(&object));
            }
            Reuse::Revalidate(why) => {
                miss.fwd = if why == Why::Stale { Fwd::Stale } else { Fwd::Request };
                miss.stale = Some(object);
                return None;
            }
        }
        let marks = || disk_marks(inner, &object, &self.parts, now);
        if is_sliced(&object) {
            return self.answer_stored_slices(&object, miss, marks).await;
        }
        Some(answer_from(&object, &self.parts, marks()))
    }

    /// Joins or starts the fetch; or gives what may answer after all, if another fetch has filled
    /// the store since the lookup.
    fn join(&self, inner: &Arc<Inner>, miss: &Miss) -> Result<Joined, Arc<Object>> {
        let headers = &self.parts.headers;
        let variants = inner.store.get(&miss.key);
        let joining = Joining {
            key: &miss.key,
            headers,
            variants: variants.as_deref(),
            only_unsettled: miss.fwd == Fwd::Request,
            ledger: inner.purges.ledger(),
            since: miss.since,
        };
        let mut current = miss.stale.clone();
        let cache = Some(&self.cache);
        let joined = inner.fills.join(&joining, cache, &inner.budget, &inner.metrics, || {
            // What is on disk only was found there, and still is.
            let on_disk = |stale: &Arc<Object>| {
                inner.store.still_on_disk(&miss.key, stale)
                    && is_usable(inner, stale, &miss.key, miss.since)
            };
            current = usable(inner, &miss.key, headers, miss.since)
                .or_else(|| miss.stale.clone().filter(on_disk));
            let object = current.as_ref()?;
            let now = inner.clock.now();
            match object.reuse(&miss.directives, now) {
                Reuse::Revalidate(_) => None,
                _ => Some(Arc::clone(object)),
            }
        })?;
        if let Joined::Leader(interest) = &joined {
            let fill = Arc::clone(interest.fill());
            let seq = fill.purge_seq();
            let mut order = order(inner, &self.parts, miss.directives, current, None, seq);
            if let Some(grid) = &inner.grid {
                // Who jumps into what nothing is known of waits for no more than a slice.
                let at = first_byte(&self.parts.headers);
                if grid.number(at) > 0 && order.stale.is_none()
                    || inner.policy.in_slices(&self.parts)
                {
                    let stale = order.stale.as_deref();
                    order.part = Part::First(First::at(at, inner, grid, &order.request, stale));
                }
            }
            inner.spawn(task::run(Arc::clone(inner), fill, self.service.clone(), order));
        }
        Ok(joined)
    }

    /// Answers from a fetch whose body may still grow; `None` where it cannot give what this
    /// request wants.
    async fn read_fill(
        &self,
        interest: Interest,
        head: &Head,
        leader: bool,
        member: &Member<'_>,
    ) -> Option<Response<Body>> {
        let inner = self.cache.inner();
        let Parts { method, headers, .. } = &self.parts;
        let range = answer::range_of(head, headers);
        let fill = Arc::clone(interest.fill());
        // What is not kept has no parts to give, and no beginning for those who come late.
        if fill.is_windowed() && (range.is_some() || !fill.has_beginning()) {
            return None;
        }
        let mut len = head.len;
        let mut shape = answer::shape(head, len, method, headers);
        if len.is_none()
            && shape == Shape::Whole
            && let Some([spec]) = range.and_then(range::parse).as_deref()
        {
            match fill.locate(*spec).await {
                Located::NotHere => return None,
                Located::Part(from, to) => shape = Shape::Part(from..to),
                Located::Complete(complete) => {
                    len = Some(complete);
                    shape = answer::shape(head, len, method, headers);
                }
                Located::Failed => {
                    let problem = upstream::problem(StatusCode::BAD_GATEWAY);
                    let error = Some(ProxyError::ConnectionTerminated);
                    return Some(self.sign_error(problem.into_response(), error, member));
                }
            }
        }
        let age = (!leader || head.aged).then(|| head.age(inner.clock.now()));
        let marks = Marks { cache_status: signed(inner, &self.parts, member), age };
        let mut late = false;
        let mut response = answer::build(head, len, &shape, marks, |part| {
            let interest = interest.another();
            let reader = match part {
                Some(part) => Reader::new(interest, part.start, Some(part.end)),
                None => Reader::new(interest, 0, len),
            };
            // The beginning may have gone since it was looked for.
            let Some(reader) = reader else {
                late = true;
                return Body::empty();
            };
            if http_body::Body::is_end_stream(&reader) {
                return Body::empty();
            }
            Body::Stream(Box::pin(reader))
        });
        if leader {
            response.headers_mut().extend(fill.take_withheld());
        }
        (!late).then_some(response)
    }

    /// The answer where upstream is asked by as many as may ask it.
    pub(super) fn refused(&self, fwd: Fwd, detail: &'static str) -> Response<Body> {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE).detail(detail).retry_after(1);
        let member = Member { fwd: Some(fwd), ..Member::default() };
        self.sign_error(problem.into_response(), Some(ProxyError::ConnectionLimitReached), &member)
    }

    fn wants_part_of(&self, response: &Response<Body>) -> bool {
        response.status() == StatusCode::OK && self.parts.headers.contains_key(RANGE)
    }
}

/// What the task of a fill is to know of the request that begins it.
pub(super) fn order(
    inner: &Inner,
    parts: &Parts,
    directives: RequestDirectives,
    stale: Option<Arc<Object>>,
    background: Option<Interest>,
    purge_seq: PurgeSeq,
) -> Order {
    // What anyone got is confirmed for anyone: with one client's credentials or cookies, the answer
    // might be for that client alone.
    let known = stale.as_ref().map(|object| (&object.head, object.head.cookied));
    let (request, asked, left_out) = shared_request(inner, parts, known, purge_seq);
    Order { request, part: Part::Whole, asked, left_out, directives, stale, background }
}

/// As [`order`], of a slice: its bytes are those of a response that is shared already, so that no
/// cookie goes along that does not tell the response from others.
pub(super) fn order_of_slice(
    inner: &Inner,
    parts: &Parts,
    slice: Slice,
    purge_seq: PurgeSeq,
) -> Order {
    let known = Some((&slice.whole.head, false));
    let (request, asked, left_out) = shared_request(inner, parts, known, purge_seq);
    let directives = RequestDirectives::default();
    let part = Part::Slice(slice);
    Order { request, part, asked, left_out, directives, stale: None, background: None }
}

/// The request that goes upstream for all who wait for the answer, and what of its sender's own was
/// left out of it. What is `known` came without credentials or cookies: then it is asked for without
/// them, too; of one that came with cookies they are said to be needed.
fn shared_request(
    inner: &Inner,
    parts: &Parts,
    known: Option<(&Head, bool)>,
    purge_seq: PurgeSeq,
) -> (Parts, Asked, Vec<HeaderName>) {
    let mut request = parts.clone();
    headers::strip_hop_by_hop(&mut request.headers);
    headers::strip_conditions(&mut request.headers);
    let mut left_out = Vec::new();
    if let Some((head, needs_cookies)) = known {
        let cookies = needs_cookies || head.vary.has(&COOKIE);
        for (name, needed) in [(AUTHORIZATION, head.authorized), (COOKIE, cookies)] {
            if !needed && request.headers.remove(&name).is_some() {
                left_out.push(name);
            }
        }
    }
    let authorization = request.headers.contains_key(AUTHORIZATION);
    make_ready(inner, &mut request, purge_seq);
    (request, Asked { authorization, no_store: false }, left_out)
}

/// Where a request's first range begins, as far as that can be known.
fn first_byte(request: &HeaderMap) -> u64 {
    request.get(RANGE).and_then(range::first_byte).unwrap_or(0)
}
