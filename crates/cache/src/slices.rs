//! Large responses in slices (RFC 9110 §14, RFC 9111 §3.3 and §3.4): so that one byte of
//! a film costs one slice of it, and what many ask for is kept though the whole is too large to be.
//!
//! Under its own key such a response is stored without its body: its fields, validator and length.
//! Each slice is a response of its own, under a key [beside](KeyBuf::push_beside) that one, so that
//! a purge of the URL takes it along. Its key holds what [tells the representation apart](identity),
//! its strong validator and length before all, it is asked for with `If-Range`, and its answer must
//! name the same: slices of two representations never meet. A response without a strong validator
//! is never cut (RFC 9111 §3.4).
//!
//! A slice may be held in part: its first bytes, where what brought them broke off or was given up
//! (§3.3). They answer what lies within them, and where more is wanted the rest alone is fetched.
//! So what is incomplete and what is large are one thing: fields, and of the body what there is.
//!
//! Slices have one size, or [end where somebody knows](Joints) that what lies in the body does. Where they
//! end is settled when the response comes, and kept with its fields, in memory and on disk: so whoever has
//! those knows all slices, and what is learnt later of the same response changes nothing. A slice of the
//! latter kind is named by its bytes, so that no byte of one has another's place.
//!
//! This module is the arithmetic of it (`grid`), and what makes an answer a slice.

use std::ops::Range;
use std::time::Duration;

use headwater_net::range;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::directives::ResponseDirectives;
use crate::key::KeyBuf;
use crate::object::{Exchange, Head, Object};
use crate::policy::storable::Refusal;
use crate::policy::{Lifetime, freshness};
use crate::purge::PurgeSeq;
use crate::vary::Vary;

mod grid;

pub use grid::Joints;
pub(crate) use grid::{Ends, Grid};

/// The most slices of one response: a larger one streams through a window. With slices of 4 MiB,
/// that is 64 GiB.
pub(crate) const MAX_SLICES: u64 = 1 << 14;

/// Whether the response is stored without its body, which lies in slices.
pub(crate) fn is_sliced(object: &Object) -> bool {
    object.body.len() == 0 && object.head.len.is_some_and(|len| len > 0)
}

/// Whether a stored response is the one, without its body, that slices of `whole` are of.
pub(crate) fn is_whole_of(object: &Object, whole: &Head) -> bool {
    is_sliced(object) && is_same(&object.head, whole)
}

/// Whether a stored response, all of it in one piece, is the one that slices of `whole` are of.
pub(crate) fn is_joined(object: &Object, whole: &Head) -> bool {
    Some(object.body.len()) == whole.len && is_same(&object.head, whole)
}

fn is_same(head: &Head, whole: &Head) -> bool {
    let of = |head| {
        let mut key = KeyBuf::new();
        identity(head, &mut key);
        key
    };
    head.len == whole.len && of(head).as_bytes() == of(whole).as_bytes()
}

/// Writes, beside a key, what tells the representation of a response from all others of its key,
/// earlier ones and variants. An entity tag does (RFC 9110 §8.8.3), but some origins forget that
/// another coding, language or length makes another. A date tells versions apart, and no variants:
/// beside it stands what the request had that the response varies by.
fn identity(head: &Head, key: &mut KeyBuf) {
    for value in [
        validator(head),
        head.headers.get(header::CONTENT_ENCODING),
        head.headers.get(header::CONTENT_LANGUAGE),
    ] {
        key.push_beside(value.map_or(b"", HeaderValue::as_bytes));
    }
    key.push_beside(format!("{}", head.len.unwrap_or_default()).as_bytes());
    if !head.headers.contains_key(header::ETAG) {
        head.vary.write_beside(key);
    }
}

/// The fields of a stored response as upstream confirms them, unless it is in slices and they leave it
/// without a strong validator to know them by.
pub(crate) fn confirmed(
    stored: &Object,
    update: &HeaderMap,
    within: Option<Lifetime>,
    exchange: Exchange<'_>,
) -> Result<Head, Refusal> {
    let head = stored.head.confirmed(update, within, exchange)?;
    if is_sliced(stored) && validator(&head).is_none() {
        return Err(Refusal::Useless);
    }
    Ok(head)
}

/// The bytes of the response that a stored slice holds: from the slice's beginning, though perhaps
/// not to its end.
pub(crate) fn held(slice: &Object) -> Option<Range<u64>> {
    let named = slice.head.headers.get(header::CONTENT_RANGE)?;
    let (held, _) = range::parse_content_range(named)?;
    (held.end - held.start == slice.body.len()).then_some(held)
}

