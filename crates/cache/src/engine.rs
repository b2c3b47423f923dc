//! The way of a request through the cache: answered from store at once, or waiting for a fill.

use std::sync::Arc;

use headwater_net::range;
use headwater_net::{Body, Problem, Timestamp};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONNECTION, PRAGMA, RANGE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tower_service::Service;

use crate::Cache;
use crate::answer::{self, Marks, Shape};
use crate::cache::{Downstream, Inner};
use crate::directives::RequestDirectives;
use crate::fill::reader::Reader;
use crate::fill::table::{Joined, Joining};
use crate::fill::task::{self, Order};
use crate::fill::{Interest, Located, Outcome, meter};
use crate::headers;
use crate::key::{Key, KeyBuf};
use crate::object::{Head, Object};
use crate::policy::reuse::{Reuse, Why};
use crate::policy::storable::Asked;
use crate::purge::{PurgeSeq, tags, tiers};
use crate::status::{CACHE_STATUS, Fwd, Member};
use crate::upstream::{self, BoxError};

/// How often a request joins a fetch that turns out to answer others, before it asks alone.
const MAX_JOINS: usize = 4;

/// What the store says to a request.
pub(crate) enum Lookup {
    /// The answer, and the stored response to revalidate in the background, if it was stale.
    Hit(Response<Body>, Option<Arc<Object>>),
    /// Upstream must be asked.
    Miss(Miss),
}

/// A request that the store cannot answer.
pub(crate) struct Miss {
    key: Key,
    directives: RequestDirectives,
    fwd: Fwd,
    stale: Option<Arc<Object>>,
    /// The newest purge that the cache which asks has seen.
    since: PurgeSeq,
}

/// What a request's method makes of it.
pub(crate) fn is_answered_from_store(parts: &Parts) -> bool {
    parts.method == Method::GET || parts.method == Method::HEAD
}

/// Whether a GET says it has content, which no key knows of (RFC 9110 §9.3.1).
pub(crate) fn has_content(parts: &Parts, body: &Body) -> bool {
    let none = |value: &HeaderValue| value.as_bytes() == b"0";
    body.exact_len().is_some_and(|len| len > 0)
        || parts.headers.get(http::header::CONTENT_LENGTH).is_some_and(|value| !none(value))
        || parts.headers.contains_key(http::header::TRANSFER_ENCODING)
}

/// Takes off what `Connection` says is for this hop alone, before anything looks at it: upstream
/// will not see it, so neither the key nor `Vary` may go by it (RFC 9110 §7.6.1).
pub(crate) fn drop_what_goes_no_further(parts: &mut Parts) {
    if parts.headers.contains_key(CONNECTION) {
        headers::strip_hop_by_hop(&mut parts.headers);
    }
}

/// Looks a GET or HEAD up: the whole of the hot path.
pub(crate) fn lookup(inner: &Inner, parts: &Parts) -> Lookup {
    let mut key = KeyBuf::new();
    inner.policy.key(parts, &mut key);
    let directives = directives(inner, &parts.headers);
    let variants = inner.store.get(key.as_bytes());
    let since = seen_by_asker(inner, &parts.headers);
    let selected = variants.as_ref().and_then(|all| all.select(&parts.headers));
    let usable = selected.filter(|object| is_usable(inner, object, key.as_bytes(), since));
    let Some(object) = usable else {
        let varies = variants.is_some() && selected.is_none();
        let fwd = if varies { Fwd::VaryMiss } else { Fwd::UriMiss };
        return Lookup::Miss(Miss { key: key.to_key(), directives, fwd, stale: None, since });
    };
    let now = inner.clock.now();
    let fwd = match object.reuse(&directives, now) {
        Reuse::Fresh | Reuse::Stale => {
            return Lookup::Hit(hit(inner, object, parts, now), None);
        }
        Reuse::StaleWhileRevalidate => {
            return Lookup::Hit(hit(inner, object, parts, now), Some(Arc::clone(object)));
        }
        Reuse::Revalidate(Why::Stale) => Fwd::Stale,
        Reuse::Revalidate(Why::Request) => Fwd::Request,
    };
    let stale = Some(Arc::clone(object));
    Lookup::Miss(Miss { key: key.to_key(), directives, fwd, stale, since })
}

