//! A response as the cache keeps it.
//!
//! A [`Head`] is made once, when a response comes: hop-by-hop fields are gone, `Date` is there,
//! `Age` and this cache's `Cache-Status` have their places, so that an answer is one clone of its
//! fields and two values put in.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Weak};
use std::time::Duration;

use headwater_net::conditional::Validators;
use headwater_net::{Body, Chunks, Timestamp};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::answer::Marks;
use crate::directives::{RequestDirectives, ResponseDirectives};
use crate::disk::{DiskBody, Place};
use crate::fill::budget::Charge;
use crate::headers;
use crate::policy::freshness::{self, Freshness};
use crate::policy::reuse::{self, Failure, Reuse, Why};
use crate::policy::storable::{self, Asked, Refusal};
use crate::policy::{Choices, Lifetime, Policy};
use crate::purge::ledger::Ledger;
use crate::purge::standing::Standing;
use crate::purge::{PurgeSeq, Tags, tags};
use crate::slices::Ends;
use crate::status::CACHE_STATUS;
use crate::store::keep::Keep;
use crate::vary::Vary;

/// A finished response.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) head: Head,
    pub(crate) body: Content,
    /// The record on disk that it was read from: the hash of its key, and its place.
    pub(crate) on_disk: Option<(u128, Place)>,
    /// The disk tier's ticket that it was stored or read with.
    stored: AtomicU64,
    /// The charge of the fill it came by, as long as that is read.
    charge: Weak<Charge>,
    /// Until when, in milliseconds, upstream is not asked where this may answer stale.
    paused: AtomicU64,
    /// How long past its freshness, in milliseconds, it may answer until then because upstream
    /// cannot be reached; zero where it answered with an error.
    grace: AtomicU64,
    standing: Standing,
    /// The marks of hits at one age and time to live: made once a second, not once a hit.
    stamp: Mutex<Option<(u64, i64, Marks)>>,
}

impl Object {
    pub(crate) fn new(head: Head, body: Chunks, charge: Weak<Charge>) -> Self {
        Self::made(head, Content::Memory(body), charge, None)
    }

    /// A response as it was read from its record on disk.
    pub(crate) fn from_disk(head: Head, body: Content, record: (u128, Place)) -> Self {
        Self::made(head, body, Weak::new(), Some(record))
    }

