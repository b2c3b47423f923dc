//! What a lookup would decide, in the order in which it does, and why, in one sentence.

use headwater_net::Timestamp;
use http::Method;
use http::request::Parts;

use super::{Decision, Variant};
use crate::answer::{self, Shape};
use crate::cache::Inner;
use crate::directives::RequestDirectives;
use crate::engine::{self, is_answered_from_store};
use crate::found::Found;
use crate::object::Object;
use crate::policy::reuse::{Reuse, Why};
use crate::purge::PurgeSeq;
use crate::slices::{self, is_sliced};

/// A request, and what is known of it.
pub(super) struct Asked<'a> {
    pub(super) request: &'a Parts,
    pub(super) key: &'a [u8],
    /// The newest purge that the cache which asks has seen.
    pub(super) since: PurgeSeq,
    pub(super) now: Timestamp,
}

/// What would be made of a request that selects this response.
pub(super) fn decide(
    inner: &Inner,
    asked: &Asked<'_>,
    selected: Option<&Object>,
    variants: &[Variant],
) -> (Decision, String) {
    let request = asked.request;
    if !is_answered_from_store(request) {
        return (Decision::Pass, "the method is not one that is answered from store".to_owned());
    }
    if inner.policy.bypass(request) {
        return (Decision::Pass, "the policy has it go past the cache".to_owned());
    }
    let directives = engine::directives(inner, &request.headers, Found::of(&request.headers));
    let usable = selected.filter(|object| engine::is_usable(inner, object, asked.key, asked.since));
    let (decision, because) = match (selected, usable) {
        (_, Some(object)) => reuse(inner, asked, object, &directives),
        (Some(_), None) => (Decision::Miss, purged(asked, variants)),
        (None, None) => (Decision::Miss, not_there(variants)),
    };
    if !matches!(decision, Decision::Miss | Decision::Revalidate | Decision::Partial) {
        return (decision, because);
    }
    if directives.only_if_cached {
        return (decision, format!("{because}; and the request takes stored answers only: 504"));
    }
    if decision == Decision::Partial {
        return (decision, because);
    }
    let confirmable = usable.is_some_and(|object| object.head.has_validator());
    let alone = inner.remembered.alone_for(asked.key, asked.now);
    let why = if directives.no_store {
        "the request wants nothing of its answer stored".to_owned()
    } else if request.method == Method::HEAD && !confirmable {
        "a HEAD starts no fetch of a body".to_owned()
    } else if let Some(time) = alone.filter(|_| usable.is_none()) {
        format!("its answers are for their askers alone, for {} s more", time.as_secs())
    } else {
        return (decision, because);
    };
    (Decision::Pass, format!("{because}; and {why}"))
}

/// Why nothing is selected.
fn not_there(variants: &[Variant]) -> String {
    if variants.is_empty() {
        return "nothing is stored under its key".to_owned();
    }
    let mut names: Vec<&str> =
        variants.iter().flat_map(|one| one.vary.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    format!("no stored variant matches it: they vary by {}", names.join(", "))
}

/// Why what is selected may not be used.
fn purged(asked: &Asked<'_>, variants: &[Variant]) -> String {
    let purge = variants.iter().find(|one| one.selected).and_then(|one| one.purge);
    match purge {
        Some(purge) if !purge.soft => format!("purge {} took it", purge.sequence),
        _ => format!("who asks has seen purge {}, which this cache has not", asked.since),
    }
}

/// What is made of a response that may be used.
fn reuse(
    inner: &Inner,
    asked: &Asked<'_>,
    object: &Object,
    directives: &RequestDirectives,
) -> (Decision, String) {
    let ttl = object.ttl(asked.now);
    let (decision, because) = match object.reuse(directives, asked.now) {
        Reuse::Revalidate(Why::Request) => {
            return (Decision::Revalidate, "the request wants a fresher one".to_owned());
        }
        Reuse::Revalidate(Why::Stale) if ttl > 0 => {
            return (Decision::Revalidate, "its origin wants it confirmed each time".to_owned());
        }
        Reuse::Revalidate(Why::Stale) => {
            return (Decision::Revalidate, format!("it is stale for {} s", -ttl));
        }
        Reuse::Fresh => (Decision::Hit, format!("it is fresh for {ttl} s")),
        Reuse::Stale => (Decision::HitStale, format!("it is stale for {} s, and may be so", -ttl)),
        Reuse::StaleWhileRevalidate => (
            Decision::HitWhileRevalidating,
            format!("it is stale for {} s, and may be so while it is revalidated", -ttl),
        ),
    };
    match missing(inner, asked, object) {
        Some((number, all)) => {
            (Decision::Partial, format!("{because}, but slice {number} of {all} is not stored"))
        }
        None => (decision, because),
    }
}

/// The slice that the request wants first, counted from one, where it is not stored; and how many
/// there are.
fn missing(inner: &Inner, asked: &Asked<'_>, object: &Object) -> Option<(u64, u64)> {
    let (grid, len) = (inner.grid.as_ref()?.of(&object.head), object.head.len?);
    if !is_sliced(object) {
        return None;
    }
    let Parts { method, headers, .. } = asked.request;
    let first = match answer::shape(&object.head, Some(len), method, headers) {
        Shape::Whole => 0..len,
        Shape::Part(part) => part,
        Shape::Parts(parts) => parts.first()?.clone(),
        _ => return None,
    };
    let number = grid.number(first.start);
    let wanted = first.start..first.end.min(grid.range(number, len).end);
    let key = grid.key(asked.key, &object.head, number);
    let stored = inner.store.peek(&key);
    let in_ram = stored.iter().flat_map(|all| all.iter()).any(|slice| {
        slices::holds(slice, &wanted) && engine::is_usable(inner, slice, &key, asked.since)
    });
    (!in_ram && !inner.store.may_be_on_disk(&key)).then(|| (number + 1, grid.count(len)))
}