/// The newest purge that a cache which asks us has seen; clients see none.
fn seen_by_asker(inner: &Inner, headers: &HeaderMap) -> PurgeSeq {
    if inner.downstream == Downstream::Clients {
        return PurgeSeq::default();
    }
    let since = tiers::named(headers);
    inner.purges.ledger().heard_of(since);
    since
}

/// Whether no purge forbids to use a stored response: neither one that this cache knows, nor one
/// that it does not know yet, but who asks does.
fn is_usable(inner: &Inner, object: &Object, key: &[u8], since: PurgeSeq) -> bool {
    let ledger = inner.purges.ledger();
    (since <= object.head.purge_seq || since <= ledger.newest()) && object.holds(ledger, key)
}

/// The stored response that a request selects, if it may be used.
fn usable(inner: &Inner, key: &[u8], headers: &HeaderMap, since: PurgeSeq) -> Option<Arc<Object>> {
    let variants = inner.store.get(key)?;
    variants.select(headers).filter(|object| is_usable(inner, object, key, since)).cloned()
}

fn directives(inner: &Inner, headers: &HeaderMap) -> RequestDirectives {
    let speaks = headers.contains_key(CACHE_CONTROL) || headers.contains_key(PRAGMA);
    if inner.honour_request_directives && speaks {
        RequestDirectives::of(headers)
    } else {
        RequestDirectives::default()
    }
}

/// Answers from a stored response without asking upstream.
fn hit(inner: &Inner, object: &Object, parts: &Parts, now: Timestamp) -> Response<Body> {
    inner.metrics.hits.inc();
    let ttl = object.ttl(now);
    if ttl <= 0 {
        inner.metrics.stale.inc();
    }
    let marks = object.stamp(now, ttl, |age| Marks {
        cache_status: inner.signature.sign(&Member {
            hit: true,
            ttl: Some(ttl),
            ..Member::default()
        }),
        age: Some(HeaderValue::from(age)),
    });
    answer_from(object, parts, marks)
}

fn answer_from(object: &Object, parts: &Parts, marks: Marks) -> Response<Body> {
    let len = Some(object.body.len());
    let shape = answer::shape(&object.head, len, &parts.method, &parts.headers);
    answer::build(&object.head, len, &shape, marks, |part| match part {
        Some(part) => Body::from(object.body.slice(part)),
        None => Body::from(object.body.clone()),
    })
}

/// Starts to revalidate a stale response that was served, unless that is under way.
pub(crate) fn revalidate<S>(cache: &Cache, service: &S, parts: &Parts, stale: Arc<Object>)
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    let inner = cache.inner();
    let mut key = KeyBuf::new();
    inner.policy.key(parts, &mut key);
    let key = key.to_key();
    let variants = inner.store.get(&key);
    let joining = Joining {
        key: &key,
        headers: &parts.headers,
        variants: variants.as_deref(),
        only_unsettled: false,
        ledger: inner.purges.ledger(),
        since: PurgeSeq::default(),
    };
    let joined = inner.fills.join(&joining, None, &inner.budget, &inner.metrics, || {
        // Another may have replaced it since it was looked up.
        let current = usable(inner, &key, &parts.headers, PurgeSeq::default());
        current.is_some_and(|object| !Arc::ptr_eq(&object, &stale)).then_some(())
    });
    if let Ok(Joined::Leader(interest)) = joined {
        let fill = Arc::clone(interest.fill());
        let seq = fill.purge_seq();
        let order =
            order(inner, parts, RequestDirectives::default(), Some(stale), Some(interest), seq);
        inner.spawn(task::run(Arc::clone(inner), fill, service.clone(), order));
    }
}