    fn made(
        head: Head,
        body: Content,
        charge: Weak<Charge>,
        on_disk: Option<(u128, Place)>,
    ) -> Self {
        let standing = Standing::new(head.purge_seq);
        let (paused, grace, stamp) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(None));
        let stored = AtomicU64::new(0);
        Self { head, body, on_disk, stored, charge, paused, grace, standing, stamp }
    }

    /// The disk tier's ticket that it was stored or read with.
    pub(crate) fn stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }

    pub(crate) fn stored_with(&self, ticket: u64) {
        self.stored.store(ticket, Ordering::Release);
    }

    /// Whether no purge forbids to use it.
    pub(crate) fn holds(&self, ledger: &Ledger, key: &[u8]) -> bool {
        self.standing.holds(ledger, key, &self.head.tags)
    }

    /// Its freshness, which a soft purge ended when it came.
    pub(crate) fn freshness(&self) -> Freshness {
        let freshness = self.head.freshness;
        let Some(since) = self.standing.stale_since() else { return freshness };
        Freshness { lifetime: freshness.lifetime.min(freshness.age(since)), ..freshness }
    }

    /// Seconds of freshness left; negative when stale.
    pub(crate) fn ttl(&self, now: Timestamp) -> i64 {
        self.freshness().ttl(now)
    }

    /// The marks of a hit now; they hang on nothing but the age and the time to live in whole
    /// seconds. Waits for nobody: who finds another at it makes its own.
    pub(crate) fn stamp(&self, now: Timestamp, ttl: i64, make: impl FnOnce(u64) -> Marks) -> Marks {
        let age = self.head.freshness.age(now).as_secs();
        let Ok(mut stamp) = self.stamp.try_lock() else { return make(age) };
        match &*stamp {
            Some((at, left, marks)) if *at == age && *left == ttl => marks.clone(),
            _ => {
                let marks = make(age);
                *stamp = Some((age, ttl, marks.clone()));
                marks
            }
        }
    }

    /// Whether it may answer `request` as it is, and how; upstream has a rest after a failure,
    /// where this response may stand in for it.
    pub(crate) fn reuse(&self, request: &RequestDirectives, now: Timestamp) -> Reuse {
        let reuse = reuse::decide(&self.freshness(), &self.head.directives, request, now);
        if reuse == Reuse::Fresh || now.as_millis() >= self.paused.load(Ordering::Relaxed) {
            return reuse;
        }
        match reuse {
            Reuse::StaleWhileRevalidate => Reuse::Stale,
            Reuse::Revalidate(Why::Stale)
                if self.may_answer_on_error(request, self.failure(), now) =>
            {
                Reuse::Stale
            }
            other => other,
        }
    }

    /// Whether it may answer `request` though upstream failed.
    pub(crate) fn may_answer_on_error(
        &self,
        request: &RequestDirectives,
        failure: Failure,
        now: Timestamp,
    ) -> bool {
        let freshness = self.freshness();
        reuse::may_answer_on_error(&freshness, &self.head.directives, request, failure, now)
    }

    /// Upstream failed to confirm or replace it: it is not asked again for a while.
    pub(crate) fn pause(&self, now: Timestamp, delay: Duration, failure: Failure) {
        let grace = match failure {
            Failure::Error => 0,
            Failure::Unreachable(grace) => u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        };
        self.grace.store(grace, Ordering::Relaxed);
        self.paused.store(now.plus(delay).as_millis(), Ordering::Relaxed);
    }

    /// How upstream failed when it was given a rest.
    fn failure(&self) -> Failure {
        match self.grace.load(Ordering::Relaxed) {
            0 => Failure::Error,
            grace => Failure::Unreachable(Duration::from_millis(grace)),
        }
    }

    /// The store counts its bytes from here on.
    pub(crate) fn enter_store(&self) {
        if let Some(charge) = self.charge.upgrade() {
            charge.enter_store();
        }
    }

    /// The store counts its bytes no longer.
    pub(crate) fn leave_store(&self) {
        if let Some(charge) = self.charge.upgrade() {
            charge.leave_store();
        }
    }

    /// This response as it lives on under other fields.
    pub(crate) fn with_head(&self, head: Head) -> Self {
        Self::made(head, self.body.clone(), Weak::clone(&self.charge), self.on_disk)
    }

    /// The bytes it takes in memory: its body, its fields, and what holds them.
    pub(crate) fn weight(&self) -> u64 {
        const FIELD: usize = 96;
        let fields = self.head.headers.iter();
        let fields: usize =
            fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD).sum();
        let ends = self.head.ends.as_deref().map_or(0, size_of_val);
        let beside = fields + ends + size_of::<Self>();
        self.body.weight() + self.head.tags.weight() + beside as u64
    }
}

/// The body of a finished response.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// In memory.
    Memory(Chunks),
    /// On disk, too large to be read at once.
    Disk(DiskBody),
}

impl Content {
    /// Its bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(chunks) => chunks.len(),
            Self::Disk(body) => body.len(),
        }
    }

    /// These bytes of it, or all of it; a range is cut to what is there.
    pub(crate) fn body(&self, part: Option<Range<u64>>) -> Body {
        match (self, part) {
            (Self::Memory(chunks), None) => Body::from(chunks.clone()),
            (Self::Memory(chunks), Some(part)) => Body::from(chunks.slice(part)),
            (Self::Disk(body), part) => body.body(part.unwrap_or(0..body.len())),
        }
    }

    /// The bytes it takes in memory.
    fn weight(&self) -> u64 {
        const CHUNK: u64 = 128;
        match self {
            Self::Memory(chunks) => chunks.len() + ((chunks.len() >> 16) + 1) * CHUNK,
            Self::Disk(body) => body.weight(),
        }
    }
}

/// Everything about a response but its body.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    /// Ready fields; see the module.
    pub(crate) headers: HeaderMap,
    pub(crate) directives: ResponseDirectives,
    pub(crate) freshness: Freshness,
    pub(crate) vary: Vary,
    /// The body's length, where it is known.
    pub(crate) len: Option<u64>,
    /// It came to a request with `Authorization`.
    pub(crate) authorized: bool,
    /// It came to a request with `Cookie`.
    pub(crate) cookied: bool,
    /// It came with an `Age`: some cache on the way had it already.
    pub(crate) aged: bool,
    /// Its surrogate keys.
    pub(crate) tags: Tags,
    /// The newest purge when the fetch began that it came by, or that confirmed it.
    pub(crate) purge_seq: PurgeSeq,
    /// By what it is kept in memory, where that was told.
    pub(crate) keep: Option<Keep>,
    /// Where its slices end, where they are not all of one size.
    pub(crate) ends: Option<Ends>,
}

