//! What an answer that went past the store says of what is in it: a HEAD updates it or makes it stale
//! (RFC 9111 §4.3.5), an unsafe method takes back what it touched (§4.4).
//!
//! A HEAD goes upstream with all fields of its client, and what the answer says is heeded only where a
//! fetch for all would have had the same to say: else any client could end what is stored for others,
//! by a field that no key knows.

use std::sync::Arc;

use headwater_net::{Body, Timestamp};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use super::{Forward, directives, key_of};
use crate::cache::{Downstream, Inner};
use crate::found::Found;
use crate::key::{self, KeyBuf};
use crate::object::{Exchange, Head};
use crate::policy::Lifetime;
use crate::policy::storable::{Asked, Refusal};
use crate::purge::PurgeSeq;
use crate::slices;

impl<S> Forward<S> {
    /// Heeds an answer to a request that was `sent` so, at `requested`, when the newest purge was
    /// `purge_seq`.
    pub(super) fn heed(
        &self,
        response: &Response<Body>,
        sent: &Parts,
        requested: Timestamp,
        purge_seq: PurgeSeq,
    ) {
        let inner = self.cache.inner();
        let ok = response.status().is_success() || response.status().is_redirection();
        let method = &self.parts.method;
        if method == Method::HEAD {
            if response.status() == StatusCode::OK {
                self.heed_head(inner, response, sent, requested, purge_seq);
            }
        } else if ok && !method.is_safe() {
            let mut invalidate =
                |key: &KeyBuf| inner.fills.invalidate(key.as_bytes(), &inner.store);
            // The target, and what the answer names on the same host.
            inner.policy.keys(&self.parts, &mut invalidate);
            for name in [header::LOCATION, header::CONTENT_LOCATION] {
                if let Some(parts) = response.headers().get(name).and_then(|to| self.aimed_at(to)) {
                    inner.policy.keys(&parts, &mut invalidate);
                }
            }
        }
    }

    /// The fields that a HEAD got: those of the stored response, newer, or of another one, which
    /// make it stale and no more: the next GET finds out.
    fn heed_head(
        &self,
        inner: &Inner,
        response: &Response<Body>,
        sent: &Parts,
        requested: Timestamp,
        purge_seq: PurgeSeq,
    ) {
        let fields = response.headers();
        let key = key_of(inner, &self.parts);
        let request = &self.parts.headers;
        let select = || inner.store.get(&key).and_then(|all| all.select(request).cloned());
        let Some(stored) = select() else { return };
        // As with any confirmation: what upstream says to one client's credentials or cookies may be
        // for that client alone, and what goes past the cache is none of it. Conditions and ranges
        // are left out of what is asked for all.
        let found = Found::of(request);
        let cookies = stored.head.cookied || stored.head.vary.has(&header::COOKIE);
        if inner.policy.bypass(&self.parts)
            || found.any(Found::SHAPE)
            || directives(inner, request, found).no_store
            || request.contains_key(header::COOKIE) && !cookies
            || request.contains_key(header::AUTHORIZATION) && !stored.head.authorized
        {
            return;
        }
        let replace = |head: Head| {
            let updated = Arc::new(stored.with_head(head));
            inner.fills.guarded(&key, || {
                let same = select().is_some_and(|now| Arc::ptr_eq(&now, &stored));
                if same && updated.holds(inner.purges.ledger(), &key) {
                    inner.store.update(&key, Arc::clone(&updated), request);
                }
            });
        };
        if differs(&stored.head, fields) {
            return replace(stored.head.stale_since(inner.clock.now()));
        }
        let authorization = request.contains_key(header::AUTHORIZATION);
        let asked = Asked { authorization, no_store: false };
        let exchange = Exchange {
            request,
            sent,
            asked,
            requested,
            received: inner.clock.now(),
            policy: inner.policy.as_ref(),
            choices: &inner.choices,
            purge_seq,
            keep_tags: inner.downstream == Downstream::Caches,
        };
        match slices::confirmed(&stored, fields, Lifetime::given(response.extensions()), exchange) {
            Ok(head) => replace(head),
            // About who asks, and not about the response.
            Err(Refusal::Authorization) => {}
            Err(_) => inner.fills.invalidate(&key, &inner.store),
        }
    }

    /// This request aimed at another URI of the same host; `None` where that is another host's, or
    /// relative to a path.
    fn aimed_at(&self, target: &HeaderValue) -> Option<Parts> {
        let target: http::Uri = target.to_str().ok()?.parse().ok()?;
        let host = key::normal_host(&self.parts);
        let same = match target.authority() {
            Some(authority) => {
                let theirs = authority.as_str().as_bytes();
                let theirs = key::without_default_port(theirs, target.scheme_str());
                theirs.eq_ignore_ascii_case(host)
            }
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
}

/// Whether fields that a HEAD got speak of another representation than the stored one.
fn differs(stored: &Head, fields: &HeaderMap) -> bool {
    [header::ETAG, header::LAST_MODIFIED, header::CONTENT_LENGTH]
        .into_iter()
        .any(|name| fields.get(&name).is_some_and(|new| stored.headers.get(&name) != Some(new)))
}