fn order(
    inner: &Inner,
    parts: &Parts,
    directives: RequestDirectives,
    stale: Option<Arc<Object>>,
    background: Option<Interest>,
    purge_seq: PurgeSeq,
) -> Order {
    let mut request = parts.clone();
    headers::strip_hop_by_hop(&mut request.headers);
    headers::strip_conditions(&mut request.headers);
    // What anyone got is confirmed for anyone: with one client's credentials, the answer might be
    // for that client alone.
    let authorization = parts.headers.contains_key(AUTHORIZATION);
    let anonymous = authorization && stale.as_ref().is_some_and(|object| !object.head.authorized);
    if anonymous {
        request.headers.remove(AUTHORIZATION);
    }
    inner.policy.prepare_fill(&mut request);
    tiers::name(&mut request.headers, purge_seq);
    let asked = Asked { authorization: authorization && !anonymous, no_store: false };
    Order { request, asked, anonymous, directives, stale, background }
}

/// A request on its way past the store.
pub(crate) struct Forward<S> {
    pub(crate) cache: Cache,
    pub(crate) service: S,
    pub(crate) parts: Parts,
}

impl<S> Forward<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    /// Gets the answer by a fetch that is shared with all who want the same.
    pub(crate) async fn miss(self, miss: Miss) -> Response<Body> {
        let inner = Arc::clone(self.cache.inner());
        if miss.directives.only_if_cached {
            // RFC 9111 §5.2.1.7
            let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT)
                .detail("the request takes stored answers only, and none is stored");
            return self.sign(problem.into_response(), &Member::default());
        }
        // HEAD is answered from a stored GET, and waits for the confirmation of one; but it does
        // not start the fetch of a body that nobody asked for.
        let confirmable = miss.stale.as_ref().is_some_and(|object| object.head.has_validator());
        if miss.directives.no_store || self.parts.method == Method::HEAD && !confirmable {
            return self.pass(miss.fwd, Body::empty()).await;
        }
        inner.metrics.misses.inc();
        for _ in 0..MAX_JOINS {
            let joined = match self.join(&inner, &miss) {
                Ok(joined) => joined,
                Err(object) => return hit(&inner, &object, &self.parts, inner.clock.now()),
            };
            let (interest, leader) = match joined {
                Joined::Leader(interest) => (interest, true),
                Joined::Refused => return self.refused(miss.fwd),
                Joined::Follower(interest) => {
                    inner.metrics.collapsed.inc();
                    (interest, false)
                }
            };
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
                        member.stored = fwd_status == Some(StatusCode::NOT_MODIFIED);
                        let age = Some(object.head.age(now));
                        let cache_status = inner.signature.sign(&member);
                        return answer_from(&object, &self.parts, Marks { cache_status, age });
                    }
                }
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
                Outcome::Failed { status: code, retry_after, answered } => {
                    member.fwd_status = answered.then_some(code);
                    if leader && let Some(response) = interest.fill().take_alone() {
                        return self.forwarded(response, &member);
                    }
                    let mut response = upstream::problem(code).into_response();
                    if let Some(retry_after) = retry_after {
                        response.headers_mut().insert(RETRY_AFTER, retry_after);
                    }
                    return self.sign(response, &member);
                }
            }
        }
        self.pass(miss.fwd, Body::empty()).await
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
            current = usable(inner, &miss.key, headers, miss.since);
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
            let order = order(inner, &self.parts, miss.directives, current, None, seq);
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
        member: &Member,
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
                    return Some(self.sign(problem.into_response(), member));
                }
            }
        }
        let age = (!leader || head.aged).then(|| head.age(inner.clock.now()));
        let marks = Marks { cache_status: inner.signature.sign(member), age };
        let mut late = false;
        let response = answer::build(head, len, &shape, marks, |part| {
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
        (!late).then_some(response)
    }

    /// The answer where no more fetches may begin.
    fn refused(&self, fwd: Fwd) -> Response<Body> {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE)
            .detail("too many fetches are under way")
            .retry_after(1);
        self.sign(problem.into_response(), &Member { fwd: Some(fwd), ..Member::default() })
    }

    fn wants_part_of(&self, response: &Response<Body>) -> bool {
        response.status() == StatusCode::OK && self.parts.headers.contains_key(RANGE)
    }

    /// Sends the request on as it is, for its sender alone, and heeds what its method does to
    /// stored responses.
    pub(crate) async fn pass(mut self, fwd: Fwd, body: Body) -> Response<Body> {
        let inner = Arc::clone(self.cache.inner());
        inner.metrics.passed.inc();
        let mut parts = self.parts.clone();
        headers::strip_hop_by_hop(&mut parts.headers);
        tiers::name(&mut parts.headers, inner.purges.ledger().newest());
        let answer = upstream::ask(&mut self.service, Request::from_parts(parts, body)).await;
        let mut member = Member { fwd: Some(fwd), ..Member::default() };
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(error = %error, "upstream gave no answer");
                let problem = upstream::problem(upstream::status_of(&error));
                return self.sign(problem.into_response(), &member);
            }
        };
        self.heed(&inner, &response);
        member.fwd_status = Some(response.status());
        let (mut parts, mut body) = response.into_parts();
        if self.parts.method != Method::HEAD && self.parts.method != Method::CONNECT {
            let len = meter::promised(parts.status, &parts.headers, &body);
            body = meter::metered(body, len);
        }
        headers::strip_hop_by_hop(&mut parts.headers);
        self.forwarded(Response::from_parts(parts, body), &member)
    }

    /// What an answer that went past the store says of what is in it.
    fn heed(&self, inner: &Inner, response: &Response<Body>) {
        let forget = |parts: &Parts| {
            let mut key = KeyBuf::new();
            inner.policy.key(parts, &mut key);
            inner.fills.invalidate(key.as_bytes(), &inner.store);
        };
        let ok = response.status().is_success() || response.status().is_redirection();
        let method = &self.parts.method;
        if method == Method::HEAD {
            // RFC 9111 §4.3.5: a HEAD that tells of another representation.
            let mut key = KeyBuf::new();
            inner.policy.key(&self.parts, &mut key);
            let stored = inner.store.get(key.as_bytes());
            let stored = stored.as_ref().and_then(|all| all.select(&self.parts.headers));
            if response.status() == StatusCode::OK
                && stored.is_some_and(|object| differs(&object.head, response.headers()))
            {
                forget(&self.parts);
            }
        } else if ok && !method.is_safe() {
            // RFC 9111 §4.4: the target, and what the answer names on the same host.
            forget(&self.parts);
            for name in [http::header::LOCATION, http::header::CONTENT_LOCATION] {
                if let Some(parts) = response.headers().get(name).and_then(|to| self.aimed_at(to)) {
                    forget(&parts);
                }
            }
        }
    }

    /// This request aimed at another URI of the same host; `None` where that is another host's, or
    /// relative to a path.
    fn aimed_at(&self, target: &HeaderValue) -> Option<Parts> {
        let target: http::Uri = target.to_str().ok()?.parse().ok()?;
        let host = crate::key::host(&self.parts);
        let same = match target.authority() {
            Some(authority) => authority.as_str().as_bytes().eq_ignore_ascii_case(host),
            None => target.path().starts_with('/'),
        };
        if !same {
            return None;
        }
        let mut uri = http::uri::Parts::from(self.parts.uri.clone());
        uri.path_and_query = target.path_and_query().cloned();
        let mut parts = self.parts.clone();
        parts.uri = http::Uri::from_parts(uri).ok()?;
        Some(parts)
    }

    /// A response that only passes by: what was for this hop goes, our signature comes.
    fn forwarded(&self, mut response: Response<Body>, member: &Member) -> Response<Body> {
        headers::strip_hop_by_hop(response.headers_mut());
        if self.cache.inner().downstream == Downstream::Clients {
            tags::strip(response.headers_mut());
        }
        if !response.headers().contains_key(http::header::DATE)
            && let Ok(date) = HeaderValue::try_from(self.cache.clock().now().to_http_date())
        {
            response.headers_mut().insert(http::header::DATE, date);
        }
        self.sign(response, member)
    }

    fn sign(&self, mut response: Response<Body>, member: &Member) -> Response<Body> {
        if self.parts.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        let member = self.cache.inner().signature.sign(member);
        response.headers_mut().append(CACHE_STATUS, member);
        response
    }
}

/// Whether fields that a HEAD got speak of another representation than the stored one.
fn differs(stored: &Head, fields: &HeaderMap) -> bool {
    [http::header::ETAG, http::header::LAST_MODIFIED, http::header::CONTENT_LENGTH]
        .into_iter()
        .any(|name| fields.get(&name).is_some_and(|new| stored.headers.get(&name) != Some(new)))
}
