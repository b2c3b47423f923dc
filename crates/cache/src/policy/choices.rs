//! Where the standards leave a cache a choice, and what is chosen.

use std::time::Duration;

use http::{HeaderName, StatusCode};

use crate::loops::Node;

/// `CDN-Cache-Control` (RFC 9213 §3.1).
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The choices that RFC 9110, 9111, 9211, 9213 and 8586 leave to a cache; each default is what their
/// SHOULDs say, or the safe side where they say nothing. Given to
/// [`Builder::choices`](crate::Builder::choices).
#[derive(Clone, Debug)]
#[must_use = "choices do nothing until they are given to a builder"]
pub struct Choices {
    targeted: Vec<HeaderName>,
    share_cookies: bool,
    stale_if_unreachable: Duration,
    trust_malformed_age: bool,
    trust_any_304: bool,
    max_error_body: u64,
    node: Option<String>,
    max_hops: usize,
    tells_key: bool,
    tells_tier: bool,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            targeted: vec![CDN_CACHE_CONTROL],
            share_cookies: false,
            stale_if_unreachable: Duration::from_secs(60),
            trust_malformed_age: true,
            trust_any_304: false,
            max_error_body: 64 << 10,
            node: None,
            max_hops: 20,
            tells_key: false,
            tells_tier: false,
        }
    }
}

impl Choices {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The targeted cache-control fields that this cache obeys, the first that is there and valid
    /// before the others and before `Cache-Control` and `Expires` (RFC 9213 §2.2); default
    /// `CDN-Cache-Control` alone. A deployment's own comes first:
    /// `["example-cache-control", "cdn-cache-control"]`.
    pub fn targeted(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Self {
        self.targeted = fields.into_iter().collect();
        self
    }

    /// Whether a response with `Set-Cookie` may be stored without `public` or `s-maxage`; default
    /// false. RFC 9111 §7.3 leaves it to the origin to forbid that; origins that set a session on
    /// every answer and forget to are common, and the price of believing them is one viewer in
    /// another's session.
    pub fn share_cookies(mut self, share: bool) -> Self {
        self.share_cookies = share;
        self
    }

    /// For how long past its freshness a response answers while upstream cannot be reached at all
    /// (RFC 9111 §4.2.4, "disconnected"), where it does not forbid that; default a minute. An
    /// upstream that answers with an error is reached: then `stale-if-error` decides.
    pub fn stale_if_unreachable(mut self, time: Duration) -> Self {
        self.stale_if_unreachable = time;
        self
    }

    /// Whether a response whose `Age` is malformed, or there more than once, is taken as if the
    /// field were absent, or by its first member, as RFC 9111 §5.1 has it; default true. With
    /// false it counts as stale: the choice for one who would rather ask than serve what may be
    /// old.
    pub fn trust_malformed_age(mut self, trust: bool) -> Self {
        self.trust_malformed_age = trust;
        self
    }

    /// Whether a 304 to a request for confirmation confirms what is stored though it names another
    /// entity tag; default false, as RFC 9111 §4.3.4 has it: upstream is then asked for the whole.
    /// With true its other fields update the stored response and the tag stays: for origins that
    /// add a suffix to the tag when they compress.
    pub fn trust_any_304(mut self, trust: bool) -> Self {
        self.trust_any_304 = trust;
        self
    }

    /// The longest body of a 4xx or 5xx that is stored, in bytes; default 64 KiB. A longer one
    /// passes through.
    pub fn max_error_body(mut self, bytes: u64) -> Self {
        self.max_error_body = bytes;
        self
    }

    /// The id by which this node knows its own requests in `CDN-Loop` (RFC 8586 §2); default the
    /// cache's name. Two nodes that ask each other, such as an edge and its shield, need two.
    pub fn node(mut self, id: impl Into<String>) -> Self {
        self.node = Some(id.into());
        self
    }

    /// How many nodes a request may have passed before this one; default 20. One that has passed
    /// more is answered 508, like one that comes back.
    pub fn max_hops(mut self, nodes: usize) -> Self {
        self.max_hops = nodes;
        self
    }

    /// Whether `Cache-Status` tells the key of a GET or HEAD (RFC 9211 §2.7), its first 256 bytes;
    /// default false. A key holds nothing of who asks, but what a policy rewrites it to may be
    /// nobody else's business.
    pub fn tell_key(mut self, tell: bool) -> Self {
        self.tells_key = tell;
        self
    }

    /// Whether `Cache-Status` tells of a hit in RAM that it is one (RFC 9211 §2.8, `detail=ram`);
    /// default false. Of a hit on disk it always does (`detail=disk`).
    pub fn tell_tier(mut self, tell: bool) -> Self {
        self.tells_tier = tell;
        self
    }

    pub(crate) fn tells_key(&self) -> bool {
        self.tells_key
    }

    pub(crate) fn tells_tier(&self) -> bool {
        self.tells_tier
    }

    pub(crate) fn node_of(&self, name: &str) -> Node {
        Node::new(self.node.as_deref().unwrap_or(name), self.max_hops)
    }

    pub(crate) fn targets(&self) -> &[HeaderName] {
        &self.targeted
    }

    pub(crate) fn shares_cookies(&self) -> bool {
        self.share_cookies
    }

    pub(crate) fn unreachable_grace(&self) -> Duration {
        self.stale_if_unreachable
    }

    pub(crate) fn trusts_malformed_age(&self) -> bool {
        self.trust_malformed_age
    }

    pub(crate) fn trusts_any_304(&self) -> bool {
        self.trust_any_304
    }

    /// The longest body of this status that is stored, where there is a bound of its own.
    pub(crate) fn max_body(&self, status: StatusCode) -> Option<u64> {
        (status.is_client_error() || status.is_server_error()).then_some(self.max_error_body)
    }
}
