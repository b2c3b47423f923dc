//! What the cache makes of a request, and why: for operators who wonder about one URL.
//!
//! It decides by the same functions as a lookup does, changes nothing, counts nothing, and asks
//! nobody.

mod decide;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use headwater_net::Timestamp;
use http::request::Parts;
use http::{HeaderName, HeaderValue, header};
use serde::Serialize;

use crate::Cache;
use crate::cache::Inner;
use crate::engine;
use crate::key::KeyBuf;
use crate::object::Object;
use crate::purge::ledger::Verdict;
use crate::slices::is_sliced;
use crate::structured::quoted;
use crate::sync::yield_now;
use decide::{Asked, decide};

/// The answer's field for those who may [debug](crate::Policy::debug).
pub(crate) const EXPLAIN: http::HeaderName = http::HeaderName::from_static("headwater-explain");

/// The most bytes of a key that the field shows.
const MAX_KEY: usize = 256;

/// What a cache makes of one request now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The primary key. What is beside the URL follows a line feed; bytes that are no UTF-8 are
    /// replaced.
    pub key: String,
    /// What would be done.
    pub decision: Decision,
    /// Why, in one sentence.
    pub because: String,
    /// The newest purge this cache knows.
    pub purge_sequence: u64,
    /// How many fetches of this key are under way.
    pub fetching: usize,
    /// For how many seconds more requests for the key do not wait for one another, as its answers
    /// were for their askers alone; `null` where they do.
    pub uncollapsed: Option<u64>,
    /// What is in RAM under the key, newest first, and what the request selects on disk if that is
    /// needed.
    pub variants: Vec<Variant>,
}

/// What would be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Decision {
    /// It is answered from store.
    Hit,
    /// It is answered from store, by a stale response.
    HitStale,
    /// It is answered from store, by a stale response that is revalidated meanwhile.
    HitWhileRevalidating,
    /// Upstream is asked for bytes of a response in slices that are not stored.
    Partial,
    /// Upstream is asked to confirm or replace what is stored.
    Revalidate,
    /// Upstream is asked.
    Miss,
    /// It goes past the cache.
    Pass,
}

impl Decision {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::HitStale => "hit-stale",
            Self::HitWhileRevalidating => "hit-while-revalidating",
            Self::Partial => "partial",
            Self::Revalidate => "revalidate",
            Self::Miss => "miss",
            Self::Pass => "pass",
        }
    }
}

/// One stored response of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Variant {
    /// The request selects it (RFC 9111 §4.1).
    pub selected: bool,
    /// Where it lies: `ram` or `disk`.
    pub tier: &'static str,
    /// Its status.
    pub status: u16,
    /// Its body's length, whether all of it is stored or not.
    pub bytes: u64,
    /// How much of it is stored, where it is kept in slices; `null` where it is in one piece.
    pub slices: Option<Slices>,
    /// What it varies by, and what the request had that it answered: `null` for nothing. Of cookies
    /// and credentials it is not told what they were.
    pub vary: BTreeMap<String, Option<String>>,
    /// Its entity tag.
    pub etag: Option<String>,
    /// How many surrogate keys it has; `null` where it has more than are told apart.
    pub tags: Option<usize>,
    /// Its age in seconds.
    pub age: u64,
    /// How old it may become and still be fresh, in seconds; what a soft purge leaves of that.
    pub lifetime: u64,
    /// Seconds of freshness left; negative when stale.
    pub ttl: i64,
    /// The newest purge when it was fetched or confirmed.
    pub fetched_at_purge: u64,
    /// The purge that forbids to use it, or made it stale.
    pub purge: Option<PurgedBy>,
}

/// What is stored of a response in slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Slices {
    /// Slices that are stored, some of them perhaps in part.
    pub stored: u64,
    /// Slices that it has.
    pub all: u64,
}

/// A purge that is about a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PurgedBy {
    /// Its number.
    pub sequence: u64,
    /// What it was about: `url`, `prefix` (also of a host), `tag`, or `all`.
    pub scope: &'static str,
    /// It made stale instead of removing.
    pub soft: bool,
    /// When it came, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
}

impl Cache {
    /// Says what would be made of a request now, and why. What is not in RAM is looked for on disk.
    pub async fn explain(&self, request: &Parts) -> Explanation {
        let inner = self.inner();
        let mut key = KeyBuf::new();
        inner.policy.key(request, &mut key);
        let key = key.as_bytes();
        let since = engine::seen_by_asker(inner, &request.headers);
        let stored = inner.store.peek(key);
        let in_ram = stored.as_ref().and_then(|all| all.select(&request.headers));
        let usable = in_ram.is_some_and(|one| engine::is_usable(inner, one, key, since));
        let on_disk =
            if usable { None } else { inner.store.look_on_disk(key, &request.headers).await };
        let selected =
            on_disk.as_ref().filter(|one| one.head.vary.matches(&request.headers)).or(in_ram);
        let now = inner.clock.now();
        let in_ram = stored.iter().flat_map(|all| all.iter()).map(|one| ("ram", one));
        let mut variants = Vec::new();
        for (tier, one) in in_ram.chain(on_disk.iter().map(|one| ("disk", one))) {
            let is_selected = selected.is_some_and(|selected| Arc::ptr_eq(selected, one));
            let slices = slices_of(inner, one, key).await;
            variants.push(Variant { slices, ..variant(inner, one, key, tier, is_selected, now) });
        }
        let selected = selected.map(|one| &**one);
        let asked = Asked { request, key, since, now };
        let (decision, because) = decide(inner, &asked, selected, &variants);
        Explanation {
            key: String::from_utf8_lossy(key).into_owned(),
            decision,
            because,
            purge_sequence: inner.purges.ledger().newest().get(),
            fetching: inner.fills.under_way(key),
            uncollapsed: inner.remembered.alone_for(key, now).map(|time| time.as_secs()),
            variants,
        }
    }
}

