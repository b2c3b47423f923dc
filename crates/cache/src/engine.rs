//! The way of a request through the cache: answered from store at once (here), by a fetch that is
//! shared with all who want the same ([`miss`]), slice by slice ([`slices`]), or past the store
//! ([`pass`]), where its answer may say something of what is stored ([`heed`]).

mod heed;
mod miss;
mod pass;
mod slices;

use std::sync::Arc;

use headwater_net::{Body, Timestamp};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tower_service::Service;

use crate::Cache;
use crate::answer::{self, Marks, Shape};
use crate::cache::{Downstream, Inner};
use crate::confirming::Confirming;
use crate::directives::RequestDirectives;
use crate::fill::table::{Joined, Joining};
use crate::fill::task;
use crate::found::Found;
use crate::headers;
use crate::key::{self, Key, KeyBuf};
use crate::object::Object;
use crate::policy::DEBUG;
use crate::policy::reuse::{Reuse, Why};
use crate::purge::{PurgeSeq, tiers};
use crate::service::StoredOnly;
use crate::slices::is_sliced;
use crate::status::{Fwd, Member};
use crate::upstream::BoxError;

/// What the store says to a request.
pub(crate) enum Lookup {
    /// The answer, and the stored response to revalidate in the background, if it was stale.
    Hit(Response<Body>, Option<Arc<Object>>),
    /// It is stored in slices; whether to revalidate it in the background, and what the request
    /// is should they be gone.
    Sliced(Arc<Object>, bool, Miss),
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

impl Miss {
    /// The same, where who sits before this cache takes stored responses only.
    pub(crate) fn of_whom(mut self, parts: &Parts) -> Self {
        self.directives.only_if_cached |= parts.extensions.get::<StoredOnly>().is_some();
        self
    }
}

/// What a request's method makes of it.
pub(crate) fn is_answered_from_store(parts: &Parts) -> bool {
    parts.method == Method::GET || parts.method == Method::HEAD
}

/// Whether a GET says it has content, which no key knows of (RFC 9110 §9.3.1).
pub(crate) fn has_content(parts: &Parts, body: &Body, found: Found) -> bool {
    let none = |value: &HeaderValue| value.as_bytes() == b"0";
    let said = |headers: &HeaderMap| {
        headers.get(http::header::CONTENT_LENGTH).is_some_and(|value| !none(value))
            || headers.contains_key(http::header::TRANSFER_ENCODING)
    };
    body.exact_len().is_some_and(|len| len > 0) || found.any(Found::CONTENT) && said(&parts.headers)
}

/// Takes off what `Connection` says is for this hop alone, before anything looks at it: upstream
/// will not see it, so neither the key nor `Vary` may go by it (RFC 9110 §7.6.1). Gives what is
/// left.
pub(crate) fn drop_what_goes_no_further(parts: &mut Parts) -> Found {
    headers::strip_hop_by_hop(&mut parts.headers);
    Found::of(&parts.headers)
}

/// Looks a GET or HEAD up: the whole of the hot path.
pub(crate) fn lookup(inner: &Inner, parts: &Parts, found: Found) -> Lookup {
    let mut key = KeyBuf::new();
    inner.policy.key(parts, &mut key);
    let directives = directives(inner, &parts.headers, found);
    let variants = inner.store.get(key.as_bytes());
    let since = seen_by_asker(inner, &parts.headers);
    inner.purges.ledger().heard_of(since);
    let selected = variants.as_ref().and_then(|all| all.select(&parts.headers));
    let usable = selected.filter(|object| is_usable(inner, object, key.as_bytes(), since));
    let Some(object) = usable else {
        let varies = variants.is_some() && selected.is_none();
        let fwd = if varies { Fwd::VaryMiss } else { Fwd::UriMiss };
        return Lookup::Miss(Miss { key: key.to_key(), directives, fwd, stale: None, since });
    };
    let now = inner.clock.now();
    let reuse = object.reuse(&directives, now);
    let fwd = match reuse {
        Reuse::Revalidate(Why::Request) => Fwd::Request,
        Reuse::Revalidate(Why::Stale) => Fwd::Stale,
        _ if is_sliced(object) => {
            let behind = reuse == Reuse::StaleWhileRevalidate;
            let fwd = Fwd::UriMiss;
            let miss = Miss { key: key.to_key(), directives, fwd, stale: None, since };
            return Lookup::Sliced(Arc::clone(object), behind, miss);
        }
        Reuse::Fresh | Reuse::Stale => {
            return Lookup::Hit(hit(inner, object, (parts, found), now), None);
        }
        Reuse::StaleWhileRevalidate => {
            return Lookup::Hit(hit(inner, object, (parts, found), now), Some(Arc::clone(object)));
        }
    };
    let stale = Some(Arc::clone(object));
    Lookup::Miss(Miss { key: key.to_key(), directives, fwd, stale, since })
}

/// The newest purge that a cache which asks us has seen; clients see none.
pub(crate) fn seen_by_asker(inner: &Inner, headers: &HeaderMap) -> PurgeSeq {
    if inner.downstream == Downstream::Clients {
        return PurgeSeq::default();
    }
    tiers::named(headers)
}

/// Whether no purge forbids to use a stored response: neither one that this cache knows, nor one
/// that it does not know yet, but who asks does.
pub(crate) fn is_usable(inner: &Inner, object: &Object, key: &[u8], since: PurgeSeq) -> bool {
    let ledger = inner.purges.ledger();
    (since <= object.head.purge_seq || since <= ledger.newest()) && object.holds(ledger, key)
}

/// The stored response that a request selects, if it may be used.
fn usable(inner: &Inner, key: &[u8], headers: &HeaderMap, since: PurgeSeq) -> Option<Arc<Object>> {
    let variants = inner.store.get(key)?;
    variants.select(headers).filter(|object| is_usable(inner, object, key, since)).cloned()
}

pub(crate) fn directives(inner: &Inner, headers: &HeaderMap, found: Found) -> RequestDirectives {
    if inner.honour_request_directives && found.any(Found::DIRECTIVES) {
        RequestDirectives::of(headers)
    } else {
        RequestDirectives::default()
    }
}

/// Answers from a stored response without asking upstream.
fn hit(
    inner: &Inner,
    object: &Arc<Object>,
    (parts, found): (&Parts, Found),
    now: Timestamp,
) -> Response<Body> {
    let marks = hit_marks(inner, object, parts, now);
    if parts.method == Method::GET && !found.any(Found::SHAPE) {
        let len = Some(object.body.len());
        return answer::build(&object.head, len, &Shape::Whole, marks, |_| object.body.body(None));
    }
    answer_from(object, parts, marks)
}

/// Counts a hit, and says what it is to be marked with.
fn hit_marks(inner: &Inner, object: &Arc<Object>, parts: &Parts, now: Timestamp) -> Marks {
    let ttl = count_hit(inner, object, now);
    object.stamp(now, ttl, |age| {
        // Once a second is often enough for the disk tier to know what is asked for.
        inner.store.seen(|| key_of(inner, parts), object);
        let detail = inner.choices.tells_tier().then_some("ram");
        let member = Member { hit: true, ttl: Some(ttl), detail, ..Member::default() };
        let cache_status = signed(inner, parts, &member);
        Marks { cache_status, age: Some(HeaderValue::from(age)) }
    })
}

/// A member of `Cache-Status`, with the request's key where that is to be told.
fn signed(inner: &Inner, parts: &Parts, member: &Member<'_>) -> HeaderValue {
    if inner.choices.tells_key() && is_answered_from_store(parts) {
        let key = key_of(inner, parts);
        return inner.signature.sign(&Member { key: Some(&key), ..*member });
    }
    inner.signature.sign(member)
}

/// As [`hit_marks`], for a response that was just read from disk, or the first slice of one, and says
/// so.
fn disk_marks(inner: &Inner, object: &Object, parts: &Parts, now: Timestamp) -> Marks {
    let ttl = Some(count_hit(inner, object, now));
    inner.metrics.hits_from_disk.inc();
    let member = Member { hit: true, ttl, detail: Some("disk"), ..Member::default() };
    Marks { cache_status: signed(inner, parts, &member), age: Some(object.head.age(now)) }
}

/// Counts a hit; gives the seconds of freshness left.
fn count_hit(inner: &Inner, object: &Object, now: Timestamp) -> i64 {
    inner.metrics.hits.inc();
    let ttl = object.ttl(now);
    if ttl <= 0 {
        inner.metrics.stale.inc();
    }
    ttl
}

fn key_of(inner: &Inner, parts: &Parts) -> Key {
    let mut key = KeyBuf::new();
    inner.policy.key(parts, &mut key);
    key.to_key()
}

fn answer_from(object: &Object, parts: &Parts, marks: Marks) -> Response<Body> {
    let len = Some(object.body.len());
    let shape = answer::shape(&object.head, len, &parts.method, &parts.headers);
    answer::build(&object.head, len, &shape, marks, |part| object.body.body(part))
}

/// Starts to revalidate a stale response that was served, unless that is under way.
pub(crate) fn revalidate<S>(cache: &Cache, service: &S, parts: &Parts, stale: Arc<Object>)
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    let inner = cache.inner();
    let key = key_of(inner, parts);
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
        let order = miss::order(
            inner,
            parts,
            RequestDirectives::default(),
            Some(stale),
            Some(interest),
            seq,
        );
        inner.spawn(task::run(Arc::clone(inner), fill, service.clone(), order));
    }
}

/// Makes a request ready for upstream, where a tier is told the newest purge that was seen, and
/// nobody what was for this cache.
fn make_ready(inner: &Inner, parts: &mut Parts, newest: PurgeSeq) {
    if is_answered_from_store(parts) {
        key::name_normal_host(parts);
    }
    inner.policy.prepare(parts);
    mark(inner, parts, newest);
}

/// Has a request know the newest purge that was seen, whatever it named before, and name this node.
pub(crate) fn mark(inner: &Inner, parts: &mut Parts, newest: PurgeSeq) {
    parts.headers.remove(DEBUG);
    parts.extensions.remove::<Confirming>();
    tiers::note(parts, newest, inner.purges.ledger());
    inner.node.sign(&mut parts.headers);
}

/// A request on its way past the store.
#[derive(Clone)]
pub(crate) struct Forward<S> {
    pub(crate) cache: Cache,
    pub(crate) service: S,
    pub(crate) parts: Parts,
}