/// How long before its `Date` a response was modified at least, for that to be a strong validator. One
/// second would do where both come from one clock, which nobody knows here: where its origin sent no
/// `Date`, it is even ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// Whether a stored slice has all of these bytes of the response.
pub(crate) fn holds(slice: &Object, range: &Range<u64>) -> bool {
    held(slice).is_some_and(|held| held.start <= range.start && range.end <= held.end)
}

/// The strong validator of a response, as `If-Range` names it (RFC 9110 §13.1.5): its entity tag,
/// or where it has none, a modification date that lies well before its `Date` (§8.8.2.2).
pub(crate) fn validator(head: &Head) -> Option<&HeaderValue> {
    let validators = head.validators();
    if head.headers.contains_key(header::ETAG) {
        return validators
            .etag
            .filter(|etag| !etag.is_weak())
            .and_then(|_| head.headers.get(header::ETAG));
    }
    let modified = validators.last_modified?;
    let dated = freshness::date(&head.headers, &header::DATE)?;
    let strong = dated.since(modified) >= CLOCKS_DIFFER;
    strong.then(|| head.headers.get(header::LAST_MODIFIED))?
}

/// Puts `Range` into a request for these bytes.
pub(crate) fn ask(headers: &mut HeaderMap, part: &Range<u64>) {
    let text = format!("bytes={}-{}", part.start, part.end.saturating_sub(1));
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(header::RANGE, value);
    }
}

/// What an answer to the request for a slice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The slice.
    Slice,
    /// A part or the whole of another representation, or none any more.
    Changed,
    /// The whole, or a part that was not asked for, or one that nobody else may have.
    NoPart,
    /// What the fields of who asks may have brought about: it says nothing of the representation,
    /// and nothing to others.
    Alone,
    /// An error, which says nothing of the representation.
    Failed,
}

/// Judges the answer to the request for the bytes `part` of `whole`; `targets` are the targeted
/// fields that are obeyed.
pub(crate) fn judge(
    whole: &Head,
    part: &Range<u64>,
    status: StatusCode,
    fields: &HeaderMap,
    targets: &[HeaderName],
) -> Verdict {
    match status.as_u16() {
        200 if names_same(whole, fields) => Verdict::NoPart,
        206 if !names_same(whole, fields) => Verdict::Changed,
        206 => {
            let found = fields.get(header::CONTENT_RANGE).and_then(range::parse_content_range);
            let wanted = found == Some((part.clone(), whole.len));
            let (directives, _) = ResponseDirectives::governing(fields, targets);
            if wanted && !directives.no_store && !directives.private {
                Verdict::Slice
            } else {
                Verdict::NoPart
            }
        }
        408 | 421 | 429 => Verdict::Failed,
        200 | 404 | 410 | 412 | 416 => Verdict::Changed,
        200..500 | 508 => Verdict::Alone,
        _ => Verdict::Failed,
    }
}

/// Whether an answer's fields name the same representation, by its strong validator.
fn names_same(whole: &Head, fields: &HeaderMap) -> bool {
    let same = |name| whole.headers.get(&name) == fields.get(&name);
    let named = if whole.headers.contains_key(header::ETAG) {
        same(header::ETAG)
    } else {
        same(header::LAST_MODIFIED) && !fields.contains_key(header::ETAG)
    };
    // Beside `If-Range`, an answer need not say it again (RFC 9110 §15.3.7).
    let language = fields.get(header::CONTENT_LANGUAGE);
    let other = language.is_some() && !same(header::CONTENT_LANGUAGE);
    named && same(header::CONTENT_ENCODING) && !other
}

/// The first part of a response of which nothing was known: its head as that of the whole, and the
/// part's bytes. `None` where the fields do not say.
pub(crate) fn first_part(fields: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let (part, complete) = range::parse_content_range(fields.get(header::CONTENT_RANGE)?)?;
    Some((part, complete?))
}

/// The head of a slice, or of the beginning of one: what it takes to know it by.
pub(crate) fn head_of(whole: &Head, part: &Range<u64>, purge_seq: PurgeSeq) -> Head {
    let len = part.end - part.start;
    let mut headers = HeaderMap::with_capacity(4);
    for name in [header::ETAG, header::LAST_MODIFIED] {
        if let Some(value) = whole.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(header::CONTENT_RANGE, range::content_range(part, whole.len));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    Head {
        status: StatusCode::PARTIAL_CONTENT,
        headers,
        vary: Vary::default(),
        len: Some(len),
        purge_seq,
        ends: None,
        ..whole.clone()
    }
}