/// What is stored of a response, where it is in slices.
async fn slices_of(inner: &Inner, object: &Object, key: &[u8]) -> Option<Slices> {
    let (grid, len) = (inner.grid.as_ref()?.of(&object.head), object.head.len?);
    if !is_sliced(object) {
        return None;
    }
    let (mut stored, all) = (0, grid.count(len));
    for number in 0..all {
        let key = grid.key(key, &object.head, number);
        if inner.store.peek(&key).is_some() || inner.store.may_be_on_disk(&key) {
            stored += 1;
        }
        if number % 256 == 255 {
            yield_now().await;
        }
    }
    Some(Slices { stored, all })
}

/// What a response varies by, without what is a secret of who asked.
fn varies_by(object: &Object) -> BTreeMap<String, Option<String>> {
    let said = |name: &HeaderName, values: &[HeaderValue]| {
        if values.is_empty() {
            return None;
        }
        if *name == header::COOKIE || *name == header::AUTHORIZATION {
            return Some("…".to_owned());
        }
        let values: Vec<_> =
            values.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        Some(values.join(", "))
    };
    let fields = object.head.vary.fields();
    fields.map(|(name, values)| (name.to_string(), said(name, values))).collect()
}

fn variant(
    inner: &Inner,
    object: &Object,
    key: &[u8],
    tier: &'static str,
    selected: bool,
    now: Timestamp,
) -> Variant {
    let head = &object.head;
    let ledger = inner.purges.ledger();
    object.holds(ledger, key);
    let purge = match ledger.judge(key, &head.tags, head.purge_seq) {
        Verdict::Untouched => None,
        Verdict::Stale(mark) => Some((mark, true)),
        Verdict::Gone(mark) => Some((mark, false)),
    };
    let freshness = object.freshness();
    let etag = head.headers.get(http::header::ETAG);
    Variant {
        selected,
        tier,
        status: head.status.as_u16(),
        bytes: if is_sliced(object) { head.len.unwrap_or_default() } else { object.body.len() },
        slices: None,
        vary: varies_by(object),
        etag: etag.map(|etag| String::from_utf8_lossy(etag.as_bytes()).into_owned()),
        tags: (!head.tags.is_any()).then(|| head.tags.hashes().len()),
        age: freshness.age(now).as_secs(),
        lifetime: freshness.lifetime.as_secs(),
        ttl: freshness.ttl(now),
        fetched_at_purge: head.purge_seq.get(),
        purge: purge.map(|(mark, soft)| PurgedBy {
            sequence: mark.seq.get(),
            scope: ledger.scope_of(key, &head.tags, mark),
            soft,
            at_ms: mark.at.as_millis(),
        }),
    }
}

impl Explanation {
    /// The same as a field of at most about a kilobyte: a token, and parameters (RFC 8941 §3).
    pub(crate) fn field(&self) -> HeaderValue {
        let mut text = String::from(self.decision.as_str());
        let mut shown = self.key.as_str();
        if let Some((end, _)) = shown.char_indices().find(|(at, _)| *at >= MAX_KEY) {
            shown = shown.get(..end).unwrap_or_default();
        }
        let _ = write!(
            text,
            "; because={}; key={}; variants={}; fetching={}; purge-sequence={}",
            quoted(&self.because),
            quoted(shown),
            self.variants.len(),
            self.fetching,
            self.purge_sequence,
        );
        if let Some(seconds) = self.uncollapsed {
            let _ = write!(text, "; uncollapsed={seconds}");
        }
        if let Some(one) = self.variants.iter().find(|one| one.selected) {
            let Variant { tier, status, bytes, age, lifetime, ttl, .. } = one;
            let _ = write!(
                text,
                "; tier={tier}; status={status}; bytes={bytes}; age={age}; lifetime={lifetime}; \
                 ttl={ttl}; fetched-at-purge={}",
                one.fetched_at_purge
            );
            if let Some(purge) = one.purge {
                let how = if purge.soft { "soft" } else { "hard" };
                let _ = write!(text, "; purge={}; purge-kind={how}", purge.sequence);
            }
        }
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unsayable"))
    }
}