/// What is known of the exchange that a response came by.
#[derive(Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub(crate) request: &'a HeaderMap,
    pub(crate) asked: Asked,
    pub(crate) requested: Timestamp,
    pub(crate) received: Timestamp,
    /// As it went upstream.
    pub(crate) sent: &'a http::request::Parts,
    pub(crate) policy: &'a dyn Policy,
    pub(crate) choices: &'a Choices,
    /// The newest purge when it began.
    pub(crate) purge_seq: PurgeSeq,
    /// Whether the answer's tags are for who asks us, too.
    pub(crate) keep_tags: bool,
}

impl Head {
    /// Takes in a response whose body is `len` bytes long, as far as that is known; or says why
    /// nobody but its asker may have it. The parts stay as they came in that case.
    pub(crate) fn receive(
        parts: &Parts,
        len: Option<u64>,
        exchange: Exchange<'_>,
    ) -> Result<Self, Refusal> {
        let within = Lifetime::given(&parts.extensions);
        let head = Self::new(parts.status, parts.headers.clone(), len, within, exchange)?;
        Ok(Self { keep: parts.extensions.get().cloned(), ..head })
    }

    fn new(
        status: StatusCode,
        mut headers: HeaderMap,
        len: Option<u64>,
        within: Option<Lifetime>,
        exchange: Exchange<'_>,
    ) -> Result<Self, Refusal> {
        let choices = exchange.choices;
        headers::strip_hop_by_hop(&mut headers);
        let (mut directives, withheld) = ResponseDirectives::governing(&headers, choices.targets());
        for name in withheld {
            headers.remove(name);
        }
        let overrides = exchange.policy.overrides(exchange.sent, status, &headers);
        match storable::storable(exchange.asked, status, &headers, &directives, choices) {
            Err(Refusal::Status)
                if (overrides.is_explicit() || within.is_some_and(Lifetime::is_explicit))
                    && storable::storable_status(status) => {}
            storable => storable?,
        }
        let seconds = |time: Duration| time.as_secs();
        if let Some(time) = overrides.stale_while_revalidate {
            directives.stale_while_revalidate = Some(seconds(time));
        }
        if let Some(time) = overrides.stale_if_error {
            directives.stale_if_error = Some(seconds(time));
        }
        let vary = Vary::of(&headers, exchange.request).ok_or(Refusal::VaryStar)?;
        let received = exchange.received;
        let standard = freshness::lifetime(status, &headers, &directives, received);
        let given = [overrides.lifetime, within].into_iter().flatten();
        let freshness = Freshness {
            initial_age: freshness::initial_age(&headers, exchange.requested, received, choices),
            received,
            lifetime: given.fold(standard, |standard, lifetime| lifetime.of(standard)),
        };
        let aged = headers.contains_key(header::AGE);
        let tags = Tags::of(&headers);
        if !exchange.keep_tags {
            tags::strip(&mut headers);
        }
        make_ready(&mut headers, received);
        set_len(&mut headers, status, len);
        let headers = with_places(headers);
        let authorized = exchange.asked.authorization;
        let cookied = exchange.sent.headers.contains_key(header::COOKIE);
        let head = Self {
            status,
            headers,
            directives,
            freshness,
            vary,
            len,
            authorized,
            cookied,
            aged,
            tags,
            purge_seq: exchange.purge_seq,
            keep: None,
            ends: None,
        };
        if !head.has_validator() && !head.is_ever_usable() {
            return Err(Refusal::Useless);
        }
        Ok(head)
    }

    /// This head as a 304 updates it (RFC 9111 §3.2 and §4.3.4), taken in anew, `within` the lifetime
    /// that a service gave that 304.
    pub(crate) fn confirmed(
        &self,
        update: &HeaderMap,
        within: Option<Lifetime>,
        exchange: Exchange<'_>,
    ) -> Result<Self, Refusal> {
        // What speaks of the content, which did not come (§3.2), digests of it among them.
        const KEPT: [HeaderName; 6] = [
            header::CONTENT_LENGTH,
            header::CONTENT_ENCODING,
            header::CONTENT_RANGE,
            header::TRANSFER_ENCODING,
            HeaderName::from_static("content-md5"),
            HeaderName::from_static("content-digest"),
        ];
        let mut update = update.clone();
        headers::strip_hop_by_hop(&mut update);
        let mut headers = self.headers.clone();
        // What was said of the stored response's age and way does not hold for this one.
        for name in [header::AGE, CACHE_STATUS, header::DATE] {
            headers.remove(name);
        }
        // A 304 that was believed though it names another tag (see `Choices::trust_any_304`), or
        // that names a strong one weakly: by the strong one the bytes are known that are stored.
        let weaker = is_strong(&self.headers) && !is_strong(&update);
        let other = weaker || !self.is_meant_by(&update);
        let kept = |name: &HeaderName| KEPT.contains(name) || other && *name == header::ETAG;
        for name in update.keys().filter(|name| !kept(name)) {
            headers.remove(name);
            for value in update.get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        let mut head = Self::new(self.status, headers, self.len, within, exchange)?;
        if !tags::are_in(&update) {
            head.tags = self.tags.clone();
        }
        head.keep.clone_from(&self.keep);
        head.ends.clone_from(&self.ends);
        Ok(head)
    }

    /// This head of a response that may be another one by now.
    pub(crate) fn stale_since(&self, now: Timestamp) -> Self {
        let mut head = self.clone();
        head.freshness.lifetime = head.freshness.lifetime.min(head.freshness.age(now));
        head
    }

    /// Whether another response for the same request is newer: by the purges that it has seen, by
    /// its `Date` (RFC 9111 §4.1), and by when it came.
    pub(crate) fn is_older_than(&self, other: &Self) -> bool {
        let rank = |head: &Self| {
            let date = freshness::date(&head.headers, &header::DATE).unwrap_or_default();
            (head.purge_seq, date, head.freshness.received)
        };
        rank(self) < rank(other)
    }

    /// Whether a 304 with these fields speaks of this response (§4.3.4): its entity tag is ours,
    /// or it names none.
    pub(crate) fn is_meant_by(&self, update: &HeaderMap) -> bool {
        match (Validators::of(update).etag, self.validators().etag) {
            (Some(theirs), Some(ours)) => theirs.weak_eq(ours),
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    /// This head of a body that turned out to be `len` bytes long.
    pub(crate) fn with_len(&self, len: u64) -> Self {
        let mut head = self.clone();
        head.len = Some(len);
        set_len(&mut head.headers, head.status, head.len);
        head
    }

    pub(crate) fn validators(&self) -> Validators<'_> {
        Validators::of(&self.headers)
    }

    pub(crate) fn has_validator(&self) -> bool {
        let validators = self.validators();
        validators.etag.is_some() || validators.last_modified.is_some()
    }

    fn reuse(&self, request: &RequestDirectives, now: Timestamp) -> Reuse {
        reuse::decide(&self.freshness, &self.directives, request, now)
    }

    /// Whether requests that waited for it may have it without upstream being asked again.
    pub(crate) fn is_shareable(&self, now: Timestamp) -> bool {
        let reuse = self.reuse(&RequestDirectives::default(), now);
        matches!(reuse, Reuse::Fresh | Reuse::StaleWhileRevalidate)
    }

    /// Its age now, as the field has it.
    pub(crate) fn age(&self, now: Timestamp) -> HeaderValue {
        HeaderValue::from(self.freshness.age(now).as_secs())
    }

    /// Without a validator, only freshness or a stale extension makes it worth storing.
    fn is_ever_usable(&self) -> bool {
        self.is_shareable(self.freshness.received)
            || reuse::may_answer_on_error(
                &self.freshness,
                &self.directives,
                &RequestDirectives::default(),
                Failure::Error,
                self.freshness.received,
            )
    }
}

/// Whether fields have a strong entity tag.
fn is_strong(headers: &HeaderMap) -> bool {
    Validators::of(headers).etag.is_some_and(|tag| !tag.is_weak())
}

/// `Content-Length` as it is known here: one that is malformed, or does not belong, goes.
fn set_len(headers: &mut HeaderMap, status: StatusCode, len: Option<u64>) {
    match len {
        Some(len) if status != StatusCode::NO_CONTENT => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
        }
        _ => {
            headers.remove(header::CONTENT_LENGTH);
        }
    }
}

/// Puts `Date` where it is missing (RFC 9110 §6.6.1), and places for `Age` and `Cache-Status`:
/// ours comes after those of the caches nearer to the origin (RFC 9211 §2).
/// Fields that are added to an answer on its way out: those of browsers' rules, of its path, of who may read.
const ADDED: usize = 8;

/// The same fields, with places in their index for those that are [`ADDED`] to each clone: else each hit
/// made its index anew. The clone made here keeps the larger index, and no room for the fields themselves.
fn with_places(mut headers: HeaderMap) -> HeaderMap {
    headers.reserve(ADDED);
    headers.clone()
}

fn make_ready(headers: &mut HeaderMap, received: Timestamp) {
    if !headers.contains_key(header::DATE)
        && let Ok(date) = HeaderValue::try_from(received.to_http_date())
    {
        headers.insert(header::DATE, date);
    }
    headers.insert(header::AGE, HeaderValue::from_static("0"));
    headers.append(CACHE_STATUS, HeaderValue::from_static("headwater"));
}
